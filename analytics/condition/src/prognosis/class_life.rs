//! Remaining life of the assets of a class, in hours, from those of them that failed.
//!
//! Readings are means over spans of event time, so that a model does not depend on how often a
//! device sends. The same code cuts the stored rows that a model is learned from and the rows that
//! it is asked about; a reading counts once its span is over. What is learned and how is that of
//! [`super::life`], with the constants that the benches have.

mod readings;

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use self::readings::{EndedLife, NoLife};
use self::readings::{Means, hours};
use super::course::Course;
use super::life::{
    Life, LifeError, LifeEvaluation, LifeModel, LifeReading, LifeSettings, Remaining,
};
use super::outlook::Outlook;
use crate::model;
use crate::settings::ClassSettings;
use crate::span::Span;

/// Metrics that may tell of remaining life, and setting channels.
const MOST_METRICS: usize = 32;
const MOST_SETTINGS: usize = 8;
/// Readings within the cap. Fewer say too little, more make a course long and tell no more.
const READINGS: std::ops::RangeInclusive<i64> = 20..=2_000;
/// Shares of truths that an interval may be asked to hold.
const COVERAGE: std::ops::RangeInclusive<f64> = 0.5..=0.95;

/// What tells of the remaining life of a class's assets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassLifeSettings {
    /// The metrics that wear shows in.
    pub metrics: Vec<String>,
    /// The setting channels, whose regimes are told apart.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Longest remaining life that is told apart. **Units**: event time.
    pub cap: Span,
    /// Over what the values of a reading are averaged; the cap has 125 when nothing is said, as in
    /// the data set that the constants were chosen on. **Units**: event time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Share of truths that an interval shall hold; that of the benches when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
}

/// A model of the remaining life of a class's assets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassLifeModel {
    /// Name of the very model.
    pub version: String,
    /// The class.
    pub class: String,
    /// What it looks at.
    pub declared: ClassLifeSettings,
    /// Version of the features of a course.
    pub course_version: u32,
    /// When the first of the lives began.
    pub trained_from: DateTime<Utc>,
    /// When the last of them ended.
    pub trained_through: DateTime<Utc>,
    /// Lives that it was learned from.
    pub lives: usize,
    /// Their readings.
    pub readings: usize,
    /// How good it was on lives that it had not seen. **Units**: hours.
    pub evaluation: LifeEvaluation,
    /// What was learned.
    fitted: Fitted,
}

/// What was learned, and the text that it is kept as.
///
/// A reader of JSON may miss the last bit of a number, and a model that is read and written again
/// would change a little every time: the model at work is always what this very text says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Fitted {
    text: String,
    model: LifeModel,
}

/// The present life of an asset, as a model follows it.
#[derive(Debug, Clone, PartialEq)]
pub struct LifeCourse {
    /// When it began. **Units**: microseconds since 1970.
    began: i64,
    means: Means,
    course: Course,
    /// End of the newest reading of a known way of running. **Units**: microseconds since 1970.
    known_at: Option<i64>,
}

/// How long an asset will last.
#[derive(Debug, Clone, PartialEq)]
pub struct LifeEstimate {
    /// The version that says so.
    pub version: String,
    /// Event time of what is known: the end of the newest reading of a known way of running.
    pub as_of: DateTime<Utc>,
    /// What remains from then on. **Units**: hours.
    pub remaining: Remaining,
    /// Longest remaining life that the model tells apart. **Units**: hours.
    pub cap: f64,
    /// Share of truths that the interval shall hold.
    pub coverage: f64,
    /// The chance of failure before any given date.
    pub outlook: Outlook,
}

impl ClassLifeSettings {
    /// Over what the values of a reading are averaged. **Units**: microseconds.
    pub fn every(&self) -> i64 {
        let shipped = LifeSettings::shipped().cap;
        match self.every {
            Some(every) => every.micros(),
            None => self.cap.micros() / (shipped as i64).max(1),
        }
    }

