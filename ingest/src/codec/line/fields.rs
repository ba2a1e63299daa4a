//! The fields of a line: names and typed values.

use std::borrow::Cow;

use super::tags::unescaped;
use crate::codec::number;

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Field<'a> {
    Number(f64),
    Bool(bool),
    Text(Cow<'a, str>),
}

/// What is wrong, and where.
type Wrong = (String, usize);

/// The name of the field that begins at `at`, and the place behind its `=`.
#[inline]
pub(super) fn name(payload: &str, at: usize) -> Result<(Cow<'_, str>, usize), Wrong> {
    let bytes = payload.as_bytes();
    let mut end = at;
    let mut plain = true;
    loop {
        match bytes.get(end) {
            Some(b'=') => break,
            Some(b'\\') => {
                plain = false;
                // The next byte may be the first of a longer character: none of those ends it.
                end += 2;
            }
            None | Some(b'\n' | b'\r' | b' ' | b',') => {
                return Err(("expected field=value".to_owned(), end.min(bytes.len())));
            }
            Some(_) => end += 1,
        }
    }
    if end == at {
        return Err(("a field lacks its name".to_owned(), at));
    }
    let name = &payload[at..end];
    let name = match plain {
        true => Cow::Borrowed(name),
        false => Cow::Owned(unescaped(name, b",= ")),
    };
    Ok((name, end + 1))
}

/// The value that begins at `at`, and the place behind it.
#[inline]
pub(super) fn value(payload: &str, at: usize) -> Result<(Field<'_>, usize), Wrong> {
    let bytes = payload.as_bytes();
    if bytes.get(at) == Some(&b'"') {
        let (text, end) = text(payload, at + 1)?;
        return match bytes.get(end) {
            None | Some(b',' | b' ' | b'\n' | b'\r') => Ok((Field::Text(text), end)),
            Some(_) => Err(("expected `,` or a space behind a text".to_owned(), end)),
        };
    }
    let mut end = at;
    while !matches!(bytes.get(end), None | Some(b',' | b' ' | b'\n' | b'\r')) {
        end += 1;
    }
    match plain(&payload[at..end]) {
        Some(field) => Ok((field, end)),
        None => Err(("a value that is no number, boolean or text".to_owned(), at)),
    }
}

/// A number or a boolean.
#[inline]
fn plain(word: &str) -> Option<Field<'_>> {
    match word {
        "t" | "T" | "true" | "True" | "TRUE" => return Some(Field::Bool(true)),
        "f" | "F" | "false" | "False" | "FALSE" => return Some(Field::Bool(false)),
        _ => {}
    }
    let bytes = word.as_bytes();
    match bytes.last()? {
        b'i' | b'u' => {
            let digits = &word[..word.len() - 1];
            let unsigned = digits.strip_prefix('-').unwrap_or(digits);
            let signed = unsigned.len() != digits.len();
            let whole = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
            // Beyond 64 bits it is no integer of the protocol.
            let fits = match bytes.last() {
                Some(b'u') => !signed && unsigned.parse::<u64>().is_ok(),
                _ => unsigned.len() < 19 || digits.parse::<i64>().is_ok(),
            };
            (whole && fits).then(|| Field::Number(number::exact(digits)))
        }
        _ => number::is_number(bytes).then(|| Field::Number(number::exact(word))),
    }
}

/// A text in quotes; `\"` and `\\` are its escapes, and it may hold line breaks.
fn text(payload: &str, at: usize) -> Result<(Cow<'_, str>, usize), Wrong> {
    let bytes = payload.as_bytes();
    let (mut end, mut plain) = (at, true);
    loop {
        match bytes.get(end) {
            Some(b'"') => break,
            Some(b'\\') => {
                plain = false;
                end += 2;
            }
            Some(_) => end += 1,
            None => return Err(("expected the closing quote".to_owned(), bytes.len())),
        }
    }
    let text = &payload[at..end];
    let text = match plain {
        true => Cow::Borrowed(text),
        false => Cow::Owned(unescaped(text, b"\"\\")),
    };
    Ok((text, end + 1))
}
