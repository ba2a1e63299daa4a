//! Which columns of a batch belong to which metric.
//!
//! A metric has its own column and may have side columns (text beside a number, a number beside
//! text, quality), which say in their field's metadata whose side they are on.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Schema};
use arrow::record_batch::RecordBatch;

use super::Quality;
use super::cells::{Sample, Value};
use crate::snapshot::{ASSET, RECEIVED_AT, SEQUENCE, TIME};

/// Key of a field's metadata that names the metric whose side column it is.
const SIDE_OF: &str = "side_of";
/// Key of a field's metadata that says what the side column holds.
const KIND: &str = "kind";

/// What a column of a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Numbers of its metric.
    Number,
    /// Texts of its metric.
    Text,
    /// Qualities of its metric.
    Quality,
}

/// The columns of one metric in one batch.
#[derive(Debug, Default)]
pub(super) struct MetricColumns {
    metric: u32,
    /// Its own, and in files those that do not fit it.
    numbers: Vec<Float64Array>,
    text: Option<Texts>,
    quality: Option<Texts>,
}

/// A column of texts, plain or through a dictionary.
#[derive(Debug)]
pub(super) enum Texts {
    Plain(StringArray),
    Coded(DictionaryArray<Int32Type>, StringArray),
}

/// The metric of a column and what the column holds of it; none for the columns of the row.
pub(super) fn role(field: &Field) -> Option<(&str, Role)> {
    if [ASSET, TIME, RECEIVED_AT, SEQUENCE].contains(&field.name().as_str()) {
        return None;
    }
    let metadata = field.metadata();
    let metric = metadata
        .get(SIDE_OF)
        .map_or(field.name().as_str(), String::as_str);
    let role = match metadata.get(KIND).map(String::as_str) {
        Some("quality") => Role::Quality,
        Some("text") => Role::Text,
        Some("number" | "double") => Role::Number,
        _ if is_text(field.data_type()) => Role::Text,
        _ => Role::Number,
    };
    Some((metric, role))
}

/// The metrics of a batch. `number_of` gives a metric its number.
pub(super) fn of_batch(
    batch: &RecordBatch,
    mut number_of: impl FnMut(&str) -> u32,
) -> Vec<MetricColumns> {
    let mut columns: Vec<MetricColumns> = Vec::new();
    let mut places: HashMap<u32, usize> = HashMap::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some((metric, role)) = role(field) else {
            continue;
        };
        if column.null_count() == column.len() {
            continue;
        }
        let metric = number_of(metric);
        let place = *places.entry(metric).or_insert_with(|| {
            columns.push(MetricColumns {
                metric,
                ..MetricColumns::default()
            });
            columns.len() - 1
        });
        let of = &mut columns[place];
        match role {
            Role::Number => of.numbers.extend(numbers(column)),
            Role::Text => of.text = Texts::of(column),
            Role::Quality => of.quality = Texts::of(column),
        }
    }
    columns
}

impl MetricColumns {
    /// The metric's sample in a row, if it has one.
    pub(super) fn sample(&self, row: usize) -> Option<Sample<'_>> {
        let number = self.numbers.iter().find(|numbers| numbers.is_valid(row));
        let text = || self.text.as_ref()?.get(row);
        let quality = self.quality.as_ref().and_then(|texts| texts.get(row));
        let value = match number {
            Some(numbers) => Value::Number(numbers.value(row)),
            None => match text() {
                Some(text) => Value::Text(text),
                None if quality.is_some() => Value::Absent,
                None => return None,
            },
        };
        Some(Sample {
            metric: self.metric,
            value,
            quality: quality.map_or(Quality::Good, Quality::of_name),
        })
    }
}

impl Texts {
    pub(super) fn of(column: &ArrayRef) -> Option<Self> {
        if let Some(plain) = column.as_string_opt::<i32>() {
            return Some(Self::Plain(plain.clone()));
        }
        if let Some(coded) = column.as_dictionary_opt::<Int32Type>()
            && let Some(words) = coded.values().as_string_opt::<i32>()
        {
            return Some(Self::Coded(coded.clone(), words.clone()));
        }
        let plain = cast(column, &DataType::Utf8).ok()?;
        Some(Self::Plain(plain.as_string::<i32>().clone()))
    }

    pub(super) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Plain(texts) => texts.is_valid(row).then(|| texts.value(row)),
            Self::Coded(codes, words) => Some(words.value(codes.key(row)?)),
        }
    }
}

/// Places of columns and what they hold.
type Placed = Vec<(usize, Role)>;

/// Metrics of a schema in order, each with its columns and what they hold.
pub(super) fn of_schema(schema: &Schema) -> Vec<(Arc<str>, Placed)> {
    let mut metrics: Vec<(Arc<str>, Placed)> = Vec::new();
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    for (column, field) in schema.fields().iter().enumerate() {
        let Some((metric, role)) = role(field) else {
            continue;
        };
        let place = *places.entry(metric.into()).or_insert_with(|| {
            metrics.push((metric.into(), Vec::new()));
            metrics.len() - 1
        });
        metrics[place].1.push((column, role));
    }
    metrics
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn numbers(column: &ArrayRef) -> Option<Float64Array> {
    if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
        return Some(numbers.clone());
    }
    let numbers = cast(column, &DataType::Float64).ok()?;
    Some(numbers.as_primitive::<Float64Type>().clone())
}
