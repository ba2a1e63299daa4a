//! The last message of every topic that was published with the retain flag.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::EndpointLimits;
use super::message::Message;

/// Retained messages, bounded in number and bytes.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    /// By topic, so that a long look at them can be interrupted and gone on with.
    messages: BTreeMap<Bytes, Arc<Message>>,
    bytes: usize,
}

/// The limits leave no room for another retained message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RetainedFull;

impl Retained {
    /// What survived the process.
    pub(crate) fn recovered(messages: BTreeMap<Bytes, Message>) -> Self {
        let messages: BTreeMap<_, _> = messages
            .into_iter()
            .map(|(topic, message)| (topic, Arc::new(message)))
            .collect();
        Self {
            bytes: messages.values().map(|message| message.bytes()).sum(),
            messages,
        }
    }

    /// Keeps a message in place of the topic's earlier one; an empty payload only removes that.
    ///
    /// **Errors** when there is no room; then the earlier one is gone all the same: an old value
    /// must not pass for the newest.
    pub(crate) fn keep(
        &mut self,
        message: Arc<Message>,
        limits: &EndpointLimits,
    ) -> Result<(), RetainedFull> {
        self.forget(&message.topic);
        if message.payload.is_empty() {
            return Ok(());
        }
        let bytes = self.bytes + message.bytes();
        if self.messages.len() >= limits.retained_messages || bytes > limits.retained_bytes {
            return Err(RetainedFull);
        }
        self.bytes = bytes;
        self.messages.insert(message.topic.clone(), message);
        Ok(())
    }

    /// Whether a topic has a message.
    pub(crate) fn has(&self, topic: &[u8]) -> bool {
        self.messages.contains_key(topic)
    }

    /// Removes a topic's message.
    pub(crate) fn forget(&mut self, topic: &[u8]) {
        if let Some(old) = self.messages.remove(topic) {
            self.bytes -= old.bytes();
        }
    }

    /// Removes a message unless another has taken its place.
    pub(crate) fn forget_exactly(&mut self, message: &Arc<Message>) {
        let known = self.messages.get(&message.topic);
        if known.is_some_and(|known| Arc::ptr_eq(known, message)) {
            self.forget(&message.topic);
        }
    }

    /// At most `most` retained messages, of the topics that follow `after` in their order.
    pub(crate) fn following(&self, after: Option<&[u8]>, most: usize) -> Vec<Arc<Message>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.messages
            .range::<[u8], _>((from, Bound::Unbounded))
            .take(most)
            .map(|(_, message)| message.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::message;
    use super::*;

    #[test]
    fn the_last_message_stays_within_the_limits() {
        let limits = EndpointLimits {
            retained_messages: 2,
            retained_bytes: 20,
            ..EndpointLimits::default()
        };
        let mut retained = Retained::default();
        let mut keep = |name: &'static str, payload: &'static str| {
            let kept = retained.keep(Arc::new(message(name, payload, 1)), &limits);
            let mut names: Vec<String> = Vec::new();
            // One at a time, each after the last.
            while let [message] = &retained.following(names.last().map(String::as_bytes), 1)[..] {
                names.push(String::from_utf8(message.topic.to_vec()).unwrap());
            }
            (kept.is_ok(), names.join(" "), retained.bytes)
        };
        assert_eq!(keep("a", "1"), (true, "a".into(), 2));
        assert_eq!(keep("a", "123"), (true, "a".into(), 4));
        assert_eq!(keep("b", "12345678901234567"), (false, "a".into(), 4));
        assert_eq!(keep("b", "1"), (true, "a b".into(), 6));
        assert_eq!(keep("c", "1"), (false, "a b".into(), 6));
        assert_eq!(keep("a", ""), (true, "b".into(), 2));
        assert_eq!(keep("c", "1"), (true, "b c".into(), 4));
    }
}
