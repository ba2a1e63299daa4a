//! What the columns of a file mean.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use fieldwright_ingest::units::Conversion;
use fieldwright_ingest::validate;
use serde::Deserialize;

/// The map of a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportMap {
    /// Where the event time stands.
    pub time: TimeColumn,
    /// The one asset of the file.
    pub asset: Option<String>,
    /// The column with the asset's tag.
    pub asset_column: Option<String>,
    /// Column → metric, in a wide file; without it every other column is a metric of its name.
    #[serde(default)]
    pub metrics: BTreeMap<String, String>,
    /// Columns that are not read.
    #[serde(default)]
    pub ignore: BTreeSet<String>,
    /// A long file: every row has one metric.
    pub long: Option<Long>,
    /// Metric → from which unit to which.
    #[serde(default)]
    pub units: BTreeMap<String, Units>,
    /// Quality of the values of a row.
    pub quality: Option<Quality>,
    /// Texts that mean: no value.
    #[serde(default = "nulls")]
    pub null: BTreeSet<String>,
    /// What stands between two cells of CSV; found out when it is not said.
    delimiter: Option<String>,
    /// Whether numbers have a comma where others have a point.
    #[serde(default)]
    pub decimal_comma: bool,
    #[serde(skip)]
    conversions: BTreeMap<String, Conversion>,
}

/// The event time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeColumn {
    /// Its column.
    pub column: String,
    /// `rfc3339`, `s`, `ms`, `us`, `ns`, or a pattern such as `%d.%m.%Y %H:%M:%S%.f`.
    #[serde(default = "rfc3339")]
    pub format: String,
    /// Of times that do not say theirs: a name such as `Europe/Berlin`, or an offset.
    zone: Option<String>,
    /// Which of two instants an hour means that a clock shows twice; refused when not said.
    ambiguous: Option<Ambiguous>,
    #[serde(skip)]
    found: Option<Zone>,
}

/// Which of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ambiguous {
    Earliest,
    Latest,
}

/// The columns of a long file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Long {
    /// The column with the metric's name.
    pub metric: String,
    /// The column with its value.
    pub value: String,
}

/// From one unit to another.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Units {
    from: String,
    to: String,
}

/// The quality of a row.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quality {
    /// Its column.
    pub column: String,
    /// Words that mean good.
    #[serde(default = "good_words")]
    pub good: BTreeSet<String>,
    /// Words that mean uncertain; all others mean bad.
    #[serde(default = "uncertain_words")]
    pub uncertain: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy)]
enum Zone {
    Named(Tz),
    Offset(FixedOffset),
}

fn rfc3339() -> String {
    "rfc3339".to_owned()
}

fn nulls() -> BTreeSet<String> {
    words(&["", "null", "NULL", "NaN", "nan", "NA", "N/A"])
}

fn good_words() -> BTreeSet<String> {
    words(&["good", "Good", "GOOD", "192", ""])
}

fn uncertain_words() -> BTreeSet<String> {
    words(&["uncertain", "Uncertain", "UNCERTAIN", "64"])
}

fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl ImportMap {
    /// Reads and checks a map.
    ///
    /// **Errors**: what is wrong with it, a sentence.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut map: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if map.asset.is_some() == map.asset_column.is_some() {
            return Err(
                "name the asset with `asset` or with `asset_column`, one of the two".into(),
            );
        }
        if let Some(asset) = &map.asset {
            validate::asset_tag(asset).map_err(|refusal| format!("asset: {refusal}"))?;
        }
        if map.long.is_some() && !map.metrics.is_empty() {
            return Err("[metrics] is for a wide file, [long] for a long one: keep one".into());
        }
        for metric in map.metrics.values() {
            validate::metric_name(metric).map_err(|refusal| format!("metrics: {refusal}"))?;
        }
        if map.delimiter.as_ref().is_some_and(|text| text.len() != 1) {
            return Err("delimiter must be one character, such as \";\"".into());
        }
        for (metric, units) in &map.units {
            let conversion = Conversion::between(&units.from, &units.to)
                .map_err(|error| format!("units.{metric}: {error}"))?;
            map.conversions.insert(metric.clone(), conversion);
        }
        map.time.found = map.time.zone()?;
        Ok(map)
    }

    /// What stands between two cells, when the map says it.
    pub(super) fn delimiter(&self) -> Option<u8> {
        self.delimiter.as_ref().map(|text| text.as_bytes()[0])
    }

    /// A value in the unit that is stored.
    pub(super) fn converted(&self, metric: &str, value: f64) -> f64 {
        match self.conversions.get(metric) {
            Some(conversion) => conversion.convert(value),
            None => value,
        }
    }
}

