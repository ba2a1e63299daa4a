//! One model for the assets of a class: the detectors are learned once, an asset only knows its own
//! levels and spreads.
//!
//! Each asset's windows are put in units of its own *reference*: the median and the robust
//! deviation of every feature. In these units the assets of a class are alike, so that their
//! windows can be pooled, and detectors that were fitted on the pool judge every one of them: also
//! one that is new, as soon as it has a reference.
//!
//! What is pooled is bounded: the windows of at least [`LEAST_ASSETS`] assets, chosen evenly from the
//! list of all by their tags, and [`POOLED_WINDOWS`] in all, as many of each. It does not depend on the
//! order in which assets come.
//!
//! **Source**: Huber 1981 (median and median absolute deviation), Efron and Morris 1975 (a spread
//! from few windows is drawn toward that of the others).

mod collecting;
mod reference;

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::detector::{FitError, Training};
use super::detectors::{DetectorSettings, Fitted};
use super::features::ewma::Averages;
use super::features::{self, Feature, FeatureKind};
use super::learning::Learning;
use super::model::{
    Evaluation, FLAT_SHARE, LeftOut, MAX_FEATURES, MIN_WINDOWS, MISSING_SHARE, Model, fit_all,
    learn_from, moves, parameters, share, still_wanted, version,
};
use super::numbers::{count, median};
use super::outliers::outliers;
use super::settings::{ClassSettings, MAX_LEARNING_WINDOWS, Sharing};
use super::shared::Shared;
use super::span::Span;

pub use collecting::{Fleet, Part};
pub use reference::{Member, Reference, Spread};

/// Windows that are pooled at most; no asset learns from more by itself.
pub const POOLED_WINDOWS: usize = MAX_LEARNING_WINDOWS.unsigned_abs() as usize;
/// Assets whose windows are pooled, when there are so many.
pub const LEAST_ASSETS: usize = 64;
/// Share of the assets that must have a feature.
const HAVE_IT: f64 = 0.5;
/// Between the windows of two assets lies a week at least, and whole weeks: the hour of the day and
/// the day of the week stay what they are. **Units**: microseconds.
const WEEK: i64 = 7 * 86_400_000_000;

/// What the assets of a class share: immutable, kept on disk once, reloadable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassModel {
    /// Name of this very model.
    pub version: String,
    /// The class.
    pub class: String,
    /// Event time of the first window that it learned from.
    pub trained_from: DateTime<Utc>,
    /// Event time of the end of the last one.
    pub trained_through: DateTime<Utc>,
    /// Assets whose windows were pooled.
    pub assets: usize,
    /// Windows that were pooled.
    pub windows: usize,
    /// Length of a window.
    pub window: Span,
    /// From window to window.
    pub step: Span,
    /// From the end of a judged window to that of the next, usually. **Units**: microseconds.
    pub spacing: i64,
    /// What it looks at, in the order of all vectors.
    pub features: Shared<Vec<Feature>>,
    /// Whether the metric moved in nearly all windows.
    pub lively: Shared<Vec<bool>>,
    /// Version of the features' definitions.
    #[serde(default = "features::first_version")]
    pub features_version: u32,
    /// Metrics that it does not look at, and why.
    pub left_out: Shared<Vec<LeftOut>>,
    /// How much each feature varies within an asset.
    pub spreads: Vec<Spread>,
    /// The fitted detectors by name. **Units**: deviations from the asset's reference.
    pub detectors: Shared<BTreeMap<String, Fitted>>,
    /// What each detector says of the pooled windows.
    pub evaluation: Shared<BTreeMap<String, Evaluation>>,
}

/// What came of learning a class.
#[derive(Debug, Clone, PartialEq)]
pub enum Learned {
    /// The class's model and what each asset has by itself.
    Class {
        /// The model.
        model: Box<ClassModel>,
        /// The assets that it can judge, by tag.
        members: Vec<Member>,
        /// The others, and why.
        left_out: Vec<(String, FitError)>,
    },
    /// Only one asset has windows enough: it has learned by itself, as if nothing were shared.
    Alone(Box<Model>),
}

impl ClassModel {
    /// Whether it was made for the settings that the class has now.
    pub fn fits(&self, settings: &ClassSettings) -> bool {
        self.features_version == features::VERSION
            && settings.sharing == Sharing::Class
            && self.window == settings.window
            && self.step == settings.step
            && still_wanted(&self.features, &self.detectors, settings)
    }

