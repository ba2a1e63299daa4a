//! The settings of one asset class, and the kinds that classes are of.

mod kinds;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::kinds::Kinds;
use super::detectors::DetectorSettings;
pub use super::features::FeatureKind;
use super::guard::ThresholdSettings;
use super::prognosis::class_life::ClassLifeSettings;
use super::prognosis::degradation::DegradationSettings;
use super::regimes::levels::RegimeSettings;
use super::span::Span;

mod severity;

pub use severity::Severity;

/// The defaults, the kinds and the declared classes with their reasons, a fragment of the
/// service's `default.toml`.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// Most windows that a learning period may have.
pub const MAX_LEARNING_WINDOWS: i64 = 20_000;
/// Most steps that a window may have.
pub const MAX_STEPS_PER_WINDOW: i64 = 1_000;
/// Most windows that a verification may look back on.
pub const MAX_VERIFY_WINDOWS: usize = 128;

/// When a window is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judging {
    /// When a step is over: the first reading of the next one closes it.
    Step,
    /// At every reading, over the window that ends with it.
    Reading,
}

/// Who learns what is normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Each asset by itself.
    #[default]
    Asset,
    /// The class once for all its assets; an asset only its own levels and spreads.
    Class,
}

impl Sharing {
    /// As it is when nothing is said.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How one detector of a class is set, and what its alarms are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Watching {
    /// The detector.
    pub detector: DetectorSettings,
    /// Whether what it says raises alarms; otherwise it only marks windows.
    pub alarms: bool,
    /// How much its alarms matter; the class's severity when nothing is said.
    pub severity: Option<Severity>,
    /// How long its limit must be exceeded; the class's when nothing is said. **Units**: event time.
    pub min_duration: Option<Span>,
    /// How long it must be back; as long as its limit must be exceeded when nothing is said.
    /// **Units**: event time.
    pub off_delay: Option<Span>,
    /// Share of its limit below which it is in band again; the class's when nothing is said.
    pub release: Option<f64>,
    /// By what the limits that people promoted multiply its limit: 1 when none did. It stands in no
    /// file and is no part of what was learned.
    pub promoted: f64,
}

/// As it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: String,
    #[serde(default)]
    with: Value,
    #[serde(default = "yes")]
    alarms: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_duration: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    off_delay: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<f64>,
}

fn yes() -> bool {
    true
}

impl TryFrom<Written> for Watching {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let with = match written.with {
            Value::Null => Value::Object(Map::new()),
            with => with,
        };
        let both = serde_json::json!({ "kind": written.kind, "with": with });
        Ok(Self {
            detector: serde_json::from_value(both).map_err(|error| error.to_string())?,
            alarms: written.alarms,
            severity: written.severity,
            min_duration: written.min_duration,
            off_delay: written.off_delay,
            release: written.release,
            promoted: 1.0,
        })
    }
}

impl From<Watching> for Written {
    fn from(watching: Watching) -> Self {
        let mut both = serde_json::to_value(&watching.detector).unwrap_or_default();
        let kind = both["kind"].as_str().unwrap_or_default().to_owned();
        Self {
            kind,
            with: both["with"].take(),
            alarms: watching.alarms,
            severity: watching.severity,
            min_duration: watching.min_duration,
            off_delay: watching.off_delay,
            release: watching.release,
        }
    }
}

/// A day of five-minute windows.
const REFERENCE_WINDOWS: usize = 288;

fn reference_windows() -> usize {
    REFERENCE_WINDOWS
}

// What is as ever is not written, so that a model's name says that nothing has changed.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_reference(windows: &usize) -> bool {
    *windows == REFERENCE_WINDOWS
}

/// How the assets of one class are watched. The reasons stand in `default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSettings {
    /// When windows are judged.
    pub judge: Judging,
    /// Length of a window; zero with `judge = "reading"`: every reading by itself.
    /// **Units**: event time.
    pub window: Span,
    /// From the beginning of a window to that of the next; how finely the beginning of a window
    /// is cut when it is judged at every reading. **Units**: event time.
    pub step: Span,
    /// What is computed from a window.
    pub features: Vec<FeatureKind>,
    /// The setting channels whose regimes are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regimes: Option<RegimeSettings>,
    /// Which metrics; empty: all.
    pub metrics: Vec<String>,
    /// Which metrics are left alone.
    pub ignore: Vec<String>,
    /// Whether a metric that does not move while learning is watched all the same.
    pub keep_constant: bool,
    /// Length of the learning period. **Units**: event time.
    pub learning: Span,
    /// Readings that the learning period must hold at least, however long that takes.
    pub learning_readings: u32,
    /// Windows of the learning period whose features are farther from the median than so many
    /// robust deviations are not learned from; 0: all are.
    pub outlier_bound: f64,
    /// Who learns what is normal.
    #[serde(default, skip_serializing_if = "Sharing::is_default")]
    pub sharing: Sharing,
    /// Where the class has learned: windows from which a new asset's reference is taken.
    #[serde(default = "reference_windows", skip_serializing_if = "is_reference")]
    pub reference_windows: usize,
    /// Readings that a window must have.
    pub min_samples: u32,
    /// Share of the usual number of readings that a window must have.
    pub min_coverage: f64,
    /// How long a lively metric must stand still, a window at least, to count as missing.
    /// **Units**: event time.
    pub stuck_after: Span,
    /// The detectors by name; the name is the cause of their alarms.
    pub detectors: BTreeMap<String, Watching>,
    /// The asset's components by name, each with the metrics that tell of it.
    #[serde(default)]
    pub components: BTreeMap<String, Vec<String>>,
    /// How the course of the health index is kept and read.
    pub degradation: DegradationSettings,
    /// What tells of the remaining life of its assets, where it is learned from those that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life: Option<ClassLifeSettings>,
    /// Declared limits of single metrics by name; the name is the cause of their alarms.
    #[serde(default)]
    pub thresholds: BTreeMap<String, ThresholdSettings>,
    /// How long the limit must be exceeded. **Units**: event time.
    pub min_duration: Span,
    /// Share of the alarm limit below which the asset is in band again.
    pub release: f64,
    /// How much an alarm matters.
    pub severity: Severity,
    /// Silence after which the asset is stale. **Units**: event time.
    pub stale_after: Span,
    /// Readings that were older than this when they were received are the past: they are learned
    /// from and judged, and raise nothing. **Units**: event time.
    pub backfill_after: Span,
    /// Time that a repaired asset has to settle. **Units**: event time.
    pub verify_settle: Span,
    /// Windows in band in a row that verify a repair.
    pub verify_in_band_windows: usize,
    /// Windows out of band in a row that say that a repair has failed.
    pub verify_out_of_band_windows: usize,
}

