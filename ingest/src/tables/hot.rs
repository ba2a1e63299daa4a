//! The hot batches of one table, few however often something is committed.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use crate::catalog::{FIXED_COLUMNS, sequence_field};
use crate::snapshot::{HotBatch, SEQUENCE};

/// Batches of one size class that are merged into one.
const RUN: usize = 8;
/// Rows below which a batch belongs to a size class. A row is copied once per class at most.
const SIZES: [usize; 3] = [512, 4096, 32_768];

/// Hot batches in arrival order.
#[derive(Debug, Default)]
pub(super) struct Hot {
    /// On their way into a file.
    frozen: Vec<Arc<HotBatch>>,
    live: Vec<Arc<HotBatch>>,
}

impl Hot {
    pub(super) fn push(&mut self, rows: Arc<HotBatch>) {
        self.live.push(rows);
    }

    pub(super) fn all(&self) -> Vec<Arc<HotBatch>> {
        self.frozen.iter().chain(&self.live).cloned().collect()
    }

    /// Sets the live batches apart and returns them.
    pub(super) fn freeze(&mut self) -> Vec<Arc<HotBatch>> {
        let live = std::mem::take(&mut self.live);
        self.frozen.extend(live.iter().cloned());
        live
    }

    /// Forgets the first `count` batches that were set apart.
    pub(super) fn thaw(&mut self, count: usize) {
        self.frozen.drain(..count);
    }

    /// Merges runs of small live batches; true when something changed.
    pub(super) fn tidy(&mut self, table: &SchemaRef) -> bool {
        let mut changed = false;
        for size in SIZES {
            let small = self
                .live
                .iter()
                .rev()
                .take_while(|rows| rows.batch.num_rows() < size);
            let count = small.count();
            if count >= RUN {
                let run = self.live.split_off(self.live.len() - count);
                self.live.push(Arc::new(merge(table, &run)));
                changed = true;
            }
        }
        changed
    }
}

/// One batch of all rows in order, with every column of the table.
pub(crate) fn merge(table: &SchemaRef, batches: &[Arc<HotBatch>]) -> HotBatch {
    let late = batches
        .iter()
        .any(|rows| rows.batch.schema().column_with_name(SEQUENCE).is_some());
    let schema = if late {
        late_schema(table)
    } else {
        table.clone()
    };
    let aligned: Vec<RecordBatch> = batches
        .iter()
        .map(|rows| align(&rows.batch, &schema))
        .collect();
    let batch = concat_batches(&schema, &aligned).expect("all batches were aligned to the schema");
    HotBatch {
        batch,
        min_time: batches.iter().map(|rows| rows.min_time).min().unwrap_or(0),
        max_time: batches.iter().map(|rows| rows.max_time).max().unwrap_or(0),
    }
}

/// The schema of late rows: the table's with `_sequence` after the fixed columns.
fn late_schema(table: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<_> = table.fields().iter().cloned().collect();
    fields.insert(FIXED_COLUMNS, Arc::new(sequence_field()));
    Arc::new(Schema::new(fields))
}

fn align(batch: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
    let column = |name: &str| -> ArrayRef {
        match batch.column_by_name(name) {
            Some(column) => column.clone(),
            None => {
                let field = schema
                    .field_with_name(name)
                    .expect("the name comes from the schema");
                new_null_array(field.data_type(), batch.num_rows())
            }
        }
    };
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(field.name()))
        .collect();
    RecordBatch::try_new(schema.clone(), columns)
        .expect("a metric may be null, the fixed columns are in every batch")
}
