//! A batch of readings as slices of columns.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use fieldwright_ingest::snapshot::{ASSET, KIND, RECEIVED_AT, SEQUENCE, SIDE_OF, TIME};

/// What stands in a quality column beside a value that says nothing.
const BAD: &str = "bad";

/// The columns of a batch.
pub(in crate::detect) struct Columns<'a> {
    assets: &'a StringArray,
    times: &'a TimestampMicrosecondArray,
    received: Option<&'a TimestampMicrosecondArray>,
    metrics: Vec<(usize, Slice<'a>)>,
    /// By metric, the rows whose value is bad as rows that have none.
    bad: Vec<NullBuffer>,
}

/// The values of one metric.
#[derive(Clone)]
pub(in crate::detect) struct Slice<'a> {
    values: &'a [f64],
    /// Absent values and bad ones.
    nulls: Option<NullBuffer>,
}

impl Slice<'_> {
    /// The value of a row, NaN where there is none.
    #[inline]
    pub(in crate::detect) fn value(&self, row: usize) -> f64 {
        match &self.nulls {
            Some(nulls) if nulls.is_null(row) => f64::NAN,
            _ => self.values[row],
        }
    }
}

impl<'a> Columns<'a> {
    /// The columns of a batch, bad values absent; `number` gives each metric its number. `None` when it has no
    /// readings.
    pub(in crate::detect) fn of(
        batch: &'a RecordBatch,
        mut number: impl FnMut(&str) -> usize,
    ) -> Option<Self> {
        let assets = batch.column_by_name(ASSET)?.as_any().downcast_ref()?;
        let times = batch.column_by_name(TIME)?.as_any().downcast_ref()?;
        let received = batch.column_by_name(RECEIVED_AT);
        let received = received.and_then(|column| column.as_any().downcast_ref());
        let schema = batch.schema_ref();
        let bad = bad_values(batch);
        let mut metrics = Vec::with_capacity(schema.fields().len());
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            // Side columns are no metrics of their own.
            if [ASSET, TIME, RECEIVED_AT, SEQUENCE].contains(&field.name().as_str())
                || field.metadata().contains_key(SIDE_OF)
            {
                continue;
            }
            if let Some(values) = column.as_any().downcast_ref::<Float64Array>() {
                let slice = Slice {
                    values: values.values(),
                    nulls: NullBuffer::union(values.nulls(), bad.get(field.name().as_str())),
                };
                metrics.push((number(field.name()), slice));
            }
        }
        Some(Self {
            assets,
            times,
            received,
            metrics,
            bad: bad.into_values().collect(),
        })
    }

    /// Whether a row has a value that is bad.
    pub(in crate::detect) fn has_bad(&self, row: usize) -> bool {
        self.bad.iter().any(|bad| bad.is_null(row))
    }

    /// How old a row was when it was received; nothing where that is not known.
    /// **Units**: microseconds.
    #[inline]
    pub(in crate::detect) fn age(&self, row: usize) -> i64 {
        let received = self.received.filter(|received| received.is_valid(row));
        received.map_or(0, |received| {
            received.value(row).saturating_sub(self.time(row))
        })
    }

    /// The slices by the number of their metric.
    pub(in crate::detect) fn by_metric(&self, metrics: usize) -> Vec<Option<Slice<'a>>> {
        let mut slices = vec![None; metrics];
        for (number, slice) in &self.metrics {
            // A number beyond is that of a metric that nobody asks for.
            if let Some(place) = slices.get_mut(*number) {
                *place = Some(slice.clone());
            }
        }
        slices
    }

    #[inline]
    pub(in crate::detect) fn asset(&self, row: usize) -> &'a str {
        self.assets.value(row)
    }

    /// **Units**: microseconds since 1970.
    #[inline]
    pub(in crate::detect) fn time(&self, row: usize) -> i64 {
        self.times.value(row)
    }
}

/// By metric, the rows whose value is bad as rows that have none.
fn bad_values(batch: &RecordBatch) -> HashMap<&str, NullBuffer> {
    let mut bad = HashMap::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let metadata = field.metadata();
        let quality = metadata.get(KIND).is_some_and(|kind| kind == "quality");
        let Some(metric) = metadata.get(SIDE_OF).filter(|_| quality) else {
            continue;
        };
        // Hot rows share the words in a dictionary, files do not.
        let Ok(words) = cast(column, &DataType::Utf8) else {
            continue;
        };
        let words = words.as_string::<i32>();
        let good = |row: usize| words.is_null(row) || words.value(row) != BAD;
        let good = BooleanBuffer::collect_bool(words.len(), good);
        bad.insert(metric.as_str(), NullBuffer::new(good));
    }
    bad
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, DictionaryArray};
    use arrow::datatypes::{Field, Int32Type, Schema};

    use super::*;

    #[test]
    fn bad_values_and_side_columns_are_not_seen() {
        let times = TimestampMicrosecondArray::from(vec![1, 2, 3, 4]).with_timezone("UTC");
        let quality: DictionaryArray<Int32Type> = vec![None, Some("bad"), Some("uncertain"), None]
            .into_iter()
            .collect();
        let side = |kind: &str| {
            [(SIDE_OF, "a"), (KIND, kind)].map(|(key, word)| (key.to_owned(), word.to_owned()))
        };
        let columns: Vec<(Field, ArrayRef)> = vec![
            (
                Field::new(ASSET, DataType::Utf8, false),
                Arc::new(StringArray::from(vec!["P1"; 4])),
            ),
            (
                Field::new(TIME, times.data_type().clone(), false),
                Arc::new(times),
            ),
            (
                Field::new("a", DataType::Float64, true),
                Arc::new(Float64Array::from(vec![
                    Some(1.0),
                    Some(2.0),
                    Some(3.0),
                    None,
                ])),
            ),
            (
                Field::new("a__quality", quality.data_type().clone(), true)
                    .with_metadata(side("quality").into()),
                Arc::new(quality),
            ),
            (
                Field::new("a__number", DataType::Float64, true)
                    .with_metadata(side("number").into()),
                Arc::new(Float64Array::from(vec![9.0; 4])),
            ),
        ];
        let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let mut names = Vec::new();
        let columns = Columns::of(&batch, |name| {
            names.push(name.to_owned());
            names.len() - 1
        });
        let slices = columns.unwrap().by_metric(1);
        assert_eq!(names, ["a"]);
        let slice = slices[0].as_ref().unwrap();
        let seen: Vec<String> = (0..4).map(|row| slice.value(row).to_string()).collect();
        assert_eq!(seen, ["1", "NaN", "3", "NaN"]);
    }
}
