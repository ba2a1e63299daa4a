//! The changepoint statistic: the newest window against the mean of those before it.
//!
//! It says that something has just happened, whether or not the level reached is normal. The
//! covariance of the same difference while learning, and of later differences below the limit,
//! says how large it usually is; the tolerance of the instruments widens that. After a mark the
//! detector rests, then marks again while the change goes on.
//!
//! **Source**: the two-sample form of Hotelling 1947's T², in a moving window.

use crate::bits;
use crate::numbers::count;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::detector::{Detector, Explanation, FitError, Sample, Score, Training};
use super::super::matrix::Square;
use super::super::settings::FeatureKind;
use super::super::span::Span;

/// What the ratio is while the detector rests at most: just below a mark.
const RESTING: f64 = 0.99;
/// Differences that the covariance must rest on.
const LEAST_DIFFERENCES: usize = 20;

/// How changepoints are set. The reasons stand in `default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangepointSettings {
    /// How long before the newest window the others end: its length. **Units**: event time.
    pub apart: Span,
    /// Over how much time they end. **Units**: event time.
    pub before: Span,
    /// Tolerance of the instruments. **Units**: share of the reading.
    pub tolerance: f64,
    /// Time that the covariance remembers at most; zero: what was learned stays.
    /// **Units**: event time.
    pub memory: Span,
    /// How long it rests after a mark. **Units**: event time.
    pub rest: Span,
    /// A mark when the statistic is over so many times the number of features.
    pub limit_factor: f64,
}

/// What was learned about differences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangepointModel {
    /// Their covariance, in units of the features' deviations while learning.
    pub spread: Square,
    /// Variance that the instruments' tolerance explains, in the same units.
    pub tolerance: Vec<f64>,
    /// Deviations of the features while learning.
    pub scale: Vec<f64>,
    /// Samples that it rests on.
    pub weight: f64,
    /// From sample to sample, usually. **Units**: microseconds.
    pub spacing: i64,
}

/// The changepoint statistic at work on one asset.
#[derive(Debug)]
pub struct ChangepointDetector {
    settings: ChangepointSettings,
    state: State,
    scale: Vec<f64>,
    tolerance: Vec<f64>,
    spacing: i64,
    precision: Square,
    statistic: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    past: Past,
    spread: Square,
    weight: f64,
    marked: Option<i64>,
}

/// The vectors of the time that the statistic looks back on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Past {
    vectors: VecDeque<Kept>,
}

/// A vector and its time; a missing value is NaN, which JSON has not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
struct Kept {
    at: i64,
    #[serde(with = "bits")]
    values: Vec<f64>,
}

/// As it is kept, and as a former release kept it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Bits {
        at: i64,
        #[serde(with = "bits")]
        values: Vec<f64>,
    },
    Numbers(i64, Vec<f64>),
}

impl From<Written> for Kept {
    fn from(written: Written) -> Self {
        match written {
            Written::Bits { at, values } | Written::Numbers(at, values) => Self { at, values },
        }
    }
}

impl Past {
    /// The difference of a vector and the mean of those before; it is kept for later ones.
    /// `None` until half of the time is there.
    fn difference(
        &mut self,
        at: i64,
        values: Vec<f64>,
        settings: &ChangepointSettings,
        spacing: i64,
    ) -> Option<Vec<f64>> {
        let (apart, before) = (settings.apart.micros(), settings.before.micros());
        let oldest = at - apart - before;
        while self.vectors.front().is_some_and(|kept| kept.at <= oldest) {
            self.vectors.pop_front();
        }
        let mut sums = vec![0.0; values.len()];
        let mut counts = vec![0_i64; values.len()];
        for kept in &self.vectors {
            if at - kept.at < apart {
                break;
            }
            for (at, value) in kept.values.iter().enumerate() {
                if value.is_finite() {
                    sums[at] += value;
                    counts[at] += 1;
                }
            }
        }
        let least = (before / spacing.max(1) / 2).max(1);
        let means = sums.iter().zip(&counts).map(|(sum, count)| {
            #[expect(clippy::cast_precision_loss, reason = "a few windows")]
            let mean = sum / *count as f64;
            if *count >= least { mean } else { f64::NAN }
        });
        let difference: Vec<f64> = values.iter().zip(means).map(|(x, mean)| x - mean).collect();
        self.vectors.push_back(Kept { at, values });
        let known = difference.iter().filter(|x| x.is_finite()).count();
        (2 * known > difference.len()).then_some(difference)
    }
}

