//! Windows of event time, closed by the asset's own readings.
//!
//! A window is a run of *panes*, each one step long and aligned to whole steps since 1970, so that
//! the same readings make the same windows after a restart. A reading touches one pane; a pane
//! closes when a reading of a later pane comes. Only the asset's own readings close its windows,
//! so a silent asset has no windows rather than empty ones.

use std::collections::VecDeque;

/// The values of one metric in a pane or a window, kept relative to the asset's first value of
/// that metric, so that a large level costs no digits.
#[derive(Debug, Clone, Copy)]
struct Cell {
    count: u32,
    sum: f64,
    sum_of_squares: f64,
    least: f64,
    most: f64,
}

const EMPTY: Cell = Cell {
    count: 0,
    sum: 0.0,
    sum_of_squares: 0.0,
    least: f64::INFINITY,
    most: f64::NEG_INFINITY,
};

#[derive(Debug, Clone, Default)]
struct Pane {
    rows: u32,
    cells: Vec<Cell>,
}

/// A closed window of one asset.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// First instant that belongs to it. **Units**: microseconds since 1970.
    pub start: i64,
    /// First instant that does not. **Units**: microseconds since 1970.
    pub end: i64,
    /// Readings in it.
    pub rows: u32,
    /// What was seen, by the class's number of the metric.
    pub metrics: Vec<Seen>,
}

/// What a window saw of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Values; 0: the metric is missing.
    pub count: u32,
    /// Their mean, NaN when there is none.
    pub mean: f64,
    /// Their standard deviation, 0 for a single value.
    pub deviation: f64,
    /// All values are the same to the last bit: a sensor that is stuck, or a constant.
    pub flat: bool,
}

/// Cuts the readings of one asset into windows.
#[derive(Debug)]
pub struct Windows {
    step: i64,
    steps: usize,
    closed: VecDeque<Pane>,
    open: Option<(i64, Pane)>,
    origins: Vec<f64>,
    newest: i64,
}

impl Windows {
    /// Windows of `steps` panes of `step` microseconds; readings before `from` are left out.
    pub fn new(step: i64, steps: usize, from: i64) -> Self {
        Self {
            step: step.max(1),
            steps: steps.max(1),
            closed: VecDeque::new(),
            open: None,
            origins: Vec::new(),
            newest: from.saturating_sub(1),
        }
    }

    /// The same, going on in the middle: the pane of `from` is open although it may stay empty.
    pub fn resume(step: i64, steps: usize, from: i64) -> Self {
        let mut windows = Self::new(step, steps, from);
        windows.open = Some((from.div_euclid(windows.step), Pane::default()));
        windows
    }

    /// Event time of the newest reading.
    pub fn newest(&self) -> i64 {
        self.newest
    }

    /// Takes a reading: `value(m)` is the value of metric `m`, NaN when missing.
    ///
    /// Windows that it closes are given to `close`, oldest first. A reading that is not newer than
    /// the newest one is behind the watermark and changes nothing.
    pub fn add(
        &mut self,
        time: i64,
        metrics: usize,
        value: impl Fn(usize) -> f64,
        mut close: impl FnMut(Window),
    ) {
        if time <= self.newest {
            return;
        }
        self.newest = time;
        let pane = time.div_euclid(self.step);
        if self.open.as_ref().is_none_or(|(open, _)| *open != pane) {
            self.close_before(pane, &mut close);
        }
        if self.origins.len() < metrics {
            self.origins.resize(metrics, f64::NAN);
        }
        let (_, open) = self.open.as_mut().expect("close_before opens the pane");
        if open.cells.len() < metrics {
            open.cells.resize(metrics, EMPTY);
        }
        open.rows += 1;
        for (metric, (cell, origin)) in open.cells.iter_mut().zip(&mut self.origins).enumerate() {
            if metric >= metrics {
                break;
            }
            let value = value(metric);
            if !value.is_finite() {
                continue;
            }
            if origin.is_nan() {
                *origin = value;
            }
            let value = value - *origin;
            cell.count += 1;
            cell.sum += value;
            cell.sum_of_squares += value * value;
            cell.least = cell.least.min(value);
            cell.most = cell.most.max(value);
        }
    }

    /// Closes the open pane and the empty ones up to `pane`, and opens that.
    fn close_before(&mut self, pane: i64, close: &mut impl FnMut(Window)) {
        if let Some((open, done)) = self.open.take() {
            self.push(open, done, close);
            // After a gap of a whole window nothing of the old one is left.
            let gap = pane - open - 1;
            let empty = gap.min(i64::try_from(self.steps).unwrap_or(i64::MAX));
            for missing in 1..=empty {
                self.push(open + missing, Pane::default(), close);
            }
            if gap > empty {
                self.closed.clear();
            }
        }
        self.open = Some((pane, Pane::default()));
    }

    fn push(&mut self, index: i64, pane: Pane, close: &mut impl FnMut(Window)) {
        self.closed.push_back(pane);
        if self.closed.len() > self.steps {
            self.closed.pop_front();
        }
        let length = i64::try_from(self.steps).unwrap_or(i64::MAX);
        if self.closed.len() == self.steps && self.closed.iter().any(|pane| pane.rows > 0) {
            close(self.window((index + 1 - length) * self.step, (index + 1) * self.step));
        }
    }

    fn window(&self, start: i64, end: i64) -> Window {
        let mut total = Pane {
            rows: 0,
            cells: vec![EMPTY; self.origins.len()],
        };
        for pane in &self.closed {
            total.rows += pane.rows;
            for (all, cell) in total.cells.iter_mut().zip(&pane.cells) {
                all.count += cell.count;
                all.sum += cell.sum;
                all.sum_of_squares += cell.sum_of_squares;
                all.least = all.least.min(cell.least);
                all.most = all.most.max(cell.most);
            }
        }
        let metrics = total.cells.iter().zip(&self.origins);
        let metrics = metrics.map(|(cell, origin)| cell.seen(*origin)).collect();
        Window {
            start,
            end,
            rows: total.rows,
            metrics,
        }
    }
}

impl Cell {
    fn seen(&self, origin: f64) -> Seen {
        if self.count == 0 {
            return Seen {
                count: 0,
                mean: f64::NAN,
                deviation: f64::NAN,
                flat: false,
            };
        }
        let count = f64::from(self.count);
        let mean = self.sum / count;
        let spread = (self.sum_of_squares - count * mean * mean).max(0.0);
        Seen {
            count: self.count,
            mean: origin + mean,
            deviation: (spread / (count - 1.0).max(1.0)).sqrt(),
            flat: self.count > 1 && self.least == self.most,
        }
    }
}

#[cfg(test)]
mod tests;
