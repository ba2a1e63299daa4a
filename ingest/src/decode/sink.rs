//! Where a codec puts what a message says: series, rows, values.
//!
//! Nothing of it changes the tables before the whole message is accepted.

mod placing;

use std::collections::HashMap;

use super::binding::{Bindings, Bound};
use super::draft::{Draft, DraftRow, NEW, NewSeries};
use super::series::SeriesCache;
use super::topics::Names;
use crate::catalog::{Catalog, Slot};
use crate::config::{DecodeRules, MappingRule};
use crate::units::Conversion;
use crate::validate::{self, Rejection};

/// The series that the topic names.
pub(super) const TOPIC: u32 = NEW - 1;
/// No binding: the class is new.
const NONE: u32 = u32::MAX;

/// A rule with what is looked up in it for every new name.
#[derive(Debug)]
pub(super) struct RuleParts {
    conversions: Vec<Conversion>,
    /// Stored metric → place in `conversions`, counted from 1.
    by_metric: HashMap<String, u32>,
}

/// One asset of one class, with its tags: what a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Series(u32);

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    /// A number; a boolean is 0 or 1.
    Number(f64),
    /// A text.
    Text(&'a str),
    /// Nothing: only the quality says something.
    Absent,
}

/// How far a value can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quality {
    Good,
    Uncertain,
    Bad,
}

/// What the topic says.
#[derive(Debug, Clone)]
pub(super) enum TopicSays {
    Known {
        class: u32,
        asset: u32,
        binding: u32,
    },
    Names(std::sync::Arc<Names>),
}

/// Takes what one message says.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    pub(super) draft: &'a mut Draft,
    pub(super) catalog: &'a Catalog,
    pub(super) bindings: &'a mut Bindings,
    pub(super) cache: &'a mut SeriesCache,
    pub(super) rule: &'a MappingRule,
    pub(super) parts: &'a RuleParts,
    pub(super) number: u32,
    pub(super) limits: &'a DecodeRules,
    /// Stored metrics whose unit is to be set: class and name.
    pub(super) units: &'a mut Vec<(u32, String)>,
    pub(super) topic: TopicSays,
    pub(super) received_at: i64,
    pub(super) row: OpenRow,
    pub(super) samples: usize,
    pub(super) gravest: Option<Rejection>,
    /// Units that the message says: class, stored metric, unit.
    pub(super) said_units: &'a mut Vec<(u32, String, String)>,
    /// It holds no reading and needs none.
    pub(super) silent: bool,
}

/// The row being read.
#[derive(Debug, Default)]
pub(super) struct OpenRow {
    series: u32,
    class: u32,
    binding: u32,
    seen: usize,
    numbers: u32,
    texts: u32,
}

