//! Detectors whose picture of normal stands still: a shape in the space of the features, learned
//! once, and the distance to it.
//!
//! The shapes are k-means clusters, a Gaussian mixture, a one-class support vector machine and
//! elastic nets between the metrics, all by linfa. They say more than T² where normal is not one
//! cloud, and alarm when an asset drifts, so they need a learning period that describes it.
//!
//! The limit is the largest of what left-out blocks of time show: each is judged by a shape that
//! was learned from the others. A missing feature is taken to be at its mean.

mod boundary;
mod clusters;
mod mixture;
mod relations;

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::detector::{
    Contribution, Detector, Explanation, FitError, Sample, Score, Training,
};
use super::lagged::standards;
use crate::numbers::count;

pub use boundary::{Boundary, BoundarySettings};
pub use clusters::{ClusterSettings, Clusters};
pub use mixture::{Mixture, MixtureSettings};
pub use relations::{RelationSettings, Relations};

/// Share of a left-out block that lies below its limit.
const SHARE: f64 = 0.99;

/// How a shape is set.
pub trait ShapeSettings {
    /// What is learned.
    type Learned: Shape;
    /// Name for errors.
    const NAME: &'static str;

    /// Time blocks of the learning period that are left out in turn for the limit.
    fn blocks(&self) -> usize;

    /// Factor on the limit.
    fn limit_factor(&self) -> f64;

    /// Learns the shape of standardized rows.
    ///
    /// **Errors** with a sentence.
    fn learn(&self, rows: &[Vec<f64>]) -> Result<Self::Learned, String>;

    /// Everything else that is wrong, a sentence each.
    fn own_mistakes(&self) -> Vec<String>;

    /// Everything that is wrong, a sentence each.
    fn mistakes(&self) -> Vec<String> {
        let mut found = self.own_mistakes();
        if !(2..=100).contains(&self.blocks()) {
            let value = self.blocks();
            found.push(format!("blocks is {value}, but must be from 2 to 100"));
        }
        let factor = self.limit_factor();
        if !(factor > 0.0 && factor <= 1e6) {
            found.push(format!(
                "limit_factor is {factor}, but must be from 0 to 1e6"
            ));
        }
        found
    }

    /// Learns from the vectors of a learning period.
    ///
    /// **Errors** when there are too few of them or linfa refuses.
    fn fit(&self, training: &Training<'_>) -> Result<ShapeModel<Self::Learned>, FitError> {
        let rows = training.rows;
        let needed = self.blocks() * 5;
        if rows.len() < needed {
            return Err(FitError::TooFewWindows {
                found: rows.len(),
                needed,
            });
        }
        let all = 0..rows.len();
        let (center, scale) = standards(rows, std::slice::from_ref(&all));
        let standardized: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| standardize(row, &center, &scale))
            .collect();
        let failed = |reason| FitError::Numbers {
            detector: Self::NAME,
            reason,
        };
        let mut limit: f64 = 0.0;
        for block in 0..self.blocks() {
            let from = block * rows.len() / self.blocks();
            let to = (block + 1) * rows.len() / self.blocks();
            let others = [&standardized[..from], &standardized[to..]].concat();
            let shape = self.learn(&others).map_err(failed)?;
            let seen = standardized[from..to].iter().map(|row| shape.distance(row));
            limit = limit.max(quantile(seen.collect()));
        }
        Ok(ShapeModel {
            shape: self.learn(&standardized).map_err(failed)?,
            limit: limit.max(f64::MIN_POSITIVE),
            center,
            scale,
        })
    }
}

/// A shape of what is normal.
pub trait Shape: std::fmt::Debug + Clone + Send + 'static {
    /// How far a standardized point is from it: 0 at its heart, more outside.
    fn distance(&self, point: &[f64]) -> f64;
}

/// A learned shape with its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapeModel<S> {
    /// Means of the learning period.
    pub center: Vec<f64>,
    /// Deviations of the learning period.
    pub scale: Vec<f64>,
    /// The shape, in units of the deviations.
    pub shape: S,
    /// Largest distance in the left-out blocks.
    pub limit: f64,
}

/// A shape at work on one asset: it remembers nothing.
#[derive(Debug)]
pub struct ShapeDetector<S> {
    model: ShapeModel<S>,
    factor: f64,
    last: Option<(Vec<f64>, f64)>,
}

impl<S: Shape> ShapeDetector<S> {
    /// A detector with a factor on its limit.
    pub fn new(model: ShapeModel<S>, factor: f64) -> Self {
        Self {
            model,
            factor,
            last: None,
        }
    }
}

impl<S: Shape> Detector for ShapeDetector<S> {
    fn score(&mut self, sample: &Sample<'_>) -> Option<Score> {
        let mut point = standardize(sample.values, &self.model.center, &self.model.scale);
        let missing = point.iter().filter(|value| !value.is_finite()).count();
        self.last = None;
        if 2 * missing >= point.len() && missing > 0 {
            return None;
        }
        for value in &mut point {
            if !value.is_finite() {
                *value = 0.0;
            }
        }
        let distance = self.model.shape.distance(&point);
        self.last = Some((point, distance));
        Some(Score {
            ratio: distance / (self.model.limit * self.factor),
        })
    }

    /// A feature adds by how much the distance falls when it is put to its mean.
    fn explain(&self, _sample: &Sample<'_>) -> Explanation {
        let Some((point, distance)) = &self.last else {
            return Explanation::default();
        };
        let fall = |at: usize| {
            let mut other = point.clone();
            other[at] = 0.0;
            (distance - self.model.shape.distance(&other)).max(0.0)
        };
        let falls: Vec<f64> = (0..point.len()).map(fall).collect();
        let total: f64 = falls.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mut contributions: Vec<Contribution> = falls
            .iter()
            .enumerate()
            .map(|(feature, fall)| Contribution {
                feature,
                share: fall / total,
                observed: self.model.center[feature] + self.model.scale[feature] * point[feature],
                expected: self.model.center[feature],
                deviations: point[feature],
            })
            .collect();
        contributions.sort_by(|a, b| b.share.total_cmp(&a.share));
        Explanation {
            contributions,
            facts: json!({ "distance": distance, "limit": self.model.limit * self.factor }),
        }
    }

    fn save(&self) -> Value {
        Value::Null
    }

    fn restore(&mut self, _saved: &Value) {}
}

fn standardize(row: &[f64], center: &[f64], scale: &[f64]) -> Vec<f64> {
    let scaled = center.iter().zip(scale);
    row.iter()
        .zip(scaled)
        .map(|(value, (center, scale))| (value - center) / scale)
        .collect()
}

fn quantile(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in the list"
    )]
    let place = (SHARE * count(values.len().saturating_sub(1))).ceil() as usize;
    values.get(place).copied().unwrap_or(0.0)
}

/// Rows as linfa takes them.
fn matrix(rows: &[Vec<f64>]) -> Result<Array2<f64>, String> {
    let width = rows.first().map_or(0, Vec::len);
    let cells = rows.iter().flatten().copied().collect();
    Array2::from_shape_vec((rows.len(), width), cells).map_err(|error| error.to_string())
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests;
