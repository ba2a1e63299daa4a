//! An Arrow IPC stream: columns for time, asset and class, every other column is a metric.

mod frames;

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::ipc::reader::StreamDecoder;

use super::instant::{self, Instant};
use super::quality::Words;
use super::{Codec, Message, malformed};
use crate::catalog::instant_type;
use crate::config::{CsvColumns, MappingRule, TimeSource, TimeUnit};
use crate::decode::{Quality, Sink, Value};
use crate::validate::Rejection;

/// Ending of a column with the qualities of another.
const QUALITY: &str = "__quality";

/// Streams under one rule.
#[derive(Debug)]
struct Stream {
    columns: CsvColumns,
    unit: TimeUnit,
    source: TimeSource,
    words: Words,
}

/// A batch column by column.
#[derive(Debug, Default)]
struct Columns {
    time: Option<Times>,
    class: Option<StringArray>,
    asset: Option<StringArray>,
    quality: Option<StringArray>,
    metrics: Vec<Metric>,
}

#[derive(Debug)]
enum Times {
    /// Microseconds since 1970.
    Micros(Int64Array),
    Counts(Int64Array),
    Texts(StringArray),
}

#[derive(Debug)]
struct Metric {
    name: String,
    values: Values,
    quality: Option<StringArray>,
}

#[derive(Debug)]
enum Values {
    Numbers(Float64Array),
    Texts(StringArray),
    /// Of a type that has no place in a table.
    Others(ArrayRef),
}

/// The codec of a rule.
pub(super) fn codec(rule: &MappingRule) -> Box<dyn Codec> {
    Box::new(Stream {
        columns: rule.columns.clone().unwrap_or_default(),
        unit: rule.time_unit(),
        source: rule.time_source(),
        words: Words::of(rule),
    })
}

impl Codec for Stream {
    fn decode(&mut self, message: &Message<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let most = sink.most_rows();
        frames::check(message.payload, most)?;
        let unit = message.unit.unwrap_or(self.unit);
        for batch in batches(message.payload)? {
            let columns = self.columns(&batch)?;
            for row in 0..batch.num_rows() {
                self.row(&columns, row, unit, sink)?;
            }
        }
        Ok(())
    }
}

/// The batches of a stream whose frames are whole.
fn batches(payload: &[u8]) -> Result<Vec<RecordBatch>, Rejection> {
    let read = || {
        let mut decoder = StreamDecoder::new();
        let mut rest = Buffer::from(payload);
        let mut batches = Vec::new();
        while let Some(batch) = decoder.decode(&mut rest)? {
            batches.push(batch);
        }
        // A stream may end without its end mark: then the payload ended between two messages.
        Ok::<_, arrow::error::ArrowError>(batches)
    };
    // What the frames' check lets pass and the library still stumbles over is a bad payload.
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| malformed(error.to_string())),
        Err(_) => Err(malformed("the Arrow stream contradicts itself")),
    }
}

impl Stream {
    fn columns(&self, batch: &RecordBatch) -> Result<Columns, Rejection> {
        let mut columns = Columns::default();
        let of = &self.columns;
        let is = |option: &Option<String>, name: &str| option.as_deref() == Some(name);
        let mut qualities: Vec<(String, StringArray)> = Vec::new();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let name = field.name().as_str();
            if name == of.time {
                columns.time = Some(times(column)?);
            } else if is(&of.class, name) {
                columns.class = Some(texts(column)?);
            } else if is(&of.asset, name) {
                columns.asset = Some(texts(column)?);
            } else if is(&of.quality, name) {
                columns.quality = Some(texts(column)?);
            } else if let Some(metric) = name.strip_suffix(QUALITY) {
                qualities.push((metric.to_owned(), texts(column)?));
            } else {
                columns.metrics.push(Metric {
                    name: name.to_owned(),
                    values: values(column)?,
                    quality: None,
                });
            }
        }
        for (name, quality) in qualities {
            let mut metrics = columns.metrics.iter_mut();
            match metrics.find(|metric| metric.name == name) {
                Some(metric) => metric.quality = Some(quality),
                None => return Err(malformed(format!("qualities of no column \"{name}\""))),
            }
        }
        Ok(columns)
    }

    fn row(
        &self,
        columns: &Columns,
        row: usize,
        unit: TimeUnit,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        let class = text(columns.class.as_ref(), row);
        let asset = text(columns.asset.as_ref(), row);
        let series = sink.series_named(class, asset)?;
        sink.begin(series);
        let of_all = text(columns.quality.as_ref(), row);
        let of_all = of_all.map_or(Quality::Good, |word| self.words.quality(word));
        for metric in &columns.metrics {
            let quality = text(metric.quality.as_ref(), row);
            let quality = quality.map_or(of_all, |word| self.words.quality(word));
            let value = match &metric.values {
                Values::Numbers(numbers) if numbers.is_valid(row) => {
                    Value::Number(numbers.value(row))
                }
                Values::Texts(texts) if texts.is_valid(row) => Value::Text(texts.value(row)),
                Values::Others(others) if others.is_valid(row) => {
                    sink.not_a_value(&metric.name);
                    continue;
                }
                _ => Value::Absent,
            };
            sink.sample(&metric.name, value, quality);
        }
        let time = match &columns.time {
            Some(Times::Micros(times)) if times.is_valid(row) => Instant::Micros(times.value(row)),
            Some(Times::Counts(counts)) if counts.is_valid(row) => {
                Instant::Micros(unit.micros(counts.value(row)))
            }
            Some(Times::Texts(texts)) if texts.is_valid(row) => {
                instant::of_either(texts.value(row), unit)
            }
            _ => Instant::Absent,
        };
        sink.end(time.chosen(self.source, sink.received_at())?)
    }
}

fn text(texts: Option<&StringArray>, row: usize) -> Option<&str> {
    let texts = texts?;
    texts.is_valid(row).then(|| texts.value(row))
}

fn times(column: &ArrayRef) -> Result<Times, Rejection> {
    match column.data_type() {
        DataType::Timestamp(..) => {
            let micros = cast_to(column, &instant_type())?;
            let micros = cast_to(&micros, &DataType::Int64)?;
            Ok(Times::Micros(micros.as_primitive::<Int64Type>().clone()))
        }
        kind if kind.is_integer() => {
            let counts = cast_to(column, &DataType::Int64)?;
            Ok(Times::Counts(counts.as_primitive::<Int64Type>().clone()))
        }
        _ => texts(column).map(Times::Texts),
    }
}

fn texts(column: &ArrayRef) -> Result<StringArray, Rejection> {
    if !is_text(column.data_type()) {
        let kind = column.data_type();
        return Err(malformed(format!(
            "expected a column of texts, found {kind}"
        )));
    }
    let texts = cast_to(column, &DataType::Utf8)?;
    Ok(texts.as_string::<i32>().clone())
}

fn values(column: &ArrayRef) -> Result<Values, Rejection> {
    let kind = column.data_type();
    if is_text(kind) {
        return texts(column).map(Values::Texts);
    }
    if kind.is_numeric() || matches!(kind, DataType::Boolean | DataType::Null) {
        let numbers = cast_to(column, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>().clone();
        return Ok(Values::Numbers(numbers));
    }
    Ok(Values::Others(column.clone()))
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn cast_to(column: &ArrayRef, kind: &DataType) -> Result<ArrayRef, Rejection> {
    cast(column, kind).map_err(|error| malformed(error.to_string()))
}

#[cfg(test)]
mod tests;
