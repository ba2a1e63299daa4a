//! What is kept of an asset's windows while it learns: there may be tens of thousands of assets,
//! and each has hundreds of windows.
//!
//! Of a window only the values stay that its class's features need, four bytes each: as the
//! distance from the first value of the same feature. That distance is at most √n deviations of
//! the n values, so what is rounded away is less than 10⁻⁵ of a deviation.

use super::features;
use super::features::ewma::{Average, Averages};
use super::settings::{ClassSettings, FeatureKind, MAX_LEARNING_WINDOWS};
use super::window::Window;

/// Windows by which the lists grow at least.
const GROWTH: usize = 64;
/// Windows that are kept where only levels and spreads are asked for: 64 give a median to an eighth
/// of a deviation.
pub const THINNED_WINDOWS: usize = 128;
/// Windows by which the lists grow then.
const THINNED_GROWTH: usize = 32;

/// The windows of a learning period, in order of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Learning {
    /// What is kept of every metric.
    kinds: Box<[FeatureKind]>,
    /// Metrics of the newest window.
    metrics: usize,
    ends: Vec<i64>,
    rows: Vec<u32>,
    /// First finite value by column: metric by metric, kind by kind.
    origins: Vec<f64>,
    /// Window by window, a value per column, NaN where it is missing.
    cells: Vec<f32>,
    /// Window by window, a bit per metric: all values were the same.
    flats: Vec<u8>,
    /// How often the windows were thinned out; none: they are all kept.
    thinned: Option<u8>,
    /// Windows that were offered.
    seen: u32,
    /// Where means over windows stand, by column.
    averages: Averages,
}

impl Learning {
    /// Nothing yet, for the features of a class.
    pub fn new(settings: &ClassSettings) -> Self {
        let mut kinds = settings.features.clone();
        // The setting channels of regimes are means.
        if settings.regimes.is_some() && !kinds.contains(&FeatureKind::Mean) {
            kinds.push(FeatureKind::Mean);
        }
        Self {
            kinds: kinds.into(),
            ..Self::default()
        }
    }

    /// The same, but of more than [`THINNED_WINDOWS`] windows only every second is kept, then every
    /// fourth and so on: chosen by their time as if by lot, because every n-th would always see the
    /// same hours of the day.
    pub fn thinned(settings: &ClassSettings) -> Self {
        Self {
            thinned: Some(0),
            ..Self::new(settings)
        }
    }

    /// These windows.
    pub fn of(settings: &ClassSettings, windows: &[Window]) -> Self {
        let mut learning = Self::new(settings);
        for window in windows {
            learning.push(window);
        }
        learning
    }

    /// How many windows it stands for: those that are kept, and those that were thinned out.
    pub fn seen(&self) -> usize {
        match self.thinned {
            Some(_) => usize::try_from(self.seen).unwrap_or(usize::MAX),
            None => self.len(),
        }
    }

    /// How many windows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether no more can be kept: what is there has to do.
    pub fn is_full(&self) -> bool {
        self.len() >= usize::try_from(MAX_LEARNING_WINDOWS).unwrap_or(usize::MAX)
    }

    /// Takes a window.
    pub fn push(&mut self, window: &Window) {
        self.seen = self.seen.saturating_add(1);
        if let Some(times) = self.thinned {
            if !is_kept(window.end, times) {
                return;
            }
            if self.len() >= THINNED_WINDOWS {
                self.thin_out(times + 1);
            }
        }
        if window.metrics.len() > self.metrics {
            self.widen(window.metrics.len());
        }
        let more = match self.thinned {
            Some(_) => THINNED_GROWTH,
            None => self.len() / 8 + GROWTH,
        };
        if self.ends.len() == self.ends.capacity() {
            self.ends.reserve_exact(more);
            self.rows.reserve_exact(more);
            self.cells.reserve_exact(more * self.width());
            self.flats.reserve_exact(more * self.flat_bytes());
        }
        self.ends.push(window.end);
        self.rows.push(window.rows);
        let flats = self.flats.len();
        self.flats.resize(flats + self.flat_bytes(), 0);
        for metric in 0..self.metrics {
            let seen = window.metrics.get(metric);
            if seen.is_some_and(|seen| seen.flat) {
                self.flats[flats + metric / 8] |= 1 << (metric % 8);
            }
            for (place, kind) in self.kinds.iter().enumerate() {
                let column = metric * self.kinds.len() + place;
                let mut value = features::value(window, metric, *kind);
                if let FeatureKind::Ewma(own) = kind {
                    let (averages, half_life) = (&mut self.averages, own.half_life);
                    value = averages.follow(column, half_life, window.end, value);
                }
                let origin = &mut self.origins[column];
                if origin.is_nan() && value.is_finite() {
                    *origin = value;
                }
                #[expect(clippy::cast_possible_truncation, reason = "see above")]
                self.cells.push((value - *origin) as f32);
            }
        }
    }

