//! Event times as payloads write them.

use chrono::DateTime;

use crate::config::{TimeSource, TimeUnit};
use crate::validate::Rejection;

/// What has been found of an event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instant {
    Absent,
    Unreadable,
    /// Microseconds since 1970.
    Micros(i64),
}

impl Instant {
    /// The event time of a row. **Errors**: the payload should have one, or a readable one.
    pub(super) fn chosen(self, source: TimeSource, received_at: i64) -> Result<i64, Rejection> {
        match (source, self) {
            (TimeSource::Receipt, _) | (TimeSource::PayloadOrReceipt, Self::Absent) => {
                Ok(received_at)
            }
            (_, Self::Micros(micros)) => Ok(micros),
            (_, Self::Absent) => Err(Rejection::NoTime),
            (_, Self::Unreadable) => Err(Rejection::BadTime),
        }
    }
}

/// An RFC 3339 text with an offset.
pub(super) fn of_text(text: &str) -> Instant {
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Instant::Micros(time.timestamp_micros()),
        Err(_) => Instant::Unreadable,
    }
}

/// A number since 1970.
pub(super) fn of_digits(digits: &str, unit: TimeUnit) -> Instant {
    if let Ok(count) = digits.parse::<i64>() {
        return Instant::Micros(unit.micros(count));
    }
    // A fraction, or an exponent, or too large: that is left to the check of its range.
    match digits.parse::<f64>() {
        Ok(count) if count.is_finite() => Instant::Micros(unit.micros_of_fraction(count)),
        _ => Instant::Unreadable,
    }
}

/// A text of either kind.
pub(super) fn of_either(text: &str, unit: TimeUnit) -> Instant {
    match of_digits(text, unit) {
        Instant::Unreadable => of_text(text),
        found => found,
    }
}
