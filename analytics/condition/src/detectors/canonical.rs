//! Canonical variates: for processes under control, whose controllers hide a fault in the levels
//! but not in the relations between the metrics and their own recent past.
//!
//! The last few vectors side by side are what the process did. Their canonical variates with what
//! comes next are its states. T² of the states says that the process has gone to another place;
//! T² of the residual space, everything else of the past vector, says that relations which always
//! held no longer do. The second is what finds compensated faults. Both are smoothed over the last
//! windows, because a compensated fault is small and lasting.
//!
//! The past is looked at in full: a direction in which normal running hardly moves (a valve and
//! its flow) is the sharpest of all, so it is weighted by its own small variance, not lumped into
//! a sum of squares as dynamic PCA does.
//!
//! **Source**: Larimore 1990 (canonical variate analysis), Russell, Chiang and Braatz 2000 (T² of
//! the residual space for fault detection), Lowry et al. 1992 (smoothing).

mod fit;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::detector::{Contribution, Detector, Explanation, Sample, Score};
use super::super::matrix::Square;
use super::lagged::{History, count, is_gap};

/// How canonical variates are set. The reasons stand in `default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanonicalSettings {
    /// Windows side by side in the past vector, the newest included; fewer when the learning
    /// period is too short for so many.
    pub past: usize,
    /// Windows that the states shall foretell.
    pub future: usize,
    /// States, at most.
    pub states: usize,
    /// Windows over which both statistics are smoothed.
    pub memory: f64,
    /// Time blocks of the learning period that are left out in turn for the limits.
    pub blocks: usize,
    /// Factor on the limits from the left-out blocks.
    pub limit_factor: f64,
    /// Further factor on the limit of the states.
    pub state_factor: f64,
}

impl CanonicalSettings {
    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let numbers = [
            ("past", count(self.past), 1.0, 16.0),
            ("future", count(self.future), 1.0, 16.0),
            ("states", count(self.states), 1.0, 128.0),
            ("memory", self.memory, 1.0, 1e4),
            ("blocks", count(self.blocks), 2.0, 100.0),
            ("limit_factor", self.limit_factor, 0.1, 1e6),
            ("state_factor", self.state_factor, 0.1, 1e6),
        ];
        numbers
            .into_iter()
            .filter(|(_, value, least, most)| !(value >= least && value <= most))
            .map(|(name, value, least, most)| {
                format!("{name} is {value}, but must be from {least} to {most}")
            })
            .collect()
    }
}

/// What canonical variates have learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CanonicalModel {
    /// Means of the learning period.
    pub center: Vec<f64>,
    /// Deviations of the learning period.
    pub scale: Vec<f64>,
    /// Windows in the past vector.
    pub past: usize,
    /// Weights of each state on the past vector, newest window first, strongest state first.
    pub states: Vec<Vec<f64>>,
    /// Inverse of the past vector's covariance, row by row.
    pub form: Vec<Vec<f64>>,
    /// Largest smoothed T² of the states, per state, in the left-out blocks.
    pub state_limit: f64,
    /// Largest smoothed T² of the residual space, per dimension, in the left-out blocks.
    pub residual_limit: f64,
    /// Usual time from window to window. **Units**: microseconds.
    pub spacing: i64,
}

/// What both statistics are computed from.
#[derive(Debug, Clone)]
struct Space {
    form: Square,
    states: Vec<Vec<f64>>,
    dimensions: usize,
}

/// Both statistics, each per dimension, so that about 1 is normal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Statistics {
    state: f64,
    residual: f64,
}

impl Space {
    fn new(form: &[Vec<f64>], states: Vec<Vec<f64>>) -> Self {
        Self {
            dimensions: form.len(),
            form: Square::from_fn(form.len(), |row, column| form[row][column]),
            states,
        }
    }

    /// Both statistics of a past vector, and its product with the form.
    fn of(&self, past: &[f64]) -> (Statistics, Vec<f64>) {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let pull = self.form.times(past);
        let all = dot(past, &pull);
        let state: f64 = self.states.iter().map(|w| dot(w, past).powi(2)).sum();
        let rest = self.dimensions.saturating_sub(self.states.len()).max(1);
        let statistics = Statistics {
            state: state / count(self.states.len().max(1)),
            residual: (all - state).max(0.0) / count(rest),
        };
        (statistics, pull)
    }
}

