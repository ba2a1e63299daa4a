//! State detection within regimes: features are compared with those of their own regime.
//!
//! A window's features are moved and stretched from where they are in its regime to where they are
//! in all regimes together, and only then given to the detectors: those need not know of regimes,
//! and their numbers keep the unit of the metric.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::Regimes;
use crate::detector::FitError;
use crate::numbers::count;
use crate::outliers::outliers;

/// Most regimes that may be declared.
pub const MAX_REGIMES: usize = 32;
/// Most setting channels.
pub const MAX_SETTINGS: usize = 8;
/// Windows that a regime needs to be known.
pub const LEAST_WINDOWS: usize = 20;
/// In a regime where a feature hardly moves, its deviation counts as at least this share of its
/// typical one, so that one last digit is not a fault.
const LEAST_DEVIATION: f64 = 0.05;
/// A feature that moves less than this share of its own size within every regime stands still.
const STEADY: f64 = 1e-9;

/// The regimes of a class as they are declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegimeSettings {
    /// The metrics that say how the asset is run.
    pub settings: Vec<String>,
    /// How many regimes; 0: as many as are far apart.
    #[serde(default)]
    pub count: usize,
}

/// Regimes that were found, and where every feature is in each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegimeModel {
    /// As they were declared.
    pub declared: RegimeSettings,
    regimes: Regimes,
    /// Windows of the learning period in each regime.
    windows: Vec<usize>,
    /// By regime, by feature; nothing for a regime with too few windows to be known.
    levels: Vec<Vec<Level>>,
    /// Of all regimes together, by feature.
    common: Vec<Level>,
}

/// Where a feature is, and how far around that. **Units**: those of the feature.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Level {
    mean: f64,
    deviation: f64,
}

/// What the windows of a learning period are within their regimes.
#[derive(Debug)]
pub(crate) struct Within {
    /// The regimes.
    pub(crate) model: RegimeModel,
    /// Places of the windows that are learned from, in order.
    pub(crate) kept: Vec<usize>,
}

impl RegimeSettings {
    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.settings.is_empty() || self.settings.len() > MAX_SETTINGS {
            found.push(format!(
                "regimes: settings names {} metrics, but must name from 1 to {MAX_SETTINGS}",
                self.settings.len()
            ));
        }
        for (place, metric) in self.settings.iter().enumerate() {
            if self.settings[..place].contains(metric) {
                found.push(format!("regimes: settings names `{metric}` twice"));
            }
        }
        if self.count == 1 || self.count > MAX_REGIMES {
            found.push(format!(
                "regimes: count is {}, but must be from 2 to {MAX_REGIMES}, or 0 to let it be found",
                self.count
            ));
        }
        found
    }
}

impl RegimeModel {
    /// Finds the regimes of windows and where their features are. **Shape**: a row per window in
    /// both, a value per setting channel and per feature; all are finite, or a setting is NaN.
    ///
    /// Windows of unknown regimes and outliers of their own regime are left out.
    ///
    /// **Errors** when no regime has enough windows.
    pub(crate) fn learn(
        declared: &RegimeSettings,
        settings: &[Vec<f64>],
        rows: &[Vec<f64>],
        outlier_bound: f64,
    ) -> Result<Within, FitError> {
        let width = declared.settings.len();
        let flat = settings.iter().flatten().copied().collect();
        let all = Array2::from_shape_vec((settings.len(), width), flat);
        let all = all.map_err(|error| FitError::Regimes(error.to_string()))?;
        let found = match declared.count {
            0 => Regimes::find(all.view()),
            count => Regimes::find_so_many(all.view(), count),
        };
        let regimes = found.map_err(|error| FitError::Regimes(error.to_string()))?;
        let of: Vec<Option<usize>> = settings.iter().map(|row| regimes.of(row)).collect();
        let places = |regime: usize, out: &[bool]| -> Vec<usize> {
            let own = (0..rows.len()).filter(|at| of[*at] == Some(regime) && !out[*at]);
            own.collect()
        };
        let mut model = Self {
            declared: declared.clone(),
            windows: Vec::new(),
            levels: Vec::new(),
            common: Vec::new(),
            regimes,
        };
        // What is far out in its regime has no say in where that is.
        let mut out = vec![false; rows.len()];
        for pass in 0..2 {
            let by_regime = (0..model.regimes.count()).map(|regime| places(regime, &out));
            let by_regime: Vec<Vec<usize>> = by_regime.collect();
            model.windows = by_regime.iter().map(Vec::len).collect();
            model.place(&by_regime, rows);
            if pass == 0 {
                let mut known = Vec::new();
                let mut moved = Vec::new();
                for (at, row) in rows.iter().enumerate() {
                    let mut row = row.clone();
                    if of[at].is_some_and(|regime| model.enter(regime, &mut row)) {
                        known.push(at);
                        moved.push(row);
                    }
                }
                for (at, is_out) in known.iter().zip(outliers(&moved, outlier_bound)) {
                    out[*at] = is_out;
                }
            }
        }
        let kept: Vec<usize> = (0..rows.len())
            .filter(|at| !out[*at] && of[*at].is_some_and(|regime| model.knows(regime)))
            .collect();
        if kept.is_empty() {
            return Err(FitError::Regimes(format!(
                "none of them has {LEAST_WINDOWS} windows"
            )));
        }
        Ok(Within { model, kept })
    }

