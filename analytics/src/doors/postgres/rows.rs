//! Rows on the wire. The usual types are written from their arrays; others go the way of
//! `arrow-pg`, which looks at the type of each value anew.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Float64Array, Int32Array, Int64Array,
    PrimitiveArray, StringArray,
};
use arrow::datatypes::{
    DataType, FieldRef, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use arrow::record_batch::RecordBatch;
use bytes::{BufMut as _, BytesMut};
use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use datafusion_postgres::arrow_pg::encoder::encode_value;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo};
use datafusion_postgres::pgwire::error::PgWireResult;
use datafusion_postgres::pgwire::messages::data::DataRow;

/// Microseconds from 1970 to 2000, where PostgreSQL's instants begin.
const SINCE_2000_US: i64 = 946_684_800_000_000;
/// Room that is made for rows at once.
const ROOM: usize = 32 << 10;
/// The length that stands for null.
const NULL: i32 = -1;

/// The rows of one batch that are still to be sent.
pub(super) struct BatchRows {
    columns: Vec<Column>,
    next: usize,
    rows: usize,
    buffer: BytesMut,
    text: String,
}

/// One column and how its values are written.
struct Column {
    values: Values,
    binary: bool,
}

enum Values {
    Text(StringArray),
    Float(Float64Array),
    Long(Int64Array),
    Int(Int32Array),
    Bool(BooleanArray),
    /// With their zone, or without one.
    Micros(PrimitiveArray<TimestampMicrosecondType>, bool),
    Nanos(PrimitiveArray<TimestampNanosecondType>, bool),
    Other(Box<Other>),
}

/// A column of another type.
struct Other {
    array: ArrayRef,
    field: FieldRef,
    info: FieldInfo,
    encoder: DataRowEncoder,
}

impl BatchRows {
    pub(super) fn new(batch: RecordBatch, fields: &[FieldInfo]) -> Self {
        let schema = batch.schema();
        let arrays = schema.fields().iter().zip(batch.columns());
        let columns = arrays
            .zip(fields)
            .map(|((field, array), info)| Column::new(field, array, info));
        Self {
            columns: columns.collect(),
            next: 0,
            rows: batch.num_rows(),
            buffer: BytesMut::new(),
            text: String::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next >= self.rows
    }

    /// **Errors**: a value that PostgreSQL cannot write.
    fn write(&mut self) -> PgWireResult<DataRow> {
        let row = self.next;
        self.next += 1;
        if self.buffer.capacity() < ROOM / 16 {
            self.buffer.reserve(ROOM);
        }
        for column in &mut self.columns {
            column.write(row, &mut self.buffer, &mut self.text)?;
        }
        let columns = i16::try_from(self.columns.len()).unwrap_or(i16::MAX);
        Ok(DataRow::new(self.buffer.split(), columns))
    }
}

impl Iterator for BatchRows {
    type Item = PgWireResult<DataRow>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.is_empty()).then(|| self.write())
    }
}

impl Column {
    fn new(field: &FieldRef, array: &ArrayRef, info: &FieldInfo) -> Self {
        let other = || {
            Values::Other(Box::new(Other {
                array: Arc::clone(array),
                field: Arc::clone(field),
                info: info.clone(),
                encoder: DataRowEncoder::new(Arc::new(vec![info.clone()])),
            }))
        };
        let values = match (array.data_type(), info.datatype()) {
            (DataType::Utf8, &Type::TEXT) => Values::Text(array.as_string::<i32>().clone()),
            (DataType::Float64, &Type::FLOAT8) => {
                Values::Float(array.as_primitive::<Float64Type>().clone())
            }
            (DataType::Int64, &Type::INT8) => {
                Values::Long(array.as_primitive::<Int64Type>().clone())
            }
            (DataType::Int32, &Type::INT4) => {
                Values::Int(array.as_primitive::<Int32Type>().clone())
            }
            (DataType::Boolean, &Type::BOOL) => Values::Bool(array.as_boolean().clone()),
            (DataType::Timestamp(TimeUnit::Microsecond, zone), _) => Values::Micros(
                array.as_primitive::<TimestampMicrosecondType>().clone(),
                zone.is_some(),
            ),
            (DataType::Timestamp(TimeUnit::Nanosecond, zone), _) => Values::Nanos(
                array.as_primitive::<TimestampNanosecondType>().clone(),
                zone.is_some(),
            ),
            _ => other(),
        };
        Self {
            values,
            binary: info.format() == FieldFormat::Binary,
        }
    }

