//! Late rows of one asset put where they belong, reading by reading.
//!
//! What a query and a compaction do: the row that arrived last wins for every metric of which it
//! says anything. Only what detection sees comes out: numbers that are not bad.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt64Type};
use arrow::record_batch::RecordBatch;
use fieldwright_ingest::snapshot::{ASSET, SEQUENCE, SIDE_OF, TIME};

use crate::detect::engine::Columns;

/// The rows of one asset in order of event time, one of an instant: in-order batches as they are
/// when no row came late.
pub(super) fn merged(in_order: Vec<RecordBatch>, late: &[RecordBatch]) -> Vec<RecordBatch> {
    let Some(first) = late.iter().find(|batch| batch.num_rows() > 0) else {
        return in_order;
    };
    let mut rows = Rows::default();
    for batch in in_order.iter().chain(late) {
        rows.take(batch);
    }
    let tag = first.column_by_name(ASSET).and_then(|column| {
        let tags: &StringArray = column.as_any().downcast_ref()?;
        Some(tags.value(0).to_owned())
    });
    let merged = tag.and_then(|tag| rows.merged(&tag));
    merged.into_iter().collect()
}

/// All rows, as they came.
#[derive(Default)]
struct Rows {
    /// Event time, and place in the order of arrival; rows that came in order came first.
    keys: Vec<(i64, u64)>,
    /// By metric, as long as the keys or shorter: the value, NaN when there is none or it is bad,
    /// and whether the row says anything of the metric.
    metrics: BTreeMap<String, Vec<(f64, bool)>>,
}

impl Rows {
    fn take(&mut self, batch: &RecordBatch) {
        let mut names: Vec<String> = Vec::new();
        let number = |name: &str| {
            names.push(name.to_owned());
            names.len() - 1
        };
        let Some(columns) = Columns::of(batch, number) else {
            return;
        };
        let arrived = batch.column_by_name(SEQUENCE);
        let arrived = arrived.and_then(|column| cast(column, &DataType::UInt64).ok());
        let arrived = arrived
            .as_ref()
            .map(|column| column.as_primitive::<UInt64Type>());
        let before = self.keys.len();
        for row in 0..batch.num_rows() {
            let number = arrived.filter(|arrived| arrived.is_valid(row));
            let number = number.map_or(0, |arrived| arrived.value(row).saturating_add(1));
            self.keys.push((columns.time(row), number));
        }
        let slices = columns.by_metric(names.len());
        for (name, slice) in names.into_iter().zip(slices) {
            let said = said(batch, &name);
            let own = self.metrics.entry(name).or_default();
            own.resize(before, (f64::NAN, false));
            let value = |row: usize| slice.as_ref().map_or(f64::NAN, |slice| slice.value(row));
            own.extend((0..batch.num_rows()).map(|row| (value(row), said.value(row))));
        }
    }

    /// One row per instant.
    fn merged(mut self, tag: &str) -> Option<RecordBatch> {
        for own in self.metrics.values_mut() {
            own.resize(self.keys.len(), (f64::NAN, false));
        }
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        // Rows of one journal record share their number; their places tell them apart.
        order.sort_by_key(|row| self.keys[*row]);
        let same = |a: &usize, b: &usize| self.keys[*a].0 == self.keys[*b].0;
        let instants: Vec<&[usize]> = order.chunk_by(same).collect();
        let times = instants.iter().map(|rows| self.keys[rows[0]].0);
        let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
        let tags = StringArray::from_iter_values(std::iter::repeat_n(tag, instants.len()));
        let mut columns: Vec<(&str, ArrayRef)> =
            vec![(ASSET, Arc::new(tags)), (TIME, Arc::new(times))];
        for (name, own) in &self.metrics {
            let value = |rows: &&[usize]| {
                let last = rows.iter().rev().find(|row| own[**row].1)?;
                Some(own[*last].0).filter(|value| value.is_finite())
            };
            let values: Float64Array = instants.iter().map(value).collect();
            columns.push((name, Arc::new(values)));
        }
        RecordBatch::try_from_iter(columns).ok()
    }
}

/// The rows that say anything of a metric: its own column or one beside it.
fn said(batch: &RecordBatch, metric: &str) -> BooleanBuffer {
    let schema = batch.schema_ref();
    let mut said = BooleanBuffer::new_unset(batch.num_rows());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let beside = field.metadata().get(SIDE_OF).is_some_and(|of| of == metric);
        if field.name() == metric || beside {
            said = match column.logical_nulls() {
                None => return BooleanBuffer::new_set(batch.num_rows()),
                Some(nulls) => &said | nulls.inner(),
            };
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as `time a b`, `-` for nothing, with the number of their journal record when late.
    fn rows(text: &str, late: Option<u64>) -> RecordBatch {
        let rows: Vec<Vec<&str>> = text
            .split(", ")
            .map(|row| row.split(' ').collect())
            .collect();
        let times = rows.iter().map(|row| row[0].parse::<i64>().unwrap());
        let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
        let tags = StringArray::from_iter_values(rows.iter().map(|_| "P-1"));
        let mut columns: Vec<(&str, ArrayRef)> =
            vec![(ASSET, Arc::new(tags)), (TIME, Arc::new(times))];
        for (place, name) in ["a", "b"].into_iter().enumerate() {
            let values = rows.iter().map(|row| row[place + 1].parse::<f64>().ok());
            columns.push((name, Arc::new(values.collect::<Float64Array>())));
        }
        if let Some(number) = late {
            let numbers = arrow::array::UInt64Array::from(vec![number; rows.len()]);
            columns.push((SEQUENCE, Arc::new(numbers)));
        }
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[track_caller]
    fn check(in_order: &[&str], late: &[(&str, u64)], expected: &str) {
        let in_order = in_order.iter().map(|text| rows(text, None)).collect();
        let late: Vec<RecordBatch> = late.iter().map(|(text, n)| rows(text, Some(*n))).collect();
        let found = merged(in_order, &late);
        let mut shown = Vec::new();
        for batch in &found {
            let mut names = Vec::new();
            let columns = Columns::of(batch, |name| {
                names.push(name.to_owned());
                names.len() - 1
            });
            let columns = columns.unwrap();
            let slices = columns.by_metric(2);
            for row in 0..batch.num_rows() {
                let value = |at: usize| match slices[at].as_ref().unwrap().value(row) {
                    value if value.is_nan() => "-".to_owned(),
                    value => value.to_string(),
                };
                shown.push(format!("{} {} {}", columns.time(row), value(0), value(1)));
            }
        }
        assert_eq!(shown.join(", "), expected);
    }

    #[test]
    fn late_rows_stand_where_they_belong_and_the_last_word_counts() {
        check(&["1 10 20, 3 30 -"], &[], "1 10 20, 3 30 -");
        check(
            &["1 10 20", "5 50 -"],
            &[("3 30 -", 7)],
            "1 10 20, 3 30 -, 5 50 -",
        );
        // Another metric of the same instant is added, one that is said again is corrected.
        check(&["1 10 -"], &[("1 - 20", 7), ("1 11 -", 8)], "1 11 20");
        check(&["1 10 20"], &[("1 12 -", 9), ("1 11 21", 8)], "1 12 21");
        check(&["1 10 20"], &[("1 10 20", 9)], "1 10 20");
        check(&[], &[("2 2 2, 1 1 1", 9)], "1 1 1, 2 2 2");
    }
}