impl TimeColumn {
    fn zone(&self) -> Result<Option<Zone>, String> {
        let Some(name) = &self.zone else {
            return Ok(None);
        };
        if let Ok(zone) = name.parse::<Tz>() {
            return Ok(Some(Zone::Named(zone)));
        }
        match name.parse::<FixedOffset>() {
            Ok(offset) => Ok(Some(Zone::Offset(offset))),
            Err(_) => Err(format!(
                "time.zone is \"{name}\"; write a name such as Europe/Berlin, or an offset such \
                 as +01:00"
            )),
        }
    }

    /// The instant that a text means. **Units** microseconds since 1970.
    ///
    /// **Errors**: what is wrong with it.
    pub(super) fn of_text(&self, text: &str) -> Result<i64, String> {
        let text = text.trim();
        match self.format.as_str() {
            "rfc3339" => match DateTime::parse_from_rfc3339(text) {
                Ok(time) => Ok(time.timestamp_micros()),
                // Without an offset it is a local time like any other.
                Err(_) => self.of_naive(naive(text).ok_or_else(|| self.unlike(text))?),
            },
            "s" | "ms" | "us" | "ns" => {
                if let Ok(count) = text.parse::<i64>() {
                    return self.of_whole(count);
                }
                let count: f64 = text.parse().map_err(|_| self.unlike(text))?;
                self.of_number(count)
            }
            pattern => {
                if let Ok(time) = DateTime::parse_from_str(text, pattern) {
                    return Ok(time.timestamp_micros());
                }
                if let Ok(time) = NaiveDateTime::parse_from_str(text, pattern) {
                    return self.of_naive(time);
                }
                let date = NaiveDate::parse_from_str(text, pattern);
                let midnight = date.ok().and_then(|date| date.and_hms_opt(0, 0, 0));
                self.of_naive(midnight.ok_or_else(|| self.unlike(text))?)
            }
        }
    }

    /// The instant of a number, which counts what the format says.
    ///
    /// **Errors**: the format says no unit, or the number is none.
    pub(super) fn of_number(&self, count: f64) -> Result<i64, String> {
        let scale = match self.format.as_str() {
            "s" => 1e6,
            "ms" => 1e3,
            "us" => 1.0,
            "ns" => 1e-3,
            other => {
                return Err(format!(
                    "time is the number {count}, not a text like {other}"
                ));
            }
        };
        let micros = count * scale;
        if micros.is_finite() && micros.abs() < i64::MAX as f64 {
            Ok(micros.round() as i64)
        } else {
            Err(format!("time is {count}, which is no instant"))
        }
    }

    /// The same of a whole number, to the last digit; what is below a microsecond is cut off.
    ///
    /// **Errors**: the format says no unit.
    pub(super) fn of_whole(&self, count: i64) -> Result<i64, String> {
        Ok(match self.format.as_str() {
            "s" => count.saturating_mul(1_000_000),
            "ms" => count.saturating_mul(1_000),
            "us" => count,
            "ns" => count.div_euclid(1_000),
            other => {
                return Err(format!(
                    "time is the number {count}, not a text like {other}"
                ));
            }
        })
    }

    /// The instant of a wall clock's time in the map's zone.
    ///
    /// **Errors**: there is no zone, or the clock never showed that time, or showed it twice.
    pub(super) fn of_naive(&self, time: NaiveDateTime) -> Result<i64, String> {
        let Some(zone) = self.found else {
            return Err(format!(
                "the time {time} has no zone; say with time.zone which it is, such as \"UTC\""
            ));
        };
        let instants = match zone {
            Zone::Named(zone) => zone.from_local_datetime(&time).map(|time| time.to_utc()),
            Zone::Offset(offset) => offset.from_local_datetime(&time).map(|time| time.to_utc()),
        };
        let micros = |time: DateTime<Utc>| time.timestamp_micros();
        match (instants, self.ambiguous) {
            (LocalResult::Single(time), _) => Ok(micros(time)),
            (LocalResult::Ambiguous(earliest, _), Some(Ambiguous::Earliest)) => {
                Ok(micros(earliest))
            }
            (LocalResult::Ambiguous(_, latest), Some(Ambiguous::Latest)) => Ok(micros(latest)),
            (LocalResult::Ambiguous(..), None) => Err(format!(
                "the clock showed {time} twice; say with time.ambiguous which is meant, \
                 \"earliest\" or \"latest\""
            )),
            (LocalResult::None, _) => Err(format!("the clock never showed {time}")),
        }
    }

    fn unlike(&self, text: &str) -> String {
        let text: String = text.chars().take(64).collect();
        format!("the time \"{text}\" is not written as {}", self.format)
    }
}

/// A time in the form of RFC 3339 without an offset.
fn naive(text: &str) -> Option<NaiveDateTime> {
    [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
    ]
    .iter()
    .find_map(|pattern| NaiveDateTime::parse_from_str(text, pattern).ok())
}
