//! The univariate detector: how far the last readings are from anything seen before, compared with
//! the largest such distance so far.
//!
//! The distance of the last `m` readings to their nearest neighbor is the smallest Euclidean
//! distance to any earlier run of `m` readings that does not overlap them: large for a shape or a
//! level that was never there, small for what comes back every day. It is taken at several lengths,
//! on first differences, which see a changed texture and forget the level, and on means, which see
//! a small shift of the level in much noise.
//!
//! A distance counts in multiples of its *record*: the largest one before it, which decays slowly,
//! but to no less than some times the usual distance. So every metric earns its alarms at about the
//! same rate, whatever its unit and its noise are.
//!
//! **Units** of time are readings: a metric that reports twice as often has twice as many alarms.
//!
//! **Source**: Lu et al. 2022 (left matrix profile for streams: DAMP); the record is our own.

mod nearest;
mod series;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::detector::{
    Contribution, Detector, Explanation, FitError, Sample, Score, Training,
};
use nearest::Compare;
pub use series::Series;

/// How neighbors are looked for. The reasons stand in `default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighborSettings {
    /// Lengths of the runs of values. **Units**: readings.
    pub lengths: Vec<usize>,
    /// Lengths of the runs of first differences. **Units**: readings.
    pub difference_lengths: Vec<usize>,
    /// Lengths of the runs whose means are compared. **Units**: readings.
    pub level_lengths: Vec<usize>,
    /// How far back neighbors are looked for. **Units**: readings.
    pub history: usize,
    /// Readings before the records begin: the first distances have little to be compared with and
    /// are too large. **Units**: readings.
    pub warm_up: usize,
    /// Half-life of the record; 0: it never decays. **Units**: readings.
    pub half_life: u32,
    /// Rest after an alarm. **Units**: readings.
    pub refractory: u32,
    /// Readings that an asset with a model from elsewhere is not judged while its own level and
    /// its own records are learned; 0: it goes on where learning ended.
    pub settle: u32,
    /// The limit is never less than so many times the usual distance.
    pub usual_factor: f64,
    /// Factor on the record that is the limit.
    pub limit_factor: f64,
    /// The least deviation per reading that counts, as a root mean square. **Units**: those of the
    /// metric.
    pub least_deviation: f64,
}

/// What is known of the metrics when learning is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighborModel {
    /// Per feature: the last values, and the records.
    pub series: Vec<Series>,
}

/// Nearest neighbors at work on one asset.
#[derive(Debug)]
pub struct NeighborDetector {
    settings: NeighborSettings,
    series: Vec<Series>,
}

impl NeighborSettings {
    /// Lets every metric run through the learning period.
    ///
    /// **Errors** when the period is shorter than what the longest run needs.
    pub fn fit(&self, training: &Training<'_>) -> Result<NeighborModel, FitError> {
        let needed = self.warm_up.max(2 * self.longest());
        if training.rows.len() < needed {
            return Err(FitError::TooFewWindows {
                found: training.rows.len(),
                needed,
            });
        }
        let mut series = vec![Series::new(self); training.features.len()];
        for row in training.rows {
            for (series, value) in series.iter_mut().zip(row) {
                series.take(*value, self);
            }
        }
        for series in &mut series {
            series.rest = 0;
        }
        Ok(NeighborModel { series })
    }

    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut all = self.members().map(|(_, length)| length);
        if self.lengths.is_empty() || all.any(|length| !(2..=200).contains(&length)) {
            found.push("lengths must name one at least, each from 2 to 200 readings".to_owned());
        }
        if !(4 * self.longest()..=20_000).contains(&self.history) {
            found.push(format!(
                "history is {}, but must be from four times the longest length to 20000",
                self.history
            ));
        }
        if !(self.least_deviation >= 0.0 && self.least_deviation.is_finite()) {
            found.push("least_deviation must not be negative".to_owned());
        }
        if !(self.usual_factor >= 0.0 && self.usual_factor.is_finite()) {
            found.push("usual_factor must not be negative".to_owned());
        }
        if !(self.limit_factor > 0.0 && self.limit_factor.is_finite()) {
            found.push("limit_factor must be more than 0".to_owned());
        }
        found
    }

    /// What is compared over which length, in the order of all records.
    fn members(&self) -> impl Iterator<Item = (Compare, usize)> {
        let of = |by: Compare| move |length: &usize| (by, *length);
        let values = self.lengths.iter().map(of(Compare::Values));
        let differences = self.difference_lengths.iter();
        let levels = self.level_lengths.iter().map(of(Compare::Levels));
        values
            .chain(differences.map(of(Compare::Differences)))
            .chain(levels)
    }

    /// The longest run. **Units**: readings.
    fn longest(&self) -> usize {
        self.members().map(|(_, length)| length).max().unwrap_or(2)
    }
}

impl NeighborDetector {
    /// A detector that goes on where learning ended, or begins anew beside what was learned.
    pub fn new(model: NeighborModel, settings: &NeighborSettings) -> Self {
        let mut series = model.series;
        if settings.settle > 0 {
            series.iter_mut().for_each(|one| one.settle(settings));
        }
        Self {
            settings: settings.clone(),
            series,
        }
    }
}

impl Detector for NeighborDetector {
    fn score(&mut self, sample: &Sample<'_>) -> Option<Score> {
        let mut largest: Option<f64> = None;
        for (series, value) in self.series.iter_mut().zip(sample.values) {
            let ratio = series.take(*value, &self.settings);
            largest = match (largest, ratio) {
                (Some(before), Some(ratio)) => Some(before.max(ratio)),
                (before, ratio) => ratio.or(before),
            };
        }
        largest.map(|ratio| Score { ratio })
    }

    fn explain(&self, sample: &Sample<'_>) -> Explanation {
        let total: f64 = self.series.iter().map(|one| one.last.ratio).sum();
        let mut contributions: Vec<Contribution> = (0..self.series.len())
            .filter(|at| self.series[*at].last.ratio > 0.0)
            .map(|at| {
                let last = &self.series[at].last;
                Contribution {
                    feature: at,
                    share: last.ratio / total,
                    observed: sample.values.get(at).copied().unwrap_or(f64::NAN),
                    expected: last.neighbor,
                    deviations: last.ratio,
                }
            })
            .collect();
        contributions.sort_by(|a, b| b.share.total_cmp(&a.share));
        let why: BTreeMap<String, Value> = contributions
            .iter()
            .take(3)
            .map(|one| {
                (
                    one.feature.to_string(),
                    self.series[one.feature].facts(&self.settings),
                )
            })
            .collect();
        Explanation {
            contributions,
            facts: json!({ "records": why }),
        }
    }

    fn save(&self) -> Value {
        json!({ "series": self.series })
    }

    fn restore(&mut self, saved: &Value) {
        let series: Result<Vec<Series>, _> = serde_json::from_value(saved["series"].clone());
        let fits = |series: &Vec<Series>| {
            series.len() == self.series.len()
                && series.iter().all(|one| one.has_shape_of(&self.settings))
        };
        if let Some(series) = series.ok().filter(fits) {
            self.series = series;
        }
    }
}

#[cfg(test)]
mod tests;
