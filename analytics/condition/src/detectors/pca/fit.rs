//! Learning the components, with linfa.

use std::ops::Range;

use crate::numbers::count;
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_reduction::Pca;
use ndarray::Array2;

use super::super::super::detector::{FitError, Training};
use super::{Limits, PcaModel, PcaSettings, Scorer, limits::limit};

/// Directions with less than this share of the strongest one's variance count as residual.
const LEAST_VARIANCE: f64 = 1e-6;

impl PcaSettings {
    /// Learns from the vectors of a learning period.
    ///
    /// **Errors** when the arithmetic fails.
    pub fn fit(&self, training: &Training<'_>) -> Result<PcaModel, FitError> {
        let mut rows = training.rows.to_vec();
        let (center, scale) = standards(&rows);
        for row in &mut rows {
            for (value, (center, scale)) in row.iter_mut().zip(center.iter().zip(&scale)) {
                *value = (*value - center) / scale;
            }
        }
        let lag = training.lag(self.drift_lag, 3);
        let directions = decompose(&rows, &training.parts(), lag, self.drift_factor)?;
        let (components, variances, residual_variance) =
            keep(directions, self.components, self.explained_variance);
        let mut model = PcaModel {
            center,
            scale,
            components,
            variances,
            residual_variance,
            limits: Limits {
                t2: 1.0,
                spe: 1.0,
                factor: self.limit_factor,
            },
        };
        model.limits = limits_of(&model, &rows);
        Ok(model)
    }
}

/// All directions of normal variation: the components, strongest first, with their variances.
///
/// The data that linfa sees are the standardized windows and, as if they were more windows, the
/// slow changes of the same windows in both directions (so their mean stays zero), scaled such
/// that singular values² / (n − 1) are the variances of both together. linfa's own
/// `explained_variance()` divides by the number of components − 1 instead of that of the windows,
/// so it cannot be used.
fn decompose(
    rows: &[Vec<f64>],
    parts: &[Range<usize>],
    lag: usize,
    factor: f64,
) -> Result<Vec<(Vec<f64>, f64)>, FitError> {
    let width = rows[0].len();
    let changes = if factor > 0.0 {
        slow_changes(rows, parts, lag)
    } else {
        Vec::new()
    };
    let freedom = count(rows.len()) - 1.0;
    let weight = factor * (freedom / (2.0 * count(changes.len().max(1)))).sqrt();
    let height = rows.len() + 2 * changes.len();
    let mut data = Vec::with_capacity(height * width);
    data.extend(rows.iter().flatten());
    for sign in [weight, -weight] {
        data.extend(changes.iter().flatten().map(|change| sign * change));
    }
    let failed = |error: &dyn std::fmt::Display| FitError::Numbers {
        detector: "pca",
        reason: error.to_string(),
    };
    let records = Array2::from_shape_vec((height, width), data).map_err(|e| failed(&e))?;
    let fitted = Pca::params(width)
        .fit(&DatasetBase::from(records))
        .map_err(|e| failed(&e))?;
    let components = fitted
        .components()
        .outer_iter()
        .map(|component| component.to_vec());
    let variances = fitted
        .singular_values()
        .iter()
        .map(|sigma| sigma * sigma / freedom);
    Ok(components.zip(variances).collect())
}

/// Differences, `lag` windows apart, of means over `lag` windows: noise averages out of them,
/// drift does not. None goes from one part of the rows to another.
pub(in super::super) fn slow_changes(
    rows: &[Vec<f64>],
    parts: &[Range<usize>],
    lag: usize,
) -> Vec<Vec<f64>> {
    let changes = parts
        .iter()
        .map(|part| changes_in(&rows[part.clone()], lag));
    changes.flatten().collect()
}

fn changes_in(rows: &[Vec<f64>], lag: usize) -> Vec<Vec<f64>> {
    if rows.is_empty() {
        return Vec::new();
    }
    let width = rows[0].len();
    let mut sums = vec![vec![0.0; width]];
    for row in rows {
        let last = &sums[sums.len() - 1];
        sums.push(
            last.iter()
                .zip(row)
                .map(|(sum, value)| sum + value)
                .collect(),
        );
    }
    let long = count(lag);
    (0..(rows.len() + 1).saturating_sub(2 * lag))
        .map(|at| {
            let change = |column: usize| {
                let [a, b, c] = [at, at + lag, at + 2 * lag].map(|row| sums[row][column]);
                (c - 2.0 * b + a) / long
            };
            (0..width).map(change).collect()
        })
        .collect()
}

/// Splits the directions into those that are kept and the variance of those that are not.
fn keep(
    mut directions: Vec<(Vec<f64>, f64)>,
    components: usize,
    explained: f64,
) -> (Vec<Vec<f64>>, Vec<f64>, f64) {
    let width = directions[0].0.len();
    directions.sort_by(|a, b| b.1.total_cmp(&a.1));
    let strongest = directions[0].1;
    let total: f64 = directions.iter().map(|(_, variance)| variance).sum();
    let floor = LEAST_VARIANCE * strongest;
    let mut so_far = 0.0;
    let mut kept = 0;
    for (_, variance) in &directions {
        let enough = if components > 0 {
            kept >= components
        } else {
            so_far >= explained * total - 1e-9 * total && explained < 1.0
        };
        if *variance <= floor || (kept > 0 && enough) {
            break;
        }
        so_far += variance;
        kept += 1;
    }
    let rest = count((width - kept).max(1));
    let residual = ((total - so_far).max(0.0) / rest).max(floor);
    let (components, variances) = directions.into_iter().take(kept).unzip();
    (components, variances, residual)
}

fn limits_of(model: &PcaModel, rows: &[Vec<f64>]) -> Limits {
    let kept = model.components.len();
    let rest = model.center.len() - kept;
    let scorer = Scorer::new(model.clone());
    let zero = vec![0.0; model.center.len()];
    let (t2, spe): (Vec<f64>, Vec<f64>) =
        rows.iter().map(|row| scorer.statistics(row, &zero)).unzip();
    Limits {
        t2: limit(kept, &t2),
        spe: if rest > 0 { limit(rest, &spe) } else { 0.0 },
        factor: model.limits.factor,
    }
}

pub(in super::super) fn standards(rows: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let columns = 0..rows[0].len();
    columns
        .map(|column| {
            let mean = rows.iter().map(|row| row[column]).sum::<f64>() / count(rows.len());
            let squares: f64 = rows.iter().map(|row| (row[column] - mean).powi(2)).sum();
            (mean, (squares / (count(rows.len()) - 1.0)).sqrt())
        })
        .unzip()
}
