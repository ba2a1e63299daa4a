//! The course of a health index over weeks, and the date at which it reaches the failing level.
//!
//! A value is kept for every span of event time, of the asset and of each of its components. The
//! trend is fitted to the ratio to the alarm limit that an index stands for: damage adds to the
//! ratio, while the index flattens the lower it is.
//!
//! Damage begins somewhere: of the last 8, 12, 18, 27 … values those count that fall the most
//! surely. That the beginning is chosen by its result makes the interval somewhat too narrow; the
//! sureness that is asked for is set higher than for one line.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::outlook::Outlook;
use super::trend::{LEAST, Trend};
use crate::health::{self, HealthIndex};
use crate::span::Span;

/// What is kept of an index, in halves of a point; this is none.
const MISSING: u8 = u8::MAX;
/// A fall by less than this over the whole line is none, however sure. **Units**: the alarm limit.
const LEAST_FALL: f64 = 0.1;
/// Values that may be kept.
const KEPT: std::ops::RangeInclusive<usize> = 16..=1_000;

/// How the course of a health index is kept and read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DegradationSettings {
    /// From one kept value to the next. **Units**: event time.
    pub every: Span,
    /// Values that are kept of each index.
    pub kept: usize,
    /// The index at which an asset counts as failing.
    pub failing_index: f64,
    /// How surely it must fall before a date is given: deviations of the slope.
    pub sureness: f64,
    /// How far ahead the evidence of an alarm looks.
    pub horizon: Span,
}

/// The course of the indexes of one asset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthHistory {
    /// Number of the span of event time that the newest values are of.
    newest: i64,
    /// Nothing from before counts. **Units**: microseconds of event time since 1970.
    #[serde(default)]
    since: i64,
    /// Of the asset as a whole.
    asset: Series,
    /// Of its components by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    components: BTreeMap<String, Series>,
}

/// Values of one index, oldest first; as text two hexadecimal digits each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
struct Series(VecDeque<u8>);

/// Where a health index is going.
#[derive(Debug, Clone, PartialEq)]
pub struct Degradation {
    /// Event time since which it has been falling.
    pub since: DateTime<Utc>,
    /// Event time of the newest value.
    pub as_of: DateTime<Utc>,
    /// The index just then, on the line.
    pub index: f64,
    /// The level that it is held against.
    pub failing_index: f64,
    /// Reached as likely before as after; none when that is farther ahead than can be said.
    pub expected: Option<DateTime<Utc>>,
    /// Reached before with a probability of 5 %, likewise.
    pub lower: Option<DateTime<Utc>>,
    /// Reached before with a probability of 95 %, likewise.
    pub upper: Option<DateTime<Utc>>,
    /// The chance that it is reached before any given date.
    pub outlook: Outlook,
}

/// Why no date can be given.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoDegradation {
    /// Too little was seen.
    #[error(
        "{found} values of the health index are too few for a trend; {needed} are needed, one every {every}"
    )]
    TooFew {
        /// Values that there are.
        found: usize,
        /// Values that are needed.
        needed: usize,
        /// From one to the next.
        every: Span,
    },
    /// It does not fall.
    #[error("the health index does not fall: it is at {index:.0} of 100")]
    Steady {
        /// The newest value.
        index: f64,
    },
}

impl DegradationSettings {
    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.every < Span::seconds(60) {
            found.push(format!("every is {}, but must be at least 1m", self.every));
        }
        if !KEPT.contains(&self.kept) {
            let (least, most) = (KEPT.start(), KEPT.end());
            found.push(format!(
                "kept is {}, but must be from {least} to {most}",
                self.kept
            ));
        }
        if !(1.0..=50.0).contains(&self.failing_index) {
            found.push(format!(
                "failing_index is {}, but must be from 1 to 50, the alarm limit",
                self.failing_index
            ));
        }
        if !(1.0..=100.0).contains(&self.sureness) {
            found.push(format!(
                "sureness is {}, but must be from 1 to 100",
                self.sureness
            ));
        }
        if self.horizon < self.every {
            found.push(format!(
                "horizon is {}, but must be at least {}",
                self.horizon, self.every
            ));
        }
        found
    }
}

