//! What was learned about an asset: the features it looks at and its fitted detectors.

use crate::numbers::{count, median};
use std::collections::BTreeMap;

use chrono::DateTime;
use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::detector::{Detector, FitError, Sample, Training};
use super::detectors::{DetectorSettings, Fitted};
use super::features::ewma::Averages;
use super::features::{self, Feature, FeatureKind};
use super::fleet::Reference;
use super::learning::Learning;
use super::outliers::outliers;
use super::regimes::levels::RegimeModel;
use super::settings::{ClassSettings, Sharing};
use super::shared::Shared;
use super::span::Span;
use super::window::Window;

/// Most features of one model; more metrics are left out by name.
pub const MAX_FEATURES: usize = 128;
/// Fewest windows that a model can be learned from.
pub const MIN_WINDOWS: usize = 20;
/// Windows in which a feature may be missing while learning.
pub(crate) const MISSING_SHARE: f64 = 0.1;
/// Windows in which a lively metric may stand still while learning.
pub(crate) const FLAT_SHARE: f64 = 0.01;

/// What was learned: immutable, kept on disk, reloadable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name of this very model: a score without it is not a fact.
    pub version: String,
    /// The asset's tag.
    pub asset: String,
    /// The asset's class.
    pub class: String,
    /// Event time of the first window that it learned from.
    pub trained_from: DateTime<Utc>,
    /// Event time of the end of the last one.
    pub trained_through: DateTime<Utc>,
    /// How many there were.
    pub windows: usize,
    /// Length of a window.
    pub window: Span,
    /// From window to window.
    pub step: Span,
    /// Readings that a window usually has.
    pub usual_rows: f64,
    /// From the end of a judged window to that of the next, usually. **Units**: microseconds.
    pub spacing: i64,
    /// What it looks at, in the order of all vectors.
    pub features: Shared<Vec<Feature>>,
    /// Whether the metric moved in nearly all windows, so that a stuck value is a dead sensor.
    pub lively: Shared<Vec<bool>>,
    /// Version of the features' definitions.
    #[serde(default = "features::first_version")]
    pub features_version: u32,
    /// Where the features that are means over windows stood in the end, by their place.
    #[serde(default, skip_serializing_if = "Averages::is_empty")]
    pub averages: Averages,
    /// The ways in which the asset is run, where the class declares setting channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regimes: Option<RegimeModel>,
    /// Metrics that it does not look at, and why.
    pub left_out: Shared<Vec<LeftOut>>,
    /// The fitted detectors by name.
    pub detectors: Shared<BTreeMap<String, Fitted>>,
    /// What each detector says of the windows that it was learned from.
    #[serde(default)]
    pub evaluation: Shared<BTreeMap<String, Evaluation>>,
    /// What is normal for this very asset, when its class was learned as a whole: then the
    /// detectors are those of the class, and look at distances from the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
}

/// What a detector says of the windows that it was learned from, in order: the yardstick for what
/// it says later.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Windows that it could judge.
    pub windows: usize,
    /// Their median, in multiples of the alarm limit.
    pub median: f64,
    /// Their 99 % point, in multiples of the alarm limit.
    pub high: f64,
    /// Share at or over the release, which is not in band.
    pub over_release: f64,
}

/// A metric that a model does not look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name.
    pub metric: String,
    /// Why.
    pub reason: String,
}

impl Model {
    /// Whether it was made for the settings that the class has now: windows of the same length,
    /// features that are still wanted and mean what they meant, and a fitted detector for each that
    /// is named.
    ///
    /// What is no part of what was learned, such as a factor on limits, may have changed.
    ///
    /// A reference is of no use to a class whose assets learn by themselves; what an asset has
    /// learned by itself is, until its class has learned.
    pub fn fits(&self, settings: &ClassSettings) -> bool {
        let declared = self.regimes.as_ref().map(|regimes| &regimes.declared);
        self.features_version == features::VERSION
            && declared == settings.regimes.as_ref()
            && (self.reference.is_none() || settings.sharing == Sharing::Class)
            && self.window == settings.window
            && self.step == settings.step
            && still_wanted(&self.features, &self.detectors, settings)
    }
}

