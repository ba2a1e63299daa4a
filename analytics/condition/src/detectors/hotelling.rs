//! Hotelling's T² around a reference that follows, with a covariance that goes on learning.
//!
//! Few minutes of learning do not describe a machine. While the asset is calm, the reference
//! follows the readings and the covariance takes them in; both stand still while it is not, so a
//! fault that has come is not learned. Three things widen what counts as normal beside the spread
//! around the reference: the usual change over the drift lag (a random walk, so that a
//! temperature that drifts anyway has to go farther), and the tolerance of the instruments in
//! percent of the reading, below which no deviation means anything however quiet a metric was.
//!
//! A fault that ends does not always lead back to where it began. When a deviation has lost most
//! of the direction that it had at its strongest, the level reached becomes a second reference
//! beside the old one: near either is normal. The reference never goes farther from what was
//! learned than a bound, the slow guard against learning a slow fault.
//!
//! **Source**: Hotelling 1947 (T²), Harvey 1989 (the random walk around a local level).

mod normal;
mod vectors;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::detector::{
    Contribution, Detector, Explanation, FitError, Sample, Score, Training,
};
use super::super::features::Feature;
use super::super::matrix::Square;
use super::super::settings::FeatureKind;
use super::super::span::Span;
use crate::numbers::count;
use vectors::{Smoother, difference, difference_or_zero, fill, share_of, standardize};

pub use normal::Normal;

/// Samples that are kept over the drift lag at most.
const LAG_SAMPLES: i64 = 20;
/// The precision is computed anew after so many calm samples.
const REFRESH: u32 = 10;

/// How T² is set. The reasons stand in `default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HotellingSettings {
    /// Half-life with which vectors are smoothed before they are judged; zero: not at all.
    /// **Units**: event time.
    pub smoothing: Span,
    /// Lag over which normal change is measured. **Units**: event time.
    pub drift_lag: Span,
    /// How much normal change widens the band.
    pub drift_factor: f64,
    /// Tolerance of the instruments. **Units**: share of the reading.
    pub tolerance: f64,
    /// Half-life with which the reference follows; zero: it does not. **Units**: event time.
    pub adapt_half_life: Span,
    /// How far the reference may follow. **Units**: multiples of the alarm limit.
    pub adapt_bound: f64,
    /// Time that the covariance remembers at most; zero: what was learned stays.
    /// **Units**: event time.
    pub memory: Span,
    /// Share of its strongest deviation, in the same direction, below which a fault is over.
    pub remainder: f64,
    /// How long it must be below. **Units**: event time.
    pub remainder_duration: Span,
    /// A level that the asset has been away for so long is a new normal one: whoever had to know
    /// has had the alarm; zero: never. **Units**: event time.
    pub accept_after: Span,
    /// Alarm when T² is over so many times the number of features.
    pub limit_factor: f64,
    /// A feature that was missing for longer is normal where it is when it comes back; zero: it is
    /// not. **Units**: event time.
    pub reset_after: Span,
}

