//! From a datatype and its bits to a number or a text, and from a quality code to a quality.

use chrono::{DateTime, SecondsFormat, Utc};

use super::wire::{MetricValue, PropertyContent, PropertySet};

/// A value that can be stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Text(String),
}

/// Why a value cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Of a datatype that has no place in a table; its name.
    Unsupported(&'static str),
    /// The value stands in a field that does not belong to its datatype.
    WrongField,
    /// The bits are no value of the datatype.
    OutOfRange,
    /// Neither the message nor the birth says what it is.
    NoDatatype,
}

const INT8: u32 = 1;
const INT16: u32 = 2;
const INT32: u32 = 3;
const INT64: u32 = 4;
const UINT8: u32 = 5;
const UINT16: u32 = 6;
const UINT32: u32 = 7;
const UINT64: u32 = 8;
const FLOAT: u32 = 9;
const DOUBLE: u32 = 10;
/// A truth value, stored as 0 or 1.
pub(crate) const BOOLEAN: u32 = 11;
const STRING: u32 = 12;
const DATETIME: u32 = 13;
const TEXT: u32 = 14;
const UUID: u32 = 15;

/// The name of a datatype that is not stored.
pub(crate) fn unsupported(datatype: u32) -> Option<&'static str> {
    Some(match datatype {
        16 => "DataSet",
        17 => "Bytes",
        18 => "File",
        19 => "Template",
        20 => "PropertySet",
        21 => "PropertySetList",
        22..=34 => "array",
        _ => return None,
    })
}

/// Reads a value of a datatype.
///
/// Without a datatype only fields that mean one thing are read: an integer may be signed or not.
pub(crate) fn read(datatype: Option<u32>, value: &MetricValue) -> Result<Value, Unreadable> {
    use MetricValue as V;
    if let Some(name) = datatype.and_then(unsupported) {
        return Err(Unreadable::Unsupported(name));
    }
    match (datatype, value) {
        (_, V::Bytes(_)) => Err(Unreadable::Unsupported("Bytes")),
        (_, V::DataSet(_)) => Err(Unreadable::Unsupported("DataSet")),
        (_, V::Template(_)) => Err(Unreadable::Unsupported("Template")),
        (_, V::Extension(_)) => Err(Unreadable::Unsupported("extension")),
        (Some(INT8), V::Int(bits)) => signed(*bits, 8),
        (Some(INT16), V::Int(bits)) => signed(*bits, 16),
        (Some(INT32), V::Int(bits)) => signed(*bits, 32),
        (Some(INT8 | INT16 | INT32 | INT64), V::Long(bits)) => Ok(number(bits.cast_signed())),
        (Some(INT64), V::Int(bits)) => Ok(number(i64::from(*bits))),
        (Some(UINT8 | UINT16 | UINT32 | UINT64), V::Int(bits)) => Ok(number(i64::from(*bits))),
        (Some(UINT8 | UINT16 | UINT32 | UINT64), V::Long(bits)) => Ok(Value::Number(*bits as f64)),
        (Some(FLOAT | DOUBLE) | None, V::Float(value)) => Ok(Value::Number(decimal(*value))),
        (Some(FLOAT | DOUBLE) | None, V::Double(value)) => Ok(Value::Number(*value)),
        (Some(BOOLEAN) | None, V::Boolean(value)) => Ok(Value::Number(f64::from(u8::from(*value)))),
        (Some(STRING | TEXT | UUID) | None, V::Text(text)) => Ok(Value::Text(text.clone())),
        (Some(DATETIME), V::Long(millis)) => instant(*millis),
        (None | Some(0), V::Int(_) | V::Long(_)) => Err(Unreadable::NoDatatype),
        _ => Err(Unreadable::WrongField),
    }
}

/// A signed integer of few bits: publishers extend the sign to 32 bits, or do not.
fn signed(bits: u32, width: u32) -> Result<Value, Unreadable> {
    let spare = 32 - width;
    let extended = (bits << spare).cast_signed() >> spare;
    let unextended = spare > 0 && bits >> width == 0;
    if unextended || extended.cast_unsigned() == bits {
        Ok(number(i64::from(extended)))
    } else {
        Err(Unreadable::OutOfRange)
    }
}

fn number(value: i64) -> Value {
    Value::Number(value as f64)
}

/// The shortest decimal that the float stands for: 0.1 and not 0.10000000149011612.
fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn instant(millis: u64) -> Result<Value, Unreadable> {
    i64::try_from(millis)
        .ok()
        .and_then(DateTime::<Utc>::from_timestamp_millis)
        .map(|time| Value::Text(time.to_rfc3339_opts(SecondsFormat::Millis, true)))
        .ok_or(Unreadable::OutOfRange)
}