    /// How remaining life is learned: as in the benches, with the cap and coverage of the class.
    pub fn learning(&self) -> LifeSettings {
        let shipped = LifeSettings::shipped();
        LifeSettings {
            cap: hours(self.cap.micros()),
            coverage: self.coverage.unwrap_or(shipped.coverage),
            ..shipped
        }
    }

    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.metrics.is_empty() || self.metrics.len() > MOST_METRICS {
            found.push(format!(
                "metrics names {}, but must name from 1 to {MOST_METRICS}",
                self.metrics.len()
            ));
        }
        if self.settings.len() > MOST_SETTINGS {
            found.push(format!(
                "settings names {}, but must name {MOST_SETTINGS} at most",
                self.settings.len()
            ));
        }
        let mut named = BTreeSet::new();
        for name in self.columns() {
            if !named.insert(name) {
                found.push(format!("`{name}` is named twice in metrics and settings"));
            }
        }
        let every = self.every();
        if every < 1_000_000 {
            found.push("every must be at least 1s".to_owned());
        } else if !READINGS.contains(&(self.cap.micros() / every)) {
            let (least, most) = (READINGS.start(), READINGS.end());
            found.push(format!(
                "cap is {}, but must be from {least} to {most} times every",
                self.cap
            ));
        }
        if self
            .coverage
            .is_some_and(|share| !COVERAGE.contains(&share))
        {
            let (least, most) = (COVERAGE.start(), COVERAGE.end());
            found.push(format!("coverage must be from {least} to {most}"));
        }
        found
    }

    /// The columns of a row that are looked at: the metrics, then the settings.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.metrics
            .iter()
            .chain(&self.settings)
            .map(String::as_str)
    }

    /// A reading of means of the columns at the end of a span of a life.
    fn reading(&self, (began, end): (i64, i64), mut means: Vec<f64>) -> LifeReading {
        let settings = means.split_off(self.metrics.len());
        LifeReading {
            age: hours(end - began),
            settings,
            sensors: means,
        }
    }
}

impl ClassLifeModel {
    /// Learns from the lives of a class that ended in a failure, telling which share is done;
    /// nothing when that is answered with `false`. Takes seconds to minutes of one core.
    ///
    /// # Errors
    /// When there are too few lives or readings.
    pub fn learn(
        class: &str,
        declared: &ClassLifeSettings,
        lives: &[EndedLife],
        goes_on: impl FnMut(f64) -> bool,
    ) -> Result<Option<Self>, LifeError> {
        let own: Vec<Life> = lives.iter().map(|life| life.life.clone()).collect();
        let learning = declared.learning();
        let Some(fitted) = learning.fit_watched(&own, goes_on)? else {
            return Ok(None);
        };
        let trained_from = lives.iter().map(|life| life.began).min();
        let trained_through = lives.iter().map(|life| life.ended).max();
        let (from, through) = (
            trained_from.unwrap_or_default(),
            trained_through.unwrap_or_default(),
        );
        let evaluation = fitted.evaluation;
        let fitted = Fitted::of(&fitted);
        let span = (from.timestamp_micros(), through.timestamp_micros());
        Ok(Some(Self {
            version: model::version(&format!("{class}-life"), span.0, span.1, &fitted.text),
            class: class.to_owned(),
            declared: declared.clone(),
            course_version: learning.course.version,
            trained_from: from,
            trained_through: through,
            lives: lives.len(),
            readings: own.iter().map(|life| life.readings.len()).sum(),
            evaluation,
            fitted,
        }))
    }

    /// Whether it looks at what its class looks at today.
    pub fn fits(&self, settings: &ClassSettings) -> bool {
        let version = LifeSettings::shipped().course.version;
        settings.life.as_ref() == Some(&self.declared) && self.course_version == version
    }

    /// Begins to follow a life. **Units**: microseconds since 1970.
    pub fn begin(&self, began: i64) -> LifeCourse {
        LifeCourse {
            began,
            means: Means::new(self.declared.every()),
            course: self.fitted.model.begin(),
            known_at: None,
        }
    }

