//! Where a health index is going: the line through its last values, and when it reaches a limit.
//!
//! Values of an index are not independent of one another: smoothing makes neighbors alike. The
//! uncertainty of the line is widened by how alike its residuals are.
//!
//! **Units**: ages in those of the caller, values in those of the index.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::outlook::{Outlook, time};

/// Fewer values have no direction.
pub(super) const LEAST: usize = 8;

/// Times further ahead than this multiple of what the line was fitted to are not spoken about.
const AHEAD: f64 = 10.0;

/// Residuals are taken as at most this alike from one value to the next.
const MOST_ALIKE: f64 = 0.95;

/// A line through the last values of an index, and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// The line at the last value.
    pub level: f64,
    /// Its change per unit of age.
    pub slope: f64,
    /// Age from the first to the last value.
    pub span: f64,
    /// Variance of the level.
    level_variance: f64,
    /// Variance of the slope.
    slope_variance: f64,
    /// Covariance of both.
    covariance: f64,
}

/// When a limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TimeToLimit {
    /// As likely before as after; none when that is farther ahead than can be said.
    pub expected: Option<f64>,
    /// Reached before with a probability of 5 %, likewise.
    pub lower: Option<f64>,
    /// Reached before with a probability of 95 %, likewise.
    pub upper: Option<f64>,
}

impl Trend {
    /// Fits a line to pairs of age and value; pairs that are not numbers are left out.
    ///
    /// None when fewer than eight are left, or all are of one age.
    pub fn of(values: &[(f64, f64)]) -> Option<Self> {
        let finite = |pair: &&(f64, f64)| pair.0.is_finite() && pair.1.is_finite();
        let values: Vec<(f64, f64)> = values.iter().filter(finite).copied().collect();
        let count = values.len() as f64;
        if values.len() < LEAST {
            return None;
        }
        let middle = values.iter().map(|(age, _)| age).sum::<f64>() / count;
        let mean = values.iter().map(|(_, value)| value).sum::<f64>() / count;
        let spread: f64 = values.iter().map(|(age, _)| (age - middle).powi(2)).sum();
        let along = |(age, value): &(f64, f64)| (age - middle) * (value - mean);
        let slope = values.iter().map(along).sum::<f64>() / spread;
        let (first, last) = (values.first()?.0, values.last()?.0);
        if !(slope.is_finite() && last > first) {
            return None;
        }
        let residual = |(age, value): &(f64, f64)| value - mean - slope * (age - middle);
        let residuals: Vec<f64> = values.iter().map(residual).collect();
        let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
        let neighbors: f64 = residuals.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let alike = if squares > 0.0 {
            (neighbors / squares).clamp(0.0, MOST_ALIKE)
        } else {
            0.0
        };
        let variance = squares / (count - 2.0) * (1.0 + alike) / (1.0 - alike);
        let reach = last - middle;
        Some(Self {
            level: mean + slope * reach,
            slope,
            span: last - first,
            level_variance: variance * (1.0 / count + reach * reach / spread),
            slope_variance: variance / spread,
            covariance: variance * reach / spread,
        })
    }

    /// How surely the line falls: its slope in deviations of what is known of it, positive when it
    /// falls; zero when nothing moves.
    pub fn fall(&self) -> f64 {
        let deviation = self.slope_variance.sqrt();
        match self.slope {
            0.0 => 0.0,
            slope if deviation > 0.0 => -slope / deviation,
            slope => -slope.signum() * f64::INFINITY,
        }
    }

    /// Probability that the line is at or below a limit after so much more age.
    pub fn probability_below(&self, limit: f64, more: f64) -> f64 {
        let expected = self.level + self.slope * more;
        let growth = 2.0 * more * self.covariance + more * more * self.slope_variance;
        let deviation = (self.level_variance + growth).max(0.0).sqrt();
        if deviation <= 0.0 {
            return f64::from(u8::from(expected <= limit));
        }
        normal_share((limit - expected) / deviation)
    }

    /// When the index falls to a limit.
    pub fn time_to(&self, limit: f64) -> TimeToLimit {
        let at = |level: f64| self.first_time(limit, level);
        TimeToLimit {
            expected: at(0.5),
            lower: at(0.05),
            upper: at(0.95),
        }
    }

    /// As chances over time that the index falls to a limit, given how long one unit of age lasts.
    pub fn outlook(&self, as_of: DateTime<Utc>, limit: f64, unit: TimeDelta) -> Outlook {
        // Fine steps first: what is near matters most.
        let step = |number: i32| self.span * AHEAD * (f64::from(number) / 100.0).powi(2);
        let chance = |more: f64| Some((time(more, unit)?, self.probability_below(limit, more)));
        Outlook::of(as_of, (0..=100).map(step).filter_map(chance))
    }