impl ClassSettings {
    /// Steps of one window; 0 when every reading is judged by itself.
    pub fn steps_per_window(&self) -> usize {
        let steps = self.window.micros() / self.step.micros().max(1);
        let least = usize::from(self.judge == Judging::Step || self.window.micros() > 0);
        usize::try_from(steps).unwrap_or(1).max(least)
    }

    /// Whether what a detector says raises alarms.
    pub fn raises(&self, detector: &str) -> bool {
        self.detectors.get(detector).is_some_and(|own| own.alarms)
    }

    /// By what the limits that people promoted multiply that of a detector: 1 when none did.
    pub fn limit_factor(&self, detector: &str) -> f64 {
        let own = self.detectors.get(detector);
        own.map_or(1.0, |own| own.promoted)
    }

    /// How much an alarm of a detector matters.
    pub fn severity_of(&self, detector: &str) -> Severity {
        let own = self.detectors.get(detector).and_then(|own| own.severity);
        own.unwrap_or(self.severity)
    }

    /// First instant of the window that ends at `end`. **Units**: microseconds since 1970.
    pub fn start_of(&self, end: i64) -> i64 {
        let step = self.step.micros().max(1);
        match i64::try_from(self.steps_per_window()).unwrap_or(i64::MAX) {
            0 => end - 1,
            steps => {
                (end - 1)
                    .div_euclid(step)
                    .saturating_add(1)
                    .saturating_sub(steps)
                    * step
            }
        }
    }

    /// How far before a judged window's end the readings go that the next window may share.
    /// **Units**: microseconds.
    pub fn reach(&self) -> i64 {
        self.window.micros().saturating_add(self.step.micros())
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
        let single = window == 0 && self.judge == Judging::Reading;
        let whole = step > 0 && window >= step && window % step == 0;
        check(
            whole || single,
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
        let counted = self.judge == Judging::Reading && self.learning_readings >= 20;
        check(
            counted || self.learning.micros() >= 20 * step.max(1) && self.learning >= self.window,
            format!(
                "learning is {}, but must be at least 20 steps and a window",
                self.learning
            ),
        );
        check(
            !self.features.is_empty(),
            "features is empty, but must name one at least".into(),
        );
        for (place, kind) in self.features.iter().enumerate() {
            check(
                !self.features[..place].contains(kind),
                format!("features: `{kind}` is named twice"),
            );
            check(
                self.judge == Judging::Step || !kind.is_spectral(),
                format!("features: {kind} needs whole windows; set judge = \"step\""),
            );
            for mistake in kind.mistakes(window) {
                check(false, mistake);
            }
        }
        if let Some(regimes) = &self.regimes {
            for mistake in regimes.mistakes() {
                check(false, mistake);
            }
            let averaged = |kind: &FeatureKind| matches!(kind, FeatureKind::Ewma(_));
            check(
                !self.features.iter().any(averaged),
                "features: an ewma mixes what regimes keep apart; leave out one of both".into(),
            );
        }
        check(
            self.min_samples >= 1,
            "min_samples is 0, but must be at least 1".into(),
        );
        let shares = [
            ("min_coverage", self.min_coverage, 0.0),
            ("release", self.release, f64::MIN_POSITIVE),
        ];
        for (name, value, least) in shares {
            let right = value >= least && value <= 1.0;
            check(
                right,
                format!("{name} is {value}, but must be a share from 0 to 1"),
            );
        }
        check(
            !self.detectors.is_empty(),
            "detectors is empty, but must name one at least".into(),
        );
        for (name, watching) in &self.detectors {
            let own = watching.detector.mistakes().into_iter();
            found.extend(own.map(|mistake| format!("detectors.{name}: {mistake}")));
            if watching
                .release
                .is_some_and(|share| !(share > 0.0 && share <= 1.0))
            {
                found.push(format!(
                    "detectors.{name}: release must be a share from 0 to 1"
                ));
            }
        }
        found.extend(super::fleet::mistakes(self));
        let own = self.degradation.mistakes().into_iter();
        found.extend(own.map(|mistake| format!("degradation: {mistake}")));
        let own = self.life.iter().flat_map(ClassLifeSettings::mistakes);
        found.extend(own.map(|mistake| format!("life: {mistake}")));
        for (name, threshold) in &self.thresholds {
            let own = threshold.mistakes().into_iter();
            found.extend(own.map(|mistake| format!("thresholds.{name}: {mistake}")));
            if self.detectors.contains_key(name) {
                found.push(format!("thresholds.{name}: a detector has this name"));
            }
        }
        let mut check = |right: bool, text: String| {
            if !right {
                found.push(text);
            }
        };
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

#[cfg(test)]
pub(crate) mod tests;