    /// Takes in a row; `value` gives the value of each of [`ClassLifeSettings::columns`]. One from
    /// before the life, or not newer than those before, changes nothing.
    pub fn take(&self, life: &mut LifeCourse, at: i64, value: impl Fn(usize) -> f64) {
        if at < life.began {
            return;
        }
        let width = self.declared.columns().count();
        let Some((end, means)) = life.means.take(at, width, value) else {
            return;
        };
        let reading = self.declared.reading((life.began, end), means);
        // In an unknown way of running the features stay as they are, and so does their time.
        if self.fitted.model.knows(&reading.settings) {
            self.fitted.model.follow(&mut life.course, &reading);
            life.known_at = Some(end);
        }
    }

    /// How long an asset will last; nothing before its first reading in a known way of running.
    pub fn estimate(&self, life: &LifeCourse) -> Option<LifeEstimate> {
        let as_of = DateTime::from_timestamp_micros(life.known_at?)?;
        let remaining = self.fitted.model.remaining(&life.course)?;
        let learning = self.fitted.model.settings();
        Some(LifeEstimate {
            version: self.version.clone(),
            as_of,
            outlook: remaining.outlook(as_of, TimeDelta::hours(1)),
            remaining,
            cap: learning.cap,
            coverage: learning.coverage,
        })
    }

    /// How many ways of running were found.
    pub fn regimes(&self) -> usize {
        self.fitted.model.regimes()
    }
}

impl LifeCourse {
    /// When the life began. **Units**: microseconds since 1970.
    pub fn began(&self) -> i64 {
        self.began
    }

    /// End of its newest reading in a known way of running. **Units**: microseconds since 1970.
    pub fn known_at(&self) -> Option<i64> {
        self.known_at
    }
}

impl LifeEstimate {
    /// When the asset is expected to fail; none when that is at the cap or farther ahead.
    pub fn expected_at(&self) -> Option<DateTime<Utc>> {
        self.date(self.remaining.expected)
    }

    /// The early end of the interval, likewise.
    pub fn lower_at(&self) -> Option<DateTime<Utc>> {
        self.date(self.remaining.lower)
    }

    /// The late end of the interval, likewise.
    pub fn upper_at(&self) -> Option<DateTime<Utc>> {
        self.date(self.remaining.upper)
    }

    /// Whether it says anything about a date: not beyond the cap, where an asset that is far from
    /// its end looks like any other.
    pub fn tells_of(&self, before: DateTime<Utc>) -> bool {
        time(self.cap).is_some_and(|cap| before <= self.as_of + cap) || self.upper_at().is_some()
    }

    /// One sentence for people.
    pub fn sentence(&self) -> String {
        let Remaining {
            expected,
            lower,
            upper,
            ..
        } = self.remaining;
        let percent = self.coverage * 100.0;
        let as_of = self.as_of.to_rfc3339_opts(SecondsFormat::Secs, true);
        let left = match lower >= self.cap {
            true => format!("more than {:.0} h", self.cap),
            false if upper >= self.cap => {
                format!("about {expected:.0} h, with {percent:.0} % at least {lower:.0} h")
            }
            false => {
                format!(
                    "about {expected:.0} h, with {percent:.0} % from {lower:.0} to {upper:.0} h"
                )
            }
        };
        format!(
            "by the lives of its class that ended in a failure it lasts {left} from {as_of} on \
             (version {})",
            self.version
        )
    }

    fn date(&self, hours: f64) -> Option<DateTime<Utc>> {
        let left = time(hours).filter(|_| hours < self.cap)?;
        self.as_of.checked_add_signed(left)
    }
}

fn time(hours: f64) -> Option<TimeDelta> {
    super::outlook::time(hours, TimeDelta::hours(1))
}

impl Fitted {
    fn of(model: &LifeModel) -> Self {
        let text = serde_json::to_string(model).expect("all of its numbers are finite");
        Self::try_from(text).expect("it was written just now")
    }
}

impl PartialEq for Fitted {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl TryFrom<String> for Fitted {
    type Error = serde_json::Error;

    fn try_from(text: String) -> Result<Self, serde_json::Error> {
        let model = serde_json::from_str(&text)?;
        Ok(Self { text, model })
    }
}

impl From<Fitted> for String {
    fn from(fitted: Fitted) -> Self {
        fitted.text
    }
}

#[cfg(test)]
mod tests;
