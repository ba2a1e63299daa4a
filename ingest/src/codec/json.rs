//! `{"time": RFC 3339 or epoch milliseconds, "metrics": {"name": number, …}}`
//!
//! Read in one pass without an intermediate tree. The scanner is our own because the number reader
//! of `serde_json` may be one unit in the last place off for numbers of 17 digits, and a stored
//! reading must be the published one.

mod scan;
#[cfg(test)]
mod tests;

use chrono::DateTime;

use self::scan::{Scanner, Value};
use super::Codec;
use crate::decode::Row;
use crate::validate::Rejection;

/// The contract's payload. Other fields at the top are skipped.
#[derive(Debug)]
pub(super) struct Json;

/// What has been found of an event time.
enum Time {
    Absent,
    Unreadable,
    Micros(i64),
}

impl Codec for Json {
    fn decode(&self, payload: &[u8], row: &mut Row<'_>) -> Result<i64, Rejection> {
        let text = std::str::from_utf8(payload)
            .map_err(|error| malformed(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
        let mut scanner = Scanner::new(text);
        let mut time = Time::Absent;
        let mut metrics = false;
        scanner.open_object("a JSON object").map_err(malformed)?;
        while let Some(key) = scanner.key().map_err(malformed)? {
            match &*key {
                "time" => {
                    if !matches!(time, Time::Absent) {
                        return Err(malformed("\"time\" stands twice".into()));
                    }
                    time = read_time(&scanner.value().map_err(malformed)?);
                }
                "metrics" => {
                    if std::mem::replace(&mut metrics, true) {
                        return Err(malformed("\"metrics\" stands twice".into()));
                    }
                    read_metrics(&mut scanner, row)?;
                }
                _ => drop(scanner.value().map_err(malformed)?),
            }
        }
        scanner.end().map_err(malformed)?;
        match time {
            Time::Absent => Err(Rejection::NoTime),
            Time::Unreadable => Err(Rejection::BadTime),
            Time::Micros(micros) => Ok(micros),
        }
    }
}

fn read_metrics(scanner: &mut Scanner<'_>, row: &mut Row<'_>) -> Result<(), Rejection> {
    scanner
        .open_object("\"metrics\" to be an object")
        .map_err(malformed)?;
    while let Some(name) = scanner.key().map_err(malformed)? {
        match scanner.value().map_err(malformed)? {
            Value::Number(digits) => match digits.parse::<f64>() {
                Ok(value) => row.metric(&name, value),
                Err(_) => row.not_a_number(&name),
            },
            Value::NotFinite => row.metric(&name, f64::NAN),
            Value::Text(_) | Value::Other => row.not_a_number(&name),
        }
    }
    Ok(())
}

fn read_time(value: &Value<'_>) -> Time {
    let micros = match value {
        Value::Text(text) => DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|time| time.timestamp_micros()),
        Value::Number(digits) => match digits.parse::<i64>() {
            Ok(millis) => Some(millis.saturating_mul(1000)),
            // A fraction of a millisecond, or an exponent; a cast that overflows saturates.
            Err(_) => digits
                .parse::<f64>()
                .ok()
                .map(|millis| (millis * 1000.0).round() as i64),
        },
        Value::NotFinite | Value::Other => None,
    };
    micros.map_or(Time::Unreadable, Time::Micros)
}

fn malformed(detail: String) -> Rejection {
    Rejection::Malformed { detail }
}
