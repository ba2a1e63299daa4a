//! Windows of event time, closed by the asset's own readings.
//!
//! A window is a run of *panes*, each one step long and aligned to whole steps since 1970, so that
//! the same readings make the same windows after a restart. A reading touches one pane; a pane
//! closes when a reading of a later pane comes. Only the asset's own readings close its windows,
//! so a silent asset has no windows rather than empty ones.

mod measured;
mod said;

use std::collections::VecDeque;

use self::measured::Measuring;
pub use self::measured::{MAX_READINGS, Measured};
use self::said::Said;
use super::settings::FeatureKind;

/// The values of one metric in a pane or a window, kept relative to the asset's first value of
/// that metric, so that a large level costs no digits.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    count: u32,
    /// Not all values are the first one.
    varied: bool,
    first: f64,
    sum: f64,
    sum_of_squares: f64,
}

#[derive(Debug, Clone, Default)]
struct Pane {
    rows: u32,
    values: Values,
}

/// What a pane has taken. A fleet of many assets mostly reports seldom, and the sums of a single
/// reading take four times what the reading takes.
#[derive(Debug, Clone)]
enum Values {
    /// The only reading; NaN where a metric is missing.
    One(Box<[f64]>),
    /// The sums of all readings.
    Sums(Vec<Cell>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Sums(Vec::new())
    }
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
    /// What it was measured for beyond that, where the class declares such features.
    pub measured: Option<Box<Measured>>,
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
    /// Closed panes that the next window has too: one less than a window's.
    closed: VecDeque<Pane>,
    open: Option<(i64, Pane)>,
    origins: Box<[f64]>,
    newest: i64,
    said: Said,
    measuring: Option<Box<Measuring>>,
}

impl Windows {
    /// Windows of `steps` panes of `step` microseconds; readings before `from` are left out.
    ///
    /// No steps: every reading is a window, see [`Windows::add_and_judge`].
    pub fn new(step: i64, steps: usize, from: i64) -> Self {
        Self {
            step: step.max(1),
            steps,
            closed: VecDeque::new(),
            open: None,
            origins: Box::default(),
            newest: from.saturating_sub(1),
            said: Said::default(),
            measuring: None,
        }
    }

    /// The same, measured for what these features need beyond means and deviations.
    #[must_use]
    pub fn measured_for(mut self, features: &[FeatureKind]) -> Self {
        self.measuring = match self.steps {
            0 => None,
            _ => Measuring::of(features, self.step).map(Box::new),
        };
        self
    }

    /// The same, going on in the middle: the pane of `from` is open although it may stay empty.
    pub fn resume(step: i64, steps: usize, from: i64) -> Self {
        let mut windows = Self::new(step, steps, from);
        windows.open = Some((from.div_euclid(windows.step), Pane::default()));
        windows
    }

    /// A cutter that makes of the same readings the same windows to the last bit, at any place.
    pub fn alike(&self, features: &[FeatureKind]) -> Self {
        Self {
            origins: self.origins.clone(),
            ..Self::new(self.step, self.steps, i64::MIN + 1).measured_for(features)
        }
    }

    /// Closes the panes before an instant, as a reading at that instant would.
    pub fn close_through(&mut self, instant: i64, mut close: impl FnMut(Window)) {
        let pane = instant.div_euclid(self.step);
        if self.steps > 0 && self.open.as_ref().is_some_and(|(open, _)| *open < pane) {
            self.close_before(pane, &mut close);
        }
    }

    /// Event time of the newest reading.
    pub fn newest(&self) -> i64 {
        self.newest
    }

