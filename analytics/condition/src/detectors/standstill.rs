//! Metrics that stand still as never before: a sensor that hangs, a valve that no longer moves.
//!
//! The deviation of the last readings is compared with the smallest one so far at the same length.
//! Metrics that stood still before, such as switches and constants, never count.
//!
//! **Units** of time are readings.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::detector::{
    Contribution, Detector, Explanation, FitError, Sample, Score, Training,
};
use crate::bits;

/// How standstills are looked for. The reasons stand in `default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandstillSettings {
    /// Lengths over which the deviation is taken. **Units**: readings.
    pub lengths: Vec<usize>,
    /// Readings that an asset with a model from elsewhere is not judged, while its own calm is
    /// learned.
    pub settle: u32,
    /// How many times calmer than ever before is an alarm.
    pub limit_factor: f64,
    /// The least deviation that is one; smaller ones count as this. **Units**: those of the metric.
    pub least_deviation: f64,
}

/// The calm of each feature in the learning period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandstillModel {
    /// One per feature.
    pub calms: Vec<Calm>,
}

/// The last readings of a metric, and the smallest deviations that were seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calm {
    #[serde(with = "bits")]
    history: Vec<f64>,
    /// Per length; infinite while nothing was seen.
    #[serde(with = "bits")]
    smallest: Vec<f64>,
}

/// Standstill at work on one asset.
#[derive(Debug)]
pub struct StandstillDetector {
    settings: StandstillSettings,
    calms: Vec<Calm>,
    settling: u32,
    /// Per feature: the ratio, the deviation and the smallest one before it.
    last: Vec<Option<(f64, f64, f64)>>,
}

impl StandstillSettings {
    /// Lets every metric run through the learning period.
    ///
    /// **Errors** when that is shorter than the longest length.
    pub fn fit(&self, training: &Training<'_>) -> Result<StandstillModel, FitError> {
        let needed = self.longest() + 1;
        if training.rows.len() < needed {
            return Err(FitError::TooFewWindows {
                found: training.rows.len(),
                needed,
            });
        }
        let mut calms = vec![Calm::new(self); training.features.len()];
        for row in training.rows {
            for (calm, value) in calms.iter_mut().zip(row) {
                calm.take(*value, self);
            }
        }
        Ok(StandstillModel { calms })
    }

    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.lengths.is_empty() || self.lengths.iter().any(|l| !(2..=10_000).contains(l)) {
            found.push("lengths must name one at least, each from 2 to 10000 readings".to_owned());
        }
        if !(self.limit_factor > 1.0 && self.limit_factor.is_finite()) {
            found.push("limit_factor must be more than 1".to_owned());
        }
        if !(self.least_deviation > 0.0 && self.least_deviation.is_finite()) {
            found.push("least_deviation must be more than 0".to_owned());
        }
        found
    }

    fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(2)
    }
}

impl StandstillDetector {
    /// A detector that has an asset's own readings still to see.
    pub fn new(model: StandstillModel, settings: &StandstillSettings) -> Self {
        let mut calms = model.calms;
        if settings.settle > 0 {
            calms.iter_mut().for_each(|calm| calm.history.clear());
        }
        Self {
            last: vec![None; calms.len()],
            settings: settings.clone(),
            settling: settings.settle,
            calms,
        }
    }
}

impl Calm {
    fn new(settings: &StandstillSettings) -> Self {
        Self {
            history: Vec::new(),
            smallest: vec![f64::INFINITY; settings.lengths.len()],
        }
    }

    /// Takes a value; gives the largest ratio of the smallest deviation so far to that of now,
    /// with both. `None` while there is nothing to compare.
    fn take(&mut self, value: f64, settings: &StandstillSettings) -> Option<(f64, f64, f64)> {
        if !value.is_finite() {
            return None;
        }
        if self.history.len() >= settings.longest() {
            self.history.remove(0);
        }
        self.history.push(value);
        let mut found: Option<(f64, f64, f64)> = None;
        for (length, smallest) in settings.lengths.iter().zip(&mut self.smallest) {
            let Some(from) = self.history.len().checked_sub(*length) else {
                continue;
            };
            let now = deviation(&self.history[from..]);
            let before = *smallest;
            *smallest = before.min(now);
            if before.is_finite() {
                let ratio = before / now.max(settings.least_deviation) / settings.limit_factor;
                if found.is_none_or(|(largest, _, _)| ratio > largest) {
                    found = Some((ratio, now, before));
                }
            }
        }
        found
    }
}

impl Detector for StandstillDetector {
    fn score(&mut self, sample: &Sample<'_>) -> Option<Score> {
        let values = self.calms.iter_mut().zip(sample.values);
        self.last = values
            .map(|(calm, value)| calm.take(*value, &self.settings))
            .collect();
        if self.settling > 0 {
            self.settling -= 1;
            return None;
        }
        let ratios = self.last.iter().flatten().map(|(ratio, _, _)| *ratio);
        let ratio = ratios.reduce(f64::max)?;
        Some(Score { ratio })
    }

