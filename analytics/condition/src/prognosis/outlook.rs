//! What a prognosis comes down to: how likely a failure is before any given date.
//!
//! Remaining life, the trend of the health index and the ages of failed parts all end here, so
//! that scheduling and pricing need not know where a number came from. Plain data: it is stored,
//! sent and read without a model.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The chance of failure over the time to come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// When it was made: the event time of the last reading that it knows.
    pub as_of: DateTime<Utc>,
    /// Points of the curve, both ascending; between them it is straight.
    pub curve: Vec<Chance>,
}

/// One point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    /// A date.
    pub before: DateTime<Utc>,
    /// Probability of a failure before it, 0 to 1.
    pub probability: f64,
}

impl Outlook {
    /// From times to come and the probability of failure within each, in any order; what would
    /// make the curve fall is raised to what came before.
    pub fn of(as_of: DateTime<Utc>, chances: impl IntoIterator<Item = (TimeDelta, f64)>) -> Self {
        let point = |(within, probability): (TimeDelta, f64)| {
            let before = as_of.checked_add_signed(within.max(TimeDelta::zero()))?;
            probability.is_finite().then_some(Chance {
                before,
                probability: probability.clamp(0.0, 1.0),
            })
        };
        let mut curve: Vec<Chance> = chances.into_iter().filter_map(point).collect();
        curve.sort_by(|a, b| {
            let by_date = a.before.cmp(&b.before);
            by_date.then(a.probability.total_cmp(&b.probability))
        });
        let mut highest = 0.0f64;
        for chance in &mut curve {
            highest = highest.max(chance.probability);
            chance.probability = highest;
        }
        Self { as_of, curve }
    }

    /// The probability of a failure before a date, 0 to 1.
    ///
    /// Nothing fails before the outlook was made. After the last point the chance per time goes on
    /// as it was on average up to there: a curve that ends says that nothing is known beyond, not
    /// that nothing happens.
    pub fn probability_of_failure(&self, before: DateTime<Utc>) -> f64 {
        if before <= self.as_of {
            return 0.0;
        }
        let next = self.curve.partition_point(|chance| chance.before < before);
        let last = match next.checked_sub(1) {
            Some(at) => self.curve[at],
            None => Chance {
                before: self.as_of,
                probability: 0.0,
            },
        };
        let microseconds = |from: DateTime<Utc>, to: DateTime<Utc>| {
            (to - from)
                .num_microseconds()
                .map_or(f64::MAX, |time| time as f64)
        };
        let Some(next) = self.curve.get(next) else {
            let known = microseconds(self.as_of, last.before);
            if known <= 0.0 {
                return last.probability;
            }
            let ratio = microseconds(self.as_of, before) / known;
            return 1.0 - (1.0 - last.probability).powf(ratio);
        };
        let share = microseconds(last.before, before) / microseconds(last.before, next.before);
        last.probability + share * (next.probability - last.probability)
    }

    /// The probability of a failure before a date, knowing that there was none until `survived`.
    pub fn probability_given(&self, survived: DateTime<Utc>, before: DateTime<Utc>) -> f64 {
        let until = self.probability_of_failure(survived);
        let then = self.probability_of_failure(before.max(survived));
        if until >= 1.0 {
            return 1.0;
        }
        ((then - until) / (1.0 - until)).clamp(0.0, 1.0)
    }

    /// The first date by which a failure is at least this likely; none when the curve ends before.
    pub fn date_of(&self, probability: f64) -> Option<DateTime<Utc>> {
        let next = self
            .curve
            .partition_point(|chance| chance.probability < probability);
        let to = self.curve.get(next)?;
        let from = match next.checked_sub(1) {
            Some(at) => self.curve[at],
            None => Chance {
                before: self.as_of,
                probability: 0.0,
            },
        };
        let rise = to.probability - from.probability;
        let share = if rise > 0.0 {
            (probability - from.probability).max(0.0) / rise
        } else {
            1.0
        };
        let span = (to.before - from.before).num_microseconds()?;
        Some(from.before + TimeDelta::microseconds((share * span as f64).round() as i64))
    }
}

/// A number of units of use as time; none when it is longer than time lasts.
pub(super) fn time(units: f64, unit: TimeDelta) -> Option<TimeDelta> {
    let microseconds = units * unit.num_microseconds()? as f64;
    (microseconds.is_finite() && microseconds.abs() < 9e18)
        .then(|| TimeDelta::microseconds(microseconds.round() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: f64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds((number * 86_400.0) as i64)
    }

    fn outlook(points: &[(i64, f64)]) -> Outlook {
        let chances = points
            .iter()
            .map(|(days, chance)| (TimeDelta::days(*days), *chance));
        Outlook::of(day(0.0), chances)
    }

    #[track_caller]
    fn check(points: &[(i64, f64)], before: f64, expected: f64) {
        let found = outlook(points).probability_of_failure(day(before));
        assert!((found - expected).abs() < 1e-9, "{found}");
    }

    #[test]
    fn a_date_on_the_curve_is_read_off_it() {
        let curve = [(10, 0.1), (20, 0.5), (30, 0.75)];
        check(&curve, -1.0, 0.0);
        check(&curve, 0.0, 0.0);
        check(&curve, 5.0, 0.05);
        check(&curve, 10.0, 0.1);
        check(&curve, 15.0, 0.3);
        check(&curve, 30.0, 0.75);
    }

    #[test]
    fn beyond_the_curve_the_chance_per_time_goes_on() {
        check(&[(10, 0.5)], 20.0, 0.75);
        check(&[(10, 1.0)], 20.0, 1.0);
        check(&[], 20.0, 0.0);
    }

    #[test]
    fn a_curve_never_falls() {
        check(&[(20, 0.2), (10, 0.4)], 20.0, 0.4);
        check(&[(10, f64::NAN), (20, 7.0)], 20.0, 1.0);
    }

    #[test]
    fn what_has_survived_counts() {
        let outlook = outlook(&[(10, 0.5), (20, 0.75)]);
        assert!((outlook.probability_given(day(10.0), day(20.0)) - 0.5).abs() < 1e-9);
        assert_eq!(outlook.probability_given(day(10.0), day(5.0)), 0.0);
    }

    #[test]
    fn a_probability_has_its_date() {
        let outlook = outlook(&[(10, 0.5), (20, 0.75)]);
        assert_eq!(outlook.date_of(0.25), Some(day(5.0)));
        assert_eq!(outlook.date_of(0.75), Some(day(20.0)));
        assert_eq!(outlook.date_of(0.9), None);
    }
}