impl HotellingSettings {
    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let ranges = [
            ("drift_factor", self.drift_factor, 0.0, 100.0),
            ("tolerance", self.tolerance, 0.0, 1.0),
            ("adapt_bound", self.adapt_bound, 0.0, 1e9),
            ("remainder", self.remainder, 0.0, 1.0),
            ("limit_factor", self.limit_factor, 0.01, 1e6),
        ];
        let wrong = ranges
            .iter()
            .filter(|(_, value, least, most)| !(value >= least && value <= most));
        wrong
            .map(|(name, value, least, most)| {
                format!("{name} is {value}, but must be from {least} to {most}")
            })
            .collect()
    }

    /// Learns from the vectors of a learning period.
    ///
    /// **Errors** when there are too few to tell a drift.
    pub fn fit(&self, training: &Training<'_>) -> Result<HotellingModel, FitError> {
        let spacing = training.spacing();
        let mut smoother = Smoother::default();
        let mut rows = Vec::with_capacity(training.rows.len());
        let mut before = None;
        for (time, row) in training.times.iter().zip(training.rows) {
            let elapsed = before.map_or(0, |before| time - before);
            rows.push(smoother.take(row, elapsed, self.smoothing));
            before = Some(*time);
        }
        let width = training.features.len();
        let number = count(rows.len());
        let mean = |of: usize| rows.iter().map(|row| row[of]).sum::<f64>() / number;
        let center: Vec<f64> = (0..width).map(mean).collect();
        let deviation = |of: usize| {
            let squares: f64 = rows.iter().map(|row| (row[of] - center[of]).powi(2)).sum();
            (squares / (number - 1.0).max(1.0)).sqrt()
        };
        let scale: Vec<f64> = (0..width)
            .map(|of| deviation(of).max(f64::MIN_POSITIVE.sqrt()))
            .collect();
        for row in &mut rows {
            standardize(row, &center, &scale);
        }
        let lag = training.lag(self.drift_lag, 2);
        let tolerance = (0..width)
            .map(|of| self.variance_of_tolerance(&training.features[of], center[of], scale[of]))
            .collect();
        Ok(HotellingModel {
            normal: Normal::learned(&rows, &training.parts(), lag, tolerance),
            center,
            scale,
            spacing,
        })
    }

    /// Only levels have a tolerance in percent of the reading.
    fn variance_of_tolerance(&self, feature: &Feature, center: f64, scale: f64) -> f64 {
        match feature.kind {
            FeatureKind::Mean => (self.tolerance * center / scale).powi(2),
            _ => 0.0,
        }
    }
}

/// What T² has learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HotellingModel {
    /// Means of the learning period.
    pub center: Vec<f64>,
    /// Deviations of the learning period.
    pub scale: Vec<f64>,
    /// How samples lie around the reference.
    pub normal: Normal,
    /// From sample to sample, usually. **Units**: microseconds.
    pub spacing: i64,
}

/// T² at work on one asset.
#[derive(Debug)]
pub struct HotellingDetector {
    settings: HotellingSettings,
    model: HotellingModel,
    precision: Square,
    stale: u32,
    state: State,
    last: Option<Distance>,
}

/// What is remembered of the asset. **Units**: deviations of the learning period.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct State {
    /// What is normal now, newest first: one, or two after a fault that did not lead back.
    references: Vec<Vec<f64>>,
    /// How samples lie around them.
    normal: Option<Normal>,
    smoother: Smoother,
    /// The strongest deviation of the excursion that goes on.
    strongest: Option<Vec<f64>>,
    /// How long the deviation has lost most of that. **Units**: microseconds.
    lost_for: i64,
    /// How long the excursion goes on. **Units**: microseconds.
    away_for: i64,
    /// When each feature was last seen.
    seen: Vec<Option<i64>>,
    /// Calm samples over the drift lag.
    recent: VecDeque<(i64, Vec<f64>)>,
}

/// Where a sample lies.
#[derive(Debug, Clone)]
struct Distance {
    sample: Vec<f64>,
    /// From the nearest reference.
    apart: Vec<f64>,
    nearest: usize,
    missing: Vec<usize>,
    t2: f64,
}

impl HotellingDetector {
    /// A detector whose reference is what was learned.
    pub fn new(model: HotellingModel, settings: &HotellingSettings) -> Self {
        let mut detector = Self {
            settings: settings.clone(),
            precision: model.normal.precision(settings.drift_factor),
            stale: 0,
            state: State {
                references: vec![vec![0.0; model.center.len()]],
                ..State::default()
            },
            last: None,
            model,
        };
        detector.state.normal = Some(detector.model.normal.clone());
        detector
    }

    fn limit(&self) -> f64 {
        self.settings.limit_factor * count(self.model.center.len())
    }

    fn distance(&mut self, sample: &Sample<'_>) -> Option<Distance> {
        let smoothing = self.settings.smoothing;
        let smoother = &mut self.state.smoother;
        let mut values = smoother.take(sample.values, sample.elapsed, smoothing);
        standardize(&mut values, &self.model.center, &self.model.scale);
        let missing: Vec<usize> = (0..values.len())
            .filter(|at| !values[*at].is_finite())
            .collect();
        if 2 * missing.len() >= values.len() && !missing.is_empty() {
            return None;
        }
        let away = |(nearest, reference): (usize, &Vec<f64>)| {
            let mut apart = difference(&values, reference);
            fill(&self.precision, &mut apart, &missing);
            let t2 = self.precision.form(&apart);
            (nearest, apart, t2)
        };
        let references = self.state.references.iter().enumerate();
        let (nearest, apart, t2) = references.map(away).min_by(|a, b| a.2.total_cmp(&b.2))?;
        Some(Distance {
            sample: values,
            apart,
            nearest,
            missing,
            t2,
        })
    }