    /// What its lists take, with what they keep free.
    pub fn heap_bytes(&self) -> usize {
        let of = |pane: &Pane| match &pane.values {
            Values::One(values) => size_of_val(&**values),
            Values::Sums(cells) => cells.capacity() * size_of::<Cell>(),
        };
        let open = self.open.as_ref().map_or(0, |(_, pane)| of(pane));
        let closed: usize = self.closed.iter().map(of).sum();
        let places = self.closed.capacity() * size_of::<Pane>();
        let measuring = self.measuring.as_ref().map_or(0, |own| own.heap_bytes());
        open + closed + places + measuring + size_of_val(&*self.origins) + self.said.heap_bytes()
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
        self.know_metrics(metrics);
        self.said.clear();
        let (origins, said) = (&mut self.origins, &mut self.said);
        let relative = |metric: usize| {
            let value = value(metric);
            if !value.is_finite() {
                return f64::NAN;
            }
            said.add(metric);
            let origin = &mut origins[metric];
            if origin.is_nan() {
                *origin = value;
            }
            value - *origin
        };
        let (_, open) = self.open.as_mut().expect("close_before opens the pane");
        open.add(metrics, relative);
        if let Some(measuring) = &mut self.measuring {
            let origins = &self.origins;
            let relative = |metric: usize| match value(metric) {
                value if value.is_finite() => value - origins[metric],
                _ => f64::NAN,
            };
            measuring.add(pane, time, metrics, relative);
        }
    }

    /// Takes another part of the newest reading, from a device that sends its metrics apart:
    /// `value(m)` is NaN where it says nothing of metric `m`. Whether all of it is taken: what the
    /// reading had before stays, and of any other instant nothing is.
    pub fn join(&mut self, time: i64, metrics: usize, value: impl Fn(usize) -> f64) -> bool {
        let pane = time.div_euclid(self.step);
        let open = self.open.as_ref();
        let is_open = open.is_some_and(|(open, own)| *open == pane && own.rows > 0);
        if self.steps == 0 || time != self.newest || !is_open {
            return false;
        }
        self.know_metrics(metrics);
        let mut all = true;
        for metric in 0..metrics {
            let value = value(metric);
            if !value.is_finite() {
                continue;
            }
            if !self.said.add(metric) {
                all = false;
                continue;
            }
            let origin = &mut self.origins[metric];
            if origin.is_nan() {
                *origin = value;
            }
            let relative = value - *origin;
            if let Some((_, open)) = &mut self.open {
                open.join(metric, relative);
            }
            if let Some(measuring) = &mut self.measuring {
                measuring.join(pane, time, metric, relative);
            }
        }
        all
    }

    fn know_metrics(&mut self, metrics: usize) {
        if self.origins.len() < metrics {
            let mut origins = std::mem::take(&mut self.origins).into_vec();
            grow(&mut origins, metrics, f64::NAN);
            self.origins = origins.into();
        }
    }

    /// Takes a reading and gives the window that ends with it: the open pane and the closed ones
    /// before it. `None` when the reading is not newer than the newest one.
    ///
    /// With a window of no length that is the reading by itself.
    pub fn add_and_judge(
        &mut self,
        time: i64,
        metrics: usize,
        value: impl Fn(usize) -> f64,
    ) -> Option<Window> {
        if time <= self.newest {
            return None;
        }
        if self.steps == 0 {
            self.newest = time;
            return Some(single(time, metrics, value));
        }
        self.add(time, metrics, value, |_| {});
        let (index, last) = self.open.as_ref()?;
        let length = i64::try_from(self.steps).unwrap_or(i64::MAX);
        let start = (index + 1 - length) * self.step;
        let window = self.window(last, start, time + 1);
        Some(self.measure(window))
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
        if self.closed.len() + 1 < self.steps {
            return self.closed.push_back(pane);
        }
        let length = i64::try_from(self.steps).unwrap_or(i64::MAX);
        if self.closed.iter().chain([&pane]).any(|pane| pane.rows > 0) {
            let (start, end) = ((index + 1 - length) * self.step, (index + 1) * self.step);
            let window = self.window(&pane, start, end);
            close(self.measure(window));
        }
        // No later window has the oldest pane.
        if self.closed.pop_front().is_some() {
            self.closed.push_back(pane);
        }
    }

