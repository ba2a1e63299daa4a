//! Selected rows of a row group as batches of a good size.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow::array::{ArrayData, MutableArrayData};
use arrow::datatypes::SchemaRef;
use datafusion::error::Result;

/// The columns of one row group and the rows of it that are still to leave.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<ArrayRef>,
    /// Ascending.
    pub(super) rows: std::vec::IntoIter<Range<usize>>,
    pub(super) rest: Range<usize>,
    pub(super) batch_rows: usize,
}

impl Gathering {
    /// The next batch: a slice without a copy of a long range, or short ranges brought together.
    pub(super) fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut short: Vec<Range<usize>> = Vec::new();
        let mut count = 0;
        loop {
            if self.rest.is_empty() {
                match self.rows.next() {
                    Some(range) => self.rest = range,
                    None => break,
                }
            }
            let long = self.rest.len() * 2 >= self.batch_rows;
            if long && short.is_empty() {
                let end = self.rest.end.min(self.rest.start + self.batch_rows);
                let range = std::mem::replace(&mut self.rest.start, end)..end;
                return self.batch(&[range]).map(Some);
            }
            if long || count + self.rest.len() > self.batch_rows {
                break;
            }
            count += self.rest.len();
            short.push(std::mem::take(&mut self.rest));
        }
        match short.is_empty() {
            true => Ok(None),
            false => self.batch(&short).map(Some),
        }
    }

    fn batch(&self, ranges: &[Range<usize>]) -> Result<RecordBatch> {
        let rows = ranges.iter().map(|range| range.len()).sum();
        let columns = self.columns.iter().map(|column| match ranges {
            [one] => Ok(column.slice(one.start, one.len())),
            ranges => together(column, ranges, rows),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }
}

fn together(column: &ArrayRef, ranges: &[Range<usize>], rows: usize) -> Result<ArrayRef> {
    let data: ArrayData = column.to_data();
    let mut taken = MutableArrayData::new(vec![&data], false, rows);
    for range in ranges {
        taken.try_extend(0, range.start, range.end)?;
    }
    Ok(make_array(taken.freeze()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn check(ranges: Vec<Range<usize>>, expected: &[&[i64]]) {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        let mut gathering = Gathering {
            schema: Arc::new(schema),
            columns: vec![Arc::new(Int64Array::from_iter_values(0..100))],
            rows: ranges.into_iter(),
            rest: 0..0,
            batch_rows: 8,
        };
        let mut found = Vec::new();
        while let Some(batch) = gathering.next_batch().unwrap() {
            found.push(
                batch
                    .column(0)
                    .as_primitive::<Int64Type>()
                    .values()
                    .to_vec(),
            );
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn long_ranges_are_cut_and_short_ones_come_together() {
        check(vec![], &[]);
        check(vec![0..10], &[&[0, 1, 2, 3, 4, 5, 6, 7], &[8, 9]]);
        check(vec![1..3, 5..6, 9..11], &[&[1, 2, 5, 9, 10]]);
        check(
            vec![1..4, 10..13, 20..23],
            &[&[1, 2, 3, 10, 11, 12], &[20, 21, 22]],
        );
        check(
            vec![1..3, 10..16, 20..21],
            &[&[1, 2], &[10, 11, 12, 13, 14, 15], &[20]],
        );
    }
}
