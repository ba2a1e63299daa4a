//! Instants as whole numbers.

use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampNanosecondType};
use datafusion::common::{Result, plan_err};

/// Seconds from one instant to another, both in nanoseconds.
pub(super) fn seconds(from: i64, to: i64) -> f64 {
    // The whole range of instants does not fit into one of them.
    (i128::from(to) - i128::from(from)) as f64 / 1e9
}

/// An instant of any unit and zone as nanoseconds since 1970 in UTC.
///
/// **Errors**: an instant before 1677 or after 2262.
pub(super) fn nanoseconds(instants: &ArrayRef) -> Result<PrimitiveArray<TimestampNanosecondType>> {
    let zone = match instants.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let nanoseconds = cast(instants, &DataType::Timestamp(TimeUnit::Nanosecond, zone))?;
    Ok(nanoseconds
        .as_primitive::<TimestampNanosecondType>()
        .clone())
}

/// The type that an argument of instants is read as.
pub(super) fn instant_type(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Timestamp(..) => Ok(given.clone()),
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ),
        DataType::Date32 | DataType::Date64 => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
        other => plan_err!("{function} takes an instant for its time, not {other}"),
    }
}
