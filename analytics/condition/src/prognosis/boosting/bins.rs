//! Features as small numbers: which bin a value falls into.

use ndarray::{ArrayView2, Axis};

/// The bins of every feature, and the bin of every value.
#[derive(Debug)]
pub struct Bins {
    /// Upper limits of all bins but the last, per feature, ascending.
    pub limits: Vec<Vec<f64>>,
    /// Bin of every row, per feature.
    pub columns: Vec<Vec<u8>>,
}

impl Bins {
    /// Bins of about equal numbers of rows, at most `most` per feature.
    pub fn of(records: ArrayView2<'_, f64>, most: usize) -> Self {
        let limits: Vec<Vec<f64>> = records
            .axis_iter(Axis(1))
            .map(|column| limits(column.iter().copied(), most))
            .collect();
        let columns = records
            .axis_iter(Axis(1))
            .zip(&limits)
            .map(|(column, limits)| column.iter().map(|value| bin(limits, *value)).collect())
            .collect();
        Self { limits, columns }
    }

    /// Number of bins of a feature.
    pub fn count(&self, feature: usize) -> usize {
        self.limits[feature].len() + 1
    }
}

/// Limits halfway between neighbouring values, as evenly spread over the rows as ties allow.
fn limits(values: impl Iterator<Item = f64>, most: usize) -> Vec<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let rows = values.len();
    let mut limits: Vec<f64> = Vec::new();
    for part in 1..most {
        let at = part * rows / most;
        // Of a run of equal values all belong into one bin: the limit lies behind the run.
        let Some(last) = at.checked_sub(1).and_then(|before| values.get(before)) else {
            continue;
        };
        let end = values.partition_point(|value| value <= last);
        if let Some(next) = values.get(end) {
            let middle = last + (next - last) / 2.0;
            if limits.last().is_none_or(|limit| *limit < middle) {
                limits.push(middle);
            }
        }
    }
    limits
}

/// The number of limits below the value; a missing value is in the first bin.
fn bin(limits: &[f64], value: f64) -> u8 {
    limits.partition_point(|limit| value > *limit) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[track_caller]
    fn check(values: &[f64], most: usize, expected: &[u8]) {
        let records = Array2::from_shape_vec((values.len(), 1), values.to_vec()).unwrap();
        assert_eq!(Bins::of(records.view(), most).columns[0], expected);
    }

    #[test]
    fn equal_values_share_a_bin_and_missing_ones_take_the_first() {
        check(&[1.0, 2.0, 3.0, 4.0], 2, &[0, 0, 1, 1]);
        check(&[4.0, 1.0, 1.0, 1.0], 4, &[1, 0, 0, 0]);
        check(&[5.0, f64::NAN, 7.0], 4, &[0, 0, 1]);
        check(&[3.0, 3.0], 8, &[0, 0]);
    }
}
