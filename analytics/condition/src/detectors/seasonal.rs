//! Metrics that repeat with the day or the week: how far a metric is from what is usual at this
//! time of its period.
//!
//! The period is cut into slots of event time; each has a level and a spread that follow the
//! readings slowly and, since a reading moves them by three spreads at most, are not carried away.
//! What counts is the deviation in spreads, smoothed in event time, against the largest one of
//! the learning period. A level that stays becomes normal after some periods.

use crate::numbers::count;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::detector::{
    Contribution, Detector, Explanation, FitError, Sample, Score, Training,
};
use crate::Span;
use crate::bits;

/// Periods that learning needs: one for the levels, one for the spreads, one for the limit.
const PERIODS: i64 = 3;
/// A reading moves a level by so many spreads at most. **Source**: Huber 1964 (bounded influence).
const INFLUENCE: f64 = 3.0;
/// A deviation counts as so many spreads at most.
const FARTHEST: f64 = 10.0;
/// A slot's spread is no less than this share of the usual one.
const LEAST_SHARE: f64 = 0.5;
/// The limit is no less than so many spreads.
const LEAST_LIMIT: f64 = 0.5;

/// How seasons are looked at. The reasons stand in `default.toml` where a kind uses it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeasonalSettings {
    /// After what time it repeats, such as `1d` or `7d`. **Units**: event time.
    pub period: Span,
    /// Slots of a period.
    pub slots: usize,
    /// Half-life with which levels and spreads follow. **Units**: periods.
    pub memory: u32,
    /// Half-life of the smoothed deviation. **Units**: event time.
    pub smoothing: Span,
    /// Factor on the limit from the learning period.
    pub limit_factor: f64,
}

/// What is usual in each slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeasonalModel {
    /// Share with which one reading moves its slot.
    pub pace: f64,
    /// Per feature.
    pub seasons: Vec<Season>,
    /// Per feature: the largest smoothed deviation of the learning period. **Units**: spreads.
    pub limits: Vec<f64>,
}

/// What is usual for one metric, and how far it is from that now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Season {
    /// Per slot; NaN where nothing was seen.
    #[serde(with = "bits")]
    levels: Vec<f64>,
    #[serde(with = "bits")]
    spreads: Vec<f64>,
    /// The usual spread over all slots, the smoothed deviation, and the last level.
    #[serde(with = "bits")]
    now: Vec<f64>,
    last: Option<i64>,
}

/// Seasons at work on one asset.
#[derive(Debug)]
pub struct SeasonalDetector {
    settings: SeasonalSettings,
    model: SeasonalModel,
    /// Per feature: the ratio at the last reading.
    ratios: Vec<Option<f64>>,
}

impl SeasonalSettings {
    /// Learns what is usual in each slot, and how far the last third of the periods was from it.
    ///
    /// **Errors** when the learning period is shorter than three periods.
    pub fn fit(&self, training: &Training<'_>) -> Result<SeasonalModel, FitError> {
        let (first, last) = (training.times.first(), training.times.last());
        let span = last.copied().unwrap_or(0) - first.copied().unwrap_or(0);
        let needed = PERIODS * self.period.micros();
        if span < needed - training.spacing() {
            let windows = |micros: i64| usize::try_from(micros / training.spacing()).unwrap_or(0);
            return Err(FitError::TooFewWindows {
                found: training.rows.len(),
                needed: windows(needed),
            });
        }
        let judged_from = first.copied().unwrap_or(0) + (PERIODS - 1) * self.period.micros();
        let in_slot = ratio(self.period.micros(), training.spacing()) / count(self.slots);
        let visits = f64::from(self.memory.max(1)) * in_slot.max(1.0);
        let pace = 1.0 - 0.5_f64.powf(1.0 / visits);
        let mut seasons = vec![Season::new(self); training.features.len()];
        let mut limits = vec![LEAST_LIMIT; training.features.len()];
        for (at, row) in training.times.iter().zip(training.rows) {
            for ((season, limit), value) in seasons.iter_mut().zip(&mut limits).zip(row) {
                let deviation = season.take(*at, *value, pace, self);
                if let Some(deviation) = deviation.filter(|_| *at >= judged_from) {
                    *limit = limit.max(deviation.abs());
                }
            }
        }
        Ok(SeasonalModel {
            pace,
            seasons,
            limits,
        })
    }

    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.period.micros() < 60_000_000 {
            found.push(format!(
                "period is {}, but must be at least 1m",
                self.period
            ));
        }
        if !(2..=2_016).contains(&self.slots) {
            found.push(format!(
                "slots is {}, but must be from 2 to 2016",
                self.slots
            ));
        }
        if self.memory == 0 {
            found.push("memory must be at least one period".to_owned());
        }
        if !(self.limit_factor > 0.0 && self.limit_factor.is_finite()) {
            found.push("limit_factor must be more than 0".to_owned());
        }
        found
    }
}

