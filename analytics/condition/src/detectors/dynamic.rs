//! Detectors of dynamic processes: the last few vectors side by side, two statistics of them.
//!
//! How the past vector is divided is what [`super::canonical`] and [`super::dynamic_pca`] differ
//! in: some directions, in which normal running moves, and the residual space of all others. T² of
//! the directions says that the process has gone to another place; that of the residual space
//! says that relations which always held no longer do. Both are smoothed over the last windows,
//! because a fault that a controller compensates is small and lasting.
//!
//! Limits are the largest smoothed values of the learning period, each time block judged by a model
//! of the others. A block that stands out far from the rest is taken for a fault inside the learning
//! period, and left out of everything.
//!
//! **Source**: Ku, Storer and Georgakis 1995 (lagged vectors), Lowry et al. 1992 (smoothing),
//! Alcala and Qin 2009 (contributions).

mod fit;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::detector::{Contribution, Detector, Explanation, Sample, Score};
use super::super::matrix::Square;
use super::super::shared::Shared;
use super::lagged::{History, is_gap};
use crate::numbers::count;

pub use fit::{covariance, directions, fit};

/// What the detectors of dynamic processes have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Common {
    /// Windows side by side in the past vector.
    pub past: usize,
    /// Windows over which both statistics are smoothed, several at once: the short memory finds
    /// large faults soon, the long one faint faults at all.
    pub memories: Vec<f64>,
    /// Time blocks that are left out in turn.
    pub blocks: usize,
    /// Factor on both limits.
    pub limit_factor: f64,
    /// Further factor on the limit of the directions.
    pub direction_factor: f64,
}

impl Common {
    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = out_of_range(&[
            ("past", count(self.past), 1.0, 16.0),
            ("memories", count(self.memories.len()), 1.0, 8.0),
            ("blocks", count(self.blocks), 2.0, 100.0),
            ("limit_factor", self.limit_factor, 0.1, 1e6),
            ("direction_factor", self.direction_factor, 0.1, 1e6),
        ]);
        let memories = self.memories.iter();
        found.extend(memories.flat_map(|memory| out_of_range(&[("memories", *memory, 1.0, 1e4)])));
        found
    }
}

/// A sentence for each name whose value is not between least and most.
pub fn out_of_range(numbers: &[(&str, f64, f64, f64)]) -> Vec<String> {
    let wrong = numbers
        .iter()
        .filter(|(_, value, least, most)| !(value >= least && value <= most));
    wrong
        .map(|(name, value, least, most)| {
            format!("{name} is {value}, but must be from {least} to {most}")
        })
        .collect()
}

/// What was learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamicModel {
    /// Means of the learning period.
    pub center: Vec<f64>,
    /// Deviations of the learning period.
    pub scale: Vec<f64>,
    /// Windows in the past vector, the newest first.
    pub past: usize,
    /// How the past vector is divided.
    pub space: Shared<Space>,
    /// For each memory the largest smoothed statistics of the left-out blocks.
    pub limits: Vec<Statistics>,
    /// Blocks of the learning period that were taken for faults, and left out.
    pub faulty_blocks: usize,
    /// Usual time from window to window. **Units**: microseconds.
    pub spacing: i64,
}

/// The past vector divided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// The quadratic form of the whole: T² of the directions and of the residual space together.
    pub form: Square,
    /// Weights of each direction, such that it has variance 1; the strongest first.
    pub directions: Vec<Vec<f64>>,
}

/// Both statistics, each per dimension, so that about 1 is normal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// T² of the directions.
    pub directions: f64,
    /// T² of the residual space.
    pub residual: f64,
}

impl Space {
    /// Both statistics of a past vector, and its product with the form.
    pub fn of(&self, past: &[f64]) -> (Statistics, Vec<f64>) {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let pull = self.form.times(past);
        let along = self.directions.iter().map(|w| dot(w, past).powi(2));
        let along: f64 = along.sum();
        let rest = self.form.size().saturating_sub(self.directions.len());
        let statistics = Statistics {
            directions: along / count(self.directions.len().max(1)),
            residual: (dot(past, &pull) - along).max(0.0) / count(rest.max(1)),
        };
        (statistics, pull)
    }

