//! Comma-separated lines: one row of metrics a line, or one metric a line.
//!
//! What a cell means is decided here; what a cell is, in `cells`.

mod cells;

use std::borrow::Cow;

use self::cells::Reader;
use super::instant::{self, Instant};
use super::quality::Words;
use super::{Codec, Message, malformed, number};
use crate::config::{CsvColumns, MappingRule, TimeSource, TimeUnit};
use crate::decode::{Quality, Sink, Value};
use crate::validate::Rejection;

/// Lines under one rule.
#[derive(Debug)]
struct Csv {
    columns: CsvColumns,
    unit: TimeUnit,
    source: TimeSource,
    words: Words,
}

/// Which cell is what.
#[derive(Debug, Default)]
struct Places {
    time: Option<usize>,
    class: Option<usize>,
    asset: Option<usize>,
    quality: Option<usize>,
    metric: Option<usize>,
    value: Option<usize>,
    /// Columns that are metrics.
    metrics: Vec<(usize, String)>,
}

/// The codec of a rule.
pub(super) fn codec(rule: &MappingRule) -> Box<dyn Codec> {
    Box::new(Csv {
        columns: rule.columns.clone().unwrap_or_default(),
        unit: rule.time_unit(),
        source: rule.time_source(),
        words: Words::of(rule),
    })
}

impl Codec for Csv {
    fn decode(&mut self, message: &Message<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let unit = message.unit.unwrap_or(self.unit);
        let delimiter = self.columns.delimiter.bytes().next().unwrap_or(b',');
        let text = std::str::from_utf8(message.payload);
        let text =
            text.map_err(|error| malformed(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = Reader::new(text, delimiter);
        let mut cells = Vec::new();
        let places = if self.columns.names.is_empty() {
            if !reader.next(&mut cells).map_err(malformed)? {
                return Ok(());
            }
            self.places(cells.iter().map(AsRef::as_ref))?
        } else {
            self.places(self.columns.names.iter().map(String::as_str))?
        };
        let columns = places.count();
        let mut line = reader.line();
        while reader.next(&mut cells).map_err(malformed)? {
            if cells.len() != columns {
                let found = cells.len();
                let detail = format!("line {line} has {found} cells, expected {columns}");
                return Err(malformed(detail));
            }
            self.line(&places, &cells, unit, sink)?;
            line = reader.line();
        }
        Ok(())
    }
}

impl Csv {
    fn places<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<Places, Rejection> {
        let mut places = Places::default();
        let of = &self.columns;
        let is = |option: &Option<String>, name: &str| option.as_deref() == Some(name);
        for (place, name) in names.enumerate() {
            let name = name.trim();
            let slot = if name == of.time {
                &mut places.time
            } else if is(&of.class, name) {
                &mut places.class
            } else if is(&of.asset, name) {
                &mut places.asset
            } else if is(&of.quality, name) {
                &mut places.quality
            } else if is(&of.metric, name) {
                &mut places.metric
            } else if of.metric.is_some() && name == of.value {
                &mut places.value
            } else {
                if places.metrics.iter().any(|(_, known)| known == name) {
                    return Err(malformed(format!("the column \"{name}\" stands twice")));
                }
                places.metrics.push((place, name.to_owned()));
                continue;
            };
            if slot.replace(place).is_some() {
                return Err(malformed(format!("the column \"{name}\" stands twice")));
            }
        }
        if of.metric.is_some() && (places.metric.is_none() || places.value.is_none()) {
            return Err(malformed(
                "no column for the metric's name, or none for its value",
            ));
        }
        Ok(places)
    }

    fn line(
        &self,
        places: &Places,
        cells: &[Cow<'_, str>],
        unit: TimeUnit,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        let cell = |place: Option<usize>| {
            let cell = cells.get(place?)?.trim();
            (!cell.is_empty()).then_some(cell)
        };
        let series = sink.series_named(cell(places.class), cell(places.asset))?;
        sink.begin(series);
        let quality = cell(places.quality);
        let quality = quality.map_or(Quality::Good, |word| self.words.quality(word));
        if let Some(name) = cell(places.metric) {
            put(name, cell(places.value), quality, sink);
        } else if places.metric.is_some() {
            return Err(malformed("a line without the name of its metric"));
        }
        for (place, name) in &places.metrics {
            put(name, cell(Some(*place)), quality, sink);
        }
        let time = cell(places.time);
        let time = time.map_or(Instant::Absent, |text| instant::of_either(text, unit));
        sink.end(time.chosen(self.source, sink.received_at())?)
    }
}

fn put(name: &str, cell: Option<&str>, quality: Quality, sink: &mut Sink<'_>) {
    let value = match cell {
        None => Value::Absent,
        Some(word) if number::is_number(word.as_bytes()) => Value::Number(number::exact(word)),
        Some(word) if is_no_number(word) => Value::Number(f64::NAN),
        Some(word) => Value::Text(word),
    };
    // An empty cell says nothing, whatever the quality of its line.
    if value == Value::Absent && quality != Quality::Bad {
        return sink.absent(name);
    }
    sink.sample(name, value, quality);
}

/// What programs write for a number that is none.
fn is_no_number(word: &str) -> bool {
    let bare = word.trim_start_matches(['+', '-']);
    ["nan", "inf", "infinity"]
        .iter()
        .any(|known| bare.eq_ignore_ascii_case(known))
}

impl Places {
    fn count(&self) -> usize {
        let single = [
            self.time,
            self.class,
            self.asset,
            self.quality,
            self.metric,
            self.value,
        ];
        self.metrics.len() + single.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests;
