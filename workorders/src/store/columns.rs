//! Reading columns of either store: one small function per kind.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::StoreError;

/// An instant as the store keeps it.
///
/// **Units** microseconds since 1970 UTC.
pub fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// An instant, optional, as the store keeps it.
///
/// **Units** microseconds since 1970 UTC.
pub fn micros_opt(at: Option<DateTime<Utc>>) -> Option<i64> {
    at.map(micros)
}

/// A text column.
///
/// **Errors** when the column is missing, empty of value or of another kind.
pub fn text(row: &AnyRow, column: &'static str) -> Result<String, StoreError> {
    Ok(row.try_get::<String, _>(column)?)
}

/// A text column that may be null.
///
/// **Errors** when the column is missing or of another kind.
pub fn text_opt(row: &AnyRow, column: &'static str) -> Result<Option<String>, StoreError> {
    Ok(row.try_get::<Option<String>, _>(column)?)
}

/// An integer column.
///
/// **Errors** when the column is missing, empty of value or of another kind.
pub fn int(row: &AnyRow, column: &'static str) -> Result<i64, StoreError> {
    Ok(row.try_get::<i64, _>(column)?)
}

/// An integer column that may be null.
///
/// **Errors** when the column is missing or of another kind.
pub fn int_opt(row: &AnyRow, column: &'static str) -> Result<Option<i64>, StoreError> {
    Ok(row.try_get::<Option<i64>, _>(column)?)
}

/// A 0-or-1 column.
///
/// **Errors** when the column is missing or holds anything else.
pub fn flag(row: &AnyRow, column: &'static str) -> Result<bool, StoreError> {
    match int(row, column)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(StoreError::unreadable(
            column,
            format!("{other} is not 0 or 1"),
        )),
    }
}

/// An instant column.
///
/// **Errors** when the column is missing or out of range.
pub fn instant(row: &AnyRow, column: &'static str) -> Result<DateTime<Utc>, StoreError> {
    to_instant(int(row, column)?, column)
}

/// An instant column that may be null.
///
/// **Errors** when the column is missing or out of range.
pub fn instant_opt(
    row: &AnyRow,
    column: &'static str,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    int_opt(row, column)?
        .map(|value| to_instant(value, column))
        .transpose()
}

/// A JSON column.
///
/// **Errors** when the column is missing or not JSON.
pub fn json(row: &AnyRow, column: &'static str) -> Result<Value, StoreError> {
    serde_json::from_str(&text(row, column)?).map_err(|error| StoreError::unreadable(column, error))
}

/// A column whose text parses as `T`: an id, a status, a decimal.
///
/// **Errors** when the column is missing or does not parse.
pub fn parsed<T>(row: &AnyRow, column: &'static str) -> Result<T, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text(row, column)?
        .parse()
        .map_err(|error| StoreError::unreadable(column, error))
}

/// A column that may be null and whose text parses as `T`.
///
/// **Errors** when the column is missing or does not parse.
pub fn parsed_opt<T>(row: &AnyRow, column: &'static str) -> Result<Option<T>, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text_opt(row, column)?
        .map(|value| {
            value
                .parse()
                .map_err(|error| StoreError::unreadable(column, error))
        })
        .transpose()
}

fn to_instant(micros: i64, column: &'static str) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| StoreError::unreadable(column, format!("{micros} µs is no instant")))
}
