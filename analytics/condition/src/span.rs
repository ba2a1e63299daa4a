//! Spans of time as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// A span of time, written `30s`, `5m`, `36h`, `14d`, `500ms` or `1h30m`; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(i64);

/// A text that is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no span of time; write 500ms, 30s, 5m, 36h, 14d or 1h30m")]
pub struct BadSpan(pub String);

/// Units, longest first. **Units**: microseconds.
const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
];

/// The longest span: a hundred years.
const LONGEST: i64 = 36_525 * 86_400_000_000;

impl Span {
    /// A span of whole seconds.
    pub const fn seconds(seconds: u32) -> Self {
        Self(seconds as i64 * 1_000_000)
    }

    /// **Units**: microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// As a difference of instants.
    pub fn delta(self) -> TimeDelta {
        TimeDelta::microseconds(self.0)
    }

    /// As a duration of the process clock.
    pub fn duration(self) -> Duration {
        Duration::from_micros(self.0.unsigned_abs())
    }
}

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(text.to_owned());
        let mut rest = text.trim();
        let mut total: i64 = 0;
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let number: i64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let letters = rest
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(rest.len());
            let unit = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters]);
            let (_, micros) = unit.ok_or_else(bad)?;
            let more = number
                .checked_mul(*micros)
                .and_then(|m| total.checked_add(m));
            total = more.filter(|total| *total <= LONGEST).ok_or_else(bad)?;
            rest = &rest[letters..];
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, micros) in UNITS {
            let count = rest / micros;
            rest %= micros;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Span {
    type Error = BadSpan;
    fn try_from(text: String) -> Result<Self, BadSpan> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(i64, &str)>) {
        let found = text.parse::<Span>().ok();
        let found = found.map(|span| (span.micros(), span.to_string()));
        let expected = expected.map(|(micros, shown)| (micros, shown.to_owned()));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn spans_of_time() {
        check("500ms", Some((500_000, "500ms")));
        check("30s", Some((30_000_000, "30s")));
        check("90s", Some((90_000_000, "1m30s")));
        check("1h30m", Some((5_400_000_000, "1h30m")));
        check("14d", Some((14 * 86_400_000_000, "14d")));
        check("0s", Some((0, "0s")));
        let bad = [
            "",
            "5",
            "m",
            "5 m",
            "-5m",
            "1.5h",
            "5y",
            "99999999999d",
            "5m3",
        ];
        for bad in bad {
            check(bad, None);
        }
    }
}
