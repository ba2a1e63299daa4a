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
pub(super) mod limits;
mod reference;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::detector::{Contribution, Detector, Explanation, Sample, Score};
use super::super::matrix::Square;
use super::super::span::Span;

pub(super) use fit::{slow_changes, standards};
pub use reference::Reference;

/// How principal components are set. The reasons stand in `default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcaSettings {
    /// Components kept; 0: by explained variance.
    pub components: usize,
    /// Share of the variance that the kept components explain.
    pub explained_variance: f64,
    /// Lag over which normal change is measured. **Units**: event time.
    pub drift_lag: Span,
    /// How much normal change widens the band.
    pub drift_factor: f64,
    /// Half-life with which the reference follows; zero: it does not. **Units**: event time.
    pub adapt_half_life: Span,
    /// How far the reference may follow. **Units**: multiples of the alarm limit.
    pub adapt_bound: f64,
    /// Factor on the limit from the learning period.
    pub limit_factor: f64,
}

impl PcaSettings {
    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !(self.explained_variance > 0.0 && self.explained_variance <= 1.0) {
            let value = self.explained_variance;
            found.push(format!(
                "explained_variance is {value}, but must be a share from 0 to 1"
            ));
        }
        let factors = [
            ("drift_factor", self.drift_factor, 0.0, 100.0),
            ("adapt_bound", self.adapt_bound, 0.0, 1e6),
            ("limit_factor", self.limit_factor, 0.1, 1e6),
        ];
        for (name, value, least, most) in factors {
            if !(value >= least && value <= most) {
                found.push(format!(
                    "{name} is {value}, but must be from {least} to {most}"
                ));
            }
        }
        found
    }
}

/// What principal components have learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcaModel {
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

/// How far a window is from normal, by both statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct Distance {
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

/// Principal components at work on one asset.
#[derive(Debug)]
pub struct PcaDetector {
    scorer: Scorer,
    reference: Reference,
    last: Option<Distance>,
}

impl PcaDetector {
    /// A detector whose reference is what was learned.
    pub fn new(mut model: PcaModel, settings: &PcaSettings) -> Self {
        model.limits.factor = settings.limit_factor;
        Self {
            reference: Reference::learned(model.center.len(), settings),
            scorer: Scorer::new(model),
            last: None,
        }
    }
}

impl Detector for PcaDetector {
    fn score(&mut self, sample: &Sample<'_>) -> Option<Score> {
        self.last = self.scorer.score(sample.values, self.reference.place());
        let ratio = self.last.as_ref()?.ratio;
        Some(Score { ratio })
    }

    fn follow(&mut self, sample: &Sample<'_>, _score: &Score, calm: bool) {
        if let Some(last) = self.last.as_ref().filter(|_| calm) {
            self.reference.follow(&self.scorer, last, sample.elapsed);
        }
    }

    fn explain(&self, _sample: &Sample<'_>) -> Explanation {
        let Some(last) = &self.last else {
            return Explanation::default();
        };
        let place = self.reference.place();
        let limits = &self.scorer.model().limits;
        Explanation {
            contributions: self.scorer.contributions(last, place),
            facts: json!({
                "t2": last.t2,
                "spe": last.spe,
                "limits": { "t2": limits.t2, "spe": limits.spe, "factor": limits.factor },
                "reference_displacement": self.scorer.displacement(place),
                "missing": last.missing,
            }),
        }
    }

    fn save(&self) -> Value {
        json!({ "reference": self.reference.place() })
    }

    fn restore(&mut self, saved: &Value) {
        let place: Result<Vec<f64>, _> = serde_json::from_value(saved["reference"].clone());
        if let Some(place) = place
            .ok()
            .filter(|p| p.len() == self.reference.place().len())
        {
            self.reference.go_to(place);
        }
    }
}

impl Scorer {
    /// Makes a model ready.
    pub fn new(model: PcaModel) -> Self {
        let size = model.center.len();
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
    pub fn score(&self, features: &[f64], reference: &[f64]) -> Option<Distance> {
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
        Some(Distance {
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
    pub fn contributions(&self, score: &Distance, reference: &[f64]) -> Vec<Contribution> {
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