impl HealthHistory {
    /// Whether a value of this event time would be a new one. **Units**: microseconds since 1970.
    pub fn is_due(&self, at: i64, settings: &DegradationSettings) -> bool {
        at > self.since && (self.asset.0.is_empty() || number(at, settings) > self.newest)
    }

    /// Takes the indexes of an instant, if they are due; what lies between is missing.
    pub fn take<'a>(
        &mut self,
        at: i64,
        asset: &HealthIndex,
        components: impl Iterator<Item = (&'a str, &'a HealthIndex)>,
        settings: &DegradationSettings,
    ) {
        if !self.is_due(at, settings) {
            return;
        }
        let number = number(at, settings);
        let passed = number.saturating_sub(self.newest).max(1) - 1;
        let passed = match self.asset.0.is_empty() {
            true => 0,
            false => usize::try_from(passed)
                .unwrap_or(usize::MAX)
                .min(settings.kept),
        };
        let known = self.asset.0.len();
        self.newest = number;
        self.asset.push(passed, Some(asset.index), settings.kept);
        let mut said: BTreeMap<&str, f64> =
            components.map(|(name, own)| (name, own.index)).collect();
        for (name, series) in &mut self.components {
            series.push(passed, said.remove(name.as_str()), settings.kept);
        }
        for (name, index) in said {
            let mut series = Series::default();
            series.push(
                (known + passed).min(settings.kept),
                Some(index),
                settings.kept,
            );
            self.components.insert(name.to_owned(), series);
        }
        // A component that the settings no longer name is forgotten when its last value is.
        self.components
            .retain(|_, series| series.0.iter().any(|value| *value != MISSING));
    }

    /// Forgets what was before an instant: the asset was repaired, or is held against another model.
    /// An instant that is not later than the last one changes nothing. **Units**: microseconds of
    /// event time since 1970.
    pub fn begin_at(&mut self, at: i64, settings: &DegradationSettings) {
        if at <= self.since {
            return;
        }
        self.since = at;
        let later = self.newest.saturating_sub(number(at, settings)).max(0);
        let later = usize::try_from(later).unwrap_or(usize::MAX);
        for series in self.components.values_mut().chain([&mut self.asset]) {
            let surplus = series.0.len().saturating_sub(later);
            series.0.drain(..surplus);
        }
        self.components.retain(|_, series| !series.0.is_empty());
    }

    /// Event time of the newest value; none when there is none.
    pub fn newest(&self, settings: &DegradationSettings) -> Option<DateTime<Utc>> {
        (!self.asset.0.is_empty()).then(|| instant(self.newest, settings))?
    }

    /// Where the index of the asset is going.
    ///
    /// **Errors** with the reason why nobody can say.
    pub fn of_asset(&self, settings: &DegradationSettings) -> Result<Degradation, NoDegradation> {
        self.read(&self.asset, settings)
    }

    /// Where the index of a component is going.
    ///
    /// **Errors** with the reason why nobody can say.
    pub fn of_component(
        &self,
        component: &str,
        settings: &DegradationSettings,
    ) -> Result<Degradation, NoDegradation> {
        match self.components.get(component) {
            Some(series) => self.read(series, settings),
            None => self.read(&Series::default(), settings),
        }
    }

    /// What it takes. **Units**: bytes.
    pub fn heap_bytes(&self) -> usize {
        let components = self.components.iter();
        let of_components = components.map(|(name, series)| {
            size_of::<(String, Series)>() + name.capacity() + series.0.capacity()
        });
        self.asset.0.capacity() + of_components.sum::<usize>()
    }

    fn read(
        &self,
        series: &Series,
        settings: &DegradationSettings,
    ) -> Result<Degradation, NoDegradation> {
        let values = series.ratios();
        let Some((_, newest)) = values.last().filter(|_| values.len() >= LEAST) else {
            return Err(NoDegradation::TooFew {
                found: values.len(),
                needed: LEAST,
                every: settings.every,
            });
        };
        let steady = NoDegradation::Steady {
            index: health::index(-newest),
        };
        let (first, trend) = surest(&values).ok_or(steady)?;
        if trend.fall() < settings.sureness || -trend.slope * trend.span < LEAST_FALL {
            return Err(steady);
        }
        let as_of = instant(self.newest, settings).ok_or(steady)?;
        let unit = settings.every.delta();
        let limit = -health::ratio(settings.failing_index);
        let after =
            |units: Option<f64>| as_of.checked_add_signed(super::outlook::time(units?, unit)?);
        let reached = trend.time_to(limit);
        Ok(Degradation {
            since: after(Some(first)).unwrap_or(as_of),
            as_of,
            index: health::index(-trend.level),
            failing_index: settings.failing_index,
            expected: after(reached.expected),
            lower: after(reached.lower),
            upper: after(reached.upper),
            outlook: trend.outlook(as_of, limit, unit),
        })
    }
}

