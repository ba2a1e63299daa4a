//! What happens to every request before and after its handler: an id, a span, a time limit, a
//! count, and the body of a problem.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use fieldwright_ingest::clock::{process_now, wall_now};
use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

use super::influx;
use super::page;
use super::problem::{self, INTERNAL, Problem, TIMEOUT};

/// The header that carries a request's id, in and out.
pub const REQUEST_ID: &str = "x-request-id";

/// The limits that hold for every request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many requests run at once; the next one is told to come back.
    pub at_once: usize,
    /// How long a request may take on the process clock.
    pub timeout: Duration,
    /// How many bodies are read at once; each may take a megabyte of memory.
    pub reading: usize,
    /// How long a body may take to come.
    pub body_timeout: Duration,
    /// How many answers are sent at once part by part; each holds a few parts in memory.
    pub answers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 256,
            // Longer than the default limit of a query, whose own words say more.
            timeout: Duration::from_secs(60),
            reading: 512,
            body_timeout: Duration::from_secs(10),
            answers: 64,
        }
    }
}

/// What the requests of one service share.
#[derive(Debug)]
pub struct Requests {
    pub(super) limits: Limits,
    /// Places among the requests that run.
    pub(super) places: Semaphore,
    /// Places among the requests whose body is read.
    pub(super) readers: Semaphore,
    /// Places among the answers that are sent part by part.
    answers: Arc<Semaphore>,
    /// Tells requests of one start of the service from those of another.
    start: i64,
    next: AtomicU64,
    tallies: Mutex<BTreeMap<(String, &'static str, u16), Tally>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    count: u64,
    seconds: f64,
}

impl Requests {
    /// No request yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            places: Semaphore::new(limits.at_once),
            readers: Semaphore::new(limits.reading),
            answers: Arc::new(Semaphore::new(limits.answers)),
            start: wall_now().timestamp_millis(),
            next: AtomicU64::new(1),
            tallies: Mutex::default(),
        }
    }

    /// A place among the answers that are sent part by part; nothing when all are taken.
    pub fn answers(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.answers).try_acquire_owned().ok()
    }

    /// The counts in Prometheus' text format.
    pub fn write_metrics(&self, text: &mut String) {
        let tallies = self.tallies.lock().expect("no holder panics").clone();
        let name = "fieldwright_http_request_duration_seconds";
        let _ = writeln!(text, "# HELP {name} Time to answer HTTP requests.");
        let _ = writeln!(text, "# TYPE {name} summary");
        for ((route, method, status), tally) in tallies {
            let labels = format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}");
            let _ = writeln!(text, "{name}_sum{labels} {}", tally.seconds);
            let _ = writeln!(text, "{name}_count{labels} {}", tally.count);
        }
    }

    /// The caller's id for this request where it is a plain word, otherwise one of ours.
    fn id(&self, headers: &HeaderMap) -> String {
        let sent = headers
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|id| (1..=64).contains(&id.len()))
            .filter(|id| {
                id.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            });
        match sent {
            Some(id) => id.to_owned(),
            None => format!(
                "req_{:x}_{}",
                self.start,
                self.next.fetch_add(1, Ordering::Relaxed)
            ),
        }
    }

    fn count(&self, route: String, method: &'static str, status: u16, seconds: f64) {
        let mut tallies = self.tallies.lock().expect("no holder panics");
        let tally = tallies.entry((route, method, status)).or_default();
        tally.count += 1;
        tally.seconds += seconds;
    }
}

/// The outermost layer.
pub async fn layer(
    State(requests): State<Arc<Requests>>,
    request: Request,
    next: Next,
) -> Response {
    let started = process_now();
    let id = requests.id(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let query = request.uri().query().map(str::to_owned);
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!(
        "request",
        request_id = id,
        %method,
        path,
        trace_id = trace_id(request.headers()),
    );
    let answer = async {
        let mut response = run(&requests, request, next).await;
        finish(&mut response, method.as_str(), &path, &id);
        page::add_link(&mut response, &path, query.as_deref());
        let elapsed = started.elapsed();
        let status = response.status().as_u16();
        tracing::debug!(
            status,
            elapsed_us = elapsed.as_micros() as u64,
            "answered a request"
        );
        requests.count(route, known(&method), status, elapsed.as_secs_f64());
        response
    };
    answer.instrument(span).await
}

/// Runs the handler within its time; what it panics about is a problem like another.
async fn run(requests: &Requests, request: Request, next: Next) -> Response {
    let timeout = requests.limits.timeout;
    let limited = tokio::time::timeout(timeout, next.run(request));
    match AssertUnwindSafe(limited).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(_elapsed)) => Problem::new(
            TIMEOUT,
            format!("no answer within {} s", timeout.as_secs_f64()),
        )
        .into_response(),
        Err(_panic) => {
            tracing::error!("a handler panicked; this is a bug");
            Problem::new(
                INTERNAL,
                "the service failed; its log knows more under this request id",
            )
            .into_response()
        }
    }
}

