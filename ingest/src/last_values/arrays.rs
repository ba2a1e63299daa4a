//! Last values as record batches: wide (one row an asset) and long (one row a metric).

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, Float64Builder, RecordBatchOptions, StringBuilder, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::cells::{AssetCells, Instant, Sample, Value};
use super::columns::{Role, of_schema};
use super::{ClassLastValues, Quality};
use crate::catalog::instant_type;
use crate::snapshot::{ASSET, RECEIVED_AT, TIME};

static LONG: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new(ASSET, DataType::Utf8, false),
        Field::new("class", DataType::Utf8, false),
        Field::new("metric", DataType::Utf8, false),
        Field::new("value", DataType::Float64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("quality", DataType::Utf8, false),
        Field::new("unit", DataType::Utf8, true),
        Field::new(TIME, instant_type(), false),
        Field::new(RECEIVED_AT, instant_type(), false),
    ]))
});

/// The schema of long rows: asset, class, metric, value, text, quality, unit, time, received_at.
pub fn long_schema() -> SchemaRef {
    LONG.clone()
}

/// Where the columns of one metric go in a wide batch.
#[derive(Debug, Clone, Copy, Default)]
struct Places {
    number: Option<usize>,
    text: Option<usize>,
    quality: Option<usize>,
}

/// A column of metrics under construction.
enum Column {
    Numbers(Float64Builder),
    Texts(StringBuilder),
}

impl ClassLastValues {
    /// One row per asset in the order given, with the columns of [`Self::schema`] that
    /// `projection` names. An asset without a sample has no row. A metric whose last sample was
    /// text has its value in the text column, and its number column is null there.
    ///
    /// **Errors**: the projection names a column that is not there.
    pub fn wide(&self, assets: &[u32], projection: &[usize]) -> Result<RecordBatch, ArrowError> {
        let schema = Arc::new(self.schema.project(projection)?);
        let (places, mut columns) = self.places(&schema);
        let rows: Vec<(u32, &AssetCells, Instant)> = assets
            .iter()
            .filter_map(|asset| {
                let cells = self.cells(*asset);
                Some((*asset, cells, cells.newest()?))
            })
            .collect();
        if columns.iter().any(Option::is_some) {
            for (filled, (_, cells, _)) in rows.iter().enumerate() {
                for (_, sample) in cells.samples() {
                    if let Some(places) = places.get(sample.metric as usize) {
                        places.put(&mut columns, filled, sample);
                    }
                }
            }
        }
        let arrays = schema.fields().iter().zip(columns);
        let arrays = arrays.map(|(field, column)| -> ArrayRef {
            match (column, field.name().as_str()) {
                (Some(column), _) => column.finish(rows.len()),
                (None, ASSET) => self.tags(rows.iter().map(|(asset, ..)| (*asset, 1)), rows.len()),
                (None, TIME) => instants(rows.iter().map(|(.., instant)| instant.time)),
                (None, RECEIVED_AT) => {
                    instants(rows.iter().map(|(.., instant)| instant.received_at))
                }
                (None, _) => new_null_array(field.data_type(), rows.len()),
            }
        });
        let arrays = arrays.collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(schema, arrays, &options)
    }

