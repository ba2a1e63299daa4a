//! How long things last where only their ages are known: those of the failed and of the others.
//!
//! A Weibull distribution fitted by maximum likelihood. What has not failed yet counts with the age
//! that it has reached (censored on the right), and what was installed long before anyone looked
//! counts only from the age at which it came into sight (truncated on the left).
//!
//! A shape above 1 means wear: the older, the likelier to fail. Below 1 it is the young that fail.
//!
//! **Units**: those of the ages, for instance hours or cycles.
//!
//! **Source**: Meeker and Escobar 1998, chapters 8 and 11.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::conformal::LEVELS;
use super::outlook::{Outlook, time};

/// Shapes outside say no more than these, and make numbers overflow.
const SHAPES: (f64, f64) = (0.1, 20.0);

/// With fewer failures nobody can know a shape: the chance of failure is then taken as constant.
const LEAST_FAILURES: usize = 3;

/// What is known of the life of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lifetime {
    /// Its age when it came into sight; 0 when it was seen since it was installed.
    pub entered: f64,
    /// The age that it has reached.
    pub age: f64,
    /// Whether it failed then; otherwise it is still alive, or was replaced in time.
    pub failed: bool,
}

/// The distribution of lives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Weibull {
    /// How the chance of failure changes with age.
    pub shape: f64,
    /// The age that 37 % (1/e) outlive.
    pub scale: f64,
    /// Failures that it was learned from.
    pub failures: usize,
    /// Others that it was learned from.
    pub censored: usize,
}

/// Why there is no distribution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WeibullError {
    /// Nothing has failed yet.
    #[error("none of {0} has failed yet: nothing says how long they last")]
    NoFailure(usize),
    /// An age is not positive, or not above that of entering.
    #[error("life {number} from age {entered} to {age} is none")]
    Age {
        /// Which, from 0.
        number: usize,
        /// When it came into sight.
        entered: f64,
        /// Its age.
        age: f64,
    },
}

impl Weibull {
    /// The distribution that makes what happened likeliest.
    ///
    /// With fewer than three failures the shape is 1, a constant chance of failure. Failures that
    /// are all of one age get the steepest shape that is told apart, 20.
    ///
    /// # Errors
    /// When nothing has failed, or an age is impossible.
    pub fn fit(lifetimes: &[Lifetime]) -> Result<Self, WeibullError> {
        for (number, life) in lifetimes.iter().enumerate() {
            let (entered, age) = (life.entered, life.age);
            if !(age.is_finite() && entered >= 0.0 && age > entered) {
                return Err(WeibullError::Age {
                    number,
                    entered,
                    age,
                });
            }
        }
        let failures = lifetimes.iter().filter(|life| life.failed).count();
        if failures == 0 {
            return Err(WeibullError::NoFailure(lifetimes.len()));
        }
        // Ages in units of the largest keep powers within reach.
        let unit = lifetimes.iter().map(|life| life.age).fold(0.0, f64::max);
        let shape = if failures < LEAST_FAILURES {
            1.0
        } else {
            likeliest_shape(lifetimes, unit)
        };
        let exposure: f64 = lifetimes
            .iter()
            .map(|life| exposure(life, unit, shape))
            .sum();
        Ok(Self {
            shape,
            scale: unit * (exposure / failures as f64).powf(1.0 / shape),
            failures,
            censored: lifetimes.len() - failures,
        })
    }

    /// Share that outlives an age.
    pub fn survival(&self, age: f64) -> f64 {
        (-(age.max(0.0) / self.scale).powf(self.shape)).exp()
    }

    /// Probability that something of this age fails within so much more use.
    pub fn probability_within(&self, age: f64, more: f64) -> f64 {
        let load = |age: f64| (age.max(0.0) / self.scale).powf(self.shape);
        // In logarithms: the share that is left may be too small for a number.
        -(load(age) - load(age + more.max(0.0))).exp_m1()
    }

    /// The further use that something of this age fails within with a probability below 1.
    pub fn remaining(&self, age: f64, probability: f64) -> f64 {
        let age = age.max(0.0);
        let load = (age / self.scale).powf(self.shape) - (-probability.clamp(0.0, 1.0)).ln_1p();
        (self.scale * load.powf(1.0 / self.shape) - age).max(0.0)
    }

    /// As chances over time for something of this age, given how long one unit of age lasts.
    pub fn outlook(&self, as_of: DateTime<Utc>, age: f64, unit: TimeDelta) -> Outlook {
        let chance = |level: f64| Some((time(self.remaining(age, level), unit)?, level));
        Outlook::of(as_of, LEVELS.into_iter().filter_map(chance))
    }
}

/// What a life adds to the load at a shape.
fn exposure(life: &Lifetime, unit: f64, shape: f64) -> f64 {
    (life.age / unit).powf(shape) - (life.entered / unit).powf(shape)
}

