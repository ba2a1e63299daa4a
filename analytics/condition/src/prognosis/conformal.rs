//! How far off predictions were, by what was predicted: intervals that hold without assuming a
//! distribution.
//!
//! A life of 20 cycles is known to a few cycles and one of 100 only to dozens, so the errors of
//! predictions that a model made for assets that it had not seen are kept by the predicted value.
//! Quantiles of these errors turn a prediction into a distribution.
//!
//! **Source**: Vovk et al. 2005 (conformal prediction), Romano et al. 2019 (intervals whose width
//! follows the case).

use serde::{Deserialize, Serialize};

/// Shares below which an error was kept.
pub const LEVELS: [f64; 17] = [
    0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99,
];

/// Bands of predictions, at most.
const BANDS: usize = 12;

/// A band has at least this many predictions.
const LEAST: usize = 50;

/// Quantiles of errors by predicted value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conformal {
    /// Bands from small to large predictions.
    bands: Vec<Band>,
}

/// Predictions of about the same value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Band {
    /// Median prediction.
    center: f64,
    /// Quantiles of truth less prediction at [`LEVELS`].
    errors: Vec<f64>,
}

/// Why there are no intervals.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("intervals need at least {LEAST} predictions with their truth, and there are {0}")]
pub struct TooFew(pub usize);

impl Conformal {
    /// Learns from predictions for unseen assets and what came true.
    ///
    /// # Errors
    /// When there are too few.
    pub fn learn(pairs: &[(f64, f64)]) -> Result<Self, TooFew> {
        let mut pairs = pairs.to_vec();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let count = pairs.len();
        if count < LEAST {
            return Err(TooFew(count));
        }
        let bands = (count / LEAST).clamp(1, BANDS);
        let band = |number: usize| {
            let pairs = &pairs[number * count / bands..(number + 1) * count / bands];
            let mut errors: Vec<f64> = pairs.iter().map(|(said, true_)| true_ - said).collect();
            errors.sort_by(f64::total_cmp);
            Band {
                center: pairs[pairs.len() / 2].0,
                errors: LEVELS
                    .iter()
                    .map(|level| quantile(&errors, *level))
                    .collect(),
            }
        };
        Ok(Self {
            bands: (0..bands).map(band).collect(),
        })
    }

    /// The values that the truth stays below with the probabilities [`LEVELS`], ascending.
    pub fn quantiles(&self, predicted: f64) -> Vec<f64> {
        let above = self.bands.partition_point(|band| band.center < predicted);
        let upper = &self.bands[above.min(self.bands.len() - 1)];
        let lower = &self.bands[above.saturating_sub(1)];
        let gap = upper.center - lower.center;
        let share = if gap > 0.0 {
            ((predicted - lower.center) / gap).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let mix = |(lower, upper): (&f64, &f64)| predicted + lower + share * (upper - lower);
        lower.errors.iter().zip(&upper.errors).map(mix).collect()
    }
}

/// Between the sorted values around the place; outermost values at the ends.
pub(super) fn quantile(sorted: &[f64], level: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    // (n + 1) as in conformal prediction: the truth still to come is one more of the same kind.
    let place = (level * (sorted.len() + 1) as f64 - 1.0).clamp(0.0, last as f64);
    let (below, share) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(last);
    sorted[below] + share * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::super::sampling::normal;
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Predictions between 0 and 100 whose error grows with them.
    fn pairs(seed: u64) -> Vec<(f64, f64)> {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let pair = |_| {
            let said = 100.0 * generator.random::<f64>();
            (said, said + 0.2 * said * normal(&mut generator))
        };
        (0..5_000).map(pair).collect()
    }

    #[test]
    fn intervals_hold_what_they_promise_where_errors_are_small_and_where_they_are_large() {
        let conformal = Conformal::learn(&pairs(1)).unwrap();
        for (from, to) in [(10.0, 40.0), (40.0, 70.0), (70.0, 100.0)] {
            let fresh: Vec<_> = pairs(2)
                .into_iter()
                .filter(|(said, _)| (from..to).contains(said))
                .collect();
            let inside = |(said, truth): &&(f64, f64)| {
                let values = conformal.quantiles(*said);
                (values[2]..=values[14]).contains(truth)
            };
            let share = fresh.iter().filter(inside).count() as f64 / fresh.len() as f64;
            assert!((0.87..0.93).contains(&share), "{share}");
        }
    }

    #[test]
    fn quantiles_ascend() {
        let conformal = Conformal::learn(&pairs(1)).unwrap();
        for said in [-5.0, 0.0, 33.0, 99.0, 200.0] {
            let values = conformal.quantiles(said);
            assert!(
                values.windows(2).all(|pair| pair[0] <= pair[1]),
                "{values:?}"
            );
        }
    }

    #[test]
    fn too_few_predictions_are_refused() {
        assert_eq!(Conformal::learn(&[(1.0, 1.0); 49]), Err(TooFew(49)));
        assert!(Conformal::learn(&[(1.0, 1.0); 50]).is_ok());
    }
}
