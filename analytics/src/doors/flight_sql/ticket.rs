//! Tickets: an id under which the query can be canceled, and the query itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// Gives ids to queries.
#[derive(Debug, Default)]
pub(super) struct Ids(AtomicU64);

impl Ids {
    pub(super) fn next(&self) -> String {
        format!("fl-{}", self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What stands in the handle of a statement's ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) id: String,
    pub(super) text: String,
}

impl Handle {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        format!("{}\n{}", self.id, self.text).into_bytes()
    }

    /// Nothing where the bytes are not of ours.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (id, text) = text.split_once('\n')?;
        Some(Self {
            id: id.to_owned(),
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_back() {
        let handle = Handle {
            id: Ids::default().next(),
            text: "SELECT 'a\nb'".to_owned(),
        };
        assert_eq!(Handle::read(&handle.to_bytes()), Some(handle));
        assert_eq!(Handle::read(b"no line end"), None);
        assert_eq!(Handle::read(&[0xff, b'\n']), None);
    }
}