/// How far a sample can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Good,
    Uncertain,
    Bad,
}

/// The quality that the properties of a metric state; good when they state none.
pub(crate) fn trust(properties: Option<&PropertySet>) -> Trust {
    let stated = properties.and_then(|set| set.get("Quality").or_else(|| set.get("quality")));
    match stated {
        Some(PropertyContent::Int(code)) => of_code(u64::from(*code)),
        Some(PropertyContent::Long(code)) => of_code(*code),
        _ => Trust::Good,
    }
}

/// Sparkplug knows 0 (bad), 192 (good) and 500 (stale); OPC DA has the quality in two bits of the
/// low byte, OPC UA in the two highest of 32.
fn of_code(code: u64) -> Trust {
    const STALE: u64 = 500;
    match code {
        STALE => Trust::Uncertain,
        0..=0xFFFF => match code & 0xC0 {
            0xC0 => Trust::Good,
            0x40 => Trust::Uncertain,
            _ => Trust::Bad,
        },
        _ => match (code >> 30) & 3 {
            0 => Trust::Good,
            1 => Trust::Uncertain,
            _ => Trust::Bad,
        },
    }
}

/// The unit that the properties of a metric state.
pub(crate) fn unit(properties: Option<&PropertySet>) -> Option<&str> {
    match properties?.get("engUnit")? {
        PropertyContent::Text(unit) if !unit.is_empty() => Some(unit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(datatype: Option<u32>, value: MetricValue, expected: Result<Value, Unreadable>) {
        assert_eq!(read(datatype, &value), expected, "{datatype:?} {value:?}");
    }

    fn n(value: f64) -> Result<Value, Unreadable> {
        Ok(Value::Number(value))
    }

    fn t(text: &str) -> Result<Value, Unreadable> {
        Ok(Value::Text(text.to_owned()))
    }

    #[test]
    fn values() {
        use MetricValue::*;
        use Unreadable::*;
        check(Some(INT8), Int(0xFFFF_FFFF), n(-1.0));
        check(Some(INT8), Int(0xFF), n(-1.0));
        check(Some(INT8), Int(127), n(127.0));
        check(Some(INT8), Int(0x1FF), Err(OutOfRange));
        check(Some(INT16), Int(0x8000), n(-32768.0));
        check(Some(INT32), Int(0x8000_0000), n(-2_147_483_648.0));
        check(Some(INT64), Long(u64::MAX), n(-1.0));
        check(Some(INT32), Long(u64::MAX), n(-1.0));
        check(Some(UINT8), Int(255), n(255.0));
        check(Some(UINT32), Int(u32::MAX), n(4_294_967_295.0));
        check(Some(UINT32), Long(4_294_967_295), n(4_294_967_295.0));
        check(Some(UINT64), Long(1 << 63), n(9_223_372_036_854_775_808.0));
        check(Some(FLOAT), Float(0.1), n(0.1));
        check(Some(DOUBLE), Double(-0.5), n(-0.5));
        check(None, Double(2.5), n(2.5));
        check(Some(BOOLEAN), Boolean(true), n(1.0));
        check(Some(STRING), Text("a/b".into()), t("a/b"));
        check(
            Some(DATETIME),
            Long(1_772_434_800_123),
            t("2026-03-02T07:00:00.123Z"),
        );
        check(Some(DATETIME), Long(u64::MAX), Err(OutOfRange));
        check(None, Int(1), Err(NoDatatype));
        check(Some(INT8), Double(1.0), Err(WrongField));
        check(Some(STRING), Int(1), Err(WrongField));
        check(Some(19), Template(vec![]), Err(Unsupported("Template")));
        check(Some(16), Int(1), Err(Unsupported("DataSet")));
        check(Some(17), Bytes(vec![1]), Err(Unsupported("Bytes")));
        check(Some(24), Bytes(vec![1]), Err(Unsupported("array")));
        check(Some(99), Int(1), Err(WrongField));
    }

    #[test]
    fn qualities() {
        for (code, expected) in [
            (192, Trust::Good),
            (216, Trust::Good),
            (64, Trust::Uncertain),
            (500, Trust::Uncertain),
            (0, Trust::Bad),
            (24, Trust::Bad),
            (0x4000_0000, Trust::Uncertain),
            (0x8005_0000, Trust::Bad),
        ] {
            assert_eq!(of_code(code), expected, "{code}");
        }
        assert_eq!(trust(None), Trust::Good);
    }
}