    /// The form of a vector that has stood for as long as the past is.
    fn steady(&self, features: usize, past: usize) -> Square {
        let lags = || (0..past).map(|lag| lag * features);
        Square::from_fn(features, |row, column| {
            let of = |left: usize| lags().map(move |right| (left + row, right + column));
            lags()
                .flat_map(of)
                .map(|(row, column)| self.form.at(row, column))
                .sum()
        })
    }
}

/// Statistics end here before they are smoothed; limits are of the order of one.
const CAP: f64 = 1e4;

impl Statistics {
    /// What is normal, where smoothing begins.
    const NORMAL: Self = Self {
        directions: 1.0,
        residual: 1.0,
    };

    fn smooth(&mut self, next: Self, memory: f64) {
        // One absurd reading must not fill the memory for good.
        let capped = |next: f64| if next.is_nan() { CAP } else { next.min(CAP) };
        self.directions += (capped(next.directions) - self.directions) / memory;
        self.residual += (capped(next.residual) - self.residual) / memory;
    }

    fn at_least(self, other: Self) -> Self {
        Self {
            directions: self.directions.max(other.directions),
            residual: self.residual.max(other.residual),
        }
    }
}

/// Such a detector at work on one asset.
#[derive(Debug)]
pub struct DynamicDetector {
    center: Vec<f64>,
    scale: Vec<f64>,
    past: usize,
    spacing: i64,
    space: Shared<Space>,
    memories: Vec<f64>,
    /// Alarm limits of each memory, all factors in them.
    limits: Vec<Statistics>,
    history: History,
    /// By each memory.
    smoothed: Vec<Statistics>,
    /// What each feature adds, smoothed like the statistics.
    falls: Vec<f64>,
    /// How far each feature is from what all others suggest. **Units**: deviations.
    apart: Vec<f64>,
}

impl DynamicDetector {
    /// A detector that has seen nothing yet.
    pub fn new(model: DynamicModel, common: &Common) -> Self {
        let features = model.center.len();
        let limit = |of: &Statistics| Statistics {
            directions: of.directions * common.limit_factor * common.direction_factor,
            residual: of.residual * common.limit_factor,
        };
        let number = model.limits.len().min(common.memories.len());
        Self {
            memories: common.memories[..number].to_vec(),
            limits: model.limits[..number].iter().map(limit).collect(),
            smoothed: vec![Statistics::NORMAL; number],
            space: model.space,
            center: model.center,
            scale: model.scale,
            past: model.past,
            spacing: model.spacing,
            history: History::default(),
            falls: vec![0.0; features],
            apart: vec![0.0; features],
        }
    }

    /// The standardized vector; what is missing is what the others suggest. `None` when half of
    /// it or more is missing.
    fn standardize(&self, values: &[f64]) -> Option<Vec<f64>> {
        let scaled = self.center.iter().zip(&self.scale);
        let mut vector: Vec<f64> = values
            .iter()
            .zip(scaled)
            .map(|(x, (center, scale))| (x - center) / scale)
            .collect();
        let missing: Vec<usize> = (0..vector.len())
            .filter(|at| !vector[*at].is_finite())
            .collect();
        if missing.is_empty() {
            return Some(vector);
        }
        if 2 * missing.len() >= vector.len() {
            return None;
        }
        for at in &missing {
            vector[*at] = 0.0;
        }
        // Places of the newest window come first in the past vector. Without a history the vector
        // is taken to have stood for as long as the past is.
        let past = self.history.stack(&vector, self.past);
        let fill = |form: &Square, past: &[f64]| {
            let pull = form.times(past);
            let right: Vec<f64> = missing.iter().map(|at| -pull[*at]).collect();
            form.solve_part(&missing, &right)
        };
        let filled = match &past {
            Some(past) => fill(&self.space.form, past),
            None => fill(&self.space.steady(vector.len(), self.past), &vector),
        };
        for (at, value) in missing.iter().zip(filled.into_iter().flatten()) {
            vector[*at] = value;
        }
        Some(vector)
    }

