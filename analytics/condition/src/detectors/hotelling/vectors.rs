//! What is done to vectors of features: smoothing, standardizing, filling what is missing.

use serde::{Deserialize, Serialize};

use super::super::super::matrix::Square;
use super::super::super::span::Span;

/// Exponential smoothing of vectors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Smoother {
    level: Vec<Option<f64>>,
}

impl Smoother {
    /// A missing value stays missing, and changes nothing.
    pub(super) fn take(&mut self, values: &[f64], elapsed: i64, half_life: Span) -> Vec<f64> {
        if half_life.micros() == 0 {
            return values.to_vec();
        }
        self.level.resize(values.len(), None);
        let share = share_of(elapsed, half_life);
        let levels = self.level.iter_mut().zip(values);
        levels
            .map(|(level, value)| {
                if !value.is_finite() {
                    return f64::NAN;
                }
                let before = level.unwrap_or(*value);
                *level.insert(before + share * (value - before))
            })
            .collect()
    }

    /// Begins anew with the next value of a feature.
    pub(super) fn forget(&mut self, feature: usize) {
        if let Some(level) = self.level.get_mut(feature) {
            *level = None;
        }
    }
}

/// The share of the way that an exponential approach goes in a time.
pub(super) fn share_of(elapsed: i64, half_life: Span) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "spans are far below 2^52 microseconds"
    )]
    let half_lives = |elapsed: i64, half_life: i64| elapsed as f64 / half_life as f64;
    match half_life.micros() {
        0 => 0.0,
        half_life => 1.0 - (-half_lives(elapsed, half_life)).exp2(),
    }
}

pub(super) fn standardize(row: &mut [f64], center: &[f64], scale: &[f64]) {
    for (value, (center, scale)) in row.iter_mut().zip(center.iter().zip(scale)) {
        *value = (*value - center) / scale;
    }
}

pub(super) fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// What is missing has not moved.
pub(super) fn difference_or_zero(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut apart = difference(a, b);
    for value in &mut apart {
        if !value.is_finite() {
            *value = 0.0;
        }
    }
    apart
}

/// Gives missing deviations the values that make the quadratic form smallest.
pub(super) fn fill(precision: &Square, apart: &mut [f64], missing: &[usize]) {
    if missing.is_empty() {
        return;
    }
    let right: Vec<f64> = missing
        .iter()
        .map(|row| {
            let known = (0..apart.len()).filter(|at| !missing.contains(at));
            -known
                .map(|at| precision.at(*row, at) * apart[at])
                .sum::<f64>()
        })
        .collect();
    let filled = precision.solve_part(missing, &right);
    let filled = filled.unwrap_or_else(|| vec![0.0; missing.len()]);
    for (at, value) in missing.iter().zip(filled) {
        apart[*at] = value;
    }
}