/// Where the likelihood's slope in the shape is zero, the scale being the best for each shape.
fn likeliest_shape(lifetimes: &[Lifetime], unit: f64) -> f64 {
    let logarithms = lifetimes.iter().filter(|life| life.failed);
    let logarithms: Vec<f64> = logarithms.map(|life| (life.age / unit).ln()).collect();
    let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
    let weighted = |age: f64, shape: f64| match age / unit {
        0.0 => 0.0,
        share => share.powf(shape) * share.ln(),
    };
    let slope = |shape: f64| {
        let along: f64 = lifetimes
            .iter()
            .map(|life| weighted(life.age, shape) - weighted(life.entered, shape))
            .sum();
        let all: f64 = lifetimes
            .iter()
            .map(|life| exposure(life, unit, shape))
            .sum();
        along / all - 1.0 / shape - mean
    };
    let (mut low, mut high) = (SHAPES.0.ln(), SHAPES.1.ln());
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if slope(middle.exp()) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    ((low + high) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Lives of shape 2.5 and scale 1,000, some of them seen late and all no longer than `until`.
    fn lives(count: usize, until: f64, late: bool) -> Vec<Lifetime> {
        let mut generator = ChaCha8Rng::seed_from_u64(7);
        let mut lives = Vec::new();
        while lives.len() < count {
            let draw: f64 = 1.0 - generator.random::<f64>();
            let age = 1_000.0 * (-draw.ln()).powf(0.4);
            let entered = if late {
                700.0 * generator.random::<f64>()
            } else {
                0.0
            };
            let end = age.min(until.max(entered + 1.0));
            // What failed before anyone looked is not known at all.
            if age > entered {
                lives.push(Lifetime {
                    entered,
                    age: end,
                    failed: age <= end,
                });
            }
        }
        lives
    }

    #[track_caller]
    fn check(lives: &[Lifetime]) {
        let found = Weibull::fit(lives).unwrap();
        assert!((found.shape - 2.5).abs() < 0.2, "{found:?}");
        assert!((found.scale - 1_000.0).abs() < 40.0, "{found:?}");
    }

    #[test]
    fn finds_shape_and_scale_though_many_have_not_failed_or_were_seen_late() {
        check(&lives(2_000, f64::INFINITY, false));
        check(&lives(2_000, 800.0, false));
        check(&lives(2_000, 1_200.0, true));
    }

    #[test]
    fn leaving_out_what_has_not_failed_would_make_lives_too_short() {
        let censored = lives(2_000, 800.0, false);
        let failed: Vec<_> = censored
            .iter()
            .copied()
            .filter(|life| life.failed)
            .collect();
        assert!(Weibull::fit(&failed).unwrap().scale < 700.0);
    }

    #[test]
    fn probabilities_and_remaining_lives_agree() {
        let found = Weibull::fit(&lives(500, 1_500.0, false)).unwrap();
        for (age, probability) in [(0.0, 0.1), (500.0, 0.5), (3_000.0, 0.9)] {
            let more = found.remaining(age, probability);
            let again = found.probability_within(age, more);
            assert!((again - probability).abs() < 1e-6, "{age} {again}");
            let left = 1.0 - found.survival(age + more) / found.survival(age);
            assert!((left - probability).abs() < 1e-3, "{age} {left}");
        }
    }

    #[test]
    fn wear_shortens_what_remains() {
        let found = Weibull::fit(&lives(500, 1_500.0, false)).unwrap();
        assert!(found.remaining(1_500.0, 0.5) < found.remaining(100.0, 0.5));
        let now = DateTime::UNIX_EPOCH;
        let chance = |age| {
            let outlook = found.outlook(now, age, TimeDelta::hours(1));
            outlook.probability_of_failure(now + TimeDelta::hours(100))
        };
        assert!((chance(900.0) - found.probability_within(900.0, 100.0)).abs() < 0.02);
        assert!(chance(100.0) < chance(900.0));
    }

    fn life(age: f64, failed: bool) -> Lifetime {
        Lifetime {
            entered: 0.0,
            age,
            failed,
        }
    }

    #[test]
    fn few_failures_give_a_constant_chance() {
        let found = Weibull::fit(&[life(100.0, true), life(300.0, false)]).unwrap();
        assert_eq!((found.shape, found.scale), (1.0, 400.0));
        assert_eq!((found.failures, found.censored), (1, 1));
    }

    #[test]
    fn failures_of_one_age_are_steep_but_finite() {
        let found = Weibull::fit(&[life(100.0, true); 5]).unwrap();
        assert!((found.shape - 20.0).abs() < 1e-6 && (found.scale - 100.0).abs() < 1e-6);
    }

    #[test]
    fn no_failure_and_impossible_ages_are_refused() {
        assert_eq!(
            Weibull::fit(&[life(5.0, false)]),
            Err(WeibullError::NoFailure(1))
        );
        assert_eq!(Weibull::fit(&[]), Err(WeibullError::NoFailure(0)));
        for age in [0.0, -1.0, f64::NAN] {
            let refused = Weibull::fit(&[life(1.0, true), life(age, true)]);
            assert!(matches!(refused, Err(WeibullError::Age { number: 1, .. })));
        }
    }
}
