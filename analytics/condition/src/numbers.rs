//! Numbers of things, and the one order statistic that several detectors need.

/// A number of things as a measured value: windows, features and runs are far below 2^52.
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of windows, features and runs are far below 2^52"
)]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}

/// The upper median; 0 of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 3.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
