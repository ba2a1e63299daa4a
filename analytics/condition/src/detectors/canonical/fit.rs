//! Learning the states and the residual space.

use std::ops::Range;

use linfa_linalg::eigh::{EigSort, Eigh};
use ndarray::{Array1, Array2, Axis};

use super::super::super::detector::{FitError, Training};
use super::super::lagged::{History, count, runs, stacked, standards, within, without};
use super::{CanonicalModel, CanonicalSettings, Space, Statistics};

/// Added to every variance of the standardized past: readings are rounded, so no direction is
/// known to be quieter than this.
const ROUNDING: f64 = 1e-4;
/// Added while looking for states: with few windows chance makes correlations of nearly 1 between
/// quiet directions, and those are no states.
const STATE_RIDGE: f64 = 0.05;
/// Windows per dimension of the past vector, at least; otherwise the past is made shorter.
const WINDOWS_PER_DIMENSION: usize = 2;
/// Windows in a left-out block, at least.
const LEAST_BLOCK: usize = 10;

/// What is learned from some runs of the learning period.
struct Learned {
    center: Vec<f64>,
    scale: Vec<f64>,
    states: Vec<Vec<f64>>,
    form: Vec<Vec<f64>>,
}

impl CanonicalSettings {
    /// Learns from the vectors of a learning period.
    ///
    /// **Errors** when there are too few windows in a row, or the arithmetic fails.
    pub fn fit(&self, training: &Training<'_>) -> Result<CanonicalModel, FitError> {
        let rows = training.rows;
        let width = training.features.len().max(1);
        let past = (rows.len() / (WINDOWS_PER_DIMENSION * width)).clamp(1, self.past);
        let runs = runs(training);
        let learned = self.learn(rows, &runs, past)?;
        let limits = self.limits(rows, &runs, past)?;
        Ok(CanonicalModel {
            center: learned.center,
            scale: learned.scale,
            past,
            states: learned.states,
            form: learned.form,
            state_limit: limits.state,
            residual_limit: limits.residual,
            spacing: training.spacing(),
        })
    }

    fn learn(
        &self,
        rows: &[Vec<f64>],
        runs: &[Range<usize>],
        past: usize,
    ) -> Result<Learned, FitError> {
        let (center, scale) = standards(rows, runs);
        let rows = standardized(rows, &center, &scale);
        let before = stacked(&rows, runs, past, self.future);
        // The future of a place is the past of the place so many windows later.
        let later: Vec<Range<usize>> = runs.iter().map(|run| ahead(run, past)).collect();
        let after = stacked(&rows, &later, self.future, 0);
        let whole = stacked(&rows, runs, past, 0);
        if whole.nrows() <= whole.ncols() || before.nrows() != after.nrows() {
            return Err(FitError::TooFewWindows {
                found: whole.nrows(),
                needed: whole.ncols() + 1,
            });
        }
        let spread = covariance(&whole, &whole);
        let (values, vectors) = directions(&spread)?;
        let form = power(&values, &vectors, ROUNDING, -1.0);
        let of_past = power(&values, &vectors, STATE_RIDGE, -0.5);
        let (values, vectors) = directions(&covariance(&after, &after))?;
        let of_future = power(&values, &vectors, STATE_RIDGE, -0.5);
        let correlation = of_future.dot(&covariance(&after, &before)).dot(&of_past);
        let (_, vectors) = directions(&correlation.t().dot(&correlation))?;
        let kept = self.states.min(whole.ncols() / 2).max(1);
        let states = vectors
            .slice_axis(Axis(1), (..kept).into())
            .t()
            .dot(&of_past);
        Ok(Learned {
            center,
            scale,
            states: lists(&states),
            form: lists(&form),
        })
    }

    /// The largest smoothed statistics in blocks that the model of the rest has not seen.
    fn limits(
        &self,
        rows: &[Vec<f64>],
        runs: &[Range<usize>],
        past: usize,
    ) -> Result<Statistics, FitError> {
        let blocks = self.blocks.min(rows.len() / LEAST_BLOCK).max(2);
        let mut limits = Statistics::NORMAL;
        for block in 0..blocks {
            let block = block * rows.len() / blocks..(block + 1) * rows.len() / blocks;
            let learned = self.learn(rows, &without(runs, &block), past)?;
            let space = Space::new(&learned.form, learned.states);
            let mut smoothed = Statistics::NORMAL;
            for run in within(runs, &block) {
                let mut history = History::default();
                for row in standardized(&rows[run], &learned.center, &learned.scale) {
                    if let Some(past) = history.stack(&row, past) {
                        smoothed.smooth(space.of(&past).0, self.memory);
                        limits.state = limits.state.max(smoothed.state);
                        limits.residual = limits.residual.max(smoothed.residual);
                    }
                    history.push(row, past);
                }
            }
        }
        Ok(limits)
    }
}

/// The windows of a run that are the future of a place in it: all but the first `past`.
fn ahead(run: &Range<usize>, past: usize) -> Range<usize> {
    (run.start + past).min(run.end)..run.end
}

fn standardized(rows: &[Vec<f64>], center: &[f64], scale: &[f64]) -> Vec<Vec<f64>> {
    rows.iter()
        .map(|row| {
            let scaled = center.iter().zip(scale);
            row.iter()
                .zip(scaled)
                .map(|(x, (center, scale))| (x - center) / scale)
                .collect()
        })
        .collect()
}

/// The covariance of the columns of two matrices with as many rows, whose means are removed.
fn covariance(left: &Array2<f64>, right: &Array2<f64>) -> Array2<f64> {
    let centered = |matrix: &Array2<f64>| match matrix.mean_axis(Axis(0)) {
        Some(mean) => matrix - &mean,
        None => matrix.clone(),
    };
    centered(left).t().dot(&centered(right)) / (count(left.nrows()) - 1.0).max(1.0)
}

/// Eigenvalues and eigenvectors of a symmetric matrix, the largest first.
fn directions(matrix: &Array2<f64>) -> Result<(Array1<f64>, Array2<f64>), FitError> {
    let found = matrix.eigh().map_err(|error| FitError::Numbers {
        detector: "canonical",
        reason: error.to_string(),
    })?;
    Ok(found.sort_eig_desc())
}

/// A power of the matrix with these directions, after `ridge` was added to every variance.
fn power(values: &Array1<f64>, vectors: &Array2<f64>, ridge: f64, power: f64) -> Array2<f64> {
    let scaled = values.mapv(|value| (value.max(0.0) + ridge).powf(power));
    (vectors * &scaled).dot(&vectors.t())
}

fn lists(matrix: &Array2<f64>) -> Vec<Vec<f64>> {
    matrix.outer_iter().map(|row| row.to_vec()).collect()
}
