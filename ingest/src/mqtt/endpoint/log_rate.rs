//! One line of the log per kind and second, however often it happens.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::stats::CloseReason;
use super::unmapped::Unmapped;

/// The time between two lines of one kind.
const BETWEEN: Duration = Duration::from_secs(1);

/// The lines of one kind.
#[derive(Debug, Default)]
pub(crate) struct LogRate(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    last: Option<Instant>,
    left_out: u64,
}

/// The kinds that clients can cause as often as they like.
#[derive(Debug, Default)]
pub(crate) struct LogRates {
    /// Half-open connections that made room.
    pub(crate) half_open: LogRate,
    /// Connections over the limit.
    pub(crate) connections: LogRate,
    /// Topics that no mapping rule matches.
    pub(crate) unmapped: Unmapped,
    closed: [LogRate; CloseReason::ALL.len()],
}

impl LogRate {
    /// Whether a line may be written now, and how many were left out since the last one.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < BETWEEN)
        {
            lines.left_out += 1;
            return None;
        }
        lines.last = Some(now);
        Some(std::mem::take(&mut lines.left_out))
    }
}

impl LogRates {
    pub(crate) fn closed(&self, reason: CloseReason) -> &LogRate {
        &self.closed[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::process_now;

    #[test]
    fn one_line_a_second_tells_of_those_left_out() {
        let rates = LogRates::default();
        let rate = rates.closed(CloseReason::KeepAlive);
        let start = process_now();
        let admit = |millis| rate.admit(start + Duration::from_millis(millis));
        assert_eq!(admit(0), Some(0));
        for millis in 1..1_000 {
            assert_eq!(admit(millis), None);
        }
        assert_eq!(admit(1_000), Some(999));
        assert_eq!(admit(1_001), None);
        assert_eq!(admit(9_000), Some(1));
        // Another kind has its own.
        let other = rates.closed(CloseReason::Refused);
        assert_eq!(other.admit(start), Some(0));
    }
}