    /// Event time of a window's end. **Units**: microseconds since 1970.
    pub fn end(&self, window: usize) -> i64 {
        self.ends[window]
    }

    /// Event time of the end of the last window; the first instant when there is none.
    /// **Units**: microseconds since 1970.
    pub fn last_end(&self) -> i64 {
        self.ends.last().copied().unwrap_or(i64::MIN)
    }

    /// Readings in a window.
    pub fn rows(&self, window: usize) -> u32 {
        self.rows[window]
    }

    /// A feature of a window, by the class's number of the metric; NaN when it is missing.
    pub fn value(&self, window: usize, metric: usize, kind: FeatureKind) -> f64 {
        let place = self.kinds.iter().position(|kept| *kept == kind);
        let (Some(place), true) = (place, metric < self.metrics) else {
            return f64::NAN;
        };
        let column = metric * self.kinds.len() + place;
        self.origins[column] + f64::from(self.cells[window * self.width() + column])
    }

    /// Whether all values of a metric were the same in a window.
    pub fn is_flat(&self, window: usize, metric: usize) -> bool {
        metric < self.metrics
            && self.flats[window * self.flat_bytes() + metric / 8] & (1 << (metric % 8)) != 0
    }

    /// Leaves only windows that begin at an instant or later.
    pub fn keep_from(&mut self, instant: i64, settings: &ClassSettings) {
        let early = |end: &&i64| settings.start_of(**end) < instant;
        self.drop_first(self.ends.iter().take_while(early).count());
    }

    /// Drops the oldest windows.
    pub fn drop_first(&mut self, windows: usize) {
        let windows = windows.min(self.len());
        self.cells.drain(..windows * self.width());
        self.flats.drain(..windows * self.flat_bytes());
        self.ends.drain(..windows);
        self.rows.drain(..windows);
    }

    /// Where a mean over windows stands after the last one.
    pub fn average(&self, metric: usize, kind: FeatureKind) -> Option<Average> {
        let place = self.kinds.iter().position(|kept| *kept == kind)?;
        self.averages.get(metric * self.kinds.len() + place)
    }

    /// What its lists take, with what they keep free. **Units**: bytes.
    pub fn heap_bytes(&self) -> usize {
        self.ends.capacity() * size_of::<i64>()
            + self.rows.capacity() * size_of::<u32>()
            + self.cells.capacity() * size_of::<f32>()
            + self.flats.capacity()
            + self.origins.capacity() * size_of::<f64>()
            + size_of_val(&*self.kinds)
            + self.averages.heap_bytes()
    }

    /// Keeps every second window of those that are kept.
    fn thin_out(&mut self, times: u8) {
        self.thinned = Some(times);
        let (width, flat_bytes) = (self.width(), self.flat_bytes());
        let mut kept = 0;
        for window in 0..self.len() {
            if !is_kept(self.ends[window], times) {
                continue;
            }
            self.ends[kept] = self.ends[window];
            self.rows[kept] = self.rows[window];
            let cells = window * width..(window + 1) * width;
            self.cells.copy_within(cells, kept * width);
            let flats = window * flat_bytes..(window + 1) * flat_bytes;
            self.flats.copy_within(flats, kept * flat_bytes);
            kept += 1;
        }
        self.ends.truncate(kept);
        self.rows.truncate(kept);
        self.cells.truncate(kept * width);
        self.flats.truncate(kept * flat_bytes);
    }

