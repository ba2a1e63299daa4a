//! The service's HTTP API as a stranger uses it.
//!
//! A request survives a service that is killed and comes back, perhaps at another port: it is
//! repeated with the same `Idempotency-Key` until the caller's patience ends.

pub mod records;

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cancel::Cancel;
use crate::clock::process_now;
use crate::endpoint::Endpoint;

/// Path in front of every resource.
pub const BASE: &str = "/api/v1";
/// Pages of one list that are read at most.
const PAGE_LIMIT: usize = 200;
/// Items asked for per page.
const PAGE_SIZE: &str = "200";
/// A request that takes longer is given up and repeated.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// First pause between two attempts; it doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two attempts.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A client of the service.
#[derive(Debug, Clone)]
pub struct Api {
    client: reqwest::Client,
    endpoint: Endpoint,
    token: Option<String>,
    patience: Duration,
    cancel: Option<Cancel>,
}

/// One command to the service: everything but the address.
#[derive(Debug, Clone)]
pub struct Command {
    /// Path below [`BASE`], starting with a slash.
    pub path: String,
    /// The JSON body.
    pub body: Value,
    /// Repeats of the command carry the same key, so it happens once; a question needs none.
    pub idempotency_key: Option<String>,
    /// The version that the decision was based on, for actions by people.
    pub version: Option<i64>,
}

/// What the service said when it refused (RFC 9457).
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Problem {
    /// One line about the kind of problem.
    pub title: String,
    /// What happened this time.
    pub detail: String,
    /// The rule that said no.
    pub refusal: Option<String>,
    /// To find the request in the service's log.
    pub request_id: Option<String>,
}