impl Sink<'_> {
    /// The receipt of the message. **Units**: microseconds since 1970.
    pub(crate) fn received_at(&self) -> i64 {
        self.received_at
    }

    /// Rows that a message may have.
    pub(crate) fn most_rows(&self) -> usize {
        self.limits.max_rows_per_message
    }

    /// The series that the topic names; none where the payload has to.
    pub(crate) fn topic_series(&mut self) -> Result<Option<Series>, Rejection> {
        let names = match &self.topic {
            TopicSays::Known { .. } => return Ok(Some(Series(TOPIC))),
            TopicSays::Names(names) => names.clone(),
        };
        let (Some(class), Some(asset)) = (&names.class, &names.asset) else {
            return Ok(None);
        };
        let mut new = self.draft.series.iter();
        match new.position(|series| series.key.is_none()) {
            Some(place) => Ok(Some(Series(NEW | place as u32))),
            None => self.new_series(None, class, asset, &[]).map(Some),
        }
    }

    /// Whether the topic names the class, and whether the asset.
    pub(crate) fn topic_names(&self) -> (bool, bool) {
        match &self.topic {
            TopicSays::Known { .. } => (true, true),
            TopicSays::Names(names) => (names.class.is_some(), names.asset.is_some()),
        }
    }

    /// The series that is expected next, if `text` begins with its key and `end`, and the key's
    /// length. Only where the topic names neither class nor asset.
    #[inline]
    pub(crate) fn expected(&mut self, text: &[u8], end: u8) -> Option<(Series, usize)> {
        let (id, length) = self.cache.expected(text, end)?;
        Some((Series(id), length))
    }

    /// A series that was seen before under a key. The key holds all that decides what the series
    /// is: the topic too, where that names the class or the asset.
    pub(crate) fn known(&mut self, key: &[u8]) -> Option<Series> {
        if let Some(id) = self.cache.find(key) {
            return Some(Series(id));
        }
        let new = self.draft.series_ids.get(key)?;
        Some(Series(NEW | new))
    }

    /// A series of a class and an asset, and the texts that all its rows have. What the topic
    /// names stands above what is given here. Ask [`Self::known`] first.
    ///
    /// **Errors**: a name that is none, or one that nobody says.
    pub(crate) fn series(
        &mut self,
        key: &[u8],
        class: Option<&str>,
        asset: Option<&str>,
        tags: &[(&str, &str)],
    ) -> Result<Series, Rejection> {
        let (topic_class, topic_asset) = self.names_of_topic();
        let class = match (topic_class, class) {
            (Some(class), _) => class,
            (None, Some(class)) => validate::class_name(class)?,
            (None, None) => return Err(Rejection::NoClass),
        };
        let asset = topic_asset.as_deref().or(asset);
        let asset = validate::asset_tag(asset.ok_or(Rejection::NoAsset)?)?;
        self.new_series(Some(key), &class, asset, tags)
    }

    /// The series of a class and an asset without tags, seen before or not; what the topic names
    /// stands above.
    ///
    /// **Errors**: a name that is none, or one that nobody says.
    pub(crate) fn series_named(
        &mut self,
        class: Option<&str>,
        asset: Option<&str>,
    ) -> Result<Series, Rejection> {
        if let Some(series) = self.topic_series()? {
            return Ok(series);
        }
        let (topic_class, topic_asset) = self.names_of_topic();
        let class = topic_class.as_deref().or(class);
        let asset = topic_asset.as_deref().or(asset);
        let (class, asset) = (
            class.ok_or(Rejection::NoClass)?,
            asset.ok_or(Rejection::NoAsset)?,
        );
        let key = [class.as_bytes(), asset.as_bytes()].join(&0);
        match self.known(&key) {
            Some(series) => Ok(series),
            None => self.series(&key, Some(class), Some(asset), &[]),
        }
    }

    /// Begins a row. Every row is ended with [`Self::end`].
    pub(crate) fn begin(&mut self, series: Series) {
        let (class, binding) = match series.0 {
            TOPIC => match self.topic {
                TopicSays::Known { class, binding, .. } => (class, binding),
                TopicSays::Names(_) => unreachable!("a topic of names has no series of its own"),
            },
            new if new & NEW != 0 => {
                let class = self.draft.series[(new & !NEW) as usize].class;
                let binding = match class & NEW {
                    0 => self.bindings.id(self.number, class),
                    _ => NONE,
                };
                (class, binding)
            }
            known => {
                let known = self.cache.get(known);
                (known.class, known.binding)
            }
        };
        self.draft.begin_row();
        self.row = OpenRow {
            series: series.0,
            class,
            binding,
            seen: 0,
            numbers: self.draft.numbers.len() as u32,
            texts: self.draft.texts.len() as u32,
        };
    }

    /// Puts a good number.
    #[inline]
    pub(crate) fn number(&mut self, name: &str, value: f64) {
        if self.row.binding != NONE && value.is_finite() && self.row.seen < self.most() {
            let binding = self.bindings.get(self.row.binding);
            if let Some(bound) = binding.bound(self.row.seen, name)
                && bound.slot == Some(Slot::Number)
                && bound.conversion == 0
                && self.draft.use_column(bound.column)
            {
                self.row.seen += 1;
                return self.draft.numbers.push((bound.column, value));
            }
            // What is put the slow way below is looked at as a whole again.
        }
        self.again(name, Value::Number(value), Quality::Good);
    }

    /// Puts a good text.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.sample(name, Value::Text(value), Quality::Good);
    }

    /// Puts a boolean, as 0 or 1.
    pub(crate) fn boolean(&mut self, name: &str, value: bool) {
        if self.limits.all_types {
            self.number(name, f64::from(u8::from(value)));
        } else {
            self.not_a_value(name);
        }
    }

    /// Says that a metric has no value: as if its name were not there.
    pub(crate) fn absent(&mut self, name: &str) {
        self.sample(name, Value::Absent, Quality::Good);
    }

    /// Puts a value. Nothing that is good is no sample at all.
    pub(crate) fn sample(&mut self, name: &str, value: Value<'_>, quality: Quality) {
        if let Err(refusal) = self.put(name, value, quality) {
            self.refuse(refusal);
        }
    }

    /// Puts a metric whose value is neither a number nor a text.
    pub(crate) fn not_a_value(&mut self, name: &str) {
        self.row.seen += 1;
        self.refuse(Rejection::NotANumber {
            metric: shown(name),
        });
    }

    /// Ends the row with its event time. **Units**: microseconds since 1970.
    ///
    /// A row of which nothing is stored is none. **Errors**: one row too many; reading on is of no use.
    pub(crate) fn end(&mut self, time: i64) -> Result<(), Rejection> {
        self.samples += self.row.seen;
        let draft = &*self.draft;
        let ends = (draft.numbers.len() as u32, draft.texts.len() as u32);
        if ends == (self.row.numbers, self.row.texts) {
            return Ok(());
        }
        let most = self.limits.max_rows_per_message;
        if self.draft.rows.len() >= most {
            return Err(Rejection::TooManyRows { most });
        }
        if let Err(refusal) = validate::event_time(time, self.received_at, self.limits.lead_seconds)
        {
            self.refuse(refusal);
        }
        self.draft.rows.push(DraftRow {
            series: self.row.series,
            time,
            numbers: (self.row.numbers, ends.0),
            texts: (self.row.texts, ends.1),
        });
        Ok(())
    }

    /// Says that the message is right and holds no reading.
    pub(crate) fn nothing(&mut self) {
        self.silent = true;
    }

    /// Gives a metric of the open row the unit that the device says, unless the rule has one.
    pub(crate) fn unit(&mut self, name: &str, unit: &str) {
        let stored = stored(self.rule, name);
        if self.rule.units.contains_key(stored) || self.rule.ignore.contains(name) {
            return;
        }
        let class = self.row.class;
        if class & NEW == 0 {
            let class = self.catalog.class(class as usize);
            let metric = class.metric(stored);
            if metric.is_some_and(|metric| class.unit(metric) == Some(unit)) {
                return;
            }
        }
        let said = (class, stored.to_owned(), unit.to_owned());
        if !self.said_units.contains(&said) {
            self.said_units.push(said);
        }
    }

    /// Says where in the message the gravest thing stands; asked after every part of it.
    #[inline]
    pub(crate) fn place(&mut self, told: impl FnOnce(Rejection) -> Rejection) {
        if self.gravest.is_some() {
            self.gravest = self.gravest.take().map(told);
        }
    }

    /// Notes what is wrong; the gravest thing is reported.
    pub(crate) fn refuse(&mut self, refusal: Rejection) {
        let graver = |gravest: &Rejection| refusal.rank() < gravest.rank();
        if self.gravest.as_ref().is_none_or(graver) {
            self.gravest = Some(refusal);
        }
    }
}

