//! Answers for programs (JSON) and for people (a text table).

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::{Answer, SqlLimits};

/// Field metadata key of a unit.
const UNIT: &str = "unit";

impl Answer {
    /// `{"columns":[{"name","type","unit"?}],"rows":[[…]],"truncated":bool}`.
    ///
    /// Instants are RFC 3339 with `Z`, decimals are strings, a float that is not finite is null.
    pub fn to_json_rows(&self) -> Value {
        let mut rows = Vec::new();
        let cut = self.each_row(&SqlLimits::default(), |row, _| rows.push(row));
        json!({
            "columns": self.columns_json(),
            "rows": rows,
            "truncated": self.truncated || cut,
        })
    }

    /// The same as a text, row by row: a [`Value`] takes many times the memory of its text.
    pub(super) fn to_json(&self, limits: &SqlLimits) -> String {
        let columns = Value::Array(self.columns_json());
        let mut text = format!("{{\"columns\":{columns},\"rows\":[");
        let mut separator = "";
        let cut = self.each_row(limits, |_, row| {
            text.push_str(separator);
            text.push_str(row);
            separator = ",";
        });
        let truncated = self.truncated || cut;
        text.push_str(&format!("],\"truncated\":{truncated}}}"));
        text
    }

    /// A table for people; headers show units where they are known.
    pub fn to_text(&self) -> String {
        let mut rows = 0;
        let cut = self.each_row(&SqlLimits::default(), |_, _| rows += 1);
        let mut text = self
            .table(rows)
            .unwrap_or_else(|error| format!("(not printable: {error})"));
        let word = if rows == 1 { "row" } else { "rows" };
        match self.truncated || cut {
            false => text.push_str(&format!("\n{rows} {word}\n")),
            true => text.push_str(&format!("\nonly the first {rows} {word}: there are more\n")),
        }
        text
    }

    /// Gives each row and its text until the limits; says whether rows were cut off.
    ///
    /// Only what is written out counts: in memory, equal values may stand for each other.
    fn each_row(&self, limits: &SqlLimits, mut take: impl FnMut(Value, &str)) -> bool {
        let width = self.schema.fields().len().max(1);
        let (mut cells, mut bytes) = (0_usize, 0_usize);
        for batch in &self.batches {
            for row in 0..batch.num_rows() {
                cells += width;
                if cells > limits.answer_cells {
                    return true;
                }
                let values = batch.columns().iter().map(|column| value_json(column, row));
                let row = Value::Array(values.collect());
                let text = row.to_string();
                bytes += text.len();
                if bytes > limits.answer_bytes {
                    return true;
                }
                take(row, &text);
            }
        }
        false
    }

    fn columns_json(&self) -> Vec<Value> {
        let columns = self.schema.fields().iter();
        columns.map(|field| column_json(field)).collect()
    }

    fn table(&self, mut rows: usize) -> Result<String, ArrowError> {
        let fields = self.schema.fields().iter().map(|field| {
            let name = match field.metadata().get(UNIT) {
                Some(unit) => format!("{} [{unit}]", field.name()),
                None => field.name().clone(),
            };
            field.as_ref().clone().with_name(name)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
        let mut batches = vec![RecordBatch::new_empty(Arc::clone(&schema))];
        for batch in self.batches.iter().filter(|batch| batch.num_columns() > 0) {
            let shown = batch.slice(0, rows.min(batch.num_rows()));
            rows -= shown.num_rows();
            batches.push(RecordBatch::try_new(
                Arc::clone(&schema),
                shown.columns().to_vec(),
            )?);
        }
        Ok(pretty_format_batches_with_options(&batches, &format_options())?.to_string())
    }
}

fn format_options() -> FormatOptions<'static> {
    FormatOptions::default().with_display_error(true)
}

fn column_json(field: &Field) -> Value {
    let mut column = Map::new();
    column.insert("name".to_owned(), field.name().clone().into());
    column.insert("type".to_owned(), type_name(field.data_type()).into());
    if let Some(unit) = field.metadata().get(UNIT) {
        column.insert(UNIT.to_owned(), unit.clone().into());
    }
    Value::Object(column)
}

/// A word per family of types, for programs that do not know Arrow.
fn type_name(data_type: &DataType) -> String {
    let word = match data_type {
        DataType::Null => "null",
        DataType::Boolean => "boolean",
        t if t.is_integer() => "integer",
        t if t.is_floating() => "float",
        t if t.is_decimal() => "decimal",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Timestamp(..) => "timestamp",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "list",
        DataType::Struct(_) => "object",
        DataType::Dictionary(_, values) => return type_name(values),
        other => return other.to_string(),
    };
    word.to_owned()
}

pub(super) fn value_json(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    macro_rules! number {
        ($type:ty) => {
            column.as_primitive::<$type>().value(row).into()
        };
    }
    macro_rules! instant {
        ($type:ty, $from:expr) => {{
            let value = column.as_primitive::<$type>().value(row);
            instant($from(value)).unwrap_or_else(|| as_text(column, row))
        }};
    }
    match column.data_type() {
        // An array of this type has no null mask to look at.
        DataType::Null => Value::Null,
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        // From<f64> for Value makes null of what is not finite.
        DataType::Float16 => column
            .as_primitive::<Float16Type>()
            .value(row)
            .to_f64()
            .into(),
        DataType::Float32 => f64::from(column.as_primitive::<Float32Type>().value(row)).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).into(),
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Decimal128(..) => column
            .as_primitive::<Decimal128Type>()
            .value_as_string(row)
            .into(),
        DataType::Date32 => match column.as_primitive::<Date32Type>().value_as_date(row) {
            Some(day) => day.to_string().into(),
            None => as_text(column, row),
        },
        DataType::Timestamp(TimeUnit::Second, _) => {
            instant!(TimestampSecondType, |s| DateTime::from_timestamp(s, 0))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            instant!(TimestampMillisecondType, DateTime::from_timestamp_millis)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            instant!(TimestampMicrosecondType, DateTime::from_timestamp_micros)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            instant!(TimestampNanosecondType, |ns| Some(
                DateTime::from_timestamp_nanos(ns)
            ))
        }
        DataType::List(_) => list(&column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(&column.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => list(&column.as_fixed_size_list().value(row)),
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let entries = fields.iter().zip(columns);
            let entries = entries.map(|(f, c)| (f.name().clone(), value_json(c, row)));
            Value::Object(entries.collect())
        }
        _ => as_text(column, row),
    }
}

fn list(items: &dyn Array) -> Value {
    Value::Array((0..items.len()).map(|row| value_json(items, row)).collect())
}

/// With `Z`, as many digits as the instant needs.
fn instant(instant: Option<DateTime<Utc>>) -> Option<Value> {
    instant.map(|instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true).into())
}

fn as_text(column: &dyn Array, row: usize) -> Value {
    match ArrayFormatter::try_new(column, &format_options()) {
        Ok(formatter) => formatter.value(row).to_string().into(),
        Err(_) => Value::Null,
    }
}
