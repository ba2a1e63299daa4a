//! From the store's values to Arrow columns. Nothing is rounded or guessed.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;
use chrono::NaiveDate;
use sqlx::any::{AnyRow, AnyTypeInfoKind};
use sqlx::{Row, ValueRef};

use super::ColumnKind;
use super::declared::PRECISION;

/// A value as the store gave it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stored<'r> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'r str),
    /// Anything else: no column kind takes it.
    Other,
}

impl<'r> Stored<'r> {
    /// The value of a row at a place.
    pub(super) fn of(row: &'r AnyRow, at: usize) -> Result<Self, sqlx::Error> {
        let value = row.try_get_raw(at)?;
        if value.is_null() {
            return Ok(Self::Null);
        }
        let kind = value.type_info().kind();
        Ok(match kind {
            AnyTypeInfoKind::Null => Self::Null,
            AnyTypeInfoKind::Bool => Self::Bool(row.try_get(at)?),
            AnyTypeInfoKind::SmallInt | AnyTypeInfoKind::Integer | AnyTypeInfoKind::BigInt => {
                Self::Int(row.try_get(at)?)
            }
            AnyTypeInfoKind::Real => Self::Float(row.try_get::<f32, _>(at)?.into()),
            AnyTypeInfoKind::Double => Self::Float(row.try_get(at)?),
            AnyTypeInfoKind::Text => Self::Text(row.try_get(at)?),
            AnyTypeInfoKind::Blob => Self::Other,
        })
    }
}

/// Collects the values of one column.
pub(super) enum ColumnBuilder {
    Text(StringBuilder),
    Int(Int64Builder),
    Bool(BooleanBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Date(Date32Builder),
    Float(Float64Builder),
    Decimal(Decimal128Builder, i8),
    Money(Decimal128Builder, i8),
}

impl ColumnBuilder {
    pub(super) fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Text => Self::Text(StringBuilder::new()),
            ColumnKind::Int => Self::Int(Int64Builder::new()),
            ColumnKind::Bool => Self::Bool(BooleanBuilder::new()),
            ColumnKind::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::new()),
            ColumnKind::Date => Self::Date(Date32Builder::new()),
            ColumnKind::Float => Self::Float(Float64Builder::new()),
            ColumnKind::Decimal { digits } => Self::Decimal(Decimal128Builder::new(), digits),
            ColumnKind::Money { digits } => Self::Money(Decimal128Builder::new(), digits),
        }
    }

    /// Appends one value.
    ///
    /// **Errors**: what was expected, when the value is something else.
    pub(super) fn push(&mut self, value: Stored<'_>) -> Result<(), &'static str> {
        let null = matches!(value, Stored::Null);
        match self {
            Self::Text(b) if null => b.append_null(),
            Self::Int(b) if null => b.append_null(),
            Self::Bool(b) if null => b.append_null(),
            Self::Timestamp(b) if null => b.append_null(),
            Self::Date(b) if null => b.append_null(),
            Self::Float(b) if null => b.append_null(),
            Self::Decimal(b, _) | Self::Money(b, _) if null => b.append_null(),
            Self::Text(b) => b.append_value(text(value).ok_or("text")?),
            Self::Int(b) => b.append_value(integer(value).ok_or("integer")?),
            Self::Bool(b) => b.append_value(boolean(value).ok_or("boolean")?),
            Self::Timestamp(b) => b.append_value(integer(value).ok_or("instant in microseconds")?),
            Self::Date(b) => b.append_value(day(value).ok_or("day")?),
            Self::Float(b) => b.append_value(float(value).ok_or("number")?),
            Self::Decimal(b, digits) => b.append_value(decimal(value, *digits).ok_or("decimal")?),
            Self::Money(b, _) => {
                b.append_value(integer(value).ok_or("amount in minor units")?.into())
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(b) => Arc::new(b.finish()),
            Self::Int(b) => Arc::new(b.finish()),
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish().with_timezone("UTC")),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Float(b) => Arc::new(b.finish()),
            Self::Decimal(b, digits) | Self::Money(b, digits) => {
                Arc::new(b.finish().with_precision_and_scale(PRECISION, *digits)?)
            }
        })
    }
}

fn text(value: Stored<'_>) -> Option<&str> {
    match value {
        Stored::Text(text) => Some(text),
        _ => None,
    }
}

fn integer(value: Stored<'_>) -> Option<i64> {
    match value {
        Stored::Int(i) => Some(i),
        _ => None,
    }
}

fn boolean(value: Stored<'_>) -> Option<bool> {
    match value {
        Stored::Bool(b) => Some(b),
        Stored::Int(0) => Some(false),
        Stored::Int(1) => Some(true),
        _ => None,
    }
}

fn float(value: Stored<'_>) -> Option<f64> {
    match value {
        Stored::Float(f) => Some(f),
        Stored::Int(i) => Some(i as f64),
        _ => None,
    }
}

/// Days since 1970.
fn day(value: Stored<'_>) -> Option<i32> {
    let day: NaiveDate = text(value)?.parse().ok()?;
    i32::try_from(day.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// The number times ten to the power of `digits`, exactly or not at all.
fn decimal(value: Stored<'_>, digits: i8) -> Option<i128> {
    let digits = u32::try_from(digits).ok()?;
    let ten = 10_i128.checked_pow(digits)?;
    if let Some(whole) = integer(value) {
        return i128::from(whole).checked_mul(ten);
    }
    let text = text(value)?.trim();
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let only_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !only_digits(whole) || !only_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = digits.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    let number: i128 = match (whole, fraction) {
        ("", "") => 0,
        _ => format!("{whole}{fraction}").parse().ok()?,
    };
    let number = number.checked_mul(10_i128.checked_pow(missing)?)?;
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, digits: i8, expected: Option<i128>) {
        assert_eq!(
            decimal(Stored::Text(text), digits),
            expected,
            "{text} with {digits} digits"
        );
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        check("1", 2, Some(100));
        check("1.5", 2, Some(150));
        check("-0.07", 2, Some(-7));
        check("+12.340", 2, Some(1234));
        check(".5", 1, Some(5));
        check("0", 0, Some(0));
        check("0.000", 0, Some(0));
        check("1.234", 2, None);
        check("", 2, None);
        check(".", 2, None);
        check("1e3", 2, None);
        check("12,5", 2, None);
        check("NaN", 2, None);
        check(&"9".repeat(60), 2, None);
    }
}
