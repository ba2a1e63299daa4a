//! Rows of one table on their way into record batches.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Float64Builder, StringArray, StringBuilder,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;

use crate::catalog::{Class, FIXED_COLUMNS, sequence_field};
use crate::snapshot::HotBatch;

/// Cells (rows × metric columns) that a batch may have however few of them hold a value.
pub(crate) const SPARSE_CELLS: usize = 32 * 1024;
/// Cells per value beyond which a batch is cut: an absent value takes as much as a present one.
const CELLS_PER_VALUE: usize = 8;
/// Places that a new column has at first; most commits are small.
const FIRST_PLACES: usize = 16;

/// Columns under construction; only the metrics that occur have one.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Earlier rows, cut off because the columns of later ones would have been mostly absent.
    cut: Vec<Segment>,
    assets: StringBuilder,
    time: Vec<i64>,
    received_at: Vec<i64>,
    /// Filled for late rows only.
    sequence: Vec<u64>,
    metrics: Vec<Option<Float64Builder>>,
    /// Metrics that have a builder.
    columns: usize,
    values: usize,
}

/// The fixed columns of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowHead<'a> {
    pub asset: &'a str,
    pub time: i64,
    pub received_at: i64,
    /// The arrival number of a late row.
    pub sequence: Option<u64>,
}

/// Finished columns that do not know their table yet.
#[derive(Debug)]
struct Segment {
    assets: StringArray,
    time: Vec<i64>,
    received_at: Vec<i64>,
    sequence: Vec<u64>,
    /// Place among the table's metrics, and the values.
    metrics: Vec<(usize, Float64Array)>,
}

impl Rows {
    pub(crate) fn push(&mut self, head: RowHead<'_>, values: &[(u32, f64)]) {
        if self.would_be_sparse(values) {
            let segment = self.cut_off();
            self.cut.push(segment);
        }
        if self.time.is_empty() {
            self.assets = StringBuilder::with_capacity(FIRST_PLACES, FIRST_PLACES * 8);
        }
        let row = self.time.len();
        self.assets.append_value(head.asset);
        self.time.push(head.time);
        self.received_at.push(head.received_at);
        self.sequence.extend(head.sequence);
        self.values += values.len();
        for (column, value) in values {
            let column = *column as usize;
            if column >= self.metrics.len() {
                self.metrics.resize_with(column + 1, || None);
            }
            let builder = self.metrics[column].get_or_insert_with(|| {
                self.columns += 1;
                Float64Builder::with_capacity(FIRST_PLACES)
            });
            // A metric may have been absent from the rows before this one.
            let missing = row - builder.values_slice().len();
            if missing > 0 {
                builder.append_nulls(missing);
            }
            builder.append_value(*value);
        }
    }

    /// The rows as batches in order, each with the table's fields in order and without the
    /// metrics that do not occur in it: mostly one.
    pub(crate) fn finish(mut self, class: &Class) -> Vec<Arc<HotBatch>> {
        let last = self.cut_off();
        self.cut.push(last);
        self.cut
            .into_iter()
            .filter_map(|segment| segment.finish(class))
            .collect()
    }

    /// Whether the batch with one more row would be mostly absent values.
    fn would_be_sparse(&self, values: &[(u32, f64)]) -> bool {
        let is_new = |column: u32| !matches!(self.metrics.get(column as usize), Some(Some(_)));
        let new = values.iter().filter(|(column, _)| is_new(*column)).count();
        let cells = (self.time.len() + 1) * (self.columns + new);
        let most = CELLS_PER_VALUE * (self.values + values.len());
        !self.time.is_empty() && cells > SPARSE_CELLS.max(most)
    }

    /// Takes all rows since the last cut.
    fn cut_off(&mut self) -> Segment {
        let rows = self.time.len();
        (self.columns, self.values) = (0, 0);
        let metrics = self.metrics.iter_mut().enumerate();
        let metrics = metrics.filter_map(|(column, builder)| {
            let mut builder = builder.take()?;
            builder.append_nulls(rows - builder.values_slice().len());
            let mut values = builder.finish();
            values.shrink_to_fit();
            Some((column, values))
        });
        let metrics = metrics.collect();
        let mut assets = self.assets.finish();
        assets.shrink_to_fit();
        Segment {
            assets,
            time: std::mem::take(&mut self.time),
            received_at: std::mem::take(&mut self.received_at),
            sequence: std::mem::take(&mut self.sequence),
            metrics,
        }
    }
}

impl Segment {
    fn finish(self, class: &Class) -> Option<Arc<HotBatch>> {
        let (min_time, max_time) = (*self.time.iter().min()?, *self.time.iter().max()?);
        let table = class.schema.fields();
        let mut fields: Vec<_> = table[..FIXED_COLUMNS].to_vec();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.assets),
            instants(self.time),
            instants(self.received_at),
        ];
        if !self.sequence.is_empty() {
            fields.push(Arc::new(sequence_field()));
            columns.push(Arc::new(UInt64Array::from(self.sequence)));
        }
        for (column, values) in self.metrics {
            fields.push(table[FIXED_COLUMNS + column].clone());
            columns.push(Arc::new(values));
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .expect("every column has one value per row and its field's type");
        Some(Arc::new(HotBatch {
            batch,
            min_time,
            max_time,
        }))
    }
}

fn instants(mut micros: Vec<i64>) -> ArrayRef {
    micros.shrink_to_fit();
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}