    fn explain(&self, sample: &Sample<'_>) -> Explanation {
        let over = |at: usize| self.last[at].map_or(0.0, |(ratio, _, _)| ratio);
        let total: f64 = (0..self.last.len()).map(over).sum();
        let mut contributions: Vec<Contribution> = (0..self.last.len())
            .filter(|at| over(*at) > 0.0)
            .map(|at| Contribution {
                feature: at,
                share: over(at) / total,
                observed: sample.values.get(at).copied().unwrap_or(f64::NAN),
                expected: f64::NAN,
                deviations: over(at),
            })
            .collect();
        contributions.sort_by(|a, b| b.share.total_cmp(&a.share));
        let why = contributions
            .first()
            .and_then(|first| self.last[first.feature]);
        let facts = why.map_or(
            Value::Null,
            |(_, now, before)| json!({ "deviation": now, "smallest_before": before }),
        );
        Explanation {
            contributions,
            facts,
        }
    }

    fn save(&self) -> Value {
        json!({ "calms": self.calms, "settling": self.settling })
    }

    fn restore(&mut self, saved: &Value) {
        let calms: Result<Vec<Calm>, _> = serde_json::from_value(saved["calms"].clone());
        let settling: Result<u32, _> = serde_json::from_value(saved["settling"].clone());
        let lengths = self.settings.lengths.len();
        let fits = |calms: &Vec<Calm>| {
            calms.len() == self.calms.len() && calms.iter().all(|c| c.smallest.len() == lengths)
        };
        if let (Some(calms), Ok(settling)) = (calms.ok().filter(fits), settling) {
            (self.calms, self.settling) = (calms, settling);
        }
    }
}

/// Deviation about the mean, over all values.
fn deviation(values: &[f64]) -> f64 {
    let count = values.iter().fold(0.0, |count, _| count + 1.0);
    let mean = values.iter().sum::<f64>() / count;
    let apart = |value: &f64| (value - mean) * (value - mean);
    (values.iter().map(apart).sum::<f64>() / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Feature;
    use crate::settings::FeatureKind;

    fn settings() -> StandstillSettings {
        StandstillSettings {
            lengths: vec![5, 10],
            settle: 0,
            limit_factor: 2.0,
            least_deviation: 0.01,
        }
    }

    fn detector(settings: &StandstillSettings, of: impl Fn(i32) -> f64) -> StandstillDetector {
        let rows: Vec<Vec<f64>> = (0..100).map(|at| vec![of(at)]).collect();
        let times: Vec<i64> = (0..100).collect();
        let features = [Feature {
            metric: "flow".into(),
            kind: FeatureKind::Mean,
        }];
        let training = Training {
            times: &times,
            features: &features,
            rows: &rows,
            starts: &[],
        };
        StandstillDetector::new(settings.fit(&training).unwrap(), settings)
    }

    fn ratio(detector: &mut StandstillDetector, value: f64) -> Option<f64> {
        let sample = Sample {
            at: 0,
            elapsed: 1,
            values: &[value],
        };
        detector.score(&sample).map(|score| score.ratio)
    }

    fn zigzag(at: i32) -> f64 {
        f64::from(at % 3)
    }

    fn switch(at: i32) -> f64 {
        f64::from(at / 30 % 2)
    }

    #[test]
    fn a_metric_that_hangs_is_found_after_the_shortest_length() {
        let mut detector = detector(&settings(), zigzag);
        for at in 100..160 {
            assert!(ratio(&mut detector, zigzag(at)).unwrap() < 1.0);
        }
        let found: Vec<bool> = (0..5)
            .map(|_| ratio(&mut detector, 1.0).unwrap() >= 1.0)
            .collect();
        assert_eq!(found.iter().position(|over| *over), Some(4));
        let sample = Sample {
            at: 0,
            elapsed: 1,
            values: &[1.0],
        };
        let why = detector.explain(&sample);
        assert_eq!(why.contributions[0].share, 1.0);
        assert_eq!(why.facts["deviation"], 0.0);
    }

    #[test]
    fn a_switch_may_stand_still() {
        let mut detector = detector(&settings(), switch);
        for _ in 0..200 {
            assert!(ratio(&mut detector, 1.0).unwrap() < 1.0);
        }
    }

    #[test]
    fn it_settles_and_survives_a_restart() {
        let settings = StandstillSettings {
            settle: 20,
            ..settings()
        };
        let mut through = detector(&settings, zigzag);
        for at in 0..10 {
            assert_eq!(ratio(&mut through, zigzag(at)), None);
        }
        let saved = through.save().to_string();
        let mut after = detector(&settings, switch);
        after.restore(&serde_json::from_str(&saved).unwrap());
        for at in 0..60 {
            let value = if at < 30 { zigzag(at) } else { 1.5 };
            let (a, b) = (ratio(&mut through, value), ratio(&mut after, value));
            assert_eq!(a, b, "{at}");
            assert_eq!(a.is_none(), at < 10, "{at}");
        }
        after.restore(&json!({ "calms": "nonsense" }));
        assert!(ratio(&mut after, 1.5).is_some());
    }

    #[test]
    fn mistakes_are_told() {
        let wrong = StandstillSettings {
            lengths: vec![1],
            limit_factor: 0.5,
            least_deviation: 0.0,
            settle: 0,
        };
        assert_eq!(wrong.mistakes().len(), 3);
        assert!(settings().mistakes().is_empty());
    }
}
