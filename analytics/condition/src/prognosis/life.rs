//! Remaining useful life from the courses of assets that ran to failure.
//!
//! Boosted trees on [`super::course`] predict the remaining life up to a cap: an asset that is far
//! from its end shows nothing of it yet. What the trees say about assets that they were not fitted
//! on, fold by fold, is the evaluation, and its errors make the intervals.
//!
//! **Units**: those of the caller's age, for instance cycles or hours of use.

use chrono::{DateTime, TimeDelta, Utc};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::boosting::{BoostedTrees, BoostedTreesParams, BoostingError};
use super::conformal::{Conformal, LEVELS, TooFew};
use super::course::{Course, CourseSettings};
use super::normal::{Normal, matrix};
use super::outlook::{Outlook, time};
use crate::regimes::RegimeError;
use crate::settings::DEFAULT_TOML;

/// How to predict remaining life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifeSettings {
    /// Longest remaining life that is told apart.
    pub cap: f64,
    /// Rows with a longer remaining life than this multiple of the cap neither count for the
    /// evaluation nor for the intervals: they are easy, and would make both look better.
    pub relevant: f64,
    /// Share of truths that an interval shall hold.
    pub coverage: f64,
    /// How much earlier than the trees say the end is expected, in shares of half the width of the
    /// interval: late is dearer than early.
    pub caution: f64,
    /// Parts that the assets are divided into for the evaluation.
    pub folds: usize,
    /// Sets of trees that differ by their seed and are averaged.
    pub members: usize,
    /// An asset is told to be likely to fail when it does within so many units
    pub horizon: f64,
    /// with at least this probability.
    pub alarm_probability: f64,
    /// What is looked at.
    pub course: CourseSettings,
    /// How trees are fitted.
    pub trees: BoostedTreesParams,
}

/// The part of the shipped defaults that is read here.
#[derive(Deserialize)]
struct Shipped {
    prognosis: Prognosis,
}

#[derive(Deserialize)]
struct Prognosis {
    life: LifeSettings,
}

/// One asset from installation to failure: its last reading is the failure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Life {
    /// All readings in order of age.
    pub readings: Vec<LifeReading>,
}

/// One reading of a life.
#[derive(Debug, Clone, PartialEq)]
pub struct LifeReading {
    /// Age since installation.
    pub age: f64,
    /// Declared setting channels.
    pub settings: Vec<f64>,
    /// Sensors; NaN is missing.
    pub sensors: Vec<f64>,
}

/// A fitted model of a class of assets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LifeModel {
    settings: LifeSettings,
    normal: Normal,
    members: Vec<BoostedTrees>,
    conformal: Conformal,
    /// How good it was on assets that it had not seen.
    pub evaluation: LifeEvaluation,
}

/// How good predictions were for assets left out of the fit, with truths up to the cap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LifeEvaluation {
    /// Assets.
    pub assets: usize,
    /// Predictions.
    pub predictions: usize,
    /// Root mean square error.
    pub rmse: f64,
    /// Mean of predicted less true.
    pub bias: f64,
    /// Share of the truths that lay in intervals learned from the other parts.
    pub coverage: f64,
    /// Mean width of those intervals.
    pub width: f64,
}

