//! `Idempotency-Key`: a command that is sent again has its effect once.
//!
//! This file reads the key. What it belongs to and what it did is remembered by the operational
//! store, in the transaction that makes the effect.
//!
//! **Source**: IETF draft `draft-ietf-httpapi-idempotency-key-header`.

use axum::http::HeaderMap;
pub use fieldwright_workorders::store::idempotency::MAX_KEY as MAX_LENGTH;
use utoipa::IntoParams;

use super::problem::{KEY_MISSING, MALFORMED, Problem};

/// The name of the header.
pub const HEADER: &str = "idempotency-key";

/// A key where one must be sent, for the API's document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "describes a header that `read` takes from the request"
)]
pub struct KeyRequired {
    /// A fresh key per command; the same key with the same body repeats the answer and does nothing.
    #[param(rename = "Idempotency-Key", max_length = 200)]
    key: String,
}

/// A key where one may be sent, for the API's document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "describes a header that `read` takes from the request"
)]
pub struct KeyOptional {
    /// A fresh key per command; the same key with the same body repeats the answer and does nothing.
    #[param(rename = "Idempotency-Key", max_length = 200)]
    key: Option<String>,
}

/// Reads the key, bare or quoted.
///
/// **Errors**: 400 when it is empty, too long, doubled or not printable ASCII.
pub fn read(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').unwrap_or_default(),
        None => text,
    };
    let fits =
        (1..=MAX_LENGTH).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits || values.next().is_some() {
        return Err(Problem::new(
            MALFORMED,
            format!(
                "Idempotency-Key must be one word of 1 to {MAX_LENGTH} printable ASCII characters, such as a UUID"
            ),
        ));
    }
    Ok(Some(key.to_owned()))
}

/// The problem of a missing key.
pub fn missing() -> Problem {
    Problem::new(
        KEY_MISSING,
        "this command creates or moves money; send an Idempotency-Key, fresh per command, the same for its retries",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expected: Option<Option<&str>>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, value.parse().unwrap());
        }
        let read = read(&headers).ok();
        let read = read.as_ref().map(Option::as_deref);
        assert_eq!(read, expected, "{values:?}");
    }

    #[test]
    fn keys_are_read() {
        check(&[], Some(None));
        check(&["abc-1"], Some(Some("abc-1")));
        check(&["\"abc-1\""], Some(Some("abc-1")));
        check(&[""], None);
        check(&["\""], None);
        check(&["\"abc"], None);
        check(&["a b"], None);
        check(&["a", "b"], None);
        check(
            &[&"x".repeat(MAX_LENGTH)],
            Some(Some(&"x".repeat(MAX_LENGTH))),
        );
        check(&[&"x".repeat(MAX_LENGTH + 1)], None);
    }
}