    /// What comes back after a long gap is normal where it is then.
    fn begin_anew(&mut self, sample: &Sample<'_>) {
        let longest = self.settings.reset_after.micros();
        if longest == 0 {
            return;
        }
        let mut level = sample.values.to_vec();
        standardize(&mut level, &self.model.center, &self.model.scale);
        self.state.seen.resize(level.len(), None);
        for (at, now) in level.into_iter().enumerate().filter(|(_, x)| x.is_finite()) {
            let before = self.state.seen[at].replace(sample.at);
            if before.is_some_and(|before| sample.at - before > longest) {
                self.state.smoother.forget(at);
                self.state.recent.clear();
                for reference in &mut self.state.references {
                    reference[at] = now;
                }
            }
        }
    }

    /// Whether an excursion has lost the direction it had, so that the level is a new one.
    fn settle(&mut self, elapsed: i64, distance: &Distance) {
        let Some(strongest) = &mut self.state.strongest else {
            return;
        };
        let apart = difference_or_zero(&distance.sample, &self.state.references[0]);
        self.state.away_for += elapsed;
        let longest = self.settings.accept_after.micros();
        if longest > 0 && self.state.away_for >= longest {
            self.accept(&apart);
            return;
        }
        let most = self.precision.form(strongest);
        if self.precision.form(&apart) > most {
            *strongest = apart;
            self.state.lost_for = 0;
            return;
        }
        let pull = self.precision.times(strongest);
        let along: f64 = pull.iter().zip(&apart).map(|(a, b)| a * b).sum();
        if along >= self.settings.remainder * most {
            self.state.lost_for = 0;
            return;
        }
        self.state.lost_for += elapsed;
        if self.state.lost_for >= self.settings.remainder_duration.micros() {
            self.accept(&apart);
        }
    }

    /// A level so far from the reference becomes the reference, beside the one before.
    fn accept(&mut self, apart: &[f64]) {
        let before = self.state.references[0].clone();
        let level: Vec<f64> = before.iter().zip(apart).map(|(a, b)| a + b).collect();
        self.state.references = vec![level, before];
        self.calm_down();
    }

    /// No excursion goes on.
    fn calm_down(&mut self) {
        self.state.strongest = None;
        self.state.lost_for = 0;
        self.state.away_for = 0;
    }

    /// Moves the nearest reference toward a calm sample, unless that leads beyond the bound.
    fn follow_level(&mut self, elapsed: i64, distance: &Distance) {
        let share = share_of(elapsed, self.settings.adapt_half_life);
        if share == 0.0 {
            return;
        }
        let place = &self.state.references[distance.nearest];
        let mut moved = place.clone();
        for (at, (level, apart)) in moved.iter_mut().zip(&distance.apart).enumerate() {
            if !distance.missing.contains(&at) {
                *level += share * apart;
            }
        }
        let bound = self.settings.adapt_bound * self.limit();
        let reached = self.precision.form(&moved);
        if reached <= bound || reached < self.precision.form(place) {
            self.state.references[distance.nearest] = moved;
        }
    }

    /// Takes a calm sample into the covariance.
    fn learn_spread(&mut self, at: i64, distance: &Distance) {
        let Some(normal) = &mut self.state.normal else {
            return;
        };
        if self.settings.memory.micros() == 0 || !distance.missing.is_empty() {
            return;
        }
        let spacing = self.model.spacing.max(1);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 windows")]
        let most = (self.settings.memory.micros() / spacing) as f64;
        let share = 1.0 / normal.weight.min(most).max(1.0);
        normal.weight = (normal.weight + 1.0).min(most.max(1.0));
        normal.spread.blend(&distance.apart, share);
        let lag = self.settings.drift_lag.micros();
        let stride = (lag / LAG_SAMPLES).max(spacing);
        let recent = &mut self.state.recent;
        if recent
            .back()
            .is_none_or(|(newest, _)| at - newest >= stride)
        {
            // Of all that are old enough the newest is a lag ago.
            while recent.get(1).is_some_and(|(time, _)| at - time >= lag) {
                recent.pop_front();
            }
            if let Some((time, old)) = recent.front()
                && at - time >= lag
                && at - time < 2 * lag
            {
                let change = difference(&distance.sample, old);
                #[expect(clippy::cast_precision_loss, reason = "a few windows")]
                let weight = (stride / spacing) as f64;
                normal.drift.blend(&change, (share * weight).min(0.5));
            }
            recent.push_back((at, distance.sample.clone()));
        }
        self.stale += 1;
        if self.stale >= REFRESH {
            self.stale = 0;
            self.precision = normal.precision(self.settings.drift_factor);
        }
    }
}

