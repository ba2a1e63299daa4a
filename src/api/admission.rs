//! What a request must have before it takes a place among those that run: an address without
//! control characters, and its whole body.
//!
//! A body that comes slowly holds no place, so it keeps nobody else waiting; probes and figures
//! need no place at all, so they answer while everything else is busy.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest as _, Request, State};
use axum::http::Uri;
use axum::middleware::Next;
use axum::response::Response;

use super::command;
use super::problem::{BUSY, MALFORMED, Problem, SLOW_BODY};
use super::request::Requests;

/// Paths that are answered however busy the service is.
const PROBES: &[&str] = &["/healthz", "/readyz", "/metrics"];

/// The layer that lets requests in.
pub async fn layer(
    State(requests): State<Arc<Requests>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    check_address(request.uri())?;
    if PROBES.contains(&request.uri().path()) {
        return Ok(next.run(request).await);
    }
    let request = with_body(&requests, request).await?;
    let Ok(_place) = requests.places.try_acquire() else {
        return Err(busy("too many requests run at once"));
    };
    Ok(next.run(request).await)
}

/// The same request with its body in memory.
async fn with_body(requests: &Requests, request: Request) -> Result<Request, Problem> {
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let Ok(_reading) = requests.readers.try_acquire() else {
        return Err(busy("the bodies of too many requests are on their way"));
    };
    let (parts, body) = request.into_parts();
    let whole = Bytes::from_request(Request::from_parts(parts.clone(), body), &());
    match tokio::time::timeout(requests.limits.body_timeout, whole).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(rejection)) => Err(command::unread(&rejection)),
        Err(_elapsed) => Err(Problem::new(
            SLOW_BODY,
            format!(
                "the body was not complete within {} s; send it without a break",
                requests.limits.body_timeout.as_secs_f64()
            ),
        )),
    }
}

fn busy(what: &str) -> Problem {
    Problem::new(BUSY, format!("{what}; try again in a moment"))
}

/// No name, tag or filter has control characters, and a store may not be able to compare them.
fn check_address(uri: &Uri) -> Result<(), Problem> {
    let address = uri.path_and_query().map_or("", |address| address.as_str());
    let escapes = address
        .split('%')
        .skip(1)
        .filter_map(|rest| rest.get(..2))
        .filter_map(|digits| u8::from_str_radix(digits, 16).ok());
    if escapes.into_iter().any(|byte| byte.is_ascii_control()) {
        return Err(Problem::new(
            MALFORMED,
            "the address has control characters; take them out of the path and the parameters",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::{get, post};
    use futures::stream;
    use tower::ServiceExt as _;

    use super::*;
    use crate::api::request::{self, Limits};

    fn router(limits: Limits) -> (Router, Arc<Requests>) {
        let requests = Arc::new(Requests::new(limits));
        let router = Router::new()
            .route("/thing", get(async || "read"))
            .route("/thing", post(async |body: String| body))
            .route("/metrics", get(async || "figures"))
            .layer(from_fn_with_state(requests.clone(), layer))
            .layer(from_fn_with_state(requests.clone(), request::layer));
        (router, requests)
    }

    async fn status(router: &Router, method: &str, path: &str, body: Body) -> u16 {
        let request = Request::builder().method(method).uri(path).body(body);
        let response = router.clone().oneshot(request.unwrap()).await.unwrap();
        response.status().as_u16()
    }

    /// A body of which one byte came, and no more will.
    fn stuck() -> Body {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        Body::from_stream(futures::StreamExt::chain(first, stream::pending()))
    }

    #[tokio::test]
    async fn slow_bodies_hold_no_place() {
        let (router, requests) = router(Limits {
            at_once: 1,
            reading: 2,
            ..Limits::default()
        });
        let mut slow = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let router = router.clone();
            slow.spawn(async move { status(&router, "POST", "/thing", stuck()).await });
        }
        while requests.readers.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(status(&router, "GET", "/thing", Body::empty()).await, 200);
        assert_eq!(status(&router, "POST", "/thing", Body::empty()).await, 200);
        // Their own bound is full, and says so, until they are gone.
        assert_eq!(status(&router, "POST", "/thing", "x".into()).await, 503);
        slow.shutdown().await;
        assert_eq!(status(&router, "POST", "/thing", "x".into()).await, 200);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let (router, requests) = router(Limits {
            body_timeout: Duration::from_millis(20),
            ..Limits::default()
        });
        assert_eq!(status(&router, "POST", "/thing", stuck()).await, 408);
        assert_eq!(
            requests.readers.available_permits(),
            Limits::default().reading
        );
    }

    #[tokio::test]
    async fn figures_need_no_place() {
        let (router, _) = router(Limits {
            at_once: 0,
            ..Limits::default()
        });
        assert_eq!(status(&router, "GET", "/metrics", Body::empty()).await, 200);
        assert_eq!(status(&router, "GET", "/thing", Body::empty()).await, 503);
    }

    #[test]
    fn addresses_are_plain() {
        for (address, plain) in [
            ("/api/v1/assets?tag=pump-101", true),
            ("/api/v1/assets?tag=p%C3%BCmp%20%2F", true),
            ("/api/v1/assets/%", true),
            ("/api/v1/assets/%zz", true),
            ("/api/v1/assets/%00", false),
            ("/api/v1/assets/a%0Ab", false),
            ("/api/v1/assets?tag=a%7f", false),
        ] {
            let uri: Uri = address.parse().unwrap();
            assert_eq!(check_address(&uri).is_ok(), plain, "{address}");
        }
    }
}