    /// The model of one of its assets.
    pub fn of(&self, member: &Member) -> Model {
        let through = member.trained_through.timestamp_micros();
        let from = member.trained_from.timestamp_micros();
        Model {
            version: version(&member.asset, from, through, &self.version),
            asset: member.asset.clone(),
            class: self.class.clone(),
            trained_from: member.trained_from,
            trained_through: member.trained_through,
            windows: member.windows,
            window: self.window,
            step: self.step,
            usual_rows: member.usual_rows,
            spacing: self.spacing,
            features: self.features.clone(),
            lively: self.lively.clone(),
            features_version: self.features_version,
            averages: Averages::default(),
            regimes: None,
            left_out: self.left_out.clone(),
            detectors: self.detectors.clone(),
            evaluation: self.evaluation.clone(),
            reference: Some(member.reference.clone()),
        }
    }
}

/// What is wrong with settings for a class that learns as a whole.
pub(crate) fn mistakes(settings: &ClassSettings) -> Vec<String> {
    if settings.sharing == Sharing::Asset {
        return Vec::new();
    }
    let mut found = Vec::new();
    let averaged = |kind: &FeatureKind| matches!(kind, FeatureKind::Ewma(_));
    if settings.regimes.is_some() || settings.features.iter().any(averaged) {
        found.push(
            "regimes and ewma features are learned by each asset; use sharing = \"asset\""
                .to_owned(),
        );
    }
    let range = MIN_WINDOWS..=POOLED_WINDOWS;
    if !range.contains(&settings.reference_windows) {
        let value = settings.reference_windows;
        found.push(format!(
            "reference_windows is {value}, but must be from {MIN_WINDOWS} to {POOLED_WINDOWS}"
        ));
    }
    for (name, watching) in &settings.detectors {
        let kind = watching.detector.kind();
        let tolerance = match &watching.detector {
            DetectorSettings::Neighbor(_)
            | DetectorSettings::Seasonal(_)
            | DetectorSettings::Standstill(_) => {
                found.push(format!(
                    "detectors.{name}: {kind} knows the past of one asset and cannot be shared by \
                     a class; use sharing = \"asset\""
                ));
                continue;
            }
            DetectorSettings::Hotelling(own) => own.tolerance,
            DetectorSettings::Changepoint(own) => own.tolerance,
            _ => 0.0,
        };
        if tolerance > 0.0 {
            found.push(format!(
                "detectors.{name}: tolerance is a share of the reading, which a class that learns \
                 as a whole does not see; set it to 0 or use sharing = \"asset\""
            ));
        }
    }
    found
}

/// One asset's windows on their way into the pool.
struct Candidate<'a> {
    tag: &'a str,
    windows: &'a Learning,
    full: Vec<usize>,
}

impl Candidate<'_> {
    fn column(&self, number: usize, feature: &Feature) -> Vec<f64> {
        let value = |at: &usize| self.windows.value(*at, number, feature.kind);
        self.full.iter().map(value).collect()
    }

    fn has(&self, number: usize, feature: &Feature, keep_constant: bool) -> bool {
        let mut values = self.column(number, feature);
        let all = values.len();
        values.retain(|value| value.is_finite());
        share(all - values.len(), all) <= MISSING_SHARE && (keep_constant || moves(&values))
    }
}

/// A feature with the class's number of its metric.
type Numbered = (usize, Feature);

/// Learns what the class shares from whole runs of windows of some assets, by tag.
///
/// **Errors** when fewer than two assets have enough of the same features, or a detector cannot be
/// fitted.
fn learn_class(
    class: &str,
    settings: &ClassSettings,
    metrics: &[String],
    runs: &BTreeMap<&str, &Learning>,
) -> Result<ClassModel, FitError> {
    let candidates = candidates(settings, runs);
    if candidates.len() < 2 {
        let found = candidates.len();
        return Err(FitError::TooFewAssets { found });
    }
    let (chosen, left_out) = choose(settings, metrics, &candidates)?;
    let pool = Pool::of(settings, &candidates, &chosen)?;
    let features: Vec<Feature> = chosen.iter().map(|(_, feature)| feature.clone()).collect();
    let training = Training {
        times: &pool.times,
        features: &features,
        rows: &pool.rows,
        starts: &pool.starts[1..],
    };
    let (detectors, evaluation) = fit_all(settings, &training)?;
    let lively = (0..chosen.len()).map(|at| share(pool.flats[at], pool.windows) <= FLAT_SHARE);
    let (first, last) = pool.span;
    Ok(ClassModel {
        version: version(class, first, last, &parameters(settings)),
        class: class.to_owned(),
        trained_from: DateTime::from_timestamp_micros(first).unwrap_or_default(),
        trained_through: DateTime::from_timestamp_micros(last).unwrap_or_default(),
        assets: pool.starts.len(),
        windows: pool.rows.len(),
        window: settings.window,
        step: settings.step,
        spacing: training.spacing(),
        lively: lively.collect::<Vec<bool>>().into(),
        features_version: features::VERSION,
        features: features.into(),
        left_out: left_out.into(),
        spreads: pool.spreads,
        detectors: detectors.into(),
        evaluation: evaluation.into(),
    })
}

