//! What an asset of a class has by itself: the levels and spreads of its features.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::detector::{Explanation, FitError};
use super::super::learning::Learning;
use super::super::model::MIN_WINDOWS;
use super::super::monitor::Monitor;
use super::super::settings::ClassSettings;
use super::{ClassModel, Model, count, full, median};

/// A deviation is so many median absolute deviations, were the values normally distributed.
const MAD_TO_DEVIATION: f64 = 1.4826;
/// Variance of the logarithm of a robust deviation, times the number of its values.
const VARIANCE_OF_LOG: f64 = 1.36;
/// Windows after which an asset that could not have a reference is asked again.
const WINDOWS_BETWEEN_TRIES: usize = 12;

/// The levels and spreads of one asset, in the order of its class's features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Version of the class's model.
    pub class_model: String,
    /// Medians; NaN where the asset lacks the feature. **Units**: those of the feature.
    #[serde(with = "super::super::bits")]
    pub center: Vec<f64>,
    /// Deviations, more than 0; NaN where the asset lacks the feature. **Units**: those of the
    /// feature.
    #[serde(with = "super::super::bits")]
    pub scale: Vec<f64>,
}

/// How much a feature varies within the assets of a class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// The median of the assets' robust deviations. **Units**: those of the feature.
    pub usual: f64,
    /// No asset is taken to be calmer: half of the smallest of them. **Units**: those of the feature.
    pub least: f64,
    /// How different the assets are: variance of the logarithms, without what chance adds.
    pub variety: f64,
}

impl Spread {
    /// From the robust deviations of assets, each of so many windows; 0 where it stood still.
    pub(super) fn of(deviations: &[(f64, usize)]) -> Self {
        let moving = deviations.iter().filter(|(own, _)| *own > 0.0);
        let usual = median(moving.clone().map(|(own, _)| *own).collect());
        if usual <= 0.0 {
            // It stands still in all of them, and is watched for its first move.
            return Self {
                usual: 1.0,
                least: 0.5,
                variety: 0.0,
            };
        }
        let least = moving.clone().map(|(own, _)| *own).fold(usual, f64::min);
        let number = count(moving.clone().count());
        let squares = moving.clone().map(|(own, _)| (own / usual).ln().powi(2));
        let chance = moving.map(|(_, windows)| VARIANCE_OF_LOG / count(*windows));
        let variety = squares.sum::<f64>() - chance.sum::<f64>();
        Self {
            usual,
            least: 0.5 * least,
            variety: (variety / number).max(0.0),
        }
    }
}

/// An asset of a class: what has to be kept of it beside the class's model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The asset's tag.
    pub asset: String,
    /// Event time of the first window of its reference.
    pub trained_from: DateTime<Utc>,
    /// Event time of the end of the last one.
    pub trained_through: DateTime<Utc>,
    /// How many windows the reference stands for.
    pub windows: usize,
    /// Readings that a window usually has.
    pub usual_rows: f64,
    /// Its levels and spreads.
    pub reference: Reference,
}

impl Member {
    /// What is to be kept of a model, if it has a reference.
    pub fn of(model: &Model) -> Option<Self> {
        Some(Self {
            asset: model.asset.clone(),
            trained_from: model.trained_from,
            trained_through: model.trained_through,
            windows: model.windows,
            usual_rows: model.usual_rows,
            reference: model.reference.clone()?,
        })
    }
}

impl Reference {
    /// From the values of each feature in the order of the class's spreads.
    ///
    /// A spread from few values is drawn toward the usual one of the class, the more so the more
    /// alike its assets are. A feature that stood still tells nothing of its spread, so the class's
    /// is taken.
    pub(super) fn of(
        class_model: String,
        columns: impl Iterator<Item = Vec<f64>>,
        spreads: &[Spread],
    ) -> Self {
        let (mut center, mut scale) = (Vec::new(), Vec::new());
        for (mut values, class) in columns.zip(spreads) {
            let all = values.len();
            values.retain(|value| value.is_finite());
            if 2 * values.len() < all || values.is_empty() {
                center.push(f64::NAN);
                scale.push(f64::NAN);
                continue;
            }
            let doubt = VARIANCE_OF_LOG / count(values.len());
            let (level, deviation) = middle(values);
            let drawn = if deviation > 0.0 {
                let own = class.variety / (class.variety + doubt);
                (own * deviation.ln() + (1.0 - own) * class.usual.ln()).exp()
            } else {
                class.usual
            };
            center.push(level);
            scale.push(drawn.max(class.least).max(1e-9 * level.abs()));
        }
        Self {
            class_model,
            center,
            scale,
        }
    }

