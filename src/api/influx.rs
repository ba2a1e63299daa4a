//! What clients of InfluxDB's write API speak: `/api/v2/write`, the older `/write`, and the two
//! questions that they ask first.
//!
//! **Source**: the API reference of InfluxDB 2. A write is one message: it is answered with 204
//! once it is synced and visible to SQL, and refused whole when one line is bad.

use std::io::Read as _;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use fieldwright_ingest::intake::OfferError;
use fieldwright_ingest::source::Envelope;
use fieldwright_ingest::validate::Rejection;
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::state::ApiState;

/// Letters of a bucket's name that go into the topic.
const BUCKET_LETTERS: usize = 200;

/// What a write says beside its lines. Organizations mean nothing here.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Written {
    /// Kept in the topic of the message.
    bucket: Option<String>,
    /// The same in the older API.
    db: Option<String>,
    /// What the timestamps count: `ns` (default), `us`, `ms` or `s`.
    precision: Option<String>,
}

/// What is wrong, as these clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InfluxError)]
pub struct Failure {
    /// A word for programs.
    code: &'static str,
    /// What happened, and what to do.
    message: String,
}

/// How the service is, as these clients ask.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InfluxHealth)]
pub struct Health {
    /// `fieldwright`.
    name: &'static str,
    /// A sentence.
    message: String,
    /// `pass` or `fail`.
    status: &'static str,
    /// The version of this service.
    version: &'static str,
}

/// Writes lines of InfluxDB's line protocol, plain or with gzip.
///
/// The measurement is the class, the tag `asset` (or what the mapping rule names) the asset.
#[utoipa::path(post, path = "/api/v2/write", operation_id = "write_lines", tag = "telemetry",
    params(Written), request_body(content = String, content_type = "text/plain"),
    responses(
        (status = 204, description = "Every line is synced to disk and visible to SQL."),
        (status = 400, description = "A line is bad; nothing is stored.", body = Failure),
        (status = 413, description = "Too large; send smaller batches.", body = Failure),
        (status = 503, description = "Come again after `Retry-After`.", body = Failure),
    ))]
pub async fn write(
    State(state): State<ApiState>,
    Query(written): Query<Written>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match taken(&state, &written, &headers, body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refused) => refused.into_response(),
    }
}

/// The same at the address of InfluxDB 1.
#[utoipa::path(post, path = "/write", operation_id = "write_lines_v1", tag = "telemetry",
    params(Written), request_body(content = String, content_type = "text/plain"),
    responses(
        (status = 204, description = "Every line is synced to disk and visible to SQL."),
        (status = 400, description = "A line is bad; nothing is stored.", body = Failure),
    ))]
pub async fn write_v1(
    state: State<ApiState>,
    written: Query<Written>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    write(state, written, headers, body).await
}

/// Says that somebody is there.
#[utoipa::path(get, path = "/ping", operation_id = "get_ping", tag = "service",
    responses((status = 204, description = "Somebody is there.")))]
pub async fn ping() -> Response {
    let version = HeaderValue::from_static(env!("CARGO_PKG_VERSION"));
    let kind = HeaderValue::from_static("Fieldwright");
    let told = [
        (
            header::HeaderName::from_static("x-influxdb-version"),
            version,
        ),
        (header::HeaderName::from_static("x-influxdb-build"), kind),
    ];
    (StatusCode::NO_CONTENT, told).into_response()
}

/// Says whether readings are taken.
#[utoipa::path(get, path = "/health", operation_id = "get_influx_health", tag = "service",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub async fn health(State(state): State<ApiState>) -> Response {
    let trouble = state.ingest.stats().disk_trouble;
    let (code, status) = match &trouble {
        None => (StatusCode::OK, "pass"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "fail"),
    };
    let health = Health {
        name: "fieldwright",
        message: trouble.unwrap_or_else(|| "ready for queries and writes".to_owned()),
        status,
        version: env!("CARGO_PKG_VERSION"),
    };
    (code, axum::Json(health)).into_response()
}

/// Whether a path is one of those whose errors these clients read.
pub fn speaks_at(path: &str) -> bool {
    path.starts_with("/api/v2/") || path == "/write"
}

/// A problem of the layers around, in the words of these clients.
pub fn failure(problem: &Problem) -> Response {
    Refused::new(problem.status(), problem.detail()).into_response()
}