    fn width(&self) -> usize {
        self.metrics * self.kinds.len()
    }

    fn flat_bytes(&self) -> usize {
        self.metrics.div_ceil(8)
    }

    /// The class has more metrics now: older windows miss them.
    fn widen(&mut self, metrics: usize) {
        let before = Self {
            cells: std::mem::take(&mut self.cells),
            flats: std::mem::take(&mut self.flats),
            metrics: self.metrics,
            kinds: self.kinds.clone(),
            ..Self::default()
        };
        self.metrics = metrics;
        self.origins
            .reserve_exact(self.width() - self.origins.len());
        self.origins.resize(self.width(), f64::NAN);
        let places = self.ends.capacity();
        self.cells.reserve_exact(places * self.width());
        self.flats.reserve_exact(places * self.flat_bytes());
        for window in 0..self.len() {
            let old = &before.cells[window * before.width()..][..before.width()];
            self.cells.extend_from_slice(old);
            self.cells.resize((window + 1) * self.width(), f32::NAN);
            let old = &before.flats[window * before.flat_bytes()..][..before.flat_bytes()];
            self.flats.extend_from_slice(old);
            self.flats.resize((window + 1) * self.flat_bytes(), 0);
        }
    }
}

/// Whether a window is one of those that are kept after thinning out so often.
///
/// **Source**: Gibbons and Tirthapura 2001 (coordinated sampling by the bits of a hash).
fn is_kept(end: i64, times: u8) -> bool {
    let mut mixed = end.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^= mixed >> 32;
    mixed.trailing_zeros() >= u32::from(times)
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::super::window::Seen;
    use super::*;

    /// A window with a value per metric, `NaN` missing, and every third one flat.
    fn window(end: i64, values: &[f64]) -> Window {
        let seen = |(number, value): (usize, &f64)| Seen {
            count: if value.is_finite() { 5 } else { 0 },
            mean: *value,
            deviation: 0.5,
            flat: number % 3 == 2,
        };
        Window {
            start: end - 10,
            end,
            rows: 5,
            metrics: values.iter().enumerate().map(seen).collect(),
            measured: None,
        }
    }

    #[test]
    fn windows_come_back_as_they_went_in() {
        let settings = settings("features = ['mean', 'log_std']");
        let levels = |at: f64, width: usize| -> Vec<f64> {
            let value = |number: usize| 1e6 * f64::from(number as u32) + 0.125 * at;
            (0..width).map(value).collect()
        };
        let mut learning = Learning::new(&settings);
        for at in 0..100_u32 {
            // Two more metrics come, and the first one is missing now and then.
            let mut values = levels(at.into(), if at < 30 { 9 } else { 11 });
            if at % 7 == 3 {
                values[0] = f64::NAN;
            }
            learning.push(&window(i64::from(at) * 10, &values));
        }
        assert_eq!(learning.len(), 100);
        learning.drop_first(10);
        learning.drop_first(10);
        assert_eq!((learning.len(), learning.end(0)), (80, 200));
        for place in 0..80 {
            let at = place + 20;
            let expected = levels(at as f64, 11);
            for (metric, expected) in expected.iter().enumerate() {
                let found = learning.value(place, metric, FeatureKind::Mean);
                let missing = (metric == 0 && at % 7 == 3) || (metric > 8 && at < 30);
                assert!(found == *expected || missing && found.is_nan());
                let flat = metric % 3 == 2 && (metric <= 8 || at >= 30);
                assert_eq!(learning.is_flat(place, metric), flat);
            }
            let log = learning.value(place, 1, FeatureKind::LogStd);
            assert!((log - 0.5_f64.ln()).abs() < 1e-6);
        }
        assert!(learning.value(0, 11, FeatureKind::Mean).is_nan());
    }

    #[test]
    fn three_days_of_ten_metrics_take_50_kb() {
        let mut learning = Learning::new(&settings(""));
        for at in 0..864 {
            learning.push(&window(at, &[1.0; 10]));
        }
        let bytes = learning.heap_bytes();
        assert!((46_000..54_000).contains(&bytes), "{bytes}");
    }
}
