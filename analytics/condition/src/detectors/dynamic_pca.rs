//! Dynamic principal components: the strongest directions of the past vector, and what they do not
//! explain as one sum of squares.
//!
//! Faults that move the process in directions in which it moves anyway are found as with static
//! components; the lags add relations over time. A relation that normal running keeps very well
//! counts no more in the sum of squares than one that it keeps less well: where that matters, take
//! [`super::canonical`].
//!
//! **Source**: Ku, Storer and Georgakis 1995.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::super::detector::{FitError, Training};
use super::super::matrix::Square;
use super::dynamic::{self, Common, DynamicModel, Space, covariance, directions, out_of_range};
use super::lagged::stacked;
use crate::numbers::count;

/// The residual variance is at least this: readings are rounded.
const ROUNDING: f64 = 1e-4;

/// How dynamic principal components are set. The reasons stand in `default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamicPcaSettings {
    /// Windows side by side in the past vector, the newest included; fewer when the learning
    /// period is too short for so many.
    pub past: usize,
    /// Share of the variance that the kept components explain.
    pub explained_variance: f64,
    /// Windows over which both statistics are smoothed, several at once.
    pub memories: Vec<f64>,
    /// Time blocks of the learning period that are left out in turn for the limits.
    pub blocks: usize,
    /// Factor on the limits from the left-out blocks.
    pub limit_factor: f64,
    /// Further factor on the limit of the components.
    pub component_factor: f64,
}

impl DynamicPcaSettings {
    /// What it has in common with others.
    pub fn common(&self) -> Common {
        Common {
            past: self.past,
            memories: self.memories.clone(),
            blocks: self.blocks,
            limit_factor: self.limit_factor,
            direction_factor: self.component_factor,
        }
    }

    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = self.common().mistakes();
        let share = ("explained_variance", self.explained_variance, 0.01, 0.999);
        found.extend(out_of_range(&[share]));
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
        let (values, vectors) = directions(&covariance(&whole, &whole))?;
        let total: f64 = values.iter().sum();
        let mut explained = 0.0;
        let mut needed = |value: &f64| {
            let before = explained;
            explained += value;
            before < self.explained_variance * total
        };
        let most = values.len().saturating_sub(1).max(1);
        let kept = values
            .iter()
            .take(most)
            .take_while(|value| needed(value))
            .count();
        let rest: f64 = values.iter().skip(kept).sum();
        let residual = (rest / count((values.len() - kept).max(1))).max(ROUNDING);
        let components: Vec<Vec<f64>> = (0..kept)
            .map(|at| vectors.column(at).mapv(|x| x / values[at].sqrt()).to_vec())
            .collect();
        let form = Square::from_fn(values.len(), |row, column| {
            let unit = if row == column { 1.0 / residual } else { 0.0 };
            let of = |(weights, variance): (&Vec<f64>, &f64)| {
                weights[row] * weights[column] * (1.0 - variance / residual)
            };
            unit + components.iter().zip(&values).map(of).sum::<f64>()
        });
        Ok(Space {
            form,
            directions: components,
        })
    }
}
