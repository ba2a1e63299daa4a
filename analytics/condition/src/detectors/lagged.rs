//! Vectors of several windows in a row: what detectors of dynamic processes look at.

use crate::numbers::count;
use std::collections::VecDeque;
use std::ops::Range;

use ndarray::Array2;

use super::super::detector::Training;

/// Runs of windows that follow one another without a gap, by their numbers.
pub fn runs(training: &Training<'_>) -> Vec<Range<usize>> {
    let spacing = training.spacing();
    let mut runs = Vec::new();
    let mut begin = 0;
    for at in 1..=training.times.len() {
        let follows = training
            .times
            .get(at)
            .is_some_and(|time| !is_gap(time - training.times[at - 1], spacing));
        if !follows {
            runs.push(begin..at);
            begin = at;
        }
    }
    runs
}

/// Whether so much time between two windows means that others are missing in between.
pub fn is_gap(elapsed: i64, spacing: i64) -> bool {
    2 * elapsed > 3 * spacing
}

/// The parts of runs that lie outside of a block.
pub fn without(runs: &[Range<usize>], block: &Range<usize>) -> Vec<Range<usize>> {
    runs.iter()
        .flat_map(|run| {
            [
                run.start..run.end.min(block.start),
                run.start.max(block.end)..run.end,
            ]
        })
        .filter(|part| part.start < part.end)
        .collect()
}

/// The parts of runs that lie in a block.
pub fn within(runs: &[Range<usize>], block: &Range<usize>) -> Vec<Range<usize>> {
    runs.iter()
        .map(|run| run.start.max(block.start)..run.end.min(block.end))
        .filter(|part| part.start < part.end)
        .collect()
}

/// `lags` vectors in a row side by side, the newest first; one row per place in the runs that
/// has enough before it, skipping the last `ahead` of each run.
pub fn stacked(rows: &[Vec<f64>], runs: &[Range<usize>], lags: usize, ahead: usize) -> Array2<f64> {
    let width = rows.first().map_or(0, Vec::len) * lags;
    let places = runs
        .iter()
        .flat_map(|run| run.start + lags - 1..run.end.saturating_sub(ahead).max(run.start));
    let mut cells = Vec::new();
    for last in places {
        for lag in 0..lags {
            cells.extend_from_slice(&rows[last - lag]);
        }
    }
    let height = cells.len() / width.max(1);
    Array2::from_shape_vec((height, width), cells).expect("whole rows were put in")
}

/// The last few vectors of one asset.
#[derive(Debug, Clone, Default)]
pub struct History {
    rows: VecDeque<Vec<f64>>,
}

impl History {
    /// Forgets everything, after a gap.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// The vectors before, newest first.
    pub fn rows(&self) -> impl Iterator<Item = &Vec<f64>> {
        self.rows.iter()
    }

    /// Goes on from vectors, newest first.
    pub fn go_on(&mut self, rows: Vec<Vec<f64>>) {
        self.rows = rows.into();
    }

    /// The vector with those before it side by side, newest first; `None` while they are fewer
    /// than `lags`.
    pub fn stack(&self, newest: &[f64], lags: usize) -> Option<Vec<f64>> {
        if self.rows.len() + 1 < lags {
            return None;
        }
        let before = self.rows.iter().take(lags - 1).flatten();
        Some(newest.iter().chain(before).copied().collect())
    }

    /// Takes a vector; `lags - 1` are kept.
    pub fn push(&mut self, newest: Vec<f64>, lags: usize) {
        self.rows.push_front(newest);
        self.rows.truncate(lags.saturating_sub(1));
    }
}

/// Mean and deviation of every column over the places of the runs.
pub fn standards(rows: &[Vec<f64>], runs: &[Range<usize>]) -> (Vec<f64>, Vec<f64>) {
    let chosen = || runs.iter().cloned().flatten().map(|at| &rows[at]);
    let number = count(chosen().count().max(2));
    (0..rows.first().map_or(0, Vec::len))
        .map(|column| {
            let mean = chosen().map(|row| row[column]).sum::<f64>() / number;
            let squares: f64 = chosen().map(|row| (row[column] - mean).powi(2)).sum();
            let deviation = (squares / (number - 1.0)).sqrt();
            // A column that stands still in these runs alone: its own unit is as good as any.
            (mean, if deviation > 0.0 { deviation } else { 1.0 })
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_a_run() {
        let training = Training {
            times: &[0, 10, 20, 50, 60, 70, 80],
            features: &[],
            rows: &[],
            starts: &[],
        };
        assert_eq!(runs(&training), [0..3, 3..7]);
    }

    #[test]
    fn a_block_is_cut_out_of_runs() {
        let runs = [0..3, 3..7];
        assert_eq!(without(&runs, &(2..5)), [0..2, 5..7]);
        assert_eq!(within(&runs, &(2..5)), [2..3, 3..5]);
    }

    #[test]
    fn vectors_are_stacked_newest_first_and_never_across_a_gap() {
        let rows: Vec<Vec<f64>> = (0..7).map(|n| vec![f64::from(n)]).collect();
        let stack = stacked(&rows, &[0..3, 3..7], 2, 1);
        assert_eq!(stack, ndarray::array![[1.0, 0.0], [4.0, 3.0], [5.0, 4.0]]);
        let mut history = History::default();
        assert_eq!(history.stack(&[1.0], 2), None);
        history.push(vec![1.0], 2);
        history.push(vec![2.0], 2);
        assert_eq!(history.stack(&[3.0], 2), Some(vec![3.0, 2.0]));
    }
}
