//! What windows are measured for beyond means and deviations, where a class declares it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Seen;
use crate::features::spectrum::Spectra;
use crate::settings::FeatureKind;

/// Readings that are kept of a window with a spectrum; a window with more has none.
/// **Units**: readings, 8 bytes each and 8 for each metric.
pub const MAX_READINGS: usize = 65_536;

/// What a window was measured for.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    kinds: Arc<[FeatureKind]>,
    /// Metric by metric, kind by kind; NaN where there is none.
    values: Vec<f64>,
}

impl Measured {
    /// What was measured of the class's metric of this number; NaN when it was not.
    pub fn value(&self, metric: usize, kind: FeatureKind) -> f64 {
        let place = self.kinds.iter().position(|known| *known == kind);
        let place = place.map(|place| metric * self.kinds.len() + place);
        let value = place.and_then(|place| self.values.get(place));
        value.copied().unwrap_or(f64::NAN)
    }
}

/// Measures the panes of one asset.
#[derive(Debug)]
pub(super) struct Measuring {
    kinds: Arc<[FeatureKind]>,
    keeps_readings: bool,
    /// **Units**: microseconds.
    step: i64,
    /// In order; those that no later window has go.
    panes: VecDeque<Pane>,
    /// How many readings all panes keep.
    readings: usize,
}

#[derive(Debug, Default)]
struct Pane {
    index: i64,
    courses: Vec<Course>,
    /// Times and values of the readings; the latter by metric, as long as the times or shorter.
    times: Vec<i64>,
    values: Vec<Vec<f64>>,
    /// Not all readings are kept.
    overflown: bool,
}

/// How one metric went. Values are relative to the asset's first one, times to the beginning of the
/// pane or window.
#[derive(Debug, Clone, Copy)]
struct Course {
    count: f64,
    least: f64,
    most: f64,
    /// **Units**: hours.
    times: f64,
    squares: f64,
    values: f64,
    products: f64,
}

/// Microseconds of an hour.
const HOUR: f64 = 3.6e9;

/// Fewest values that a line is laid through.
const LEAST_OF_LINE: f64 = 3.0;

impl Measuring {
    /// For these features; `None` when mean and deviation are enough for all.
    pub(super) fn of(features: &[FeatureKind], step: i64) -> Option<Self> {
        let beyond = |kind: &&FeatureKind| !kind.is_of_moments();
        let kinds: Arc<[FeatureKind]> = features.iter().filter(beyond).copied().collect();
        (!kinds.is_empty()).then(|| Self {
            keeps_readings: kinds.iter().any(|kind| kind.is_spectral()),
            kinds,
            step,
            panes: VecDeque::new(),
            readings: 0,
        })
    }

    /// Takes a reading of a pane: `value(m)` is NaN where metric `m` is missing.
    pub(super) fn add(
        &mut self,
        index: i64,
        time: i64,
        metrics: usize,
        value: impl Fn(usize) -> f64,
    ) {
        if self.panes.back().is_none_or(|pane| pane.index != index) {
            let pane = Pane {
                index,
                ..Pane::default()
            };
            self.panes.push_back(pane);
        }
        let Some(pane) = self.panes.back_mut() else {
            return;
        };
        if pane.courses.len() < metrics {
            pane.courses.resize(metrics, Course::NONE);
        }
        let hours = hours(time - index * self.step);
        for (metric, course) in pane.courses.iter_mut().enumerate().take(metrics) {
            course.add(hours, value(metric));
        }
        if !self.keeps_readings || pane.overflown {
            return;
        }
        if self.readings >= MAX_READINGS {
            self.readings -= pane.times.len();
            (pane.times, pane.values) = (Vec::new(), Vec::new());
            pane.overflown = true;
            return;
        }
        self.readings += 1;
        pane.values
            .resize(metrics.max(pane.values.len()), Vec::new());
        for (metric, values) in pane.values.iter_mut().enumerate().take(metrics) {
            values.resize(pane.times.len(), f64::NAN);
            values.push(value(metric));
        }
        pane.times.push(time);
    }

    /// Takes a value that the newest reading did not have.
    pub(super) fn join(&mut self, index: i64, time: i64, metric: usize, value: f64) {
        let Some(pane) = self.panes.back_mut().filter(|pane| pane.index == index) else {
            return;
        };
        if pane.courses.len() <= metric {
            pane.courses.resize(metric + 1, Course::NONE);
        }
        pane.courses[metric].add(hours(time - index * self.step), value);
        if pane.times.last() == Some(&time) {
            if pane.values.len() <= metric {
                pane.values.resize(metric + 1, Vec::new());
            }
            let values = &mut pane.values[metric];
            values.resize(pane.times.len() - 1, f64::NAN);
            values.push(value);
        }
    }

