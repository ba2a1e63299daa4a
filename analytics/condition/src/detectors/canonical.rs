//! Canonical variates: for processes under control, whose controllers hide a fault in the levels
//! but not in the relations between the metrics and their own recent past.
//!
//! The directions are the states: the canonical variates of the past vector with what comes next.
//! The residual space is what finds compensated faults. It is looked at in full: a direction in
//! which normal running hardly moves (a valve and its flow) is the sharpest of all, so it is
//! weighted by its own small variance, not lumped into a sum of squares as dynamic PCA does.
//!
//! **Source**: Larimore 1990 (canonical variate analysis), Russell, Chiang and Braatz 2000 (T² of
//! the residual space for fault detection).

use std::ops::Range;

use ndarray::{Array1, Array2, Axis};
use serde::{Deserialize, Serialize};

use super::super::detector::{FitError, Training};
use super::super::matrix::Square;
use super::dynamic::{self, Common, DynamicModel, Space, covariance, directions, out_of_range};
use super::lagged::stacked;
use crate::numbers::count;

/// Added to every variance of the standardized past: readings are rounded, so no direction is
/// known to be quieter than this.
const ROUNDING: f64 = 1e-4;
/// Added while looking for states: with few windows chance makes correlations of nearly 1 between
/// quiet directions, and those are no states.
const STATE_RIDGE: f64 = 0.05;

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
    /// Windows over which both statistics are smoothed, several at once.
    pub memories: Vec<f64>,
    /// Time blocks of the learning period that are left out in turn for the limits.
    pub blocks: usize,
    /// Factor on the limits from the left-out blocks.
    pub limit_factor: f64,
    /// Further factor on the limit of the states.
    pub state_factor: f64,
}

impl CanonicalSettings {
    /// What it has in common with others.
    pub fn common(&self) -> Common {
        Common {
            past: self.past,
            memories: self.memories.clone(),
            blocks: self.blocks,
            limit_factor: self.limit_factor,
            direction_factor: self.state_factor,
        }
    }

    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = self.common().mistakes();
        found.extend(out_of_range(&[
            ("future", count(self.future), 1.0, 16.0),
            ("states", count(self.states), 1.0, 128.0),
        ]));
        found
    }

    /// Learns from the vectors of a learning period.
    ///
    /// **Errors** when there are too few windows in a row, or the arithmetic fails.
    pub fn fit(&self, training: &Training<'_>) -> Result<DynamicModel, FitError> {
        dynamic::fit(&self.common(), training, |rows, runs, past| {
            self.divide(rows, runs, past)
        })
    }

    fn divide(
        &self,
        rows: &[Vec<f64>],
        runs: &[Range<usize>],
        past: usize,
    ) -> Result<Space, FitError> {
        let whole = stacked(rows, runs, past, 0);
        let before = stacked(rows, runs, past, self.future);
        // The future of a place is the past of the place so many windows later.
        let later: Vec<Range<usize>> = runs.iter().map(|run| ahead(run, past)).collect();
        let after = stacked(rows, &later, self.future, 0);
        let (values, vectors) = directions(&covariance(&whole, &whole))?;
        let form = power(&values, &vectors, ROUNDING, -1.0);
        let of_past = power(&values, &vectors, STATE_RIDGE, -0.5);
        let (values, vectors) = directions(&covariance(&after, &after))?;
        let of_future = power(&values, &vectors, STATE_RIDGE, -0.5);
        let correlation = of_future.dot(&covariance(&after, &before)).dot(&of_past);
        let (_, vectors) = directions(&correlation.t().dot(&correlation))?;
        let kept = self.states.min(whole.ncols() / 2).max(1);
        let states = vectors.slice_axis(Axis(1), (..kept).into());
        let states = states.t().dot(&of_past);
        Ok(Space {
            form: Square::from_fn(form.nrows(), |row, column| form[[row, column]]),
            directions: states.outer_iter().map(|state| state.to_vec()).collect(),
        })
    }
}

/// The windows of a run that are the future of a place in it: all but the first `past`.
fn ahead(run: &Range<usize>, past: usize) -> Range<usize> {
    (run.start + past).min(run.end)..run.end
}

/// A power of the matrix with these directions, after `ridge` was added to every variance.
fn power(values: &Array1<f64>, vectors: &Array2<f64>, ridge: f64, power: f64) -> Array2<f64> {
    let scaled = values.mapv(|value| (value.max(0.0) + ridge).powf(power));
    (vectors * &scaled).dot(&vectors.t())
}
