//! The last message of every topic that was published with the retain flag, in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::EndpointLimits;
use super::router::Message;

/// Retained messages, bounded in number and bytes; they do not outlive the process.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    /// By topic, so that a long look at them can be interrupted and gone on with.
    messages: BTreeMap<Bytes, (Bytes, u8)>,
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
        if let Some((old, _)) = self.messages.remove(name.as_bytes()) {
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
        let name = Bytes::copy_from_slice(name.as_bytes());
        self.messages
            .insert(name, (Bytes::copy_from_slice(payload), qos));
        Ok(())
    }

    /// At most `most` retained messages, of the topics that follow `after` in their order.
    pub(crate) fn following(&self, after: Option<&[u8]>, most: usize) -> Vec<Message> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.messages
            .range::<[u8], _>((from, Bound::Unbounded))
            .take(most)
            .map(|(topic, (payload, qos))| Message {
                topic: topic.clone(),
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
            let mut names: Vec<String> = Vec::new();
            // One at a time, each after the last.
            while let [message] = &retained.following(names.last().map(String::as_bytes), 1)[..] {
                names.push(String::from_utf8(message.topic.to_vec()).unwrap());
            }
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