/// Why a request brought no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The service answered and said no.
    #[error("{method} {path} was refused with {status}: {}", describe(.problem))]
    Refused {
        /// HTTP method.
        method: Method,
        /// Path with query.
        path: String,
        /// HTTP status.
        status: StatusCode,
        /// The service's words.
        problem: Box<Problem>,
    },
    /// No answer, for as long as the caller had patience.
    #[error("{method} {path} got no answer from {address}; is the service running?")]
    Unavailable {
        /// HTTP method.
        method: Method,
        /// Path with query.
        path: String,
        /// The address that was tried last.
        address: String,
        /// The last failure.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An answer came that does not have the agreed shape.
    #[error("{method} {path} answered in a shape that this client does not know")]
    Unreadable {
        /// HTTP method.
        method: Method,
        /// Path with query.
        path: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The request itself cannot be made, for instance with such an address.
    #[error("{method} {path} cannot be sent to {address}; is that an http:// address?")]
    Unsendable {
        /// HTTP method.
        method: Method,
        /// Path with query.
        path: String,
        /// The address.
        address: String,
        /// What is wrong with it.
        source: reqwest::Error,
    },
    /// A list has more pages than a client reads.
    #[error("{path} has more than {PAGE_LIMIT} pages; ask for less with a filter")]
    TooLong {
        /// Path with query.
        path: String,
    },
    /// The caller stopped.
    #[error("stopped while waiting for {path}")]
    Canceled {
        /// Path with query.
        path: String,
    },
}

impl ApiError {
    /// The state has moved on since it was read: read again and decide again.
    pub fn is_stale(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED)
        )
    }

    /// The thing does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// A rule of the service said no.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// The service could not be reached in time.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The status of a refusal.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl Api {
    /// A client that waits up to a minute for a service that is away.
    pub fn new(endpoint: Endpoint, token: Option<String>) -> Self {
        Self {
            client: reqwest::Client::new(),
            endpoint,
            token,
            patience: Duration::from_secs(60),
            cancel: None,
        }
    }

    /// How long a request is repeated while the service is away.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Gives up waiting when told to stop.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// Reads one resource.
    ///
    /// **Errors**: refused, unavailable, unreadable.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        let path = with_query(path, query);
        let value = self.send(Method::GET, &path, None).await?;
        read(Method::GET, &path, value)
    }

    /// Reads all pages of a list.
    ///
    /// **Errors**: refused, unavailable, unreadable, too long.
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, ApiError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGE_LIMIT {
            let mut filters = query.to_vec();
            filters.push(("limit", PAGE_SIZE));
            if let Some(cursor) = &cursor {
                filters.push(("cursor", cursor));
            }
            let page: records::Page<T> = self.get(path, &filters).await?;
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(items);
            }
        }
        Err(ApiError::TooLong {
            path: with_query(path, query),
        })
    }

    /// Sends a command and reads the new state.
    ///
    /// **Errors**: refused, unavailable, unreadable.
    pub async fn post<T: DeserializeOwned>(&self, command: &Command) -> Result<T, ApiError> {
        let value = self
            .send(Method::POST, &command.path, Some(command))
            .await?;
        read(Method::POST, &command.path, value)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        command: Option<&Command>,
    ) -> Result<Value, ApiError> {
        let started = process_now();
        let mut pause = RETRY_PAUSE;
        loop {
            let (address, failure) = match self.endpoint.resolve() {
                Ok(address) => match self.attempt(&method, &address, path, command).await {
                    Attempt::Done(value) => return Ok(value),
                    Attempt::Failed(error) => return Err(error),
                    Attempt::Again(failure) => (address, failure),
                },
                Err(error) => (format!("{:?}", self.endpoint), error.into()),
            };
            if started.elapsed() + pause > self.patience {
                let path = path.to_owned();
                return Err(ApiError::Unavailable {
                    method,
                    path,
                    address,
                    source: failure,
                });
            }
            self.pause(pause, path).await?;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    async fn pause(&self, pause: Duration, path: &str) -> Result<(), ApiError> {
        let Some(cancel) = &self.cancel else {
            crate::clock::process_sleep(pause).await;
            return Ok(());
        };
        match cancel.sleep(pause).await {
            true => Ok(()),
            false => Err(ApiError::Canceled {
                path: path.to_owned(),
            }),
        }
    }

    async fn attempt(
        &self,
        method: &Method,
        address: &str,
        path: &str,
        command: Option<&Command>,
    ) -> Attempt {
        let mut request = self
            .client
            .request(method.clone(), format!("{address}{BASE}{path}"))
            .timeout(REQUEST_TIMEOUT);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(command) = command {
            request = request.json(&command.body);
            if let Some(key) = &command.idempotency_key {
                request = request.header("idempotency-key", key);
            }
            if let Some(version) = command.version {
                request = request.header("if-match", format!("\"{version}\""));
            }
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(source) if source.is_builder() => {
                return Attempt::Failed(ApiError::Unsendable {
                    method: method.clone(),
                    path: path.to_owned(),
                    address: address.to_owned(),
                    source,
                });
            }
            Err(error) => return Attempt::Again(error.into()),
        };
        let status = answer.status();
        let body = match answer.bytes().await {
            Ok(body) => body,
            // The service died while it answered: the key makes a repeat harmless.
            Err(error) => return Attempt::Again(error.into()),
        };
        judge(method, path, status, &body)
    }
}

enum Attempt {
    Done(Value),
    Failed(ApiError),
    Again(Box<dyn std::error::Error + Send + Sync>),
}

fn judge(method: &Method, path: &str, status: StatusCode, body: &[u8]) -> Attempt {
    if status.is_success() {
        let body: &[u8] = if body.is_empty() { b"null" } else { body };
        return match serde_json::from_slice(body) {
            Ok(value) => Attempt::Done(value),
            Err(source) => Attempt::Failed(ApiError::Unreadable {
                method: method.clone(),
                path: path.to_owned(),
                source,
            }),
        };
    }
    let problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        title: String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned(),
        ..Problem::default()
    });
    let busy = matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
    );
    let error = ApiError::Refused {
        method: method.clone(),
        path: path.to_owned(),
        status,
        problem: Box::new(problem),
    };
    if busy {
        Attempt::Again(error.into())
    } else {
        Attempt::Failed(error)
    }
}

fn read<T: DeserializeOwned>(method: Method, path: &str, value: Value) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(|source| ApiError::Unreadable {
        method,
        path: path.to_owned(),
        source,
    })
}

fn describe(problem: &Problem) -> String {
    let text = match (problem.detail.is_empty(), problem.title.is_empty()) {
        (false, _) => problem.detail.clone(),
        (true, false) => problem.title.clone(),
        (true, true) => "no reason given".to_owned(),
    };
    match &problem.request_id {
        Some(id) => format!("{text} (request {id})"),
        None => text,
    }
}

fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let mut url = Url::parse("http://service").expect("a constant that parses");
    url.query_pairs_mut().extend_pairs(query);
    format!("{path}?{}", url.query().unwrap_or_default())
}

/// `segment` fit to stand in a path.
pub fn path_segment(segment: &str) -> String {
    let mut url = Url::parse("http://service").expect("a constant that parses");
    url.path_segments_mut()
        .expect("http has a path")
        .push(segment);
    url.path().trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests;