impl Detector for HotellingDetector {
    fn score(&mut self, sample: &Sample<'_>) -> Option<Score> {
        self.begin_anew(sample);
        self.last = self.distance(sample);
        let distance = self.last.clone()?;
        let ratio = distance.t2 / self.limit();
        if ratio >= 1.0 && self.state.strongest.is_none() {
            let apart = difference_or_zero(&distance.sample, &self.state.references[0]);
            self.state.strongest = Some(apart);
        }
        self.settle(sample.elapsed, &distance);
        Some(Score { ratio })
    }

    fn follow(&mut self, sample: &Sample<'_>, score: &Score, calm: bool) {
        if score.ratio >= 1.0 {
            // A change over the lag would have the fault in it.
            self.state.recent.clear();
        }
        if !calm {
            return;
        }
        self.calm_down();
        if let Some(distance) = self.last.take() {
            self.learn_spread(sample.at, &distance);
            self.follow_level(sample.elapsed, &distance);
            self.last = Some(distance);
        }
    }

    fn explain(&self, _sample: &Sample<'_>) -> Explanation {
        let Some(last) = &self.last else {
            return Explanation::default();
        };
        let reference = &self.state.references[last.nearest.min(self.state.references.len() - 1)];
        Explanation {
            contributions: self.contributions(last, reference),
            facts: json!({
                "t2": last.t2,
                "limits": { "t2": self.limit(), "factor": self.settings.limit_factor },
                "reference_displacement": self.precision.form(reference) / self.limit(),
                "references": self.state.references.len(),
                "missing": last.missing,
            }),
        }
    }

    fn save(&self) -> Value {
        serde_json::to_value(&self.state).unwrap_or_default()
    }

    fn restore(&mut self, saved: &Value) {
        let state: Result<State, _> = serde_json::from_value(saved.clone());
        let width = self.model.center.len();
        let Ok(state) = state else { return };
        let fits = |vector: &Vec<f64>| vector.len() == width;
        let normal = state.normal.as_ref();
        if !state.references.is_empty()
            && state.references.iter().all(fits)
            && normal.is_some_and(|normal| fits(&normal.tolerance))
            && state.strongest.as_ref().is_none_or(fits)
            && state.recent.iter().all(|(_, vector)| fits(vector))
        {
            if let Some(normal) = normal {
                self.precision = normal.precision(self.settings.drift_factor);
            }
            self.stale = 0;
            self.state = state;
        }
    }
}

impl HotellingDetector {
    /// By how much T² falls when a feature is replaced by what the others suggest.
    fn contributions(&self, last: &Distance, reference: &[f64]) -> Vec<Contribution> {
        let pull = self.precision.times(&last.apart);
        let own = |at: usize| self.precision.at(at, at).max(f64::MIN_POSITIVE);
        let fall = |at: usize| pull[at] * pull[at] / own(at);
        let total: f64 = (0..pull.len()).map(fall).sum();
        let mut contributions: Vec<Contribution> = (0..pull.len())
            .filter(|at| !last.missing.contains(at))
            .map(|at| {
                let deviations = pull[at] / own(at);
                let place = reference[at] + last.apart[at];
                let observed = self.model.center[at] + self.model.scale[at] * place;
                Contribution {
                    feature: at,
                    share: fall(at) / total.max(f64::MIN_POSITIVE),
                    observed,
                    expected: observed - self.model.scale[at] * deviations,
                    deviations,
                }
            })
            .collect();
        contributions.sort_by(|a, b| b.share.total_cmp(&a.share));
        contributions
    }
}

#[cfg(test)]
mod tests;
