//! Windows of the learning period that are not normal: a fault or a test run inside it must not
//! become part of what is normal.

use crate::numbers::median;

/// Largest share of the windows that can be outliers; more of them are a way of running.
const MOST: f64 = 0.05;
/// A deviation is so many median absolute deviations, were the values normally distributed.
const MAD_TO_DEVIATION: f64 = 1.4826;

/// Which windows are outliers: a feature is farther from its median than `bound` robust
/// deviations. None with a bound of zero, and none when more than one in twenty would be.
///
/// A feature whose values are mostly the same has no robust deviation and names none.
///
/// **Source**: Iglewicz and Hoaglin 1993, modified z-scores.
pub(crate) fn outliers(rows: &[Vec<f64>], bound: f64) -> Vec<bool> {
    let mut out = vec![false; rows.len()];
    if bound <= 0.0 || rows.is_empty() {
        return out;
    }
    for column in 0..rows[0].len() {
        let values: Vec<f64> = rows.iter().map(|row| row[column]).collect();
        let center = median(values.clone());
        let apart: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
        let deviation = MAD_TO_DEVIATION * median(apart.clone());
        if deviation > 0.0 {
            for (out, apart) in out.iter_mut().zip(apart) {
                *out |= apart > bound * deviation;
            }
        }
    }
    let found = out.iter().filter(|out| **out).count();
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of windows are far below 2^52"
    )]
    let share = found as f64 / rows.len() as f64;
    if share > MOST {
        out.fill(false);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: impl Iterator<Item = f64>, bound: f64, expected: usize) {
        let rows: Vec<Vec<f64>> = values.map(|value| vec![value, 1.0]).collect();
        let found = outliers(&rows, bound)
            .into_iter()
            .filter(|out| *out)
            .count();
        assert_eq!(found, expected);
    }

    #[test]
    fn few_far_values_are_outliers_and_many_are_a_way_of_running() {
        let value = |every: usize| {
            move |at: usize| {
                if at.is_multiple_of(every) {
                    1000.0
                } else {
                    (at % 10) as f64
                }
            }
        };
        check((0..200).map(value(50)), 8.0, 4);
        check((0..200).map(value(50)), 0.0, 0);
        check((0..200).map(value(10)), 8.0, 0);
        check((0..200).map(|_| 5.0), 8.0, 0);
    }
}
