//! The multivariate detector: principal components with T² and squared prediction error (SPE).
//!
//! Features are standardized with mean and deviation of the learning period. Normal variation is
//! the covariance of the learning period plus the covariance of its own slow changes (a random
//! walk term), so that a metric that drifts anyway has to go farther before it counts.
//!
//! T² measures the distance along the kept components, SPE what they do not explain. Both are
//! compared with limits from the learning period alone; their larger ratio is the statistic.
//!
//! **Source**: Jackson and Mudholkar 1979 (T² and SPE), Alcala and Qin 2009 (reconstruction-based
//! contributions), Harkat et al. 2006 (both in one quadratic form, and missing values by
//! reconstruction).

mod fit;
mod limits;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::config::Span;
use super::features::Feature;
use super::matrix::Square;

pub use fit::{FitError, MAX_FEATURES, MIN_WINDOWS, fit};

/// A trained detector of one asset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcaModel {
    /// Name of this very model: a score without it is not a fact.
    pub version: String,
    /// The asset's tag.
    pub asset: String,
    /// The asset's class.
    pub class: String,
    /// Event time of the first window that it learned from.
    pub trained_from: DateTime<Utc>,
    /// Event time of the end of the last one.
    pub trained_through: DateTime<Utc>,
    /// How many there were.
    pub windows: usize,
    /// Length of a window.
    pub window: Span,
    /// From window to window.
    pub step: Span,
    /// Readings that a window usually has.
    pub usual_rows: f64,
    /// What it looks at, in the order of all vectors below.
    pub features: Vec<Feature>,
    /// Whether the metric moved in nearly all windows, so that a stuck value is a dead sensor.
    pub lively: Vec<bool>,
    /// Metrics that it does not look at, and why.
    pub left_out: Vec<LeftOut>,
    /// Means of the learning period.
    pub center: Vec<f64>,
    /// Deviations of the learning period.
    pub scale: Vec<f64>,
    /// The kept components, strongest first; each has a weight per feature.
    pub components: Vec<Vec<f64>>,
    /// Variance along each component: singular value² / (n − 1), drift included.
    pub variances: Vec<f64>,
    /// Variance of each direction that is not kept.
    pub residual_variance: f64,
    /// Where normal ends.
    pub limits: Limits,
}

/// A metric that a model does not look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name.
    pub metric: String,
    /// Why.
    pub reason: String,
}

/// Where normal ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Of T².
    pub t2: f64,
    /// Of SPE; 0 when all components are kept, so that there is none.
    pub spe: f64,
    /// Factor of the class on both.
    pub factor: f64,
}

/// A model ready to score: what follows from it is computed once.
#[derive(Debug, Clone)]
pub struct Scorer {
    model: PcaModel,
    /// The quadratic form of both statistics, in units of their limits.
    form: Square,
}

/// How far a window is from normal.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Distance along the kept components.
    pub t2: f64,
    /// What they do not explain.
    pub spe: f64,
    /// The larger of both in multiples of its alarm limit: 1 is the limit.
    pub ratio: f64,
    /// The standardized features; a missing one is what the others suggest.
    pub standardized: Vec<f64>,
    /// Which features were missing.
    pub missing: Vec<usize>,
}

/// What one feature adds to a deviation.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// Number of the feature.
    pub feature: usize,
    /// Its share of all contributions, 0 to 1.
    pub share: f64,
    /// What was seen. **Units**: those of the feature.
    pub observed: f64,
    /// What the other features suggest. **Units**: those of the feature.
    pub expected: f64,
    /// Distance of both in deviations of the learning period.
    pub deviations: f64,
}

impl Score {
    /// The score, 0 to 1: one half is the alarm limit.
    pub fn value(&self) -> f64 {
        self.ratio / (1.0 + self.ratio)
    }
}

impl Scorer {
    /// Makes a model ready.
    pub fn new(model: PcaModel) -> Self {
        let size = model.features.len();
        let (t2, spe) = (model.limits.t2, model.limits.spe);
        let form = Square::from_fn(size, |row, column| {
            let mut along = 0.0;
            let mut kept = 0.0;
            for (component, variance) in model.components.iter().zip(&model.variances) {
                let both = component[row] * component[column];
                along += both / variance;
                kept += both;
            }
            let unit = if row == column { 1.0 } else { 0.0 };
            let residual = if spe > 0.0 {
                (unit - kept) / (model.residual_variance * spe)
            } else {
                0.0
            };
            along / t2 + residual
        });
        Self { model, form }
    }