    fn write(&mut self, row: usize, to: &mut BytesMut, text: &mut String) -> PgWireResult<()> {
        if let Values::Other(other) = &mut self.values {
            return other.write(row, to);
        }
        if self.is_null(row) {
            to.put_i32(NULL);
            return Ok(());
        }
        text.clear();
        match (&self.values, self.binary) {
            (Values::Text(array), _) => put(to, array.value(row).as_bytes()),
            (Values::Float(array), true) => put(to, &array.value(row).to_be_bytes()),
            (Values::Long(array), true) => put(to, &array.value(row).to_be_bytes()),
            (Values::Int(array), true) => put(to, &array.value(row).to_be_bytes()),
            (Values::Bool(array), true) => put(to, &[u8::from(array.value(row))]),
            (Values::Bool(array), false) => put(to, if array.value(row) { b"t" } else { b"f" }),
            (Values::Micros(array, _), true) => put(to, &since_2000(array.value(row))),
            (Values::Nanos(array, _), true) => {
                put(to, &since_2000(array.value(row).div_euclid(1_000)))
            }
            (values, false) => {
                match values {
                    Values::Float(array) => write_float(text, array.value(row)),
                    Values::Long(array) => _ = write!(text, "{}", array.value(row)),
                    Values::Int(array) => _ = write!(text, "{}", array.value(row)),
                    Values::Micros(array, zone) => write_instant(text, array.value(row), *zone),
                    Values::Nanos(array, zone) => {
                        write_instant(text, array.value(row).div_euclid(1_000), *zone);
                    }
                    Values::Text(_) | Values::Bool(_) | Values::Other(_) => {}
                }
                put(to, text.as_bytes());
            }
            (Values::Other(_), true) => {}
        }
        Ok(())
    }

    fn is_null(&self, row: usize) -> bool {
        let array: &dyn Array = match &self.values {
            Values::Text(array) => array,
            Values::Float(array) => array,
            Values::Long(array) => array,
            Values::Int(array) => array,
            Values::Bool(array) => array,
            Values::Micros(array, _) => array,
            Values::Nanos(array, _) => array,
            Values::Other(other) => &other.array,
        };
        array.is_null(row)
    }
}

impl Other {
    fn write(&mut self, row: usize, to: &mut BytesMut) -> PgWireResult<()> {
        let (array, field) = (&self.array, self.field.as_ref());
        encode_value(&mut self.encoder, array, row, field, &self.info)?;
        to.extend_from_slice(&self.encoder.take_row().data);
        Ok(())
    }
}

/// A row of one text.
pub(super) fn of_text(text: &str) -> DataRow {
    let mut row = BytesMut::new();
    put(&mut row, text.as_bytes());
    DataRow::new(row, 1)
}

fn put(to: &mut BytesMut, value: &[u8]) {
    to.put_i32(i32::try_from(value.len()).expect("a row is far below 2 GiB"));
    to.extend_from_slice(value);
}

fn since_2000(micros: i64) -> [u8; 8] {
    micros.saturating_sub(SINCE_2000_US).to_be_bytes()
}