    /// Features in deviations from the reference.
    pub fn standardize(&self, values: &mut [f64]) {
        let own = self.center.iter().zip(&self.scale);
        for (value, (center, scale)) in values.iter_mut().zip(own) {
            *value = (*value - center) / scale;
        }
    }

    /// What a detector says of deviations, in the units of the features.
    pub fn in_own_units(&self, mut explanation: Explanation) -> Explanation {
        for part in &mut explanation.contributions {
            let center = self.center.get(part.feature).copied().unwrap_or(f64::NAN);
            let scale = self.scale.get(part.feature).copied().unwrap_or(f64::NAN);
            part.observed = center + scale * part.observed;
            part.expected = center + scale * part.expected;
        }
        explanation
    }
}

impl ClassModel {
    /// The model of an asset that learns, once it has so many windows that it can have a reference;
    /// an asset that cannot have one is asked again some windows later.
    pub fn of_new(
        &self,
        asset: &str,
        settings: &ClassSettings,
        metrics: &[String],
        monitor: &Monitor,
    ) -> Option<Result<Model, FitError>> {
        let windows = monitor.collected()?;
        let beyond = windows.seen().checked_sub(settings.reference_windows)?;
        if !beyond.is_multiple_of(WINDOWS_BETWEEN_TRIES) {
            return None;
        }
        let member = self.refer(asset, settings, metrics, windows);
        Some(member.map(|member| self.of(&member)))
    }

    /// What an asset has by itself, from windows of it that may be thinned out; `metrics` are the
    /// metrics of the windows by number.
    ///
    /// A feature that the asset lacks in more than half of the windows counts as missing from then
    /// on.
    ///
    /// **Errors** when the windows are too few, or it lacks half of the features or more.
    pub fn refer(
        &self,
        asset: &str,
        settings: &ClassSettings,
        metrics: &[String],
        windows: &Learning,
    ) -> Result<Member, FitError> {
        let (usual_rows, full) = full(settings, windows);
        if full.len() < MIN_WINDOWS {
            return Err(FitError::TooFewWindows {
                found: full.len(),
                needed: MIN_WINDOWS,
            });
        }
        let columns = self.features.iter().map(|feature| {
            let number = metrics.iter().position(|known| *known == feature.metric);
            let value = |at: &usize| match number {
                Some(number) => windows.value(*at, number, feature.kind),
                None => f64::NAN,
            };
            full.iter().map(value).collect()
        });
        let reference = Reference::of(self.version.clone(), columns, &self.spreads);
        let found = reference.center.iter().filter(|level| level.is_finite());
        let (found, wanted) = (found.count(), self.features.len());
        if 2 * found <= wanted {
            return Err(FitError::FeaturesMissing { found, wanted });
        }
        let first = settings.start_of(windows.end(0));
        let last = windows.end(windows.len() - 1);
        Ok(Member {
            asset: asset.to_owned(),
            trained_from: DateTime::from_timestamp_micros(first).unwrap_or_default(),
            trained_through: DateTime::from_timestamp_micros(last).unwrap_or_default(),
            windows: windows.seen(),
            usual_rows,
            reference,
        })
    }
}

/// Median and robust deviation; the plain deviation where most values are the same.
pub(super) fn middle(mut values: Vec<f64>) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let half = values.len() / 2;
    let center = *values.select_nth_unstable_by(half, f64::total_cmp).1;
    let mean_square = values.iter().map(|value| (value - center).powi(2));
    let plain = (mean_square.sum::<f64>() / count(values.len())).sqrt();
    for value in &mut values {
        *value = (*value - center).abs();
    }
    let robust = MAD_TO_DEVIATION * *values.select_nth_unstable_by(half, f64::total_cmp).1;
    (center, if robust > 0.0 { robust } else { plain })
}
