//! Who may speak to the API: whoever holds the token, or, without one, whoever sits at this
//! machine and means this machine.
//!
//! Without a token the service listens on loopback only (the composition root refuses the rest).
//! A web page can still make a browser send requests to loopback, under a name that its own DNS
//! points there; so a request must name this machine in `Host`, and in `Origin` where it has one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest as _, Sha256};

use super::problem::{MALFORMED, Problem, UNAUTHENTICATED, UNTRUSTED_HOST};

/// Paths that are open to everyone who can reach the listener: probes carry no secret.
const OPEN: &[&str] = &["/healthz", "/readyz", "/ping", "/health"];

/// The rule that a request must satisfy.
#[derive(Clone)]
pub struct Access(Arc<Rule>);

enum Rule {
    /// The SHA-256 of the token.
    Token([u8; 32]),
    /// Loopback names and the address that the listener took.
    Local(Option<SocketAddr>),
}

impl Access {
    /// Only who sends this token.
    pub fn token(token: &str) -> Self {
        Self(Arc::new(Rule::Token(digest(token))))
    }

    /// Everyone at this machine; `bound` is the address that the listener took.
    pub fn local(bound: Option<SocketAddr>) -> Self {
        Self(Arc::new(Rule::Local(bound)))
    }

    /// Decides about one request.
    ///
    /// **Errors**: 401 without the token, 403 under a foreign name, 400 under none or several.
    pub fn check(
        &self,
        path: &str,
        authority: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        match &*self.0 {
            Rule::Token(_) if OPEN.contains(&path) => Ok(()),
            Rule::Token(expected) => {
                let sent = headers
                    .get(header::AUTHORIZATION)
                    .and_then(|value| value.to_str().ok())
                    .and_then(bearer);
                match sent {
                    Some(token) if same(&digest(token), expected) => Ok(()),
                    Some(_) => Err(Problem::new(
                        UNAUTHENTICATED,
                        "the bearer token is not the one that this service was configured with",
                    )),
                    None => Err(Problem::new(
                        UNAUTHENTICATED,
                        "send `Authorization: Bearer TOKEN` with the token of this service",
                    )),
                }
            }
            Rule::Local(bound) => {
                let mut hosts = headers.get_all(header::HOST).iter();
                let (Some(host), None) = (hosts.next(), hosts.next()) else {
                    return Err(Problem::new(
                        MALFORMED,
                        "send one Host header: it says which service is meant",
                    ));
                };
                let host = Some(host.to_str().unwrap_or("?"));
                for (name, authority) in [
                    ("Host", host),
                    ("Host", authority),
                    ("Origin", origin(headers)),
                ] {
                    if let Some(authority) = authority.filter(|text| !is_local(text, *bound)) {
                        return Err(Problem::new(
                            UNTRUSTED_HOST,
                            format!(
                                "{name} names `{authority}`, and without a token this service answers to its loopback address only"
                            ),
                        ));
                    }
                }
                Ok(())
            }
        }
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &*self.0 {
            Rule::Token(_) => "Access::Token(***)",
            Rule::Local(_) => "Access::Local",
        })
    }
}

/// The layer that asks `Access` about each request.
pub async fn layer(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    access.check(
        request.uri().path(),
        request
            .uri()
            .authority()
            .map(|authority| authority.as_str()),
        request.headers(),
    )?;
    Ok(next.run(request).await)
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Compares digests in a time that does not depend on where they differ.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    // Influx clients call the scheme `Token`.
    let known = ["bearer", "token"];
    let is_known = known.iter().any(|known| scheme.eq_ignore_ascii_case(known));
    is_known.then(|| token.trim())
}

/// What stands behind `scheme://` in `Origin`; a page without an origin sends `null`.
fn origin(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::ORIGIN)?.to_str().unwrap_or("?");
    Some(
        text.split_once("://")
            .map_or(text, |(_, authority)| authority),
    )
}

fn is_local(authority: &str, bound: Option<SocketAddr>) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(host, _)| host),
        None => authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host),
    };
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return true;
    }
    host.parse::<IpAddr>()
        .is_ok_and(|ip| ip.is_loopback() || bound.is_some_and(|bound| bound.ip() == ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(access: &Access, path: &str, sent: &[(&str, &str)], expected: u16) {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let status = match access.check(path, None, &headers) {
            Ok(()) => 200,
            Err(problem) => problem.status().as_u16(),
        };
        assert_eq!(status, expected, "{path} {sent:?}");
    }

    #[test]
    fn a_token_opens_what_is_not_a_probe() {
        let access = Access::token("s3cret");
        check(&access, "/healthz", &[], 200);
        check(&access, "/metrics", &[], 401);
        check(&access, "/api/v1/assets", &[], 401);
        check(
            &access,
            "/api/v1/assets",
            &[("authorization", "Bearer s3cret")],
            200,
        );
        check(
            &access,
            "/api/v1/assets",
            &[("authorization", "bearer s3cret")],
            200,
        );
        check(
            &access,
            "/api/v2/write",
            &[("authorization", "Token s3cret")],
            200,
        );
        check(&access, "/ping", &[], 200);
        check(
            &access,
            "/api/v1/assets",
            &[("authorization", "Bearer s3cre")],
            401,
        );
        check(
            &access,
            "/api/v1/assets",
            &[("authorization", "Basic s3cret")],
            401,
        );
        check(
            &access,
            "/api/v1/assets",
            &[
                ("authorization", "Bearer s3cret"),
                ("host", "plant.example"),
            ],
            200,
        );
        assert!(!format!("{access:?}").contains("s3cret"));
    }

    #[test]
    fn without_a_token_only_this_machine_is_answered() {
        let access = Access::local(Some("192.168.7.1:80".parse().unwrap()));
        for (host, expected) in [
            ("localhost", 200),
            ("LOCALHOST.:8080", 200),
            ("app.localhost:1", 200),
            ("127.0.0.1:8080", 200),
            ("127.8.9.1", 200),
            ("[::1]:8080", 200),
            ("192.168.7.1:80", 200),
            ("192.168.7.2", 403),
            ("evil.example", 403),
            ("127.0.0.1.evil.example", 403),
            ("localhost.evil.example:80", 403),
            ("", 403),
        ] {
            check(&access, "/api/v1/assets", &[("host", host)], expected);
        }
        check(&access, "/x", &[], 400);
        let twice = [("host", "localhost"), ("host", "evil.example")];
        check(&access, "/x", &twice, 400);
        check(
            &access,
            "/x",
            &[("host", "localhost"), ("origin", "http://localhost:5173")],
            200,
        );
        check(
            &access,
            "/x",
            &[("host", "localhost"), ("origin", "http://evil.example")],
            403,
        );
        check(
            &access,
            "/x",
            &[("host", "localhost"), ("origin", "null")],
            403,
        );
    }
}