    /// The model.
    pub fn model(&self) -> &PcaModel {
        &self.model
    }

    /// Scores features against a reference, which is given in deviations of the learning period.
    ///
    /// `None` when half of the features or more are missing.
    pub fn score(&self, features: &[f64], reference: &[f64]) -> Option<Score> {
        let model = &self.model;
        let scaled = model.center.iter().zip(&model.scale);
        let mut standardized: Vec<f64> = features
            .iter()
            .zip(scaled)
            .map(|(x, (center, scale))| (x - center) / scale)
            .collect();
        let missing: Vec<usize> = (0..standardized.len())
            .filter(|at| !standardized[*at].is_finite())
            .collect();
        if 2 * missing.len() >= standardized.len() && !missing.is_empty() {
            return None;
        }
        if !missing.is_empty() {
            self.fill(&mut standardized, reference, &missing);
        }
        let (t2, spe) = self.statistics(&standardized, reference);
        let ratio = self.ratio(t2, spe);
        Some(Score {
            t2,
            spe,
            ratio,
            standardized,
            missing,
        })
    }

    /// How far a point in deviations of the learning period is from its center, 1 the alarm limit.
    pub fn displacement(&self, point: &[f64]) -> f64 {
        let (t2, spe) = self.statistics(point, &vec![0.0; point.len()]);
        self.ratio(t2, spe)
    }

    /// What each feature adds, the largest first.
    ///
    /// A contribution is by how much the statistic falls when the feature is replaced by what the
    /// others suggest.
    pub fn contributions(&self, score: &Score, reference: &[f64]) -> Vec<Contribution> {
        let model = &self.model;
        let apart: Vec<f64> = score
            .standardized
            .iter()
            .zip(reference)
            .map(|(z, r)| z - r)
            .collect();
        let pull = self.form.times(&apart);
        let falls: Vec<f64> = pull
            .iter()
            .enumerate()
            .map(|(at, pull)| pull * pull / self.form.at(at, at).max(f64::MIN_POSITIVE))
            .collect();
        let total: f64 = falls.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mut contributions: Vec<Contribution> = (0..falls.len())
            .filter(|at| !score.missing.contains(at))
            .map(|at| {
                let deviations = pull[at] / self.form.at(at, at).max(f64::MIN_POSITIVE);
                let observed = model.center[at] + model.scale[at] * score.standardized[at];
                Contribution {
                    feature: at,
                    share: falls[at] / total,
                    observed,
                    expected: observed - model.scale[at] * deviations,
                    deviations,
                }
            })
            .collect();
        contributions.sort_by(|a, b| b.share.total_cmp(&a.share));
        contributions
    }

    /// Gives missing features the values that make the statistic smallest.
    fn fill(&self, standardized: &mut [f64], reference: &[f64], missing: &[usize]) {
        let known = |at: usize| !missing.contains(&at);
        let right: Vec<f64> = missing
            .iter()
            .map(|row| {
                let known = (0..standardized.len()).filter(|at| known(*at));
                -known
                    .map(|at| self.form.at(*row, at) * (standardized[at] - reference[at]))
                    .sum::<f64>()
            })
            .collect();
        let filled = self.form.solve_part(missing, &right);
        let filled = filled.unwrap_or_else(|| vec![0.0; missing.len()]);
        for (at, value) in missing.iter().zip(filled) {
            standardized[*at] = reference[*at] + value;
        }
    }

    fn statistics(&self, point: &[f64], reference: &[f64]) -> (f64, f64) {
        let model = &self.model;
        let apart: Vec<f64> = point.iter().zip(reference).map(|(z, r)| z - r).collect();
        let mut t2 = 0.0;
        let mut explained = 0.0;
        for (component, variance) in model.components.iter().zip(&model.variances) {
            let along: f64 = component
                .iter()
                .zip(&apart)
                .map(|(weight, z)| weight * z)
                .sum();
            t2 += along * along / variance;
            explained += along * along;
        }
        let length: f64 = apart.iter().map(|z| z * z).sum();
        let spe = if model.limits.spe > 0.0 {
            (length - explained).max(0.0) / model.residual_variance
        } else {
            0.0
        };
        (t2, spe)
    }

    fn ratio(&self, t2: f64, spe: f64) -> f64 {
        let limits = &self.model.limits;
        let of_spe = if limits.spe > 0.0 {
            spe / limits.spe
        } else {
            0.0
        };
        (t2 / limits.t2).max(of_spe) / limits.factor
    }
}

#[cfg(test)]
mod tests;