    /// One row per metric of each asset in the order given, with the columns of [`long_schema`]
    /// that `projection` names.
    ///
    /// **Errors**: the projection names a column that is not there.
    pub fn long(&self, assets: &[u32], projection: &[usize]) -> Result<RecordBatch, ArrowError> {
        let schema = Arc::new(LONG.project(projection)?);
        let of = |asset: &u32| self.cells(*asset).samples();
        let samples = || assets.iter().flat_map(of);
        let rows: usize = assets.iter().map(|asset| self.cells(*asset).len()).sum();
        let texts = |chars: usize, text: &dyn for<'s> Fn(Sample<'s>) -> Option<&'s str>| {
            let mut built = StringBuilder::with_capacity(rows, rows * chars);
            samples().for_each(|(_, sample)| built.append_option(text(sample)));
            Arc::new(built.finish()) as ArrayRef
        };
        let units = self.metrics.iter().map(|metric| self.unit(metric));
        let units: Vec<Option<&str>> = units.collect();
        let arrays = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                ASSET => {
                    let counts = assets
                        .iter()
                        .map(|asset| (*asset, self.cells(*asset).len()));
                    self.tags(counts, rows)
                }
                "class" => {
                    let mut built = StringBuilder::with_capacity(rows, rows * 8);
                    (0..rows).for_each(|_| built.append_value(&self.class));
                    Arc::new(built.finish())
                }
                "metric" => {
                    let mut built = StringBuilder::with_capacity(rows, rows * 12);
                    for (_, sample) in samples() {
                        built.append_value(&self.metrics[sample.metric as usize]);
                    }
                    Arc::new(built.finish())
                }
                "value" => {
                    let mut built = Float64Builder::with_capacity(rows);
                    for (_, sample) in samples() {
                        built.append_option(match sample.value {
                            Value::Number(number) => Some(number),
                            _ => None,
                        });
                    }
                    Arc::new(built.finish())
                }
                "text" => texts(0, &|sample| match sample.value {
                    Value::Text(text) => Some(text),
                    _ => None,
                }),
                "quality" => texts(4, &|sample| Some(sample.quality.name())),
                "unit" => {
                    let mut built = StringBuilder::with_capacity(rows, rows * 4);
                    for (_, sample) in samples() {
                        built.append_option(units[sample.metric as usize]);
                    }
                    Arc::new(built.finish())
                }
                TIME => instants(samples().map(|(instant, _)| instant.time)),
                _ => instants(samples().map(|(instant, _)| instant.received_at)),
            }
        });
        let arrays = arrays.collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, arrays, &options)
    }

    /// Where each metric goes by its number, and the columns of the schema that metrics fill.
    fn places(&self, schema: &Schema) -> (Vec<Places>, Vec<Option<Column>>) {
        let mut places = vec![Places::default(); self.metrics.len()];
        let mut columns: Vec<Option<Column>> = Vec::new();
        columns.resize_with(schema.fields().len(), || None);
        for (metric, of) in of_schema(schema) {
            let number = self.metrics.iter().position(|known| *known == metric);
            let Some(places) = number.map(|number| &mut places[number]) else {
                continue;
            };
            for (at, role) in of {
                let (place, column) = match role {
                    Role::Number => (&mut places.number, Column::Numbers(Float64Builder::new())),
                    Role::Text => (&mut places.text, Column::Texts(StringBuilder::new())),
                    Role::Quality => (&mut places.quality, Column::Texts(StringBuilder::new())),
                };
                *place = Some(at);
                columns[at] = Some(column);
            }
        }
        (places, columns)
    }

    fn tags(&self, counted: impl Iterator<Item = (u32, usize)>, rows: usize) -> ArrayRef {
        let mut built = StringBuilder::with_capacity(rows, rows * 12);
        for (asset, count) in counted {
            let tag = self.tag(asset);
            (0..count).for_each(|_| built.append_value(tag));
        }
        Arc::new(built.finish())
    }
}

impl Places {
    /// Puts a sample into row `row`; the rows before it that have none become null.
    fn put(self, columns: &mut [Option<Column>], row: usize, sample: Sample<'_>) {
        let mut fill = |place: Option<usize>, value: Value<'_>| {
            if let Some(Some(column)) = place.map(|at| &mut columns[at]) {
                column.put(row, value);
            }
        };
        match sample.value {
            Value::Number(_) => fill(self.number, sample.value),
            Value::Text(_) => fill(self.text, sample.value),
            Value::Absent => {}
        }
        if sample.quality != Quality::Good {
            fill(self.quality, Value::Text(sample.quality.name()));
        }
    }
}

impl Column {
    fn put(&mut self, row: usize, value: Value<'_>) {
        self.nulls_to(row);
        match (self, value) {
            (Self::Numbers(built), Value::Number(number)) => built.append_value(number),
            (Self::Texts(built), Value::Text(text)) => built.append_value(text),
            (Self::Numbers(built), _) => built.append_null(),
            (Self::Texts(built), _) => built.append_null(),
        }
    }

    fn finish(mut self, rows: usize) -> ArrayRef {
        self.nulls_to(rows);
        match self {
            Self::Numbers(mut built) => Arc::new(built.finish()),
            Self::Texts(mut built) => Arc::new(built.finish()),
        }
    }

    fn nulls_to(&mut self, row: usize) {
        use arrow::array::ArrayBuilder;
        match self {
            Self::Numbers(built) => built.append_nulls(row.saturating_sub(built.len())),
            Self::Texts(built) => (built.len()..row).for_each(|_| built.append_null()),
        }
    }
}

fn instants(micros: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}