/// The shortest text that reads back as the same number.
fn write_float(text: &mut String, value: f64) {
    let size = value.abs();
    // Writing into a string cannot fail.
    let _ = if value.is_nan() {
        text.write_str("NaN")
    } else if value.is_infinite() {
        text.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else if size != 0.0 && !(1e-5..1e15).contains(&size) {
        write!(text, "{value:e}")
    } else {
        write!(text, "{value}")
    };
}

/// `2026-01-02 03:04:05.678+00`.
fn write_instant(text: &mut String, micros: i64, zone: bool) {
    let Some(instant) = DateTime::<Utc>::from_timestamp_micros(micros) else {
        // Beyond all calendars.
        text.push_str(if micros > 0 { "infinity" } else { "-infinity" });
        return;
    };
    match u32::try_from(instant.year()) {
        // By hand: an answer may have an instant in each of its rows, and a format string is
        // read anew for each of them.
        Ok(year @ 0..=9_999) => {
            write_digits(text, year, 4);
            for (before, part) in [
                ('-', instant.month()),
                ('-', instant.day()),
                (' ', instant.hour()),
                (':', instant.minute()),
                (':', instant.second()),
            ] {
                text.push(before);
                write_digits(text, part, 2);
            }
        }
        _ => _ = write!(text, "{}", instant.format("%Y-%m-%d %H:%M:%S")),
    }
    let micros = instant.nanosecond() / 1_000;
    if micros > 0 {
        text.push('.');
        write_digits(text, micros, 6);
        text.truncate(text.trim_end_matches('0').len());
    }
    if zone {
        text.push_str("+00");
    }
}

/// The last digits of a number.
fn write_digits(text: &mut String, number: u32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        text.push(char::from(b'0' + digit as u8));
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Schema};
    use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
    use datafusion_postgres::pgwire::api::portal::Format;

    use super::*;

    /// Writes one value and one null, as the wire has them.
    fn check(array: ArrayRef, format: &Format, expected: &[u8]) {
        let field = Field::new("a", array.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let fields = arrow_schema_to_pg_fields(&schema, format, None).unwrap();
        let batch = RecordBatch::try_new(schema, vec![array]).unwrap();
        let rows: Vec<DataRow> = BatchRows::new(batch, &fields).map(Result::unwrap).collect();
        let mut whole = BytesMut::new();
        put(&mut whole, expected);
        assert_eq!(rows[0].data, whole, "{expected:?}");
        assert_eq!(&rows[1].data[..], NULL.to_be_bytes());
        assert_eq!((rows.len(), rows[0].field_count), (2, 1));
    }

    fn float(value: f64) -> ArrayRef {
        Arc::new(Float64Array::from(vec![Some(value), None]))
    }

    fn instant(micros: i64) -> ArrayRef {
        let values = TimestampMicrosecondArray::from(vec![Some(micros), None]);
        Arc::new(values.with_timezone("UTC"))
    }

    #[test]
    fn values_read_as_postgresql_writes_them() {
        let text = &Format::UnifiedText;
        check(float(4.2), text, b"4.2");
        check(float(5.0), text, b"5");
        check(float(-0.1), text, b"-0.1");
        check(float(1e300), text, b"1e300");
        check(float(f64::NAN), text, b"NaN");
        check(float(f64::NEG_INFINITY), text, b"-Infinity");
        check(
            instant(1_767_323_045_678_000),
            text,
            b"2026-01-02 03:04:05.678+00",
        );
        check(instant(0), text, b"1970-01-01 00:00:00+00");
        check(instant(10_000_010), text, b"1970-01-01 00:00:10.00001+00");
        let far = 253_402_300_800_000_000;
        check(instant(far), text, b"+10000-01-01 00:00:00+00");
        check(instant(-1), text, b"1969-12-31 23:59:59.999999+00");
        let words = StringArray::from(vec![Some("pump"), None]);
        check(Arc::new(words), text, b"pump");
        let flags = BooleanArray::from(vec![Some(true), None]);
        check(Arc::new(flags), text, b"t");
        let money = Decimal128Array::from(vec![Some(12_950), None]);
        let money = money.with_precision_and_scale(38, 2).unwrap();
        check(Arc::new(money), text, b"129.50");
    }

    #[test]
    fn binary_values_are_big_endian() {
        let binary = &Format::UnifiedBinary;
        check(float(4.2), binary, &4.2_f64.to_be_bytes());
        check(instant(SINCE_2000_US + 1), binary, &1_i64.to_be_bytes());
        let numbers = Int64Array::from(vec![Some(-7), None]);
        check(Arc::new(numbers), binary, &(-7_i64).to_be_bytes());
    }
}