/// A predicted remaining life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remaining {
    /// The best single number, 0 to the cap.
    pub expected: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval; the cap means the cap or more.
    pub upper: f64,
    /// Remaining lives with the probability of a shorter one, below the cap alone.
    pub distribution: Vec<(f64, f64)>,
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// Too few assets to leave some out.
    #[error("remaining life needs at least {needed} assets that ran to failure, and there are {0}", needed = self.needed())]
    Assets(usize),
    /// What is normal could not be learned.
    #[error("what is normal for the assets could not be learned")]
    Normal(#[from] RegimeError),
    /// The trees could not be fitted.
    #[error("the model of remaining life could not be fitted")]
    Trees(#[from] BoostingError),
    /// There is too little for intervals.
    #[error("the intervals of remaining life could not be learned")]
    Intervals(#[from] TooFew),
}

impl LifeError {
    fn needed(&self) -> usize {
        LEAST_ASSETS
    }
}

/// Predicted and true remaining lives of a part.
type Pairs = Vec<(f64, f64)>;

/// Fewer assets cannot be divided into parts that say anything about an unseen one.
const LEAST_ASSETS: usize = 4;

impl LifeSettings {
    /// Those that are compiled in, with their reasons in `default.toml`.
    pub fn shipped() -> Self {
        let shipped: Result<Shipped, _> = toml::from_str(DEFAULT_TOML);
        shipped
            .expect("the shipped defaults are complete")
            .prognosis
            .life
    }

    /// Fits, evaluates on left-out assets, and learns the intervals.
    ///
    /// # Errors
    /// When there are too few assets or readings.
    pub fn fit(&self, lives: &[Life]) -> Result<LifeModel, LifeError> {
        let model = self.fit_watched(lives, |_| true)?;
        Ok(model.expect("nobody has stopped it"))
    }

    /// The same, telling after each part which share is done; nothing when that is answered with
    /// `false`.
    ///
    /// # Errors
    /// When there are too few assets or readings.
    pub fn fit_watched(
        &self,
        lives: &[Life],
        mut goes_on: impl FnMut(f64) -> bool,
    ) -> Result<Option<LifeModel>, LifeError> {
        let Some(parts) = self.back_test_watched(lives, &mut goes_on)? else {
            return Ok(None);
        };
        let fitted = Fitted::fit(self, &lives.iter().collect::<Vec<_>>())?;
        let (coverage, width) = self.intervals(&parts)?;
        let pairs = parts.concat();
        let errors = || pairs.iter().map(|(said, truth)| said - truth);
        let count = pairs.len().max(1) as f64;
        let evaluation = LifeEvaluation {
            assets: lives.len(),
            predictions: pairs.len(),
            rmse: (errors().map(|error| error * error).sum::<f64>() / count).sqrt(),
            bias: errors().sum::<f64>() / count,
            coverage,
            width,
        };
        let model = LifeModel {
            settings: self.clone(),
            normal: fitted.normal,
            members: fitted.members,
            conformal: Conformal::learn(&pairs)?,
            evaluation,
        };
        Ok(goes_on(1.0).then_some(model))
    }

    /// What is said of assets that the model did not see, part by part, and what came true.
    ///
    /// # Errors
    /// When there are too few assets or readings.
    pub fn back_test(&self, lives: &[Life]) -> Result<Vec<(f64, f64)>, LifeError> {
        let parts = self.back_test_watched(lives, &mut |_| true)?;
        Ok(parts.unwrap_or_default().concat())
    }

    fn back_test_watched(
        &self,
        lives: &[Life],
        goes_on: &mut impl FnMut(f64) -> bool,
    ) -> Result<Option<Vec<Pairs>>, LifeError> {
        if lives.len() < LEAST_ASSETS {
            return Err(LifeError::Assets(lives.len()));
        }
        let folds = self.folds.clamp(2, lives.len());
        let mut parts = Vec::with_capacity(folds);
        for fold in 0..folds {
            // The model of all assets is one more.
            if !goes_on(fold as f64 / (folds + 1) as f64) {
                return Ok(None);
            }
            let part = |inside: bool| {
                let numbered = lives.iter().enumerate();
                let of = numbered.filter(move |(number, _)| (number % folds == fold) == inside);
                of.map(|(_, life)| life).collect::<Vec<&Life>>()
            };
            let fitted = Fitted::fit(self, &part(false))?;
            let left_out = part(true).into_iter();
            parts.push(
                left_out
                    .flat_map(|life| self.left_out(&fitted, life))
                    .collect(),
            );
        }
        Ok(goes_on(folds as f64 / (folds + 1) as f64).then_some(parts))
    }

    /// How many truths of each part lie in the intervals that the other parts make, and how wide
    /// those are on average: intervals are judged as predictions are, by what they have not seen.
    fn intervals(&self, parts: &[Pairs]) -> Result<(f64, f64), LifeError> {
        let (mut inside, mut width, mut all) = (0.0, 0.0, 0.0);
        for (number, part) in parts.iter().enumerate() {
            let others = parts
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != number);
            let others: Vec<_> = others.flat_map(|(_, part)| part).copied().collect();
            let conformal = Conformal::learn(&others)?;
            for (said, truth) in part {
                let found = self.remaining(&conformal, *said);
                inside += f64::from(u8::from((found.lower..=found.upper).contains(truth)));
                width += found.upper - found.lower;
                all += 1.0;
            }
        }
        Ok((inside / f64::max(all, 1.0), width / f64::max(all, 1.0)))
    }

    /// A prediction with its interval.
    fn remaining(&self, conformal: &Conformal, said: f64) -> Remaining {
        let cap = self.cap;
        let quantiles = conformal.quantiles(said);
        let (lower, upper) = shortest(&quantiles, self.coverage, cap);
        let expected = (said - self.caution * (upper - lower) / 2.0).max(0.0);
        let known = quantiles.iter().zip(LEVELS);
        let distribution = known
            .filter(|(remaining, _)| **remaining < cap)
            .map(|(remaining, level)| (remaining.max(0.0), level))
            .collect();
        Remaining {
            expected,
            lower: lower.min(expected),
            upper: upper.max(expected),
            distribution,
        }
    }

    /// Predicted and true remaining lives of an asset that was left out.
    fn left_out(&self, fitted: &Fitted, life: &Life) -> Vec<(f64, f64)> {
        let rows = self.rows(&fitted.normal, life);
        rows.into_iter()
            .filter(|(_, remaining)| *remaining <= self.relevant * self.cap)
            .map(|(features, remaining)| {
                (fitted.answer(self.cap, &features), remaining.min(self.cap))
            })
            .collect()
    }

    /// Features and remaining life, not capped, at every reading that has features.
    fn rows(&self, normal: &Normal, life: &Life) -> Vec<(Vec<f64>, f64)> {
        let end = life.readings.last().map_or(0.0, |reading| reading.age);
        let mut course = self.course.begin(normal);
        let mut rows = Vec::with_capacity(life.readings.len());
        for reading in &life.readings {
            let (settings, sensors) = (&reading.settings, &reading.sensors);
            self.course
                .follow(&mut course, normal, reading.age, settings, sensors);
            if let Some(features) = self.course.features(&course) {
                rows.push((features, end - reading.age));
            }
        }
        rows
    }
}

/// Trees without their intervals.
struct Fitted {
    normal: Normal,
    members: Vec<BoostedTrees>,
}

impl Fitted {
    fn fit(settings: &LifeSettings, lives: &[&Life]) -> Result<Self, LifeError> {
        let readings = || lives.iter().flat_map(|life| &life.readings);
        let of_settings: Vec<Vec<f64>> = readings().map(|r| r.settings.clone()).collect();
        let of_sensors: Vec<Vec<f64>> = readings().map(|r| r.sensors.clone()).collect();
        let (of_settings, of_sensors) = (matrix(&of_settings), matrix(&of_sensors));
        let components = settings.course.components;
        let normal = Normal::learn(of_settings.view(), of_sensors.view(), components)?;
        let (mut records, mut targets) = (Vec::new(), Vec::new());
        for life in lives {
            for (features, remaining) in settings.rows(&normal, life) {
                records.extend(features);
                targets.push(remaining.min(settings.cap));
            }
        }
        let width = records.len() / targets.len().max(1);
        let records = Array2::from_shape_vec((targets.len(), width), records)
            .expect("all rows have the same features");
        let set = DatasetBase::new(records, Array1::from(targets));
        let members = (0..settings.members.max(1))
            .map(|member| settings.trees.clone().seed(1 + member as u64).fit(&set))
            .collect::<Result<_, _>>()?;
        Ok(Self { normal, members })
    }

    fn answer(&self, cap: f64, features: &[f64]) -> f64 {
        answer(&self.members, cap, features)
    }
}

fn answer(members: &[BoostedTrees], cap: f64, features: &[f64]) -> f64 {
    let sum: f64 = members.iter().map(|member| member.answer(features)).sum();
    (sum / members.len() as f64).clamp(0.0, cap)
}

impl LifeModel {
    /// Begins to follow a new asset.
    pub fn begin(&self) -> Course {
        self.settings.course.begin(&self.normal)
    }

    /// Takes in one reading.
    pub fn follow(&self, course: &mut Course, reading: &LifeReading) {
        let (settings, sensors) = (&reading.settings, &reading.sensors);
        self.settings
            .course
            .follow(course, &self.normal, reading.age, settings, sensors);
    }

    /// The remaining life now; none before the first reading in a known regime.
    pub fn remaining(&self, course: &Course) -> Option<Remaining> {
        let features = self.settings.course.features(course)?;
        let said = answer(&self.members, self.settings.cap, &features);
        Some(self.settings.remaining(&self.conformal, said))
    }

    /// Whether it knows the way of running that these settings say. A reading of another one leaves
    /// no trace in a course but the age.
    pub fn knows(&self, settings: &[f64]) -> bool {
        self.normal.regimes().of(settings).is_some()
    }

    /// What it was fitted with.
    pub fn settings(&self) -> &LifeSettings {
        &self.settings
    }

    /// How many operating regimes were found.
    pub fn regimes(&self) -> usize {
        self.normal.regimes().count()
    }
}

/// The shortest interval that holds a share of the distribution.
///
/// At the cap, where truths pile up, one between fixed levels would hold more than its share.
fn shortest(quantiles: &[f64], share: f64, cap: f64) -> (f64, f64) {
    let outside = 1.0 - share;
    let interval = |number: i32| {
        let below = outside * f64::from(number) / 10.0;
        let at = |level: f64| between(quantiles, level).clamp(0.0, cap);
        (at(below), at(below + share))
    };
    let shorter = |a: (f64, f64), b: (f64, f64)| if b.1 - b.0 < a.1 - a.0 { b } else { a };
    // The middle first: of equals it is the one.
    [5, 4, 6, 3, 7, 2, 8, 1, 9]
        .into_iter()
        .map(interval)
        .reduce(shorter)
        .unwrap_or((0.0, cap))
}

/// The quantile at a level between those of [`LEVELS`].
fn between(quantiles: &[f64], level: f64) -> f64 {
    let above = LEVELS.partition_point(|known| *known < level);
    let (Some(upper), Some(below)) = (quantiles.get(above), above.checked_sub(1)) else {
        return quantiles[above.min(quantiles.len() - 1)];
    };
    let share = (level - LEVELS[below]) / (LEVELS[above] - LEVELS[below]);
    quantiles[below] + share * (upper - quantiles[below])
}

impl Remaining {
    /// As chances over time, given how long one unit of age lasts.
    pub fn outlook(&self, as_of: DateTime<Utc>, unit: TimeDelta) -> Outlook {
        let chance = |(remaining, level): &(f64, f64)| Some((time(*remaining, unit)?, *level));
        Outlook::of(as_of, self.distribution.iter().filter_map(chance))
    }
}

#[cfg(test)]
mod tests;