/// Whether a class still wants these features, and names no other detectors.
pub(crate) fn still_wanted(
    features: &[Feature],
    detectors: &BTreeMap<String, Fitted>,
    settings: &ClassSettings,
) -> bool {
    let wanted = |feature: &Feature| {
        let named = settings.metrics.is_empty() || settings.metrics.contains(&feature.metric);
        let ignored = settings.ignore.contains(&feature.metric);
        named && !ignored && settings.features.contains(&feature.kind)
    };
    let mut named = settings.detectors.iter();
    features.iter().all(wanted)
        && named.all(|(name, own)| {
            let fitted = detectors.get(name);
            fitted.is_some_and(|fitted| fitted.begin(&own.detector).is_some())
        })
}

/// Learns a model from windows in order of time.
///
/// `metrics` are the class's metric names by number.
///
/// **Errors** when the windows are too few, nothing moved in them, or a detector cannot be fitted.
pub fn learn(
    asset: &str,
    class: &str,
    settings: &ClassSettings,
    metrics: &[String],
    windows: &[Window],
) -> Result<Model, FitError> {
    let learning = Learning::of(settings, windows);
    learn_from(asset, class, settings, metrics, &learning)
}

/// Learns a model from what was collected.
///
/// **Errors**: as [`learn`].
pub fn learn_from(
    asset: &str,
    class: &str,
    settings: &ClassSettings,
    metrics: &[String],
    windows: &Learning,
) -> Result<Model, FitError> {
    let rows_of = |window: usize| f64::from(windows.rows(window));
    let usual_rows = median((0..windows.len()).map(rows_of).collect());
    let least_rows = usual_rows * settings.min_coverage;
    let full: Vec<usize> = (0..windows.len())
        .filter(|window| rows_of(*window) >= least_rows)
        .collect();
    if full.len() < MIN_WINDOWS {
        return Err(FitError::TooFewWindows {
            found: full.len(),
            needed: MIN_WINDOWS,
        });
    }
    let mut left_out = Vec::new();
    let mut chosen = choose(settings, metrics, (windows, &full), &mut left_out);
    if chosen.is_empty() {
        return Err(FitError::NothingMoved);
    }
    let (mut times, mut rows, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for window in &full {
        let value = |column: &Column| column.of(windows, *window);
        let row: Vec<f64> = chosen.iter().map(value).collect();
        if row.iter().all(|value| value.is_finite()) {
            times.push(windows.end(*window));
            rows.push(row);
            places.push(*window);
        }
    }
    let regimes = match &settings.regimes {
        None => {
            let out = outliers(&rows, settings.outlier_bound);
            let mut kept = out.iter().map(|out| !out);
            times.retain(|_| kept.next().unwrap_or(true));
            let mut kept = out.iter().map(|out| !out);
            rows.retain(|_| kept.next().unwrap_or(true));
            None
        }
        Some(declared) => {
            let states = states(&declared.settings, metrics, windows, &places);
            let within = RegimeModel::learn(declared, &states, &rows, settings.outlier_bound)?;
            let mut regimes = within.model;
            let gone = match settings.keep_constant {
                true => vec![false; chosen.len()],
                false => regimes.steady(),
            };
            times = within.kept.iter().map(|at| times[*at]).collect();
            rows = within
                .kept
                .iter()
                .map(|at| without(&rows[*at], &gone))
                .collect();
            for (column, _) in chosen.iter().zip(&gone).filter(|(_, gone)| **gone) {
                left_out.push(LeftOut {
                    metric: column.feature.metric.clone(),
                    reason: "did not move within any regime while learning".to_owned(),
                });
            }
            chosen = without(&chosen, &gone);
            regimes.drop_features(&gone);
            regimes.widen_steady();
            for (row, at) in rows.iter_mut().zip(&within.kept) {
                if let Some(regime) = regimes.of(&states[*at]) {
                    regimes.enter(regime, row);
                }
            }
            Some(regimes)
        }
    };
    if chosen.is_empty() {
        return Err(FitError::NothingMoved);
    }
    let needed = MIN_WINDOWS.max(2 * chosen.len());
    if rows.len() < needed {
        return Err(FitError::TooFewWindows {
            found: rows.len(),
            needed,
        });
    }
    let lively: Vec<bool> = chosen.iter().map(|column| column.lively).collect();
    let mut averages = Averages::default();
    for (place, column) in chosen.iter().enumerate() {
        if let Some(average) = windows.average(column.number, column.feature.kind) {
            averages.set(place, average);
        }
    }
    let features: Vec<Feature> = chosen.into_iter().map(|column| column.feature).collect();
    let training = Training {
        times: &times,
        features: &features,
        rows: &rows,
        starts: &[],
    };
    let (detectors, evaluation) = fit_all(settings, &training)?;
    let first = full
        .first()
        .map_or(0, |first| settings.start_of(windows.end(*first)));
    let last = full.last().map_or(0, |last| windows.end(*last));
    Ok(Model {
        version: version(asset, first, last, &parameters(settings)),
        asset: asset.to_owned(),
        class: class.to_owned(),
        trained_from: DateTime::from_timestamp_micros(first).unwrap_or_default(),
        trained_through: DateTime::from_timestamp_micros(last).unwrap_or_default(),
        windows: rows.len(),
        window: settings.window,
        step: settings.step,
        usual_rows,
        spacing: training.spacing(),
        lively: lively.into(),
        features: features.into(),
        features_version: features::VERSION,
        averages,
        regimes,
        left_out: left_out.into(),
        detectors: detectors.into(),
        evaluation: evaluation.into(),
        reference: None,
    })
}

/// Detectors and what they say of what they were learned from, by name.
pub(crate) type FittedAll = (BTreeMap<String, Fitted>, BTreeMap<String, Evaluation>);

/// Fits every detector that a class names.
pub(crate) fn fit_all(
    settings: &ClassSettings,
    training: &Training<'_>,
) -> Result<FittedAll, FitError> {
    let (mut detectors, mut evaluation) = (BTreeMap::new(), BTreeMap::new());
    for (name, watching) in &settings.detectors {
        let fitted = fitted(&watching.detector, training)?;
        let release = watching.release.unwrap_or(settings.release);
        let begin = || fitted.begin(&watching.detector);
        if let Some(said) = evaluate(begin, training, release) {
            evaluation.insert(name.clone(), said);
        }
        detectors.insert(name.clone(), fitted);
    }
    Ok((detectors, evaluation))
}

/// `begin` gives a fresh detector for the windows of each asset.
fn evaluate(
    begin: impl Fn() -> Option<Box<dyn Detector>>,
    training: &Training<'_>,
    release: f64,
) -> Option<Evaluation> {
    let mut ratios = Vec::with_capacity(training.rows.len());
    let spacing = training.spacing();
    for part in training.parts() {
        let (mut detector, mut before) = (begin()?, None);
        let windows = training.times[part.clone()].iter();
        for (at, values) in windows.zip(&training.rows[part]) {
            let sample = Sample {
                at: *at,
                elapsed: before.map_or(0, |before| *at - before).min(spacing),
                values,
            };
            before = Some(*at);
            if let Some(score) = detector.score(&sample) {
                detector.follow(&sample, &score, score.ratio < release);
                // JSON has no infinity.
                ratios.push(score.ratio.min(f64::MAX));
            }
        }
    }
    let over = ratios.iter().filter(|ratio| **ratio >= release).count();
    let over_release = share(over, ratios.len());
    ratios.sort_by(f64::total_cmp);
    let point = |place: usize| ratios.get(place).copied().unwrap_or(0.0);
    Some(Evaluation {
        windows: ratios.len(),
        median: point(ratios.len() / 2),
        high: point((99 * ratios.len() / 100).min(ratios.len().saturating_sub(1))),
        over_release,
    })
}

/// Fits a detector. The decompositions of linfa panic on some matrices that are nearly singular;
/// then there is no model, and the asset goes on learning.
fn fitted(detector: &DetectorSettings, training: &Training<'_>) -> Result<Fitted, FitError> {
    let fit = std::panic::AssertUnwindSafe(|| detector.fit(training));
    std::panic::catch_unwind(fit).unwrap_or_else(|_| {
        Err(FitError::Numbers {
            detector: detector.kind(),
            reason: "its decomposition came to no numbers".to_owned(),
        })
    })
}

/// What the setting channels were in windows; NaN where one is missing.
fn states(
    settings: &[String],
    metrics: &[String],
    windows: &Learning,
    places: &[usize],
) -> Vec<Vec<f64>> {
    let number = |name: &String| metrics.iter().position(|metric| metric == name);
    let numbers: Vec<Option<usize>> = settings.iter().map(number).collect();
    let value = |window: usize, number: &Option<usize>| {
        let value = |number| windows.value(window, number, FeatureKind::Mean);
        number.map_or(f64::NAN, value)
    };
    let row = |window: &usize| numbers.iter().map(|n| value(*window, n)).collect();
    places.iter().map(row).collect()
}

/// A list without what is gone.
fn without<T: Clone>(all: &[T], gone: &[bool]) -> Vec<T> {
    let kept = all.iter().zip(gone).filter(|(_, gone)| !**gone);
    kept.map(|(one, _)| one.clone()).collect()
}

/// One column of the training data.
#[derive(Clone)]
struct Column {
    number: usize,
    feature: Feature,
    lively: bool,
}

impl Column {
    fn of(&self, windows: &Learning, window: usize) -> f64 {
        windows.value(window, self.number, self.feature.kind)
    }
}

/// The features that can be learned, by name; the others with the reason.
fn choose(
    settings: &ClassSettings,
    metrics: &[String],
    (windows, full): (&Learning, &[usize]),
    left_out: &mut Vec<LeftOut>,
) -> Vec<Column> {
    let mut numbers: Vec<usize> = (0..metrics.len()).collect();
    numbers.sort_by(|a, b| metrics[*a].cmp(&metrics[*b]));
    let mut chosen = Vec::new();
    for number in numbers {
        let metric = &metrics[number];
        let mut leave_out = |reason: &str| {
            left_out.push(LeftOut {
                metric: metric.clone(),
                reason: reason.to_owned(),
            });
        };
        let named = settings.metrics.is_empty() || settings.metrics.contains(metric);
        if !named || settings.ignore.contains(metric) {
            leave_out("not chosen by the settings of the class");
            continue;
        }
        let regimes = settings.regimes.as_ref();
        if regimes.is_some_and(|regimes| regimes.settings.contains(metric)) {
            leave_out("a setting channel: it says which regime, not how the asset is");
            continue;
        }
        let flat = full.iter().filter(|at| windows.is_flat(**at, number));
        let lively = share(flat.count(), full.len()) <= FLAT_SHARE;
        for kind in &settings.features {
            let feature = Feature {
                metric: metric.clone(),
                kind: *kind,
            };
            let column = Column {
                number,
                feature,
                lively,
            };
            let values = full.iter().map(|at| column.of(windows, *at));
            let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
            if values.is_empty() {
                // Another asset of the class has this metric.
                continue;
            }
            if share(full.len() - values.len(), full.len()) > MISSING_SHARE {
                leave_out("missing in too many windows while learning");
            } else if !settings.keep_constant && !moves(&values) {
                leave_out("did not move while learning");
            } else if chosen.len() >= MAX_FEATURES {
                leave_out("a model takes 128 features at most");
            } else {
                chosen.push(column);
            }
        }
    }
    chosen
}

/// Whether values differ by more than their own rounding.
pub(crate) fn moves(values: &[f64]) -> bool {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most - least > 1e-9 * least.abs().max(most.abs()).max(1e-300)
}

pub(crate) fn share(part: usize, whole: usize) -> f64 {
    count(part) / count(whole.max(1))
}

/// The settings as a text.
pub(crate) fn parameters(settings: &ClassSettings) -> String {
    serde_json::to_string(settings).unwrap_or_default()
}

/// The asset or class, the span that it was trained on and what it depends on make the name.
pub(crate) fn version(of: &str, from: i64, through: i64, parameters: &str) -> String {
    let [from, through] = [from, through].map(|micros| {
        let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        at.format("%Y%m%dT%H%M%SZ").to_string()
    });
    // FNV-1a, as wide as a name has to be.
    let mark = parameters.bytes().fold(0x811c_9dc5_u32, |mark, byte| {
        (mark ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{of}-{from}-{through}-{mark:08x}")
}