impl Degradation {
    /// One sentence for people.
    pub fn sentence(&self) -> String {
        let day = |at: Option<DateTime<Utc>>| match at {
            Some(at) => at.format("%Y-%m-%d %H:%M").to_string(),
            None => "beyond what can be said".to_owned(),
        };
        format!(
            "the health index has been falling since {} and reaches {:.0} of 100 by {} (UTC; 5 % by {}, 95 % by {})",
            day(Some(self.since)),
            self.failing_index,
            day(self.expected),
            day(self.lower),
            day(self.upper),
        )
    }
}

impl Series {
    fn push(&mut self, passed: usize, index: Option<f64>, kept: usize) {
        let value = index.map_or(MISSING, halves);
        for value in std::iter::repeat_n(MISSING, passed).chain([value]) {
            while self.0.len() >= kept.max(1) {
                self.0.pop_front();
            }
            self.0.push_back(value);
        }
    }

    /// Pairs of age, in spans before the newest, and the ratio with its sign turned: it falls when
    /// the index does.
    fn ratios(&self) -> Vec<(f64, f64)> {
        let newest = self.0.len() as f64 - 1.0;
        let numbered = self.0.iter().enumerate();
        let known = numbered.filter(|(_, value)| **value != MISSING);
        known
            .map(|(at, value)| {
                let index = f64::from(*value) / 2.0;
                (at as f64 - newest, -health::ratio(index))
            })
            .collect()
    }
}

/// The line through the last values that falls the most surely, with the age of its first.
fn surest(values: &[(f64, f64)]) -> Option<(f64, Trend)> {
    let mut best: Option<(f64, Trend)> = None;
    let mut count = LEAST;
    loop {
        let part = &values[values.len() - count.min(values.len())..];
        if let Some(trend) = Trend::of(part)
            && best.is_none_or(|(_, best)| trend.fall() > best.fall())
        {
            best = Some((part[0].0, trend));
        }
        if count >= values.len() {
            return best;
        }
        count = count * 3 / 2;
    }
}

/// An index in halves of a point, 0 to 200.
fn halves(index: f64) -> u8 {
    // Clamped to 0..=200, and what is no number becomes 0.
    (index * 2.0).round().clamp(0.0, 200.0) as u8
}

/// The number of the span that an instant lies in.
fn number(at: i64, settings: &DegradationSettings) -> i64 {
    at.div_euclid(settings.every.micros().max(1))
}

/// The end of a span.
fn instant(number: i64, settings: &DegradationSettings) -> Option<DateTime<Utc>> {
    let end = number
        .checked_add(1)?
        .checked_mul(settings.every.micros())?;
    DateTime::from_timestamp_micros(end)
}

impl From<Series> for String {
    fn from(series: Series) -> Self {
        series
            .0
            .iter()
            .map(|value| format!("{value:02x}"))
            .collect()
    }
}

impl From<String> for Series {
    /// What is no number is missing.
    fn from(text: String) -> Self {
        let pairs = text.as_bytes().chunks(2);
        let value = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(text, 16).ok()
        };
        Self(pairs.map(|pair| value(pair).unwrap_or(MISSING)).collect())
    }
}

#[cfg(test)]
mod tests;