async fn taken(
    state: &ApiState,
    written: &Written,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(), Refused> {
    let most = state.ingest.intake().max_payload_bytes();
    let payload = plain(headers, body, most)?;
    if payload.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let envelope = Envelope {
        topic: written.topic()?.into(),
        payload: payload.into(),
        received_at: state.clock.now(),
    };
    let offered = state.ingest.intake().offer(envelope).await;
    offered.map_err(|error| match error {
        OfferError::Refused(rejection @ Rejection::PayloadTooLarge { .. }) => {
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, rejection.to_string())
        }
        OfferError::Refused(rejection) => {
            let message = format!("nothing was written: {rejection}");
            Refused::new(StatusCode::BAD_REQUEST, message)
        }
        OfferError::Full | OfferError::Closed => {
            let message = format!("{error}; write the same lines again in a moment");
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    })
}

impl Written {
    /// `$write/v2/PRECISION/BUCKET`, which the built-in mapping rule reads.
    fn topic(&self) -> Result<String, Refused> {
        let precision = match self.precision.as_deref().unwrap_or("ns") {
            "ns" | "n" | "" => "ns",
            "us" | "u" | "µ" => "us",
            "ms" => "ms",
            "s" => "s",
            other => {
                let message = format!("precision is `{other}`; it is one of ns, us, ms and s");
                return Err(Refused::new(StatusCode::BAD_REQUEST, message));
            }
        };
        let bucket = self.bucket.as_ref().or(self.db.as_ref());
        let bucket: String = bucket
            .map_or("", String::as_str)
            .chars()
            .take(BUCKET_LETTERS)
            .map(|letter| match letter {
                '+' | '#' => '_',
                letter if letter.is_control() => '_',
                letter => letter,
            })
            .collect();
        let bucket = if bucket.is_empty() { "_" } else { &bucket };
        Ok(format!("$write/v2/{precision}/{bucket}"))
    }
}

/// The lines without their compression, never more than `most` bytes of them.
fn plain(headers: &HeaderMap, body: Bytes, most: usize) -> Result<Bytes, Refused> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    let encoding = encoding.map_or("identity", |value| value.to_str().unwrap_or("?"));
    let plain = match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => body,
        "gzip" => {
            let mut plain = Vec::new();
            let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
            let read = MultiGzDecoder::new(&body[..]).take(bound);
            let read = { read }.read_to_end(&mut plain);
            read.map_err(|error| {
                let message = format!("the body is not gzip: {error}");
                Refused::new(StatusCode::BAD_REQUEST, message)
            })?;
            plain.into()
        }
        other => {
            let message = format!("the encoding `{other}` is not known; send gzip or plain text");
            return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
    };
    if plain.len() > most {
        let message = format!(
            "the lines have more than {most} bytes (ingest.max_payload_bytes); send smaller batches"
        );
        return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    Ok(plain)
}

/// Why a write was refused.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    fn into_response(self) -> Response {
        let code = match self.status {
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not found",
            StatusCode::METHOD_NOT_ALLOWED => "method not allowed",
            StatusCode::PAYLOAD_TOO_LARGE => "request too large",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            status if status.is_client_error() => "invalid",
            _ => "internal error",
        };
        let failure = Failure {
            code,
            message: self.message,
        };
        let mut response = (self.status, axum::Json(failure)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn topic(bucket: Option<&str>, precision: Option<&str>) -> Result<String, StatusCode> {
        let written = Written {
            bucket: bucket.map(str::to_owned),
            db: None,
            precision: precision.map(str::to_owned),
        };
        written.topic().map_err(|refused| refused.status)
    }

    #[test]
    fn the_topic_tells_precision_and_bucket() {
        let bad = Err(StatusCode::BAD_REQUEST);
        for (bucket, precision, expected) in [
            (Some("plant"), None, Ok("$write/v2/ns/plant")),
            (None, Some("s"), Ok("$write/v2/s/_")),
            (Some("a/b+c#d\n"), Some("u"), Ok("$write/v2/us/a/b_c_d_")),
            (Some("plant"), Some("h"), bad),
            (Some("plant"), Some("fortnight"), bad),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(
                topic(bucket, precision),
                expected,
                "{bucket:?} {precision:?}"
            );
        }
    }

    fn gzip(text: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap().into()
    }

    fn check(encoding: &str, body: Bytes, most: usize, expected: Result<&[u8], u16>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        let plain = plain(&headers, body, most);
        let plain = plain.map_err(|refused| refused.status.as_u16());
        assert_eq!(plain.as_deref().map_err(|status| *status), expected);
    }

    #[test]
    fn a_body_is_inflated_within_its_bound() {
        check("identity", Bytes::from_static(b"a v=1"), 5, Ok(b"a v=1"));
        check("identity", Bytes::from_static(b"a v=1"), 4, Err(413));
        check("gzip", gzip(b"a v=1"), 5, Ok(b"a v=1"));
        check("GZIP", gzip(b"a v=1"), 4, Err(413));
        check("gzip", gzip(&[b'x'; 1 << 20]), 1_000, Err(413));
        check("gzip", Bytes::from_static(b"a v=1"), 5, Err(400));
        check("br", Bytes::from_static(b"a v=1"), 5, Err(415));
    }
}