    /// The earliest time ahead by which the limit is reached with a probability.
    fn first_time(&self, limit: f64, probability: f64) -> Option<f64> {
        let horizon = AHEAD * self.span;
        let reached = |more: f64| self.probability_below(limit, more) >= probability;
        let steps = 400;
        let step = horizon / f64::from(steps);
        let first = (0..=steps).find(|number| reached(f64::from(*number) * step))?;
        let (mut low, mut high) = (
            f64::from(first - 1).max(0.0) * step,
            f64::from(first) * step,
        );
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            if reached(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }
}

/// Share of the standard normal distribution below a value, to 1e-7.
///
/// **Source**: Abramowitz and Stegun 1964, 26.2.17.
fn normal_share(value: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * value.abs());
    let weights = [
        1.330_274_429,
        -1.821_255_978,
        1.781_477_937,
        -0.356_563_782,
        0.319_381_530,
    ];
    let sum = weights.iter().fold(0.0, |sum, weight| (sum + weight) * t);
    let tail = (-value * value / 2.0).exp() / std::f64::consts::TAU.sqrt() * sum;
    if value > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::super::sampling::normal;
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// An index that falls from 100 by `slope` an hour, with noise, seen for 50 hours.
    fn index(slope: f64, noise: f64, seed: u64) -> Vec<(f64, f64)> {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let value = |hour| {
            let age = f64::from(hour);
            (age, 100.0 - slope * age + noise * normal(&mut generator))
        };
        (0..=50).map(value).collect()
    }

    #[test]
    fn a_clean_line_reaches_its_limit_on_time() {
        let trend = Trend::of(&index(1.0, 0.0, 1)).unwrap();
        let found = trend.time_to(20.0);
        for time in [found.expected, found.lower, found.upper] {
            assert!((time.unwrap() - 30.0).abs() < 0.01, "{found:?}");
        }
        assert_eq!(trend.time_to(60.0).expected, Some(0.0));
    }

    #[test]
    fn the_interval_holds_the_truth_nine_times_in_ten() {
        let inside = |seed: &u64| {
            let found = Trend::of(&index(1.0, 8.0, *seed)).unwrap().time_to(20.0);
            let lower = found.lower.is_none_or(|lower| lower <= 30.0);
            let upper = found.upper.is_none_or(|upper| upper >= 30.0);
            lower && upper
        };
        let share = (1..=300).filter(inside).count() as f64 / 300.0;
        assert!((0.85..0.96).contains(&share), "{share}");
    }

    #[test]
    fn a_steady_index_has_no_expected_time() {
        let trend = Trend::of(&index(0.0, 2.0, 5)).unwrap();
        let found = trend.time_to(20.0);
        assert_eq!(found.upper, None, "{found:?}");
        let now = DateTime::UNIX_EPOCH;
        let outlook = trend.outlook(now, 20.0, TimeDelta::hours(1));
        assert!(outlook.probability_of_failure(now + TimeDelta::hours(30)) < 0.01);
    }

    #[test]
    fn smoothed_values_do_not_make_a_line_surer() {
        let noisy = index(0.5, 8.0, 3);
        let smooth: Vec<(f64, f64)> = (9..noisy.len())
            .map(|at| {
                let sum: f64 = noisy[at - 9..=at].iter().map(|(_, value)| value).sum();
                (noisy[at].0, sum / 10.0)
            })
            .collect();
        let deviation = |values: &[(f64, f64)]| Trend::of(values).unwrap().slope_variance.sqrt();
        assert!(deviation(&smooth) > 0.6 * deviation(&noisy));
    }

    #[test]
    fn the_outlook_says_the_same() {
        let trend = Trend::of(&index(1.0, 8.0, 2)).unwrap();
        let now = DateTime::UNIX_EPOCH;
        let outlook = trend.outlook(now, 20.0, TimeDelta::hours(1));
        let at = |hours: i64| outlook.probability_of_failure(now + TimeDelta::hours(hours));
        assert!((at(30) - trend.probability_below(20.0, 30.0)).abs() < 0.03);
        assert!(at(5) < 0.05 && at(60) > 0.95);
    }

    #[test]
    fn few_values_or_one_age_have_no_trend() {
        assert_eq!(Trend::of(&index(1.0, 0.0, 1)[..7]), None);
        assert_eq!(Trend::of(&[(1.0, 2.0); 20]), None);
        assert_eq!(Trend::of(&[(f64::NAN, 2.0); 20]), None);
    }

    #[test]
    fn normal_shares_are_those_of_the_tables() {
        for (value, share) in [(0.0, 0.5), (1.96, 0.975), (-1.645, 0.05), (-9.0, 0.0)] {
            assert!((normal_share(value) - share).abs() < 1e-4);
        }
    }
}