fn candidates<'a>(
    settings: &ClassSettings,
    runs: &BTreeMap<&'a str, &'a Learning>,
) -> Vec<Candidate<'a>> {
    let with_full = runs.iter().map(|(tag, windows)| Candidate {
        tag,
        full: full(settings, windows).1,
        windows,
    });
    with_full
        .filter(|candidate| candidate.full.len() >= MIN_WINDOWS)
        .collect()
}

/// Readings that a window usually has, and the windows that have enough of them.
fn full(settings: &ClassSettings, windows: &Learning) -> (f64, Vec<usize>) {
    let rows_of = |window: usize| f64::from(windows.rows(window));
    let usual = median((0..windows.len()).map(rows_of).collect());
    let least = usual * settings.min_coverage;
    let full = (0..windows.len()).filter(|window| rows_of(*window) >= least);
    (usual, full.collect())
}

/// The features that at least half of the assets have, by name; the others with the reason.
///
/// Where fewer than two assets have all of those, the features that every asset has.
fn choose(
    settings: &ClassSettings,
    metrics: &[String],
    candidates: &[Candidate<'_>],
) -> Result<(Vec<Numbered>, Vec<LeftOut>), FitError> {
    let mut numbers: Vec<usize> = (0..metrics.len()).collect();
    numbers.sort_by(|a, b| metrics[*a].cmp(&metrics[*b]));
    let mut left_out = Vec::new();
    let mut leave_out = |metric: &str, reason: &str| {
        left_out.push(LeftOut {
            metric: metric.to_owned(),
            reason: reason.to_owned(),
        });
    };
    let mut counted: Vec<(Numbered, usize)> = Vec::new();
    for number in numbers {
        let metric = &metrics[number];
        let named = settings.metrics.is_empty() || settings.metrics.contains(metric);
        if !named || settings.ignore.contains(metric) {
            leave_out(metric, "not chosen by the settings of the class");
            continue;
        }
        for kind in &settings.features {
            let feature = Feature {
                metric: metric.clone(),
                kind: *kind,
            };
            let have = candidates
                .iter()
                .filter(|one| one.has(number, &feature, settings.keep_constant));
            let have = have.count();
            counted.push(((number, feature), have));
        }
    }
    let chosen = |needed: f64| -> Vec<Numbered> {
        let enough = |have: usize| have > 0 && share(have, candidates.len()) >= needed;
        let chosen = counted.iter().filter(|(_, have)| enough(*have));
        let chosen = chosen.map(|(numbered, _)| numbered.clone());
        chosen.take(MAX_FEATURES).collect()
    };
    let mut found = chosen(HAVE_IT);
    let whole = candidates.iter().filter(|one| {
        let has = |(number, feature): &Numbered| one.has(*number, feature, settings.keep_constant);
        found.iter().all(has)
    });
    if whole.count() < 2 {
        found = chosen(1.0);
    }
    if found.is_empty() {
        return Err(FitError::NothingMoved);
    }
    for ((_, feature), _) in &counted {
        if !found.iter().any(|(_, chosen)| chosen == feature) {
            leave_out(
                &feature.metric,
                "missing or without a move in too many assets while learning, or beyond 128 features",
            );
        }
    }
    Ok((found, left_out))
}

/// Windows of several assets, each in units of its own reference.
struct Pool {
    times: Vec<i64>,
    rows: Vec<Vec<f64>>,
    /// Row at which each asset begins.
    starts: Vec<usize>,
    spreads: Vec<Spread>,
    /// By feature, full windows in which its metric stood still.
    flats: Vec<usize>,
    windows: usize,
    /// First instant of the first window, and the end of the last. **Units**: microseconds.
    span: (i64, i64),
}

/// The rows of one asset, in its own units.
struct Own {
    times: Vec<i64>,
    rows: Vec<Vec<f64>>,
}

impl Pool {
    fn of(
        settings: &ClassSettings,
        candidates: &[Candidate<'_>],
        chosen: &[Numbered],
    ) -> Result<Self, FitError> {
        let has_all = |one: &&Candidate<'_>| {
            let has =
                |(number, feature): &Numbered| one.has(*number, feature, settings.keep_constant);
            chosen.iter().all(has)
        };
        let contributors: Vec<&Candidate<'_>> = candidates.iter().filter(has_all).collect();
        let most = POOLED_WINDOWS / contributors.len().max(1);
        let owned = contributors.iter();
        let owned: Vec<Own> = owned
            .map(|one| Own::of(settings, one, chosen, most))
            .collect();
        let deviations: Vec<Vec<f64>> = owned.iter().map(Own::deviations).collect();
        let of_column = |column: usize| -> Vec<(f64, usize)> {
            let both = deviations.iter().zip(&owned);
            let one = |(deviations, own): (&Vec<f64>, &Own)| {
                let deviation = deviations.get(column).copied();
                (deviation.unwrap_or(0.0), own.rows.len())
            };
            both.map(one).collect()
        };
        let spreads = (0..chosen.len()).map(|column| Spread::of(&of_column(column)));
        let spreads: Vec<Spread> = spreads.collect();
        let mut pool = Self {
            times: Vec::new(),
            rows: Vec::new(),
            starts: Vec::new(),
            flats: vec![0; chosen.len()],
            windows: 0,
            span: (i64::MAX, i64::MIN),
            spreads,
        };
        for (own, one) in owned.into_iter().zip(&contributors) {
            pool.windows += one.full.len();
            for (flats, (number, _)) in pool.flats.iter_mut().zip(chosen) {
                let flat = one.full.iter();
                *flats += flat.filter(|at| one.windows.is_flat(**at, *number)).count();
            }
            pool.take(settings, own);
        }
        let needed = MIN_WINDOWS.max(2 * chosen.len());
        if pool.starts.len() < 2 {
            let found = pool.starts.len();
            return Err(FitError::TooFewAssets { found });
        }
        if pool.rows.len() < needed {
            return Err(FitError::TooFewWindows {
                found: pool.rows.len(),
                needed,
            });
        }
        Ok(pool)
    }

    fn take(&mut self, settings: &ClassSettings, own: Own) {
        let (Some(first), Some(last)) = (own.times.first(), own.times.last()) else {
            return;
        };
        self.span.0 = self.span.0.min(settings.start_of(*first));
        self.span.1 = self.span.1.max(*last);
        let before = self.times.last().copied();
        let shift = before.map_or(0, |before| {
            let behind = before.saturating_add(WEEK).saturating_sub(*first);
            behind.div_euclid(WEEK).saturating_add(1) * WEEK
        });
        let reference = own.reference(&self.spreads);
        self.starts.push(self.rows.len());
        self.times.extend(own.times.iter().map(|time| time + shift));
        for mut row in own.rows {
            reference.standardize(&mut row);
            self.rows.push(row);
        }
    }
}

impl Own {
    /// The newest `most` windows that have everything, without those that are outliers of their
    /// asset.
    fn of(settings: &ClassSettings, one: &Candidate<'_>, chosen: &[Numbered], most: usize) -> Self {
        let (mut times, mut rows) = (Vec::new(), Vec::new());
        let newest: Range<usize> = one.full.len().saturating_sub(most)..one.full.len();
        for at in &one.full[newest] {
            let value =
                |(number, feature): &Numbered| one.windows.value(*at, *number, feature.kind);
            let row: Vec<f64> = chosen.iter().map(value).collect();
            if row.iter().all(|value| value.is_finite()) {
                times.push(one.windows.end(*at));
                rows.push(row);
            }
        }
        let out = outliers(&rows, settings.outlier_bound);
        let mut kept = out.iter().map(|out| !out);
        times.retain(|_| kept.next().unwrap_or(true));
        let mut kept = out.iter().map(|out| !out);
        rows.retain(|_| kept.next().unwrap_or(true));
        Self { times, rows }
    }

    fn column(&self, column: usize) -> Vec<f64> {
        self.rows.iter().map(|row| row[column]).collect()
    }

    fn deviations(&self) -> Vec<f64> {
        let width = self.rows.first().map_or(0, Vec::len);
        let deviation = |column: usize| reference::middle(self.column(column)).1;
        (0..width).map(deviation).collect()
    }

    fn reference(&self, spreads: &[Spread]) -> Reference {
        let columns = (0..spreads.len()).map(|column| self.column(column));
        Reference::of(String::new(), columns, spreads)
    }
}

#[cfg(test)]
mod tests;
