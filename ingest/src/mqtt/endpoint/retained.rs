//! The last message of every topic that was published with the retain flag, in memory.

use std::collections::HashMap;

use bytes::Bytes;

use super::EndpointLimits;
use super::router::Message;
use crate::mqtt::topic;

/// Retained messages, bounded in number and bytes; they do not outlive the process.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    messages: HashMap<Box<str>, (Bytes, u8)>,
    bytes: usize,
}

/// The limits leave no room for another retained message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RetainedFull;

impl Retained {
    /// Keeps a message in place of the topic's earlier one; an empty payload only removes that.
    pub(crate) fn keep(
        &mut self,
        name: &str,
        payload: &[u8],
        qos: u8,
        limits: &EndpointLimits,
    ) -> Result<(), RetainedFull> {
        if let Some((old, _)) = self.messages.remove(name) {
            self.bytes -= old.len() + name.len();
        }
        if payload.is_empty() {
            return Ok(());
        }
        let bytes = self.bytes + payload.len() + name.len();
        if self.messages.len() >= limits.retained_messages || bytes > limits.retained_bytes {
            return Err(RetainedFull);
        }
        self.bytes = bytes;
        // A copy: a slice would keep the whole receive buffer alive.
        self.messages
            .insert(name.into(), (Bytes::copy_from_slice(payload), qos));
        Ok(())
    }

    /// The retained messages that a new subscription to `filter` gets.
    pub(crate) fn matching(&self, filter: &str) -> Vec<Message> {
        self.messages
            .iter()
            .filter(|(name, _)| topic::matches(filter, name))
            .map(|(name, (payload, qos))| Message {
                topic: Bytes::copy_from_slice(name.as_bytes()),
                payload: payload.clone(),
                qos: *qos,
                retain: true,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_stays_within_the_limits() {
        let limits = EndpointLimits {
            retained_messages: 2,
            retained_bytes: 20,
            ..EndpointLimits::default()
        };
        let mut retained = Retained::default();
        let mut keep = |name: &str, payload: &[u8]| {
            let kept = retained.keep(name, payload, 1, &limits);
            let mut names: Vec<String> = retained
                .matching("#")
                .iter()
                .map(|message| String::from_utf8(message.topic.to_vec()).unwrap())
                .collect();
            names.sort();
            (kept.is_ok(), names.join(" "), retained.bytes)
        };
        assert_eq!(keep("a", b"1"), (true, "a".into(), 2));
        assert_eq!(keep("a", b"123"), (true, "a".into(), 4));
        assert_eq!(keep("b", b"12345678901234567"), (false, "a".into(), 4));
        assert_eq!(keep("b", b"1"), (true, "a b".into(), 6));
        assert_eq!(keep("c", b"1"), (false, "a b".into(), 6));
        assert_eq!(keep("a", b""), (true, "b".into(), 2));
        assert_eq!(keep("c", b"1"), (true, "b c".into(), 4));
    }
}
