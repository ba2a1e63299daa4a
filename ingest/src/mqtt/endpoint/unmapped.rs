//! Tells of messages that no mapping rule matches: they are acknowledged and reach their
//! subscribers, but no table, so whoever looks for their readings must find a word in the log.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::process_now;

/// The time between two lines about topics with the same first level.
const BETWEEN: Duration = Duration::from_secs(60);
/// First levels that are told of within that time.
const MOST: usize = 20;

/// When topics of a first level were told of.
#[derive(Debug, Default)]
pub(crate) struct Unmapped(Mutex<HashMap<Box<[u8]>, Instant>>);

/// The first level of a topic.
pub(crate) fn first_level(topic: &[u8]) -> &[u8] {
    topic.split(|byte| *byte == b'/').next().unwrap_or_default()
}

impl Unmapped {
    /// Writes a line about a topic, unless there was one lately.
    pub(crate) fn tell(&self, topic: &[u8]) {
        if self.admit(topic, process_now()) {
            tracing::info!(
                topic = ?String::from_utf8_lossy(topic),
                "no mapping rule matches this topic: its messages are acknowledged and go to \
                 subscribers only, to no table; if they hold readings, add a rule under \
                 ingest.rules"
            );
        }
    }

    /// Whether a line may be written now.
    pub(crate) fn admit(&self, topic: &[u8], now: Instant) -> bool {
        let level = first_level(topic);
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |last: &Instant| now.saturating_duration_since(*last) < BETWEEN;
        if told.get(level).is_some_and(is_fresh) {
            return false;
        }
        if told.len() >= MOST {
            told.retain(|_, last| is_fresh(last));
        }
        if told.len() >= MOST {
            return false;
        }
        told.insert(level.into(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_level_is_told_of_once_a_minute_and_there_are_few() {
        let (unmapped, start) = (Unmapped::default(), process_now());
        let admit =
            |topic: &str, s: u64| unmapped.admit(topic.as_bytes(), start + Duration::from_secs(s));
        assert!(admit("chat/a", 0));
        assert!(!admit("chat/b", 59));
        assert!(admit("/chat", 59), "its first level is empty");
        assert!(admit("chat/b", 60));
        for number in 2..MOST {
            assert!(admit(&format!("t{number}/a"), 61));
        }
        assert!(!admit("more", 62));
        assert_eq!(unmapped.0.lock().unwrap().len(), MOST);
        // Those of a minute ago make room.
        assert!(admit("more", 119));
        assert!(!admit("chat", 119));
    }
}
