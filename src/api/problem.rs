//! Errors as people and programs see them: `application/problem+json` (RFC 9457).
//!
//! A handler answers with a [`Problem`]; the outermost layer (`request.rs`) adds the path and the
//! request's id and writes the body, so that every error under `/api` looks the same.

pub mod catalog;
mod conversions;

pub use conversions::{
    of_alarm, of_alarm_store, of_job, of_rejection, of_replay, of_sql, of_training, of_version,
};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Where the `type` of a problem points to.
pub const DOCS: &str = "/api/docs/problems/";

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the body, such as `/amount/currency`.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

/// The body of an `application/problem+json` answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Details {
    /// A stable address that explains this kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, to what, and what to do.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// The kind of problem as one word, for programs.
    pub refusal: String,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The id under which the log knows this request.
    pub request_id: String,
}

/// A kind of problem that the API itself tells of.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The HTTP status.
    pub status: StatusCode,
    /// The word for programs.
    pub refusal: &'static str,
    /// The title for people.
    pub title: &'static str,
    /// What the caller can do about it.
    pub advice: &'static str,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:ident $refusal:literal $title:literal $advice:literal;)*) => {
        $($(#[$doc])* pub const $name: Kind = Kind {
            status: StatusCode::$status, refusal: $refusal, title: $title, advice: $advice,
        };)*
        /// Every kind of problem that the API itself tells of.
        pub const KINDS: &[Kind] = &[$($name),*];
    };
}

kinds! {
    /// The request cannot be read.
    MALFORMED = BAD_REQUEST "malformed" "The request cannot be read"
        "Correct the JSON, the query parameters or the header that the detail names.";
    /// An `Idempotency-Key` is needed.
    KEY_MISSING = BAD_REQUEST "idempotency_key_missing" "An Idempotency-Key is needed"
        "Send a fresh Idempotency-Key with each new command and the same one with each retry.";
    /// The bearer token is missing or wrong.
    UNAUTHENTICATED = UNAUTHORIZED "unauthenticated" "The bearer token is missing or wrong"
        "Send `Authorization: Bearer TOKEN` with the token that the service was configured with.";
    /// The Host or Origin header names a machine that this service is not.
    UNTRUSTED_HOST = FORBIDDEN "untrusted_host" "This name is not one of this service"
        "Use the loopback address, or configure a token; this guards against DNS rebinding.";
    /// Nothing has this id.
    NOT_FOUND = NOT_FOUND "not_found" "There is no such thing"
        "Check the id; a list of the collection shows what exists.";
    /// Nothing is served at this path.
    NO_ROUTE = NOT_FOUND "no_such_route" "Nothing is served at this path"
        "See /api/v1/openapi.json for what is.";
    /// The path exists, the method does not.
    METHOD = METHOD_NOT_ALLOWED "method_not_allowed" "This path does not know this method"
        "The Allow header names the methods that it knows.";
    /// Somebody else was faster.
    CONFLICT = CONFLICT "conflict" "Somebody else was faster"
        "Read the thing again, and decide again.";
    /// The version in `If-Match` is not the newest.
    STALE = PRECONDITION_FAILED "stale_version" "Somebody changed it meanwhile"
        "Read it again, look at what changed, and send its new version in If-Match.";
    /// The body is larger than allowed.
    TOO_LARGE = PAYLOAD_TOO_LARGE "body_too_large" "The body is too large"
        "Send a smaller body.";
    /// The body is not declared as JSON.
    MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE "not_json" "The body must be JSON"
        "Send `Content-Type: application/json`.";
    /// The request is understood, and its content is wrong.
    INVALID = UNPROCESSABLE_ENTITY "invalid" "The content is not valid"
        "Correct the fields that `errors` names.";
    /// An action of a person lacks its `If-Match`.
    PRECONDITION_MISSING = PRECONDITION_REQUIRED "precondition_missing" "An If-Match is needed"
        "Send the version that you read, as `If-Match: \"3\"`.";
    /// The body comes too slowly.
    SLOW_BODY = REQUEST_TIMEOUT "slow_body" "The body came too slowly"
        "Send the whole body at once; a command with an Idempotency-Key can be repeated safely.";
    /// A bug of ours.
    INTERNAL = INTERNAL_SERVER_ERROR "internal" "The service failed"
        "Try again; if it stays, report it with the request id.";
    /// Something that the service needs is away.
    UNAVAILABLE = SERVICE_UNAVAILABLE "unavailable" "Not available now"
        "Try again in a moment.";
    /// Too many requests run at once.
    BUSY = SERVICE_UNAVAILABLE "busy" "Too many requests at once"
        "Try again in a moment, with fewer requests at a time.";
    /// The request took too long.
    TIMEOUT = SERVICE_UNAVAILABLE "timeout" "This took too long"
        "Ask for less, or try again; a command with an Idempotency-Key can be repeated safely.";
}

/// An error answer.
#[derive(Debug, Clone)]
pub struct Problem(Box<Details>);

impl Problem {
    /// A problem of the API's own kinds.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self::refusal(kind.status, kind.refusal, kind.title, detail)
    }

    /// A problem that carries a rule's own word.
    pub fn refusal(
        status: StatusCode,
        refusal: &str,
        title: &str,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(Details {
            kind: format!("{DOCS}{refusal}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            instance: String::new(),
            refusal: refusal.to_owned(),
            errors: Vec::new(),
            request_id: String::new(),
        }))
    }

    /// Nothing of this kind has this id.
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(NOT_FOUND, format!("there is no {what} `{id}`"))
    }

    /// A bug of ours: logged here with its causes, told to the caller without them.
    pub fn internal(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = chain(error), "{what}");
        Self::new(
            INTERNAL,
            format!("{what}; the log of the service knows more under this request id"),
        )
    }

    /// Something that we need is away: logged here with its causes.
    pub fn unavailable(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::warn!(error = chain(error), "{what}");
        Self::new(UNAVAILABLE, what)
    }

    /// Names a field that is wrong.
    pub fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        });
        self
    }

    /// What happened, to what, and what to do.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).expect("statuses come from StatusCode")
    }

    /// The body, complete with where and under which id it happened.
    pub fn render(mut self, instance: &str, request_id: &str) -> Response {
        self.0.instance = instance.to_owned();
        self.0.request_id = request_id.to_owned();
        let status = self.status();
        let body = serde_json::to_vec(&self.0).expect("strings and numbers serialize");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"fieldwright\""),
            );
        }
        response
    }
}

impl IntoResponse for Problem {
    /// Only marks the answer; the outermost layer writes the body.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The problem behind a bare status that the router answered by itself.
pub fn of_bare_status(status: StatusCode, method: &str, path: &str) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::new(
            NO_ROUTE,
            format!("nothing is served at {path}; /api/v1/openapi.json lists what is"),
        ),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            METHOD,
            format!("{path} does not know {method}; the Allow header says what it knows"),
        ),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(TOO_LARGE, "the body is too large"),
        status if status.is_client_error() => Problem::refusal(
            status,
            MALFORMED.refusal,
            MALFORMED.title,
            format!("{method} {path} cannot be read"),
        ),
        _ => Problem::new(INTERNAL, "the service failed"),
    }
}

/// `not_allowed_now` as `Not allowed now`.
fn title(word: &str) -> String {
    let mut words = word.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// An error with all its causes, in one line for the log.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        line.push_str(": ");
        line.push_str(&next.to_string());
        cause = next.source();
    }
    line
}
