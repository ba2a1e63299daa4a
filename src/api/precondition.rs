//! `ETag` and `If-Match`: two people who edit the same thing, and the second is told.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::IntoParams;

use super::problem::{MALFORMED, PRECONDITION_MISSING, Problem};

/// The version that an action of a person must name, for the API's document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "describes a header that `read` takes from the request"
)]
pub struct IfMatch {
    /// The version that was read, in quotes, such as `"3"`; another one is refused with 412.
    #[param(rename = "If-Match", example = "\"3\"")]
    version: String,
}

/// The version that a command may name, for the API's document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "describes a header that `read` takes from the request"
)]
pub struct IfMatchOptional {
    /// The version that was read, in quotes; needed when there is no Idempotency-Key.
    #[param(rename = "If-Match", example = "\"3\"")]
    version: Option<String>,
}

/// A thing with its version in the `ETag` header.
#[derive(Debug)]
pub struct Versioned<T> {
    /// 200, or 201 for a thing that was made just now.
    pub status: StatusCode,
    /// The version.
    pub version: i64,
    /// Where the thing is found, when it was made just now.
    pub location: Option<String>,
    /// The thing.
    pub body: T,
}

impl<T> Versioned<T> {
    /// A thing that was read or changed.
    pub fn ok(version: i64, body: T) -> Self {
        Self {
            status: StatusCode::OK,
            version,
            location: None,
            body,
        }
    }

    /// A thing that was made just now.
    pub fn created(version: i64, location: String, body: T) -> Self {
        Self {
            status: StatusCode::CREATED,
            version,
            location: Some(location),
            body,
        }
    }
}

impl<T: Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::ETAG, etag(self.version));
        if let Some(location) = self
            .location
            .and_then(|path| HeaderValue::try_from(path).ok())
        {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}

/// The `ETag` of a version.
pub fn etag(version: i64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).expect("digits in quotes are a header value")
}

/// Reads the version from `If-Match`.
///
/// **Errors**: 400 when it is not one version in quotes.
pub fn read(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let version = value
        .to_str()
        .ok()
        .and_then(|text| {
            text.trim()
                .strip_prefix('"')?
                .strip_suffix('"')?
                .parse::<i64>()
                .ok()
        })
        .filter(|version| *version >= 0);
    match (version, values.next()) {
        (Some(version), None) => Ok(Some(version)),
        _ => Err(Problem::new(
            MALFORMED,
            "If-Match must be the one version that was read, in quotes, such as \"3\"",
        )),
    }
}

/// The problem of a missing `If-Match`.
pub fn missing() -> Problem {
    Problem::new(
        PRECONDITION_MISSING,
        "send the version that you read as `If-Match: \"3\"`; it stands in `version` and in the ETag header",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expected: Result<Option<i64>, ()>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, value.parse().unwrap());
        }
        assert_eq!(read(&headers).map_err(|_| ()), expected, "{values:?}");
    }

    #[test]
    fn versions_are_read() {
        check(&[], Ok(None));
        check(&["\"3\""], Ok(Some(3)));
        check(&[etag(12).to_str().unwrap()], Ok(Some(12)));
        check(&["3"], Err(()));
        check(&["*"], Err(()));
        check(&["W/\"3\""], Err(()));
        check(&["\"-3\""], Err(()));
        check(&["\"3\", \"4\""], Err(()));
        check(&["\"3\"", "\"4\""], Err(()));
    }
}