impl Season {
    fn new(settings: &SeasonalSettings) -> Self {
        Self {
            levels: vec![f64::NAN; settings.slots],
            spreads: vec![f64::NAN; settings.slots],
            now: vec![f64::NAN, 0.0, f64::NAN],
            last: None,
        }
    }

    /// Takes a value; gives the smoothed deviation from what is usual, in spreads.
    fn take(&mut self, at: i64, value: f64, pace: f64, with: &SeasonalSettings) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let slots = i64::try_from(with.slots).unwrap_or(1).max(1);
        let period = with.period.micros().max(slots);
        let phase = at.rem_euclid(period);
        let slot = usize::try_from(phase / (period / slots)).unwrap_or(0);
        let slot = slot.min(self.levels.len().saturating_sub(1));
        let elapsed = at - self.last.replace(at).unwrap_or(at);
        let level = self.levels[slot];
        self.now[2] = level;
        if level.is_nan() {
            self.levels[slot] = value;
            return None;
        }
        let apart = value - level;
        let usual = if self.now[0].is_nan() {
            apart.abs()
        } else {
            self.now[0]
        };
        let own = self.spreads[slot];
        let spread = if own.is_nan() { usual } else { own }.max(LEAST_SHARE * usual);
        let bound = |apart: f64, most: f64| apart.clamp(-most, most);
        let moved = if spread > 0.0 {
            bound(apart, INFLUENCE * spread)
        } else {
            apart
        };
        self.levels[slot] = level + pace * moved;
        self.spreads[slot] = spread + pace * (moved.abs() - spread);
        // The usual spread is that of all slots: each reading is one of so many.
        self.now[0] = usual + pace / count(with.slots) * (moved.abs() - usual);
        let deviation = match spread > 0.0 {
            true => bound(apart / spread, FARTHEST),
            false if apart == 0.0 => 0.0,
            false => FARTHEST.copysign(apart),
        };
        let keep = 0.5_f64.powf(ratio(elapsed, with.smoothing.micros().max(1)));
        self.now[1] = keep * self.now[1] + (1.0 - keep) * deviation;
        Some(self.now[1])
    }
}

impl SeasonalDetector {
    /// A detector that goes on where learning ended.
    pub fn new(model: SeasonalModel, settings: &SeasonalSettings) -> Self {
        Self {
            ratios: vec![None; model.seasons.len()],
            settings: settings.clone(),
            model,
        }
    }
}

impl Detector for SeasonalDetector {
    fn score(&mut self, sample: &Sample<'_>) -> Option<Score> {
        let model = &mut self.model;
        let seasons = model.seasons.iter_mut().zip(&model.limits);
        self.ratios = seasons
            .zip(sample.values)
            .map(|((season, limit), value)| {
                let deviation = season.take(sample.at, *value, model.pace, &self.settings)?;
                Some(deviation.abs() / (limit * self.settings.limit_factor))
            })
            .collect();
        let ratio = self.ratios.iter().flatten().copied().reduce(f64::max)?;
        Some(Score { ratio })
    }

    fn explain(&self, sample: &Sample<'_>) -> Explanation {
        let total: f64 = self.ratios.iter().flatten().sum();
        let mut contributions: Vec<Contribution> = (0..self.ratios.len())
            .filter_map(|at| {
                let ratio = self.ratios[at].filter(|ratio| *ratio > 0.0)?;
                let season = &self.model.seasons[at];
                Some(Contribution {
                    feature: at,
                    share: ratio / total,
                    observed: sample.values.get(at).copied().unwrap_or(f64::NAN),
                    expected: season.now[2],
                    deviations: season.now[1],
                })
            })
            .collect();
        contributions.sort_by(|a, b| b.share.total_cmp(&a.share));
        Explanation {
            contributions,
            facts: json!({ "period": self.settings.period.to_string() }),
        }
    }

