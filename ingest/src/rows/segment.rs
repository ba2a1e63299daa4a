//! Finished columns that do not know their table yet.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;

use crate::catalog::{Class, FIXED_COLUMNS, hot_field, sequence_field};
use crate::snapshot::HotBatch;

#[derive(Debug)]
pub(super) struct Segment {
    pub assets: StringArray,
    pub time: Vec<i64>,
    pub received_at: Vec<i64>,
    pub sequence: Vec<u64>,
    /// Place among the table's metric and side columns, and the values.
    pub columns: Vec<(usize, ArrayRef)>,
}

impl Segment {
    /// One batch; none where there is no row.
    pub(super) fn finish(self, class: &Class) -> Option<Arc<HotBatch>> {
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
        for (column, values) in self.columns {
            fields.push(hot_field(&table[FIXED_COLUMNS + column]));
            columns.push(values);
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
