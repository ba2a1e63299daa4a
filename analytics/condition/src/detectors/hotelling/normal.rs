//! What is normal: the spread around the reference, the usual drift, and the instruments' tolerance.

use std::ops::Range;

use crate::numbers::count;
use serde::{Deserialize, Serialize};

use super::super::super::matrix::Square;

/// How normal samples lie around their reference. **Units**: deviations of the learning period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normal {
    /// Covariance around the reference.
    pub spread: Square,
    /// Covariance of the changes over the drift lag.
    pub drift: Square,
    /// Variance of each feature that the instruments' tolerance explains.
    pub tolerance: Vec<f64>,
    /// Samples that it rests on.
    pub weight: f64,
}

impl Normal {
    /// What the standardized samples of a learning period show, in order of time.
    ///
    /// Changes over the lag are asked within each of the parts of the rows.
    pub fn learned(
        rows: &[Vec<f64>],
        parts: &[Range<usize>],
        lag: usize,
        tolerance: Vec<f64>,
    ) -> Self {
        let pairs = parts.iter().flat_map(|part| {
            let rows = &rows[part.clone()];
            rows.iter().zip(rows.iter().skip(lag))
        });
        let changes: Vec<Vec<f64>> = pairs
            .map(|(before, after)| after.iter().zip(before).map(|(a, b)| a - b).collect())
            .collect();
        Self {
            spread: second_moments(rows, tolerance.len()),
            drift: second_moments(&changes, tolerance.len()),
            tolerance,
            weight: count(rows.len()),
        }
    }

    /// The inverse of everything that widens the band together.
    pub fn precision(&self, drift_factor: f64) -> Square {
        let squared = drift_factor * drift_factor;
        let both = Square::from_fn(self.tolerance.len(), |row, column| {
            self.spread.at(row, column) + squared * self.drift.at(row, column)
        });
        both.precision(&self.tolerance)
    }
}

fn second_moments(rows: &[Vec<f64>], size: usize) -> Square {
    let number = count(rows.len().max(1));
    Square::from_fn(size, |row, column| {
        rows.iter().map(|x| x[row] * x[column]).sum::<f64>() / number
    })
}