    fn save(&self) -> Value {
        json!({ "seasons": self.model.seasons })
    }

    fn restore(&mut self, saved: &Value) {
        let seasons: Result<Vec<Season>, _> = serde_json::from_value(saved["seasons"].clone());
        let slots = self.settings.slots;
        let fits = |seasons: &Vec<Season>| {
            seasons.len() == self.model.seasons.len()
                && seasons.iter().all(|one| {
                    one.levels.len() == slots && one.spreads.len() == slots && one.now.len() == 3
                })
        };
        if let Some(seasons) = seasons.ok().filter(fits) {
            self.model.seasons = seasons;
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "spans are far below 2^52 microseconds, or rounding does not matter"
)]
fn ratio(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Feature;
    use crate::settings::FeatureKind;

    const HOUR: i64 = 3_600_000_000;

    fn settings() -> SeasonalSettings {
        SeasonalSettings {
            period: Span::seconds(86_400),
            slots: 24,
            memory: 4,
            smoothing: Span::seconds(7_200),
            limit_factor: 2.0,
        }
    }

    /// A day's load with some noise, hourly.
    fn load(hour: i64) -> f64 {
        let day = if (8..18).contains(&(hour % 24)) {
            100.0
        } else {
            20.0
        };
        day + f64::from(i32::try_from(hour * 7919 % 11).unwrap())
    }

    fn fitted(hours: i64) -> Result<SeasonalModel, FitError> {
        let times: Vec<i64> = (0..hours).map(|hour| hour * HOUR).collect();
        let rows: Vec<Vec<f64>> = (0..hours).map(|hour| vec![load(hour)]).collect();
        let features = [Feature {
            metric: "load".into(),
            kind: FeatureKind::Mean,
        }];
        settings().fit(&Training {
            times: &times,
            features: &features,
            rows: &rows,
            starts: &[],
        })
    }

    fn take(detector: &mut SeasonalDetector, hour: i64, value: f64) -> f64 {
        let sample = Sample {
            at: hour * HOUR,
            elapsed: HOUR,
            values: &[value],
        };
        detector.score(&sample).unwrap().ratio
    }

    #[test]
    fn a_load_of_the_day_is_an_alarm_at_night() {
        let mut detector = SeasonalDetector::new(fitted(240).unwrap(), &settings());
        for hour in 240..480 {
            assert!(take(&mut detector, hour, load(hour)) < 1.0, "{hour}");
        }
        let night: Vec<bool> = (480..486)
            .map(|hour| take(&mut detector, hour, load(hour + 10)) >= 1.0)
            .collect();
        assert!(night.contains(&true), "{night:?}");
        let sample = Sample {
            at: 485 * HOUR,
            elapsed: HOUR,
            values: &[load(495)],
        };
        let why = detector.explain(&sample);
        assert!(why.contributions[0].expected < 40.0, "{why:?}");
    }

    #[test]
    fn a_level_that_stays_becomes_normal() {
        let mut detector = SeasonalDetector::new(fitted(240).unwrap(), &settings());
        let ratios: Vec<f64> = (240..2_400)
            .map(|hour| take(&mut detector, hour, load(hour) + 30.0))
            .collect();
        assert!(ratios[..24].iter().any(|ratio| *ratio >= 1.0));
        assert!(ratios[2_000..].iter().all(|ratio| *ratio < 1.0));
    }

    #[test]
    fn a_restart_changes_nothing() {
        let mut through = SeasonalDetector::new(fitted(240).unwrap(), &settings());
        for hour in 240..300 {
            take(&mut through, hour, load(hour) + 5.0);
        }
        let saved = through.save().to_string();
        let mut after = SeasonalDetector::new(fitted(240).unwrap(), &settings());
        after.restore(&serde_json::from_str(&saved).unwrap());
        for hour in 300..400 {
            let value = load(hour) + 9.0;
            assert_eq!(
                take(&mut through, hour, value),
                take(&mut after, hour, value)
            );
        }
    }

    #[test]
    fn two_days_are_too_short_and_mistakes_are_told() {
        assert!(fitted(48).is_err());
        assert!(settings().mistakes().is_empty());
        let wrong = SeasonalSettings {
            period: Span::seconds(1),
            slots: 1,
            memory: 0,
            limit_factor: 0.0,
            ..settings()
        };
        assert_eq!(wrong.mistakes().len(), 4);
    }
}
