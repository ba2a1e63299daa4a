//! `{"time": RFC 3339 or epoch milliseconds, "metrics": {"name": number or text, …}}`
//!
//! Read in one pass without an intermediate tree. The scanner is our own because the number reader
//! of `serde_json` may be one unit in the last place off for numbers of 17 digits, and a stored
//! reading must be the published one.

mod scan;
mod shaped;
#[cfg(test)]
mod tests;
mod tree;

use self::scan::{Scanner, Value};
use super::instant::{self, Instant};
use super::{Codec, Message, malformed};
use crate::config::{MappingRule, TimeSource, TimeUnit};
use crate::decode::Sink;
use crate::validate::Rejection;

/// The contract's payload: one row. Other fields at the top are skipped.
#[derive(Debug)]
struct OneRow {
    unit: TimeUnit,
    source: TimeSource,
}

/// The codec of a rule.
pub(super) fn codec(rule: &MappingRule) -> Box<dyn Codec> {
    if rule.json.is_some() {
        return Box::new(self::shaped::Shaped::of(rule));
    }
    Box::new(OneRow {
        unit: rule.time_unit(),
        source: rule.time_source(),
    })
}

impl Codec for OneRow {
    fn decode(&mut self, message: &Message<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let series = sink.topic_series()?.ok_or(Rejection::NoAsset)?;
        let mut scanner = Scanner::of(message.payload).map_err(malformed)?;
        let unit = message.unit.unwrap_or(self.unit);
        let mut time = Instant::Absent;
        let mut metrics = false;
        sink.begin(series);
        scanner.open_object("a JSON object").map_err(malformed)?;
        while let Some(key) = scanner.key().map_err(malformed)? {
            match &*key {
                "time" => {
                    if time != Instant::Absent {
                        return Err(malformed("\"time\" stands twice"));
                    }
                    time = read_time(&scanner.value().map_err(malformed)?, unit);
                }
                "metrics" => {
                    if std::mem::replace(&mut metrics, true) {
                        return Err(malformed("\"metrics\" stands twice"));
                    }
                    read_metrics(&mut scanner, sink)?;
                }
                _ => drop(scanner.value().map_err(malformed)?),
            }
        }
        scanner.end().map_err(malformed)?;
        let time = time.chosen(self.source, sink.received_at())?;
        sink.end(time)
    }
}

fn read_metrics(scanner: &mut Scanner<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    scanner
        .open_object("\"metrics\" to be an object")
        .map_err(malformed)?;
    while let Some(name) = scanner.key().map_err(malformed)? {
        match scanner.value().map_err(malformed)? {
            Value::Number(digits) => sink.number(&name, super::number::exact(digits)),
            Value::NotFinite => sink.number(&name, f64::NAN),
            Value::Text(text) => sink.text(&name, &text),
            Value::Bool(value) => sink.boolean(&name, value),
            Value::Null => sink.absent(&name),
            Value::Other => sink.not_a_value(&name),
        }
    }
    Ok(())
}

fn read_time(value: &Value<'_>, unit: TimeUnit) -> Instant {
    match value {
        Value::Text(text) => instant::of_text(text),
        Value::Number(digits) => instant::of_digits(digits, unit),
        Value::NotFinite | Value::Bool(_) | Value::Null | Value::Other => Instant::Unreadable,
    }
}
