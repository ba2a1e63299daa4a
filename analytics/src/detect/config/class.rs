//! The settings of one asset class.

use serde::{Deserialize, Serialize};

use super::span::Span;
use crate::alarms::Severity;

/// Most windows that a learning period may have.
pub const MAX_LEARNING_WINDOWS: i64 = 20_000;
/// Most steps that a window may have.
pub const MAX_STEPS_PER_WINDOW: i64 = 1_000;
/// Most windows that a verification may look back on.
pub const MAX_VERIFY_WINDOWS: usize = 128;

/// Which detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Principal components with T² and squared prediction error.
    Pca,
}

/// What is computed from the values of one metric in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// The mean.
    Mean,
    /// The natural logarithm of the standard deviation: how lively the metric is.
    LogStd,
}

/// How the assets of one class are watched. The reasons stand in `default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSettings {
    /// Which detector.
    pub model: ModelKind,
    /// Length of a window. **Units**: event time.
    pub window: Span,
    /// From the beginning of a window to that of the next. **Units**: event time.
    pub step: Span,
    /// What is computed from a window.
    pub features: Vec<FeatureKind>,
    /// Which metrics; empty: all.
    pub metrics: Vec<String>,
    /// Which metrics are left alone.
    pub ignore: Vec<String>,
    /// Length of the learning period. **Units**: event time.
    pub learning: Span,
    /// Readings that a window must have.
    pub min_samples: u32,
    /// Share of the usual number of readings that a window must have.
    pub min_coverage: f64,
    /// Components kept; 0: by explained variance.
    pub components: usize,
    /// Share of the variance that the kept components explain.
    pub explained_variance: f64,
    /// Lag over which normal change is measured. **Units**: event time.
    pub drift_lag: Span,
    /// How much normal change widens the band.
    pub drift_factor: f64,
    /// Half-life with which the reference follows; zero: it does not. **Units**: event time.
    pub adapt_half_life: Span,
    /// How far the reference may follow. **Units**: multiples of the alarm limit.
    pub adapt_bound: f64,
    /// Factor on the limit from the learning period.
    pub limit_factor: f64,
    /// How long the limit must be exceeded. **Units**: event time.
    pub min_duration: Span,
    /// Share of the alarm limit below which the asset is in band again.
    pub release: f64,
    /// How much an alarm matters.
    pub severity: Severity,
    /// Silence after which the asset is stale. **Units**: event time.
    pub stale_after: Span,
    /// Time that a repaired asset has to settle. **Units**: event time.
    pub verify_settle: Span,
    /// Windows in band in a row that verify a repair.
    pub verify_in_band_windows: usize,
    /// Windows out of band in a row that say that a repair has failed.
    pub verify_out_of_band_windows: usize,
}

impl ClassSettings {
    /// Steps of one window.
    pub fn steps_per_window(&self) -> usize {
        let steps = self.window.micros() / self.step.micros().max(1);
        usize::try_from(steps).unwrap_or(1).max(1)
    }

    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut check = |right: bool, text: String| {
            if !right {
                found.push(text);
            }
        };
        let (window, step) = (self.window.micros(), self.step.micros());
        check(
            step >= 1_000,
            format!("step is {}, but must be at least 1ms", self.step),
        );
        let whole = step > 0 && window >= step && window % step == 0;
        check(
            whole,
            format!(
                "window is {}, but must be whole steps of {}",
                self.window, self.step
            ),
        );
        if whole {
            check(
                window / step <= MAX_STEPS_PER_WINDOW,
                format!(
                    "window has {} steps, at most {MAX_STEPS_PER_WINDOW}",
                    window / step
                ),
            );
            let windows = self.learning.micros() / step;
            check(
                windows <= MAX_LEARNING_WINDOWS,
                format!(
                    "learning has {windows} windows, at most {MAX_LEARNING_WINDOWS}: \
                     make the step longer or learning shorter"
                ),
            );
        }
        check(
            self.learning.micros() >= 20 * step.max(1) && self.learning >= self.window,
            format!(
                "learning is {}, but must be at least 20 steps and a window",
                self.learning
            ),
        );
        check(
            !self.features.is_empty(),
            "features is empty, but must name one at least".into(),
        );
        check(
            self.min_samples >= 1,
            "min_samples is 0, but must be at least 1".into(),
        );
        let shares = [
            ("min_coverage", self.min_coverage, 0.0),
            (
                "explained_variance",
                self.explained_variance,
                f64::MIN_POSITIVE,
            ),
            ("release", self.release, f64::MIN_POSITIVE),
        ];
        for (name, value, least) in shares {
            let right = value >= least && value <= 1.0;
            check(
                right,
                format!("{name} is {value}, but must be a share from 0 to 1"),
            );
        }
        let factors = [
            ("drift_factor", self.drift_factor, 0.0, 100.0),
            ("adapt_bound", self.adapt_bound, 0.0, 1e6),
            ("limit_factor", self.limit_factor, 0.1, 1e6),
        ];
        for (name, value, least, most) in factors {
            let right = value >= least && value <= most;
            check(
                right,
                format!("{name} is {value}, but must be from {least} to {most}"),
            );
        }
        check(
            self.drift_factor == 0.0 || self.drift_lag.micros() * 3 <= self.learning.micros(),
            format!(
                "drift_lag is {}, but learning must hold it three times",
                self.drift_lag
            ),
        );
        let windows = [
            ("verify_in_band_windows", self.verify_in_band_windows),
            (
                "verify_out_of_band_windows",
                self.verify_out_of_band_windows,
            ),
        ];
        for (name, value) in windows {
            let right = (1..=MAX_VERIFY_WINDOWS).contains(&value);
            check(
                right,
                format!("{name} is {value}, but must be from 1 to {MAX_VERIFY_WINDOWS}"),
            );
        }
        found
    }
}