    /// Measures the panes from the first to before the last; those before are forgotten.
    pub(super) fn measure(
        &mut self,
        (first, last): (i64, i64),
        metrics: &[Seen],
        origins: &[f64],
    ) -> Measured {
        while self.panes.front().is_some_and(|pane| pane.index < first) {
            let gone = self.panes.pop_front();
            self.readings -= gone.map_or(0, |pane| pane.times.len());
        }
        let mut values = Vec::with_capacity(metrics.len() * self.kinds.len());
        let mut spectra = Sampled::default();
        for (metric, (seen, origin)) in metrics.iter().zip(origins).enumerate() {
            let mut course = Course::NONE;
            let inside = self.panes.iter().filter(|pane| pane.index < last);
            for pane in inside.clone() {
                if let Some(own) = pane.courses.get(metric) {
                    course.join(own, hours((pane.index - first) * self.step));
                }
            }
            if self.keeps_readings {
                spectra.sample(inside, metric);
            }
            for kind in self.kinds.iter() {
                values.push(match kind {
                    FeatureKind::Min => origin + course.least,
                    FeatureKind::Max => origin + course.most,
                    FeatureKind::PeakToPeak if course.count > 1.0 => course.most - course.least,
                    FeatureKind::CrestFactor if seen.deviation > 0.0 => {
                        let mean = seen.mean - origin;
                        (course.most - mean).max(mean - course.least) / seen.deviation
                    }
                    FeatureKind::Slope => course.slope(),
                    kind if kind.is_spectral() => spectra.value(*kind),
                    _ => f64::NAN,
                });
            }
        }
        Measured {
            kinds: Arc::clone(&self.kinds),
            values,
        }
    }

    /// What its lists take. **Units**: bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let of = |pane: &Pane| {
            let values = pane.values.iter().map(Vec::capacity).sum::<usize>();
            8 * (values + pane.times.capacity())
                + pane.values.capacity() * size_of::<Vec<f64>>()
                + pane.courses.capacity() * size_of::<Course>()
        };
        let panes: usize = self.panes.iter().map(of).sum();
        panes + self.panes.capacity() * size_of::<Pane>() + size_of::<Self>()
    }
}

/// The readings of one metric in a window, and what computes their spectra.
#[derive(Default)]
struct Sampled {
    times: Vec<i64>,
    values: Vec<f64>,
    spectra: Option<Spectra>,
}

impl Sampled {
    /// Takes the values of a metric that are there. Metrics that are read together share what
    /// computes their spectra.
    fn sample<'a>(&mut self, panes: impl Iterator<Item = &'a Pane>, metric: usize) {
        let before = std::mem::take(&mut self.times);
        self.values.clear();
        for pane in panes {
            if pane.overflown {
                (self.times, self.spectra) = (Vec::new(), None);
                return;
            }
            let values = pane.values.get(metric).into_iter().flatten();
            for (time, value) in pane.times.iter().zip(values) {
                if value.is_finite() {
                    self.times.push(*time);
                    self.values.push(*value);
                }
            }
        }
        if before != self.times {
            self.spectra = Spectra::new(&self.times);
        }
    }

    fn value(&self, kind: FeatureKind) -> f64 {
        let spectra = self.spectra.as_ref();
        spectra.map_or(f64::NAN, |spectra| spectra.value(&self.values, kind))
    }
}

impl Course {
    const NONE: Self = Self {
        count: 0.0,
        least: f64::NAN,
        most: f64::NAN,
        times: 0.0,
        squares: 0.0,
        values: 0.0,
        products: 0.0,
    };

    fn add(&mut self, hours: f64, value: f64) {
        if value.is_nan() {
            return;
        }
        self.count += 1.0;
        self.least = self.least.min(value);
        self.most = self.most.max(value);
        self.times += hours;
        self.squares += hours * hours;
        self.values += value;
        self.products += hours * value;
    }

    /// Takes a later pane that begins so many hours after.
    fn join(&mut self, later: &Self, hours: f64) {
        self.count += later.count;
        self.least = self.least.min(later.least);
        self.most = self.most.max(later.most);
        self.squares += later.squares + hours * (2.0 * later.times + hours * later.count);
        self.products += later.products + hours * later.values;
        self.times += later.times + hours * later.count;
        self.values += later.values;
    }

    /// **Units**: those of the metric per hour; NaN when no line is certain.
    fn slope(&self) -> f64 {
        let spread = self.squares - self.times * self.times / self.count;
        if self.count < LEAST_OF_LINE || spread <= 1e-9 * self.squares {
            return f64::NAN;
        }
        (self.products - self.times * self.values / self.count) / spread
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "spans are far below 2^52 microseconds"
)]
fn hours(micros: i64) -> f64 {
    micros as f64 / HOUR
}

#[cfg(test)]
mod tests;