/// Writes the body of a problem, also of those that the router answers by itself.
fn finish(response: &mut Response, method: &str, path: &str, id: &str) {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| {
        // The router's own refusals have no body, or a line of plain text.
        let kind = response.headers().get(header::CONTENT_TYPE);
        let bare = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
        (failed && bare).then(|| problem::of_bare_status(status, method, path))
    });
    if let Some(problem) = problem {
        let mut rendered = match influx::speaks_at(path) {
            true => influx::failure(&problem),
            false => problem.render(path, id),
        };
        if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
            rendered.headers_mut().insert(header::ALLOW, allow);
        }
        *response = rendered;
    }
    let id = HeaderValue::try_from(id).expect("ids are made of plain characters");
    response.headers_mut().insert(REQUEST_ID, id);
}

/// The trace of a W3C `traceparent`, or nothing.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let id = text.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// A method as label: a caller can invent methods, the counts must not grow with them.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;
    use crate::api::admission;

    fn router(limits: Limits) -> (Router, Arc<Requests>) {
        let requests = Arc::new(Requests::new(limits));
        let router = Router::new()
            .route("/ok", get(async || "ok"))
            .route("/panic", get(async || -> &'static str { panic!("a bug") }))
            .route(
                "/never",
                get(async || std::future::pending::<&'static str>().await),
            )
            .route("/refused", get(async || Problem::not_found("thing", "x")))
            .route(
                "/text",
                get(async || (StatusCode::BAD_REQUEST, "plain words")),
            )
            .layer(from_fn_with_state(requests.clone(), admission::layer))
            .layer(from_fn_with_state(requests.clone(), layer));
        (router, requests)
    }

    async fn check(
        limits: Limits,
        method: &str,
        path: &str,
        status: u16,
        refusal: &str,
    ) -> Response {
        let (router, _) = router(limits);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(REQUEST_ID, "mine-1")
            .body(Body::empty())
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert_eq!(response.headers()[REQUEST_ID], "mine-1");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        if !refusal.is_empty() {
            assert_eq!(
                parts.headers[header::CONTENT_TYPE],
                "application/problem+json"
            );
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["refusal"], refusal);
            assert_eq!(body["instance"], path);
            assert_eq!(body["request_id"], "mine-1");
            assert_eq!(body["status"], status);
        }
        Response::from_parts(parts, Body::from(body))
    }

    #[tokio::test]
    async fn every_end_of_a_request_has_its_answer() {
        let usual = Limits::default();
        check(usual, "GET", "/ok", 200, "").await;
        check(usual, "GET", "/refused", 404, "not_found").await;
        check(usual, "GET", "/nowhere", 404, "no_such_route").await;
        check(usual, "GET", "/text", 400, "malformed").await;
        check(usual, "GET", "/panic", 500, "internal").await;
        let wrong = check(usual, "POST", "/ok", 405, "method_not_allowed").await;
        assert_eq!(wrong.headers()[header::ALLOW], "GET,HEAD");
    }

    #[tokio::test]
    async fn a_full_or_slow_service_says_so() {
        let full = Limits {
            at_once: 0,
            ..Limits::default()
        };
        let busy = check(full, "GET", "/ok", 503, "busy").await;
        assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
        let slow = Limits {
            timeout: Duration::from_millis(5),
            ..Limits::default()
        };
        check(slow, "GET", "/never", 503, "timeout").await;
    }

    #[tokio::test]
    async fn requests_are_counted_by_route_and_status() {
        let (router, requests) = router(Limits::default());
        for path in ["/ok", "/ok", "/nowhere", "/elsewhere"] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert!(response.headers().contains_key(REQUEST_ID));
        }
        let mut text = String::new();
        requests.write_metrics(&mut text);
        for line in [
            "_count{method=\"GET\",route=\"/ok\",status=\"200\"} 2",
            "_count{method=\"GET\",route=\"unmatched\",status=\"404\"} 2",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
