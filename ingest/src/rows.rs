//! Rows of one table on their way into a record batch.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Builder, StringBuilder, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;

use crate::catalog::{Class, FIXED_COLUMNS, sequence_field};
use crate::snapshot::HotBatch;

/// Columns under construction; only the metrics that occur have one.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    assets: StringBuilder,
    time: Vec<i64>,
    received_at: Vec<i64>,
    /// Filled for late rows only.
    sequence: Vec<u64>,
    metrics: Vec<Option<Float64Builder>>,
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

impl Rows {
    pub(crate) fn push(&mut self, head: RowHead<'_>, values: &[(u32, f64)]) {
        let row = self.time.len();
        self.assets.append_value(head.asset);
        self.time.push(head.time);
        self.received_at.push(head.received_at);
        self.sequence.extend(head.sequence);
        for (column, value) in values {
            let column = *column as usize;
            if column >= self.metrics.len() {
                self.metrics.resize_with(column + 1, || None);
            }
            let builder = self.metrics[column].get_or_insert_default();
            // A metric may have been absent from the rows before this one.
            let missing = row - builder.values_slice().len();
            if missing > 0 {
                builder.append_nulls(missing);
            }
            builder.append_value(*value);
        }
    }

    /// The rows as a batch, the table's fields in order, metrics that do not occur left out.
    pub(crate) fn finish(mut self, class: &Class) -> Option<Arc<HotBatch>> {
        let rows = self.time.len();
        let (min_time, max_time) = (*self.time.iter().min()?, *self.time.iter().max()?);
        let table = class.schema.fields();
        let mut fields: Vec<_> = table[..FIXED_COLUMNS].to_vec();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.assets.finish()),
            instants(self.time),
            instants(self.received_at),
        ];
        if !self.sequence.is_empty() {
            fields.push(Arc::new(sequence_field()));
            columns.push(Arc::new(UInt64Array::from(self.sequence)));
        }
        for (column, builder) in self.metrics.into_iter().enumerate() {
            let Some(mut builder) = builder else { continue };
            builder.append_nulls(rows - builder.values_slice().len());
            fields.push(table[FIXED_COLUMNS + column].clone());
            columns.push(Arc::new(builder.finish()));
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

fn instants(micros: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}
