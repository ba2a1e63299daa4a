//! What a POST carries: a JSON body, the key that makes it happen once, the version it was
//! decided upon.

use std::fmt::Write as _;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use fieldwright_workorders::store::idempotency::Key;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::problem::{INVALID, MALFORMED, MEDIA_TYPE, Problem, TOO_LARGE};
use super::{idempotency, precondition};

/// The largest body that is read.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Members that hold a list. Anywhere else a list is refused: it would be read as the fields of an
/// object, one after the other.
const LISTS: &[&str] = &["/parts"];

/// Members that may have several lines; every other text stands in one.
const LONG_TEXTS: &[&str] = &["/notes", "/query"];

/// A command as it came in.
#[derive(Debug)]
pub struct Command<T> {
    /// The body.
    pub body: T,
    key: Option<Key>,
    version: Option<i64>,
}

impl<T> Command<T> {
    /// The `Idempotency-Key` with the digest of what it belongs to, where one may be sent.
    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// The `Idempotency-Key`, where one must be sent.
    ///
    /// **Errors**: 400 when there is none.
    pub fn required_key(&self) -> Result<&Key, Problem> {
        self.key().ok_or_else(idempotency::missing)
    }

    /// The version in `If-Match`, where one may be sent.
    pub fn version(&self) -> Option<i64> {
        self.version
    }

    /// The version in `If-Match`, where one must be sent.
    ///
    /// **Errors**: 428 when there is none.
    pub fn required_version(&self) -> Result<i64, Problem> {
        self.version.ok_or_else(precondition::missing)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Command<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let key = idempotency::read(request.headers())?;
        let version = precondition::read(request.headers())?;
        let is_json = is_json(request.headers());
        let operation = format!("{} {}", request.method(), request.uri().path());
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| unread(&rejection))?;
        if !bytes.is_empty() && !is_json {
            return Err(Problem::new(
                MEDIA_TYPE,
                "send the body as JSON, with `Content-Type: application/json`",
            ));
        }
        Ok(Self {
            body: parse(&bytes)?,
            key: key.map(|key| Key::new(key, &operation, &bytes)),
            version,
        })
    }
}

/// Why a body could not be read to its end.
pub fn unread(rejection: &BytesRejection) -> Problem {
    let kind = if rejection.status() == TOO_LARGE.status {
        TOO_LARGE
    } else {
        MALFORMED
    };
    Problem::new(
        kind,
        format!(
            "{}; a body has at most {MAX_BODY_BYTES} bytes",
            rejection.body_text()
        ),
    )
}

/// Reads JSON; an empty body counts as an empty object.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(MALFORMED, format!("the body is not JSON: {error}")))?;
    if !value.is_object() {
        let detail = "the body must be a JSON object";
        return Err(Problem::new(INVALID, detail).field("", detail));
    }
    screen(&value, &mut String::new())?;
    // Read again from the text: only so is a field that stands twice refused.
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let body = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        if error.is_data() {
            let at = if pointer.is_empty() {
                "the body"
            } else {
                &pointer
            };
            Problem::new(INVALID, format!("{at} is not valid: {error}"))
                .field(pointer.clone(), error.to_string())
        } else {
            Problem::new(MALFORMED, format!("the body is not JSON: {error}"))
        }
    })?;
    Ok(body)
}

/// Refuses control characters, which not every store can keep, and lists in the place of objects.
fn screen(value: &Value, at: &mut String) -> Result<(), Problem> {
    let refused = |at: &str, what: &str| {
        let detail = format!("{at} {what}");
        Err(Problem::new(INVALID, detail).field(at, what))
    };
    let length = at.len();
    match value {
        Value::String(text) => {
            let is_long = LONG_TEXTS.contains(&at.as_str());
            let breaks = |letter: char| is_long && matches!(letter, '\n' | '\r' | '\t');
            if text.chars().any(|c| c.is_control() && !breaks(c)) {
                let lines = if is_long { "" } else { " in one line" };
                return refused(
                    at,
                    &format!("has control characters; send plain text{lines}"),
                );
            }
        }
        Value::Array(_) if !LISTS.contains(&at.as_str()) => {
            return refused(at, "is a list, which has no meaning there");
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let _ = write!(at, "/{index}");
                screen(item, at)?;
                at.truncate(length);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                at.push_str(&step(key));
                screen(member, at)?;
                at.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// A key as one step of a JSON pointer.
fn step(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// A path as JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => step(key),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[serde(default)]
        #[allow(dead_code, reason = "only read by serde")]
        parts: Vec<Part>,
        #[allow(dead_code, reason = "only read by serde")]
        notes: Option<String>,
        #[allow(dead_code, reason = "only read by serde")]
        actor: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    struct Part {
        #[allow(dead_code, reason = "only read by serde")]
        quantity: u32,
    }

    fn check(body: &str, expected: Result<(), (StatusCode, &str)>) {
        let read = parse::<Order>(body.as_bytes()).map(|_| ());
        let shown = read.map_err(|problem| {
            let text = format!("{problem:?}");
            (problem.status(), text)
        });
        match (&shown, expected) {
            (Ok(()), Ok(())) => {}
            (Err((status, text)), Err((expected, pointer))) => {
                assert_eq!(*status, expected, "{body}");
                assert!(text.contains(pointer), "{body}: {text}");
            }
            _ => panic!("{body}: {shown:?}"),
        }
    }

    #[test]
    fn bodies_are_read_and_refused() {
        let (malformed, invalid) = (MALFORMED.status, INVALID.status);
        check("", Ok(()));
        check("{}", Ok(()));
        check(r#"{"parts":[{"quantity":1}]}"#, Ok(()));
        check("{", Err((malformed, "not JSON")));
        check("{} {}", Err((malformed, "not JSON")));
        for body in ["[1]", "[[]]", "[]", "null", "7", "\"x\""] {
            check(body, Err((invalid, "must be a JSON object")));
        }
        check(
            r#"{"parts":[[1]]}"#,
            Err((invalid, "pointer: \"/parts/0\"")),
        );
        check(r#"{"actor":["x"]}"#, Err((invalid, "pointer: \"/actor\"")));
        check(
            r#"{"actor":"a","actor":"b"}"#,
            Err((invalid, "duplicate field")),
        );
        check(r#"{"notes":"one\ntwo\tthree"}"#, Ok(()));
        check(
            r#"{"notes":"\u0000"}"#,
            Err((invalid, "pointer: \"/notes\"")),
        );
        for text in ["\\u0000", "a\\nb", "\\u007f", "\\u0085"] {
            let body = format!("{{\"actor\":\"{text}\"}}");
            check(&body, Err((invalid, "pointer: \"/actor\"")));
        }
        check(r#"{"color":1}"#, Err((invalid, "unknown field `color`")));
        check(
            r#"{"parts":[{"quantity":1},{"quantity":"x"}]}"#,
            Err((invalid, "pointer: \"/parts/1/quantity\"")),
        );
    }
}