    fn window(&self, last: &Pane, start: i64, end: i64) -> Window {
        let mut rows = 0;
        let mut total = vec![Cell::default(); self.origins.len()];
        for pane in self.closed.iter().chain([last]) {
            rows += pane.rows;
            for (metric, all) in total.iter_mut().enumerate() {
                all.join(pane.cell(metric));
            }
        }
        let metrics = total.iter().zip(&self.origins);
        let metrics = metrics.map(|(cell, origin)| cell.seen(*origin)).collect();
        Window {
            start,
            end,
            rows,
            metrics,
            measured: None,
        }
    }

    fn measure(&mut self, mut window: Window) -> Window {
        if let Some(measuring) = &mut self.measuring {
            let first = window.start.div_euclid(self.step);
            let last = (window.end - 1).div_euclid(self.step) + 1;
            let measured = measuring.measure((first, last), &window.metrics, &self.origins);
            window.measured = Some(Box::new(measured));
        }
        window
    }
}

/// A reading as a window.
fn single(time: i64, metrics: usize, value: impl Fn(usize) -> f64) -> Window {
    let seen = |metric: usize| {
        let value = value(metric);
        let present = value.is_finite();
        Seen {
            count: u32::from(present),
            mean: if present { value } else { f64::NAN },
            deviation: if present { 0.0 } else { f64::NAN },
            flat: false,
        }
    };
    Window {
        start: time,
        end: time + 1,
        rows: 1,
        metrics: (0..metrics).map(seen).collect(),
        measured: None,
    }
}

impl Pane {
    /// Takes a reading: `value(m)` is NaN where metric `m` is missing.
    fn add(&mut self, metrics: usize, mut value: impl FnMut(usize) -> f64) {
        self.rows += 1;
        if self.rows == 1 {
            self.values = Values::One((0..metrics).map(value).collect());
            return;
        }
        if let Values::One(values) = &self.values {
            self.values = Values::Sums(values.iter().map(|value| Cell::of(*value)).collect());
        }
        if let Values::Sums(cells) = &mut self.values {
            grow(cells, metrics, Cell::default());
            for (metric, cell) in cells.iter_mut().enumerate().take(metrics) {
                cell.join(Cell::of(value(metric)));
            }
        }
    }

    /// Takes a value that the newest reading did not have.
    fn join(&mut self, metric: usize, value: f64) {
        match &mut self.values {
            Values::One(values) => {
                if values.len() <= metric {
                    let mut longer = std::mem::take(values).into_vec();
                    grow(&mut longer, metric + 1, f64::NAN);
                    *values = longer.into();
                }
                values[metric] = value;
            }
            Values::Sums(cells) => {
                grow(cells, metric + 1, Cell::default());
                cells[metric].join(Cell::of(value));
            }
        }
    }

    fn cell(&self, metric: usize) -> Cell {
        match &self.values {
            Values::One(values) => values.get(metric).map(|value| Cell::of(*value)),
            Values::Sums(cells) => cells.get(metric).copied(),
        }
        .unwrap_or_default()
    }
}

/// Makes a list so long, and no longer: there is one of every asset.
fn grow<T: Clone>(list: &mut Vec<T>, length: usize, fill: T) {
    if list.len() < length {
        list.reserve_exact(length - list.len());
        list.resize(length, fill);
    }
}

impl Cell {
    /// A single value; none when it is NaN.
    fn of(value: f64) -> Self {
        if value.is_nan() {
            return Self::default();
        }
        Self {
            count: 1,
            varied: false,
            first: value,
            sum: value,
            sum_of_squares: value * value,
        }
    }

    fn join(&mut self, later: Self) {
        if later.count == 0 {
            return;
        }
        if self.count == 0 {
            self.first = later.first;
        }
        self.varied |= later.varied || self.first != later.first;
        self.count += later.count;
        self.sum += later.sum;
        self.sum_of_squares += later.sum_of_squares;
    }

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
            flat: self.count > 1 && !self.varied,
        }
    }
}

#[cfg(test)]
mod tests;
