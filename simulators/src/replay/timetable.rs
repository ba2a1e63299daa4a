//! When each row is sent, and which time it bears.
//!
//! With *B* the business instant at the start, *R* the business clock's rate and *S* the replay's
//! speed, both per second of the wall, the row at offset *d* is due at *B + d · R / S*.
//! While *S* is at most *R*, the row that bears *B + d* is never ahead of that. Otherwise the whole
//! recording is moved back so that its newest row, at offset *D*, bears *B + D · R / S*.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

use super::recording::Summary;
use crate::world::seconds;

/// Rows per second that any service surely takes; `max` plans its last row with it.
const SURE_RATE: f64 = 2_000.0;

/// How fast a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// Recorded seconds per second of the wall.
    Times(f64),
    /// As fast as the service takes it.
    Max,
}

/// Why a text is not a speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a speed; write for example 60x (recorded seconds per second) or max")]
pub struct SpeedError(String);

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.trim().to_lowercase();
        if plain == "max" {
            return Ok(Self::Max);
        }
        let number = plain.strip_suffix('x').unwrap_or(&plain);
        match number.parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(SpeedError(text.to_owned())),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}x"),
            Self::Max => f.write_str("max"),
        }
    }
}

/// The plan of a replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Timetable {
    start: DateTime<Utc>,
    first: DateTime<Utc>,
    shift: TimeDelta,
    /// Business seconds between two rows, per recorded second; `None` sends without waiting.
    pace: Option<f64>,
    keep_times: bool,
}

impl Timetable {
    /// Plans a replay that starts at the business instant `start` under a clock of this `rate`.
    pub fn plan(
        recording: &Summary,
        speed: Speed,
        rate: f64,
        start: DateTime<Utc>,
        keep_times: bool,
    ) -> Self {
        let length = (recording.newest - recording.first).max(TimeDelta::zero());
        let (pace, lasts) = match speed {
            Speed::Times(times) => (Some(rate / times), scaled(length, rate / times)),
            Speed::Max => {
                let wall = recording.rows as f64 / SURE_RATE;
                // A recording shorter than its own sending is replayed live.
                (
                    None,
                    TimeDelta::microseconds((wall * rate * 1e6) as i64).min(length),
                )
            }
        };
        let shift = match (keep_times, lasts < length) {
            (true, _) => TimeDelta::zero(),
            (false, true) => start + lasts - recording.newest,
            (false, false) => start - recording.first,
        };
        Self {
            start,
            first: recording.first,
            shift,
            pace,
            keep_times,
        }
    }

    /// How far recorded times are moved.
    pub fn shift(&self) -> TimeDelta {
        self.shift
    }

    /// The time that a row bears.
    pub fn published_time(&self, recorded: DateTime<Utc>) -> DateTime<Utc> {
        recorded + self.shift
    }

    /// The business instant at which a row is sent, at the earliest.
    ///
    /// Unless times are kept, it is never before the time that the row bears: a row never lies
    /// ahead, even in a file whose rows are not in order.
    pub fn sending_time(&self, recorded: DateTime<Utc>) -> DateTime<Utc> {
        let due = match self.pace {
            Some(pace) => self.start + scaled(recorded - self.first, pace),
            None => self.start,
        };
        if self.keep_times {
            due
        } else {
            due.max(self.published_time(recorded))
        }
    }
}

