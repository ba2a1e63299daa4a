//! The one-class support vector machine: a boundary around what was seen.
//!
//! **Source**: Schölkopf et al. 2001, by linfa.

use linfa::DatasetBase;
use linfa::dataset::Pr;
use linfa::traits::Fit;
use linfa_svm::Svm;
use serde::{Deserialize, Serialize};

use super::{Shape, ShapeSettings, matrix, squared_distance};
use crate::numbers::count;

/// How a boundary is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundarySettings {
    /// Share of the rows that may lie outside.
    pub outside: f64,
    /// Width of the kernel in multiples of what the number of features suggests.
    pub width: f64,
    /// Rows that are learned from at most, evenly spread: the effort grows with their square.
    pub rows: usize,
    /// Time blocks that are left out in turn for the limit.
    pub blocks: usize,
    /// Factor on the limit.
    pub limit_factor: f64,
}

/// Support vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boundary {
    /// The rows that hold the boundary.
    pub support: Vec<Vec<f64>>,
    /// Their weights, which sum to one.
    pub weights: Vec<f64>,
    /// The kernel is exp(−squared distance / this).
    pub width: f64,
    /// Largest sum of kernels that was seen while learning.
    pub top: f64,
}

impl Boundary {
    fn sum(&self, point: &[f64]) -> f64 {
        let kernels = self.support.iter().zip(&self.weights);
        kernels
            .map(|(row, weight)| weight * (-squared_distance(point, row) / self.width).exp())
            .sum()
    }
}

impl Shape for Boundary {
    /// The logarithm of the largest sum of kernels over that of the point, so that it goes on
    /// growing far outside.
    fn distance(&self, point: &[f64]) -> f64 {
        (self.top / self.sum(point).max(f64::MIN_POSITIVE))
            .ln()
            .max(0.0)
    }
}

impl ShapeSettings for BoundarySettings {
    type Learned = Boundary;
    const NAME: &'static str = "boundary";

    fn blocks(&self) -> usize {
        self.blocks
    }

    fn limit_factor(&self) -> f64 {
        self.limit_factor
    }

    fn own_mistakes(&self) -> Vec<String> {
        let ranges = [
            ("outside", self.outside, 0.001, 1.0),
            ("width", self.width, 0.01, 1e3),
            ("rows", count(self.rows), 20.0, 2_000.0),
        ];
        let wrong = ranges
            .iter()
            .filter(|(_, value, least, most)| !(value >= least && value <= most));
        wrong
            .map(|(name, value, least, most)| {
                format!("{name} is {value}, but must be from {least} to {most}")
            })
            .collect()
    }

    fn learn(&self, rows: &[Vec<f64>]) -> Result<Boundary, String> {
        let stride = rows.len().div_ceil(self.rows).max(1);
        let rows: Vec<Vec<f64>> = rows.iter().step_by(stride).cloned().collect();
        let features = count(rows.first().map_or(1, Vec::len));
        let width = self.width * 2.0 * features;
        let records = DatasetBase::from(matrix(&rows)?);
        let fitted = Svm::<f64, Pr>::params()
            .gaussian_kernel(width)
            .nu_weight(self.outside)
            .fit(&records)
            .map_err(|error| error.to_string())?;
        let total: f64 = fitted.alpha.iter().sum();
        let held = rows.iter().zip(&fitted.alpha);
        let held = held.filter(|(_, alpha)| **alpha > 0.0);
        let (support, weights) = held
            .map(|(row, alpha)| (row.clone(), alpha / total))
            .unzip();
        let mut boundary = Boundary {
            support,
            weights,
            width,
            top: 0.0,
        };
        let sums = rows.iter().map(|row| boundary.sum(row));
        boundary.top = sums.fold(f64::MIN_POSITIVE, f64::max);
        Ok(boundary)
    }
}
