//! A whole JSON document, for payloads whose shape only the mapping rule knows.

use std::borrow::Cow;

use super::scan::{Scanner, Value};

/// How deep a document may be nested.
const MAX_DEPTH: usize = 64;

/// A value with everything in it. Numbers keep their digits: they are read where they are stored.
#[derive(Debug, PartialEq)]
pub(super) enum Node<'a> {
    Number(&'a str),
    NotFinite,
    Text(Cow<'a, str>),
    Bool(bool),
    Null,
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    Array(Vec<Node<'a>>),
}

impl<'a> Node<'a> {
    /// Reads a document.
    ///
    /// **Errors**: what is wrong and where.
    pub(super) fn of(payload: &'a [u8]) -> Result<Self, String> {
        let mut scanner = Scanner::of(payload)?;
        let node = read(&mut scanner, 0)?;
        scanner.end()?;
        Ok(node)
    }

    /// The value at a JSON pointer. **Source**: RFC 6901.
    pub(super) fn at(&self, pointer: &str) -> Option<&Self> {
        let mut node = self;
        for token in pointer.split('/').skip(1) {
            node = match node {
                Self::Object(_) => node.member(&unescaped(token))?,
                Self::Array(items) => items.get(token.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(node)
    }

    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        let found = members.iter().find(|(known, _)| known == name);
        found.map(|(_, node)| node)
    }

    /// A scalar as the word that a person would write.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Number(digits) => Some(digits),
            Self::Text(text) => Some(text),
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::NotFinite | Self::Null | Self::Object(_) | Self::Array(_) => None,
        }
    }
}

/// One step of a pointer as the name that it means.
pub(super) fn unescaped(token: &str) -> Cow<'_, str> {
    match token.contains('~') {
        true => Cow::Owned(token.replace("~1", "/").replace("~0", "~")),
        false => Cow::Borrowed(token),
    }
}

fn read<'a>(scanner: &mut Scanner<'a>, depth: usize) -> Result<Node<'a>, String> {
    if depth > MAX_DEPTH {
        return Err(scanner.expected("no deeper nesting"));
    }
    match scanner.skip_space() {
        Some(b'{') => {
            scanner.open_object("an object")?;
            let mut members = Vec::new();
            while let Some(name) = scanner.key()? {
                members.push((name, read(scanner, depth + 1)?));
                scanner.member_ended();
            }
            Ok(Node::Object(members))
        }
        Some(b'[') => {
            scanner.open_array();
            let mut items = Vec::new();
            while scanner.item()? {
                items.push(read(scanner, depth + 1)?);
                scanner.member_ended();
            }
            Ok(Node::Array(items))
        }
        _ => Ok(match scanner.value()? {
            Value::Number(digits) => Node::Number(digits),
            Value::NotFinite => Node::NotFinite,
            Value::Text(text) => Node::Text(text),
            Value::Bool(value) => Node::Bool(value),
            // Objects and arrays were taken above.
            Value::Null | Value::Other => Node::Null,
        }),
    }
}