fn scaled(span: TimeDelta, factor: f64) -> TimeDelta {
    TimeDelta::microseconds((seconds(span) * factor * 1e6).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        "2020-03-09T10:14:33Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(second)
    }

    fn start() -> DateTime<Utc> {
        "2026-10-05T07:00:00Z".parse().unwrap()
    }

    fn summary(rows: u64, length: i64) -> Summary {
        Summary {
            rows,
            timed: rows,
            skipped_cells: 0,
            first: at(0),
            newest: at(length),
        }
    }

    #[test]
    fn speeds() {
        for (text, expected) in [
            ("60x", Some(Speed::Times(60.0))),
            ("1.5X", Some(Speed::Times(1.5))),
            ("60", Some(Speed::Times(60.0))),
            ("max", Some(Speed::Max)),
            ("MAX", Some(Speed::Max)),
            ("0x", None),
            ("-1x", None),
            ("fast", None),
            ("infx", None),
            ("nanx", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Speed>().ok(), expected, "{text}");
        }
        assert_eq!("60x".parse::<Speed>().unwrap().to_string(), "60x");
    }

    /// Seconds after the start that the first and the last row bear, and that the last is sent.
    fn plan(rows: u64, length: i64, speed: Speed, rate: f64) -> (f64, f64, f64) {
        let plan = Timetable::plan(&summary(rows, length), speed, rate, start(), false);
        let after = |instant: DateTime<Utc>| seconds(instant - start());
        (
            after(plan.published_time(at(0))),
            after(plan.published_time(at(length))),
            after(plan.sending_time(at(length))),
        )
    }

    #[test]
    fn where_the_rows_fall() {
        let check = |rows, length, speed, rate, expected: (f64, f64, f64)| {
            let found = plan(rows, length, speed, rate);
            assert_eq!(
                found, expected,
                "{rows} rows, {length} s, {speed}, clock {rate}x"
            );
        };
        // As fast as the clock: live.
        check(1150, 1200, Speed::Times(1.0), 1.0, (0.0, 1200.0, 1200.0));
        check(
            1150,
            1200,
            Speed::Times(600.0),
            600.0,
            (0.0, 1200.0, 1200.0),
        );
        // Slower than the clock: the first row is now, the rest falls behind.
        check(
            1150,
            1200,
            Speed::Times(60.0),
            600.0,
            (0.0, 1200.0, 12_000.0),
        );
        // Faster than the clock: the last row falls at the instant at which it is sent.
        check(
            1150,
            1200,
            Speed::Times(60.0),
            1.0,
            (20.0 - 1200.0, 20.0, 20.0),
        );
        check(
            1150,
            1200,
            Speed::Times(1200.0),
            600.0,
            (600.0 - 1200.0, 600.0, 600.0),
        );
        // At most speed too: a second of sending is planned for 2,000 rows.
        check(2000, 1200, Speed::Max, 1.0, (1.0 - 1200.0, 1.0, 1.0));
        check(
            2000,
            1200,
            Speed::Max,
            600.0,
            (600.0 - 1200.0, 600.0, 600.0),
        );
        // Shorter than its own sending: live again.
        check(2000, 120, Speed::Max, 600.0, (0.0, 120.0, 120.0));
        // One row, or rows of one instant.
        check(1, 0, Speed::Max, 600.0, (0.0, 0.0, 0.0));
        check(10, 0, Speed::Times(60.0), 1.0, (0.0, 0.0, 0.0));
    }

    #[test]
    fn no_row_lies_ahead_when_it_is_sent() {
        for (speed, rate) in [
            (Speed::Max, 1.0),
            (Speed::Max, 600.0),
            (Speed::Times(1.0), 600.0),
            (Speed::Times(60.0), 1.0),
            (Speed::Times(600.0), 600.0),
            (Speed::Times(7.5), 3.0),
        ] {
            let plan = Timetable::plan(&summary(1150, 1200), speed, rate, start(), false);
            // A row out of order, too.
            for second in (0..=1200).chain([-50]) {
                let (bears, sent) = (
                    plan.published_time(at(second)),
                    plan.sending_time(at(second)),
                );
                assert!(bears <= sent, "{speed} at {second}: {bears} after {sent}");
            }
        }
    }

    #[test]
    fn kept_times_are_kept() {
        let plan = Timetable::plan(&summary(1150, 1200), Speed::Times(60.0), 1.0, start(), true);
        assert_eq!(plan.shift(), TimeDelta::zero());
        assert_eq!(plan.published_time(at(5)), at(5));
        assert_eq!(plan.sending_time(at(60)), start() + TimeDelta::seconds(1));
        // Times that lie ahead are kept as well and do not make the replay wait for them.
        let ahead = Summary {
            first: start() + TimeDelta::days(9),
            ..summary(1, 0)
        };
        let plan = Timetable::plan(&ahead, Speed::Max, 1.0, start(), true);
        assert_eq!(plan.sending_time(ahead.first), start());
    }
}
