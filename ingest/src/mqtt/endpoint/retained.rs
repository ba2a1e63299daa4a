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
    /// No message's life ends before this; none ends where there is none.
    first_end: Option<u64>,
}

/// The limits leave no room for another retained message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RetainedFull;

impl Retained {
    /// What survived the process.
    pub(crate) fn recovered(messages: BTreeMap<Bytes, Message>, now: u64) -> Self {
        let messages: BTreeMap<_, _> = messages
            .into_iter()
            .filter(|(_, message)| message.left(now).is_ok())
            .map(|(topic, message)| (topic, Arc::new(message)))
            .collect();
        Self {
            bytes: messages.values().map(|message| message.bytes()).sum(),
            first_end: first_end(&messages),
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
        now: u64,
    ) -> Result<(), RetainedFull> {
        self.forget(&message.topic);
        if message.payload.is_empty() {
            return Ok(());
        }
        if !self.has_room(&message, limits) {
            self.forget_over(now);
        }
        if !self.has_room(&message, limits) {
            return Err(RetainedFull);
        }
        self.bytes += message.bytes();
        self.first_end = self.first_end.into_iter().chain(message.expires_at).min();
        self.messages.insert(message.topic.clone(), message);
        Ok(())
    }

    fn has_room(&self, message: &Message, limits: &EndpointLimits) -> bool {
        self.messages.len() < limits.retained_messages
            && self.bytes + message.bytes() <= limits.retained_bytes
    }

    /// Removes what is worth nothing any more; looks at all only when there is some.
    fn forget_over(&mut self, now: u64) {
        if self.first_end.is_none_or(|end| end > now) {
            return;
        }
        self.messages.retain(|_, message| message.left(now).is_ok());
        self.bytes = self.messages.values().map(|message| message.bytes()).sum();
        self.first_end = first_end(&self.messages);
    }

    /// The message of a topic.
    pub(crate) fn get(&self, topic: &[u8]) -> Option<&Arc<Message>> {
        self.messages.get(topic)
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

fn first_end(messages: &BTreeMap<Bytes, Arc<Message>>) -> Option<u64> {
    messages
        .values()
        .filter_map(|message| message.expires_at)
        .min()
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
            let kept = retained.keep(Arc::new(message(name, payload, 1)), &limits, 0);
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

    #[test]
    fn what_is_over_makes_room() {
        let limits = EndpointLimits {
            retained_messages: 2,
            ..EndpointLimits::default()
        };
        let until = |name, expires_at| Message {
            expires_at,
            ..message(name, "1", 1)
        };
        let mut retained = Retained::default();
        let mut keep = |name, end, now| {
            let kept = retained.keep(Arc::new(until(name, end)), &limits, now);
            (kept.is_ok(), retained.bytes)
        };
        assert_eq!(keep("a", Some(10), 0), (true, 2));
        assert_eq!(keep("b", Some(20), 0), (true, 4));
        assert_eq!(keep("c", None, 9), (false, 4));
        assert_eq!(keep("c", None, 10), (true, 4));
        assert_eq!(keep("d", None, 19), (false, 4));
        assert_eq!(keep("d", None, 20), (true, 4));
        assert_eq!(keep("e", None, 1_000), (false, 4));
        let found = [("a", Some(10)), ("b", Some(20))].map(|(name, end)| until(name, end));
        let found = found.map(|message| (message.topic.clone(), message));
        let retained = Retained::recovered(BTreeMap::from(found), 10);
        assert_eq!((retained.messages.len(), retained.bytes), (1, 2));
    }
}