impl ChangepointSettings {
    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.before.micros() == 0 {
            found.push("before is 0s, but must be a time".to_owned());
        }
        let ranges = [
            ("tolerance", self.tolerance, 0.0, 1.0),
            ("limit_factor", self.limit_factor, 0.01, 1e6),
        ];
        for (name, value, least, most) in ranges {
            if !(value >= least && value <= most) {
                found.push(format!(
                    "{name} is {value}, but must be from {least} to {most}"
                ));
            }
        }
        found
    }

    /// Learns from the vectors of a learning period.
    ///
    /// **Errors** when that is not clearly longer than the statistic looks back.
    pub fn fit(&self, training: &Training<'_>) -> Result<ChangepointModel, FitError> {
        let (spacing, width) = (training.spacing(), training.features.len());
        let mut past = Past::default();
        let mut differences = Vec::new();
        for (time, row) in training.times.iter().zip(training.rows) {
            differences.extend(past.difference(*time, row.clone(), self, spacing));
        }
        if differences.len() < LEAST_DIFFERENCES {
            return Err(FitError::TooFewWindows {
                found: differences.len(),
                needed: LEAST_DIFFERENCES,
            });
        }
        let number = count(differences.len());
        let rows = count(training.rows.len());
        let mean = |of: usize| training.rows.iter().map(|row| row[of]).sum::<f64>() / rows;
        let scale: Vec<f64> = (0..width)
            .map(|of| {
                let squares: f64 = differences.iter().map(|d| d[of] * d[of]).sum();
                (squares / number).sqrt().max(f64::MIN_POSITIVE.sqrt())
            })
            .collect();
        let spread = Square::from_fn(width, |row, column| {
            let both = |d: &Vec<f64>| d[row] * d[column];
            differences.iter().map(both).sum::<f64>() / number / scale[row] / scale[column]
        });
        let tolerance = (0..width)
            .map(|of| match training.features[of].kind {
                FeatureKind::Mean => (self.tolerance * mean(of) / scale[of]).powi(2),
                _ => 0.0,
            })
            .collect();
        Ok(ChangepointModel {
            spread,
            tolerance,
            scale,
            weight: rows,
            spacing,
        })
    }
}

impl ChangepointDetector {
    /// A detector that has seen nothing of its asset.
    pub fn new(model: ChangepointModel, settings: &ChangepointSettings) -> Self {
        Self {
            settings: settings.clone(),
            precision: model.spread.precision(&model.tolerance),
            state: State {
                past: Past::default(),
                spread: model.spread,
                weight: model.weight,
                marked: None,
            },
            scale: model.scale,
            tolerance: model.tolerance,
            spacing: model.spacing,
            statistic: 0.0,
        }
    }

    fn learn(&mut self, difference: &[f64]) {
        if self.settings.memory.micros() == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 windows")]
        let most = (self.settings.memory.micros() / self.spacing.max(1)).max(1) as f64;
        let share = 1.0 / self.state.weight.min(most).max(1.0);
        self.state.weight = (self.state.weight + 1.0).min(most);
        self.state.spread.blend(difference, share);
        self.precision = self.state.spread.precision(&self.tolerance);
    }
}

impl Detector for ChangepointDetector {
    fn score(&mut self, sample: &Sample<'_>) -> Option<Score> {
        let values = sample.values.to_vec();
        let past = &mut self.state.past;
        let difference = past.difference(sample.at, values, &self.settings, self.spacing);
        self.statistic = 0.0;
        let Some(mut difference) = difference else {
            return Some(Score { ratio: 0.0 });
        };
        let mut complete = true;
        for (value, scale) in difference.iter_mut().zip(&self.scale) {
            *value /= scale;
            if !value.is_finite() {
                *value = 0.0;
                complete = false;
            }
        }
        let limit = self.settings.limit_factor * count(self.scale.len());
        self.statistic = self.precision.form(&difference) / limit;
        if self.statistic < 1.0 {
            if complete {
                self.learn(&difference);
            }
            return Some(Score {
                ratio: self.statistic,
            });
        }
        let rest = self.settings.rest.micros();
        let rests = |marked: i64| sample.at - marked < rest;
        if self.state.marked.is_some_and(rests) {
            return Some(Score { ratio: RESTING });
        }
        self.state.marked = Some(sample.at);
        Some(Score {
            ratio: self.statistic,
        })
    }

    fn explain(&self, _sample: &Sample<'_>) -> Explanation {
        Explanation {
            contributions: Vec::new(),
            facts: json!({ "statistic": self.statistic }),
        }
    }

    fn save(&self) -> Value {
        serde_json::to_value(&self.state).unwrap_or_default()
    }

    fn restore(&mut self, saved: &Value) {
        let width = self.scale.len();
        if let Ok(state) = serde_json::from_value::<State>(saved.clone())
            && state
                .past
                .vectors
                .iter()
                .all(|kept| kept.values.len() == width)
            && state.spread.size() == width
        {
            self.precision = state.spread.precision(&self.tolerance);
            self.state = state;
        }
    }
}

#[cfg(test)]
mod tests;