    /// How many regimes are known.
    pub fn count(&self) -> usize {
        (0..self.levels.len()).filter(|at| self.knows(*at)).count()
    }

    /// The regime of a window by its setting channels; none when it is unknown.
    pub fn of(&self, settings: &[f64]) -> Option<usize> {
        let regime = self.regimes.of(settings)?;
        self.knows(regime).then_some(regime)
    }

    /// Moves the features of a window of a regime to where all regimes are; whether the regime is
    /// known.
    pub fn enter(&self, regime: usize, features: &mut [f64]) -> bool {
        let known = self.levels.get(regime).filter(|levels| !levels.is_empty());
        let Some(levels) = known else { return false };
        for ((value, own), common) in features.iter_mut().zip(levels).zip(&self.common) {
            *value = common.mean + (*value - own.mean) / own.deviation * common.deviation;
        }
        true
    }

    /// Moves the value of a feature back to its regime.
    pub fn leave(&self, regime: usize, feature: usize, value: f64) -> f64 {
        let own = self.levels.get(regime).and_then(|own| own.get(feature));
        match (own, self.common.get(feature)) {
            (Some(own), Some(common)) => {
                own.mean + (value - common.mean) / common.deviation * own.deviation
            }
            _ => value,
        }
    }

    /// Features that stand still within every regime, whatever they do from one to the next.
    pub(crate) fn steady(&self) -> Vec<bool> {
        let still = |common: &Level| common.deviation <= STEADY * common.mean.abs().max(1e-300);
        self.common.iter().map(still).collect()
    }

    /// Leaves out features; the others keep their order.
    pub(crate) fn drop_features(&mut self, gone: &[bool]) {
        for levels in self.levels.iter_mut().chain([&mut self.common]) {
            let mut gone = gone.iter();
            levels.retain(|_| !gone.next().copied().unwrap_or(false));
        }
    }

    /// Gives features that stand still a width, so that they are moved and not stretched.
    pub(crate) fn widen_steady(&mut self) {
        let steady = self.steady().into_iter().enumerate();
        for (feature, _) in steady.filter(|(_, still)| *still) {
            let known = self.levels.iter_mut().filter(|levels| !levels.is_empty());
            for own in known.map(|levels| &mut levels[feature]) {
                own.deviation = 1.0;
            }
            self.common[feature].deviation = 1.0;
        }
    }

    fn knows(&self, regime: usize) -> bool {
        self.levels.get(regime).is_some_and(|own| !own.is_empty())
    }

    /// Learns where every feature is in each regime, from the windows of each.
    fn place(&mut self, by_regime: &[Vec<usize>], rows: &[Vec<f64>]) {
        let width = rows.first().map_or(0, Vec::len);
        let known = |own: &&Vec<usize>| own.len() >= LEAST_WINDOWS;
        let all: f64 = by_regime
            .iter()
            .filter(known)
            .map(|own| count(own.len()))
            .sum();
        self.levels = vec![Vec::new(); by_regime.len()];
        self.common.clear();
        let levels_of = |feature: usize| -> Vec<Option<Level>> {
            let level = |own: &Vec<usize>| {
                let values = own.iter().map(|at| rows[*at][feature]);
                known(&own).then(|| Level::of(values))
            };
            by_regime.iter().map(level).collect()
        };
        for feature in 0..width {
            let levels = levels_of(feature);
            let weighed = || levels.iter().zip(by_regime);
            let weighed = || weighed().filter_map(|(l, own)| Some(((*l)?, count(own.len()))));
            let mean = weighed()
                .map(|(own, weight)| own.mean * weight)
                .sum::<f64>()
                / all;
            let squares = weighed().map(|(own, weight)| own.deviation.powi(2) * weight);
            let deviation = (squares.sum::<f64>() / all).sqrt();
            self.common.push(Level { mean, deviation });
            for (levels, own) in self.levels.iter_mut().zip(levels) {
                levels.extend(own.map(|own| Level {
                    deviation: own.deviation.max(LEAST_DEVIATION * deviation),
                    ..own
                }));
            }
        }
    }
}

impl Level {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let number = count(values.clone().count().max(1));
        let mean = values.clone().sum::<f64>() / number;
        let squares = values.map(|value| (value - mean).powi(2)).sum::<f64>();
        let deviation = (squares / (number - 1.0).max(1.0)).sqrt();
        Self { mean, deviation }
    }
}

#[cfg(test)]
mod tests;
