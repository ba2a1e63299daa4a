//! The nearest earlier run to the newest one, over all earlier places at once.

use crate::numbers::count;

/// What two runs are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    /// Euclidean distance of the values.
    Values,
    /// Euclidean distance of the first differences.
    Differences,
    /// Difference of the means.
    Levels,
}

/// The nearest neighbor of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Near {
    /// How far it is.
    pub(super) distance: f64,
    /// The value at its end.
    pub(super) value: f64,
}

/// For each length: the nearest earlier run to the one that ends with the history and does not
/// overlap it.
///
/// A run with a break (NaN) in it is no neighbor, and has none.
pub(super) fn nearest(history: &[f64], lengths: &[usize], by: Compare) -> Vec<Option<Near>> {
    match by {
        Compare::Values => {
            let sums = Sums::new(&history[history.len().min(1)..], &history[1..]);
            sums.search(lengths, |apart| apart * apart, |sum, _| sum.sqrt())
        }
        Compare::Differences => {
            let moves: Vec<f64> = history.windows(2).map(|two| two[1] - two[0]).collect();
            let sums = Sums::new(&moves, &history[1..]);
            sums.search(lengths, |apart| apart * apart, |sum, _| sum.sqrt())
        }
        Compare::Levels => {
            let sums = Sums::new(&history[1..], &history[1..]);
            sums.search(lengths, |apart| apart, |sum, length| sum.abs() / length)
        }
    }
}

/// What is compared, and the values that belong to it.
struct Sums<'a> {
    compared: &'a [f64],
    values: &'a [f64],
}

impl<'a> Sums<'a> {
    fn new(compared: &'a [f64], values: &'a [f64]) -> Self {
        Self { compared, values }
    }

    /// Sums `add` of the differences over runs that grow backward, and looks for the sum of the
    /// least size whenever they are as long as a length.
    fn search(
        &self,
        lengths: &[usize],
        add: impl Fn(f64) -> f64,
        size: impl Fn(f64, f64) -> f64,
    ) -> Vec<Option<Near>> {
        let ends = self.compared.len();
        let longest = lengths.iter().max().copied().unwrap_or(0);
        let mut sums = vec![0.0; ends];
        let mut found: Vec<Option<Near>> = vec![None; lengths.len()];
        for back in 0..longest.min(ends) {
            let newest = self.compared[ends - 1 - back];
            let earlier = &self.compared[..ends - back];
            for (sum, value) in sums[back..].iter_mut().zip(earlier) {
                *sum += add(newest - value);
            }
            let length = back + 1;
            for (slot, _) in lengths.iter().enumerate().filter(|(_, l)| **l == length) {
                // Runs that are whole and do not overlap the newest one.
                let last = ends.saturating_sub(length);
                let runs = sums.get(back..last).unwrap_or(&[]);
                found[slot] = smallest(runs).map(|at| Near {
                    distance: size(runs[at], count(length)),
                    value: self.values[back + at],
                });
            }
        }
        found
    }
}

/// Place of the number that is nearest to zero; the first of equals.
fn smallest(sums: &[f64]) -> Option<usize> {
    let least = sums
        .iter()
        .map(|sum| sum.abs())
        .fold(f64::INFINITY, f64::min);
    if least.is_infinite() {
        return None;
    }
    sums.iter().position(|sum| sum.abs() == least)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORY: [f64; 9] = [f64::NAN, 1.0, 4.0, 2.0, 9.0, 9.0, 9.0, 2.0, 4.0];

    #[track_caller]
    fn check(length: usize, by: Compare, expected: Option<(f64, f64)>) {
        let found = nearest(&HISTORY, &[length], by)[0];
        assert_eq!(found.map(|near| (near.distance, near.value)), expected);
    }

    #[test]
    fn the_nearest_run_is_found_by_what_is_compared() {
        check(1, Compare::Values, Some((0.0, 4.0)));
        // 2, 4 ends with what 1, 4 ends with, one off.
        check(2, Compare::Values, Some((1.0, 4.0)));
        check(2, Compare::Levels, Some((0.0, 2.0)));
        // -7, 2 is nearest to -2, 7.
        check(2, Compare::Differences, Some((50.0_f64.sqrt(), 9.0)));
        // No run of so many without a break that does not overlap.
        check(4, Compare::Values, Some((114.0_f64.sqrt(), 9.0)));
        check(5, Compare::Values, None);
    }

    #[test]
    fn a_run_with_a_break_has_no_neighbor() {
        let broken = [1.0, 2.0, 3.0, f64::NAN, 2.0];
        let found = nearest(&broken, &[1, 2], Compare::Values);
        assert_eq!(found[0].map(|near| near.value), Some(2.0));
        assert_eq!(found[1], None);
    }
}
