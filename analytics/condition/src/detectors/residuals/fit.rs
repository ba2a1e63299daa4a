//! Learning the regression and the covariance of what it leaves.

use super::super::super::detector::{FitError, Training};
use super::super::super::matrix::Square;
use super::super::super::settings::FeatureKind;
use super::super::pca::{limits::limit, slow_changes, standards};
use super::{Recursion, ResidualModel, ResidualSettings, quadratic, recursion};
use std::ops::Range;

use crate::numbers::count;

/// Share of the covariance that is taken as independent: few windows lie about correlations.
const SHRINKAGE: f64 = 0.1;
/// Mean change of a normal number from one draw to the next is this part of 1 / deviation.
const CHANGE_TO_DEVIATION: f64 = 1.25;

impl ResidualSettings {
    /// Learns from the vectors of a learning period.
    ///
    /// **Errors** when all metrics are inputs or the arithmetic fails.
    pub fn fit(&self, training: &Training<'_>) -> Result<ResidualModel, FitError> {
        let failed = |reason: &str| FitError::Numbers {
            detector: "residuals",
            reason: reason.to_owned(),
        };
        let numbered = || training.features.iter().enumerate();
        let named = |names: &[String]| -> Vec<usize> {
            let wanted = numbered()
                .filter(|(_, f)| f.kind == FeatureKind::Mean && names.contains(&f.metric));
            wanted.map(|(at, _)| at).collect()
        };
        let (inputs, set_points) = (named(&self.inputs), named(&self.set_points));
        let apart = |at: &usize| !inputs.contains(at) && !set_points.contains(at);
        let outputs: Vec<usize> = (0..training.features.len()).filter(apart).collect();
        if outputs.is_empty() {
            return Err(failed("no metric is left that the inputs could explain"));
        }
        let (center, scale) = standards(training.rows);
        let standardized: Vec<Vec<f64>> = training
            .rows
            .iter()
            .map(|row| {
                (0..row.len())
                    .map(|at| (row[at] - center[at]) / scale[at])
                    .collect()
            })
            .collect();
        let pick = |row: &[f64], which: &[usize]| -> Vec<f64> {
            which.iter().map(|at| row[*at]).collect()
        };
        let terms: Vec<Vec<f64>> = standardized
            .iter()
            .map(|row| recursion::terms(&pick(row, &inputs)))
            .collect();
        let seen: Vec<Vec<f64>> = standardized.iter().map(|row| pick(row, &outputs)).collect();
        let regression =
            regress(&terms, &seen, self.ridge).ok_or_else(|| failed("the inputs say the same"))?;
        let residuals: Vec<Vec<f64>> = terms
            .iter()
            .zip(&seen)
            .map(|(terms, seen)| {
                let expected = regression.expected(terms);
                seen.iter()
                    .zip(&expected)
                    .map(|(seen, expected)| seen - expected)
                    .collect()
            })
            .collect();
        let lag = training.lag(self.drift_lag, 3);
        let parts = training.parts();
        let covariance = covariance(&residuals, &parts, lag, self.drift_factor);
        let (size, all) = (outputs.len(), (0..outputs.len()).collect::<Vec<_>>());
        let square = Square::from_fn(size, |row, column| covariance[row * size + column]);
        let distances: Option<Vec<f64>> = residuals
            .iter()
            .map(|one| quadratic(&square, &all, one))
            .collect();
        let distances = distances.ok_or_else(|| failed("the residuals have no covariance"))?;
        let noise = set_points.iter().map(|at| {
            let within = parts.iter().flat_map(|part| {
                let two = training.rows[part.clone()].windows(2);
                two.map(|two| (two[1][*at] - two[0][*at]).abs())
            });
            let number = training.rows.len().saturating_sub(parts.len()).max(1);
            let mean = within.sum::<f64>() / count(number);
            (CHANGE_TO_DEVIATION * mean).max(1e-9)
        });
        Ok(ResidualModel {
            set_point_noise: noise.collect(),
            limit: limit(size, &distances),
            center,
            scale,
            inputs,
            set_points,
            outputs,
            regression,
            covariance,
        })
    }
}

/// Ridge regression; `None` when it has no solution. The first term is not pulled.
fn regress(terms: &[Vec<f64>], outputs: &[Vec<f64>], ridge: f64) -> Option<Recursion> {
    let (width, height) = (terms.first()?.len(), outputs.first()?.len());
    let gram = Square::from_fn(width, |row, column| {
        let sum: f64 = terms.iter().map(|t| t[row] * t[column]).sum();
        let pull = if row == column && row > 0 {
            ridge * count(terms.len())
        } else {
            0.0
        };
        sum + pull + if row == column { 1e-9 } else { 0.0 }
    });
    let all: Vec<usize> = (0..width).collect();
    let mut coefficients = vec![0.0; width * height];
    for output in 0..height {
        let right: Vec<f64> = (0..width)
            .map(|row| {
                terms
                    .iter()
                    .zip(outputs)
                    .map(|(t, o)| t[row] * o[output])
                    .sum()
            })
            .collect();
        for (row, value) in gram.solve_part(&all, &right)?.into_iter().enumerate() {
            coefficients[row * height + output] = value;
        }
    }
    let mut uncertainty = vec![0.0; width * width];
    for column in 0..width {
        let unit: Vec<f64> = (0..width)
            .map(|row| if row == column { 1.0 } else { 0.0 })
            .collect();
        for (row, value) in gram.solve_part(&all, &unit)?.into_iter().enumerate() {
            uncertainty[row * width + column] = value;
        }
    }
    Some(Recursion::new(height, coefficients, uncertainty))
}

/// Covariance of the residuals and of their slow changes, row by row.
fn covariance(residuals: &[Vec<f64>], parts: &[Range<usize>], lag: usize, factor: f64) -> Vec<f64> {
    let size = residuals[0].len();
    let products = |rows: &[Vec<f64>], weight: f64, sums: &mut Vec<f64>| {
        for row in rows {
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum += weight * row[at / size] * row[at % size];
            }
        }
    };
    let mut sums = vec![0.0; size * size];
    products(
        residuals,
        1.0 / (count(residuals.len()) - 1.0).max(1.0),
        &mut sums,
    );
    let changes = slow_changes(residuals, parts, lag);
    if !changes.is_empty() {
        products(&changes, factor * factor / count(changes.len()), &mut sums);
    }
    for (at, cell) in sums.iter_mut().enumerate() {
        if at / size == at % size {
            // A metric that is explained to the last digit has no deviation of its own.
            *cell = cell.max(1e-6);
        } else {
            *cell *= 1.0 - SHRINKAGE;
        }
    }
    sums
}
