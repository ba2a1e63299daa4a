//! When somebody works: weekly shifts in a local zone, as spans of absolute time.

use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

use crate::registry::resources::WeeklyShift;

/// A span of time; the end does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First instant.
    pub from: DateTime<Utc>,
    /// First instant after it.
    pub until: DateTime<Utc>,
}

impl Span {
    /// Whether both have an instant in common.
    pub fn overlaps(&self, other: &Span) -> bool {
        self.from < other.until && other.from < self.until
    }

    /// Whether `other` lies within.
    pub fn holds(&self, other: &Span) -> bool {
        self.from <= other.from && other.until <= self.until
    }
}

/// The working spans between two instants, in order; shifts that touch or overlap become one.
pub fn working_spans(shifts: &[WeeklyShift], zone: Tz, window: Span) -> Vec<Span> {
    // A shift of the local day before may reach into the window.
    let first = window.from.with_timezone(&zone).date_naive() - Days::new(1);
    let last = window.until.with_timezone(&zone).date_naive();
    let mut spans: Vec<Span> = first
        .iter_days()
        .take_while(|day| *day <= last)
        .flat_map(|day| spans_of_day(shifts, zone, day))
        .filter(|span| span.overlaps(&window))
        .collect();
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.from <= last.until => last.until = last.until.max(span.until),
            _ => merged.push(span),
        }
    }
    merged
}

fn spans_of_day(shifts: &[WeeklyShift], zone: Tz, day: NaiveDate) -> impl Iterator<Item = Span> {
    let weekday = day.weekday().number_from_monday();
    shifts
        .iter()
        .filter(move |shift| shift.weekday == weekday)
        .map(move |shift| Span {
            from: instant_of(zone, day, shift.from_minute),
            until: instant_of(zone, day, shift.until_minute),
        })
        .filter(|span| span.from < span.until)
}

/// The instant at which a local clock shows a time.
///
/// A time that the clock skips in spring counts as the instant of the skip; of a time that it shows
/// twice in autumn the first counts.
fn instant_of(zone: Tz, day: NaiveDate, minute: u32) -> DateTime<Utc> {
    let wall = day.and_time(NaiveTime::MIN) + TimeDelta::minutes(i64::from(minute));
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.to_utc(),
        LocalResult::None => {
            // Clocks skip at most a few hours; the first wall time that exists is the skip's end.
            let after = (1..=24 * 4).find_map(|quarters| {
                zone.from_local_datetime(&(wall + TimeDelta::minutes(15 * quarters)))
                    .earliest()
            });
            after.map_or_else(|| wall.and_utc(), |at| at.to_utc())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::test_store::at;
    use chrono_tz::Europe::Berlin;

    fn shift(weekday: u32, from_hour: u32, until_hour: u32) -> WeeklyShift {
        WeeklyShift {
            weekday,
            from_minute: from_hour * 60,
            until_minute: until_hour * 60,
        }
    }

    fn check(shifts: &[WeeklyShift], from: &str, until: &str, expected: &[(&str, &str)]) {
        let window = Span {
            from: at(from),
            until: at(until),
        };
        let expected: Vec<_> = expected
            .iter()
            .map(|(from, until)| Span {
                from: at(from),
                until: at(until),
            })
            .collect();
        assert_eq!(working_spans(shifts, Berlin, window), expected);
    }

    #[test]
    fn local_times_follow_the_season() {
        let monday = [shift(1, 6, 14)];
        check(
            &monday,
            "2026-03-23T00:00:00Z",
            "2026-03-24T00:00:00Z",
            &[("2026-03-23T05:00:00Z", "2026-03-23T13:00:00Z")],
        );
        check(
            &monday,
            "2026-03-30T00:00:00Z",
            "2026-03-31T00:00:00Z",
            &[("2026-03-30T04:00:00Z", "2026-03-30T12:00:00Z")],
        );
    }

    #[test]
    fn a_skipped_hour_shortens_and_a_doubled_one_lengthens() {
        let night = [shift(7, 0, 6), shift(7, 2, 3)];
        check(
            &night,
            "2026-03-28T12:00:00Z",
            "2026-03-29T12:00:00Z",
            &[("2026-03-28T23:00:00Z", "2026-03-29T04:00:00Z")],
        );
        check(
            &night,
            "2026-10-24T12:00:00Z",
            "2026-10-25T12:00:00Z",
            &[("2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z")],
        );
    }

    #[test]
    fn shifts_that_touch_become_one_across_midnight() {
        check(
            &[
                shift(1, 22, 24),
                shift(2, 0, 6),
                shift(2, 5, 8),
                shift(2, 10, 12),
            ],
            "2026-06-01T00:00:00Z",
            "2026-06-03T00:00:00Z",
            &[
                ("2026-06-01T20:00:00Z", "2026-06-02T06:00:00Z"),
                ("2026-06-02T08:00:00Z", "2026-06-02T10:00:00Z"),
            ],
        );
    }

    #[test]
    fn a_shift_that_began_before_the_window_is_whole() {
        check(
            &[shift(1, 6, 14)],
            "2026-06-01T10:00:00Z",
            "2026-06-01T11:00:00Z",
            &[("2026-06-01T04:00:00Z", "2026-06-01T12:00:00Z")],
        );
        check(&[], "2026-06-01T10:00:00Z", "2026-06-20T11:00:00Z", &[]);
    }
}