    /// The largest ratios of any memory to its limits.
    fn ratios(&self) -> Statistics {
        let nothing = Statistics {
            directions: 0.0,
            residual: 0.0,
        };
        let both = self.smoothed.iter().zip(&self.limits);
        both.fold(nothing, |most, (smoothed, limit)| {
            most.at_least(Statistics {
                directions: smoothed.directions / limit.directions,
                residual: smoothed.residual / limit.residual,
            })
        })
    }
}

impl Detector for DynamicDetector {
    fn score(&mut self, sample: &Sample<'_>) -> Option<Score> {
        if is_gap(sample.elapsed, self.spacing) {
            self.history.clear();
        }
        let Some(vector) = self.standardize(sample.values) else {
            self.history.clear();
            return None;
        };
        let past = self.history.stack(&vector, self.past);
        self.history.push(vector, self.past);
        let (statistics, pull) = self.space.of(&past?);
        for (smoothed, memory) in self.smoothed.iter_mut().zip(&self.memories) {
            smoothed.smooth(statistics, *memory);
        }
        let memory = self.memories.get(self.memories.len() / 2).copied();
        let features = self.center.len();
        let form = &self.space.form;
        let fall = |at: usize| pull[at] * pull[at] / form.at(at, at).max(f64::MIN_POSITIVE);
        for (at, smoothed) in self.falls.iter_mut().enumerate() {
            let now: f64 = (0..self.past).map(|lag| fall(lag * features + at)).sum();
            *smoothed += (now - *smoothed) / memory.unwrap_or(1.0);
            self.apart[at] = pull[at] / form.at(at, at).max(f64::MIN_POSITIVE);
        }
        let ratios = self.ratios();
        Some(Score {
            ratio: ratios.directions.max(ratios.residual),
        })
    }

    fn explain(&self, sample: &Sample<'_>) -> Explanation {
        let total: f64 = self.falls.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mut contributions: Vec<Contribution> = (0..self.falls.len())
            .filter(|at| sample.values[*at].is_finite())
            .map(|at| Contribution {
                feature: at,
                share: self.falls[at] / total,
                observed: sample.values[at],
                expected: sample.values[at] - self.scale[at] * self.apart[at],
                deviations: self.apart[at],
            })
            .collect();
        contributions.sort_by(|a, b| b.share.total_cmp(&a.share));
        let ratios = self.ratios();
        Explanation {
            contributions,
            facts: json!({
                "direction_ratio": ratios.directions,
                "residual_ratio": ratios.residual,
                "past": self.past,
                "directions": self.space.directions.len(),
            }),
        }
    }

    fn save(&self) -> Value {
        let history: Vec<&Vec<f64>> = self.history.rows().collect();
        json!({ "history": history, "smoothed": self.smoothed, "falls": self.falls })
    }

    fn restore(&mut self, saved: &Value) {
        let part = |name: &str| saved[name].clone();
        let history: Result<Vec<Vec<f64>>, _> = serde_json::from_value(part("history"));
        let smoothed: Result<Vec<Statistics>, _> = serde_json::from_value(part("smoothed"));
        let falls: Result<Vec<f64>, _> = serde_json::from_value(part("falls"));
        if let (Ok(history), Ok(smoothed), Ok(falls)) = (history, smoothed, falls) {
            let width = self.center.len();
            let fits = history.len() < self.past && history.iter().all(|row| row.len() == width);
            if fits && falls.len() == width && smoothed.len() == self.memories.len() {
                self.history.go_on(history);
                self.smoothed = smoothed;
                self.falls = falls;
            }
        }
    }
}

#[cfg(test)]
mod tests;