impl RuleParts {
    pub(super) fn of(rule: &MappingRule) -> Self {
        let (mut conversions, mut by_metric) = (Vec::new(), HashMap::new());
        for (metric, unit) in &rule.units {
            if let crate::config::MetricUnit::Converted(units) = unit
                && let Ok(conversion) = Conversion::between(&units.published, &units.stored)
            {
                conversions.push(conversion);
                by_metric.insert(metric.clone(), conversions.len() as u32);
            }
        }
        Self {
            conversions,
            by_metric,
        }
    }

    fn conversion(&self, stored: &str) -> u32 {
        self.by_metric.get(stored).copied().unwrap_or(0)
    }
}

fn stored<'n>(rule: &'n MappingRule, name: &'n str) -> &'n str {
    rule.rename.get(name).map_or(name, String::as_str)
}

/// The name, if a metric may have it under these rules.
fn metric_name<'n>(name: &'n str, limits: &DecodeRules) -> Result<&'n str, Rejection> {
    match validate::metric_name(name) {
        // A version without side columns took names that end as theirs do.
        Err(Rejection::ReservedMetric { .. })
            if !limits.all_types && !validate::RESERVED_METRICS.contains(&name) =>
        {
            Ok(name)
        }
        other => other,
    }
}

/// A stranger's name, quoted no longer than a legal one could be.
fn shown(name: &str) -> String {
    name.chars().take(validate::MAX_METRIC_CHARS).collect()
}