impl Statistics {
    /// What is normal, where smoothing begins.
    const NORMAL: Self = Self {
        state: 1.0,
        residual: 1.0,
    };

    fn smooth(&mut self, next: Self, memory: f64) {
        self.state += (next.state - self.state) / memory;
        self.residual += (next.residual - self.residual) / memory;
    }
}

/// Canonical variates at work on one asset.
#[derive(Debug)]
pub struct CanonicalDetector {
    center: Vec<f64>,
    scale: Vec<f64>,
    past: usize,
    spacing: i64,
    space: Space,
    /// The form of a vector that has stood for as long as the past is.
    steady: Square,
    /// Alarm limits, all factors in them.
    limits: Statistics,
    memory: f64,
    history: History,
    smoothed: Statistics,
    /// What each feature adds, smoothed like the statistics.
    falls: Vec<f64>,
    /// How far each feature is from what all others suggest. **Units**: deviations.
    apart: Vec<f64>,
}

impl CanonicalDetector {
    /// A detector that has seen nothing yet.
    pub fn new(model: CanonicalModel, settings: &CanonicalSettings) -> Self {
        let features = model.center.len();
        let form = &model.form;
        let lags = || (0..model.past).map(|lag| lag * features);
        let steady = Square::from_fn(features, |row, column| {
            let of = |left: usize| lags().map(move |right| form[left + row][right + column]);
            lags().flat_map(of).sum()
        });
        Self {
            steady,
            limits: Statistics {
                state: model.state_limit * settings.limit_factor * settings.state_factor,
                residual: model.residual_limit * settings.limit_factor,
            },
            space: Space::new(&model.form, model.states),
            center: model.center,
            scale: model.scale,
            past: model.past,
            spacing: model.spacing,
            memory: settings.memory,
            history: History::default(),
            smoothed: Statistics::NORMAL,
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
        let (form, pull) = match &past {
            Some(past) => (&self.space.form, self.space.form.times(past)),
            None => (&self.steady, self.steady.times(&vector)),
        };
        let right: Vec<f64> = missing.iter().map(|at| -pull[*at]).collect();
        let filled = form.solve_part(&missing, &right);
        for (at, value) in missing.iter().zip(filled.into_iter().flatten()) {
            vector[*at] = value;
        }
        Some(vector)
    }

    fn ratios(&self) -> Statistics {
        Statistics {
            state: self.smoothed.state / self.limits.state,
            residual: self.smoothed.residual / self.limits.residual,
        }
    }
}

impl Detector for CanonicalDetector {
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
        self.smoothed.smooth(statistics, self.memory);
        let features = self.center.len();
        let form = &self.space.form;
        let fall = |at: usize| pull[at] * pull[at] / form.at(at, at).max(f64::MIN_POSITIVE);
        for (at, smoothed) in self.falls.iter_mut().enumerate() {
            let now: f64 = (0..self.past).map(|lag| fall(lag * features + at)).sum();
            *smoothed += (now - *smoothed) / self.memory;
            self.apart[at] = pull[at] / form.at(at, at).max(f64::MIN_POSITIVE);
        }
        let ratios = self.ratios();
        Some(Score {
            ratio: ratios.state.max(ratios.residual),
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
                "state_ratio": ratios.state,
                "residual_ratio": ratios.residual,
                "past": self.past,
                "states": self.space.states.len(),
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
        let smoothed: Result<Statistics, _> = serde_json::from_value(part("smoothed"));
        let falls: Result<Vec<f64>, _> = serde_json::from_value(part("falls"));
        if let (Ok(history), Ok(smoothed), Ok(falls)) = (history, smoothed, falls) {
            let width = self.center.len();
            let fits = history.len() < self.past && history.iter().all(|row| row.len() == width);
            if fits && falls.len() == width {
                self.history.go_on(history);
                self.smoothed = smoothed;
                self.falls = falls;
            }
        }
    }
}

#[cfg(test)]
mod tests;
