//! How fast one client may be: a bucket that fills with time and is emptied by what it sends.
//!
//! Past its rate a client is read more slowly; nothing is dropped, and its own socket is what
//! fills up.

use std::time::{Duration, Instant};

/// The rates of one client.
#[derive(Debug)]
pub(super) struct Rate {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
}

/// One bucket: holds what may come in a second.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    left: f64,
    filled: Instant,
}

impl Rate {
    /// 0 is no limit.
    pub(super) fn new(messages: u32, bytes: u32, now: Instant) -> Self {
        let bucket = |rate: u32| (rate > 0).then(|| Bucket::new(rate.into(), now));
        Self {
            messages: bucket(messages),
            bytes: bucket(bytes),
        }
    }

    /// Whether there is any limit.
    pub(super) fn is_limited(&self) -> bool {
        self.messages.is_some() || self.bytes.is_some()
    }

    /// Takes what came; the time to wait before reading on.
    pub(super) fn take(&mut self, messages: usize, bytes: usize, now: Instant) -> Duration {
        let wait = |bucket: &mut Option<Bucket>, amount: usize| {
            bucket
                .as_mut()
                .map_or(Duration::ZERO, |bucket| bucket.take(amount as f64, now))
        };
        wait(&mut self.messages, messages).max(wait(&mut self.bytes, bytes))
    }
}

impl Bucket {
    fn new(per_second: f64, now: Instant) -> Self {
        Self {
            per_second,
            left: per_second,
            filled: now,
        }
    }

    fn take(&mut self, amount: f64, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.left = (self.left + since * self.per_second).min(self.per_second) - amount;
        Duration::from_secs_f64((-self.left / self.per_second).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::process_now;

    #[test]
    fn past_the_rate_a_client_waits() {
        let start = process_now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut rate = Rate::new(100, 0, start);
        assert!(rate.is_limited());
        assert_eq!(rate.take(100, 1 << 30, start), Duration::ZERO);
        assert_eq!(rate.take(50, 0, start), Duration::from_millis(500));
        assert_eq!(rate.take(0, 0, after(400)), Duration::from_millis(100));
        assert_eq!(rate.take(0, 0, after(500)), Duration::ZERO);
        // It never saves up more than a second.
        assert_eq!(rate.take(100, 0, after(9_000)), Duration::ZERO);
        assert_eq!(rate.take(1, 0, after(9_000)), Duration::from_millis(10));
        let mut both = Rate::new(1_000, 10, start);
        assert_eq!(both.take(1, 20, start), Duration::from_secs(1));
        assert!(!Rate::new(0, 0, start).is_limited());
    }
}
