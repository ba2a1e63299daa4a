//! The hot batches of one table, few however often something is committed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use crate::catalog::{FIXED_COLUMNS, hot_field, sequence_field};
use crate::rows::SPARSE_CELLS;
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
    live: Vec<Live>,
}

#[derive(Debug)]
struct Live {
    rows: Arc<HotBatch>,
    /// Merging it was tried and would have wasted memory.
    settled: bool,
}

/// How full batches are.
#[derive(Debug, Default, Clone, Copy)]
struct Fill {
    rows: usize,
    /// Rows × metric columns.
    cells: usize,
    /// Cells that hold a value.
    values: usize,
}

impl Hot {
    pub(super) fn push(&mut self, rows: Arc<HotBatch>) {
        let settled = false;
        self.live.push(Live { rows, settled });
    }

    pub(super) fn all(&self) -> Vec<Arc<HotBatch>> {
        let live = self.live.iter().map(|live| &live.rows);
        self.frozen.iter().chain(live).cloned().collect()
    }

    /// Sets the live batches apart and returns them.
    pub(super) fn freeze(&mut self) -> Vec<Arc<HotBatch>> {
        let live: Vec<_> = self.live.drain(..).map(|live| live.rows).collect();
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
                .take_while(|live| !live.settled && live.rows.batch.num_rows() < size);
            let count = small.count();
            if count < RUN {
                continue;
            }
            let from = self.live.len() - count;
            let run: Vec<_> = self.live[from..]
                .iter()
                .map(|live| live.rows.clone())
                .collect();
            if is_worth_it(table, &run) {
                self.live.truncate(from);
                self.push(Arc::new(merge(table, &run)));
                changed = true;
            } else {
                let run = self.live[from..].iter_mut();
                run.for_each(|live| live.settled = true);
            }
        }
        changed
    }
}

/// Whether one batch of these takes no memory to speak of more than they do apart.
fn is_worth_it(table: &SchemaRef, run: &[Arc<HotBatch>]) -> bool {
    let fill = fill(run);
    let merged = fill.rows * metric_columns(&schema_of(table, run));
    merged <= SPARSE_CELLS.max(fill.cells).max(2 * fill.values)
}

fn fill(run: &[Arc<HotBatch>]) -> Fill {
    let mut fill = Fill::default();
    for rows in run {
        let batch = &rows.batch;
        let metrics = metric_columns(&batch.schema());
        let columns = &batch.columns()[batch.num_columns() - metrics..];
        let absent: usize = columns.iter().map(|column| column.null_count()).sum();
        fill.rows += batch.num_rows();
        fill.cells += batch.num_rows() * metrics;
        fill.values += batch.num_rows() * metrics - absent;
    }
    fill
}

fn metric_columns(schema: &Schema) -> usize {
    let late = schema
        .fields()
        .get(FIXED_COLUMNS)
        .is_some_and(|field| field.name() == SEQUENCE);
    schema.fields().len() - FIXED_COLUMNS - usize::from(late)
}

/// Cuts a list of batches so that one batch of each piece has at most `most` cells, or is one of
/// the list already.
pub(crate) fn pieces<'b>(
    table: &SchemaRef,
    batches: &'b [Arc<HotBatch>],
    most: usize,
) -> Vec<&'b [Arc<HotBatch>]> {
    let every = table.fields().len() - FIXED_COLUMNS;
    let rows: usize = batches.iter().map(|rows| rows.batch.num_rows()).sum();
    if rows * every <= most {
        return vec![batches];
    }
    let mut pieces = Vec::new();
    let (mut from, mut rows) = (0, 0);
    let mut known: HashSet<String> = HashSet::new();
    for (at, batch) in batches.iter().enumerate() {
        let schema = batch.batch.schema();
        let grow = |known: &mut HashSet<String>| {
            for field in &schema.fields()[FIXED_COLUMNS..] {
                if !known.contains(field.name()) {
                    known.insert(field.name().clone());
                }
            }
        };
        grow(&mut known);
        rows += batch.batch.num_rows();
        if at > from && rows * known.len() > most {
            pieces.push(&batches[from..at]);
            (from, rows) = (at, batch.batch.num_rows());
            known.clear();
            grow(&mut known);
        }
    }
    pieces.push(&batches[from..]);
    pieces
}

/// One batch of all rows in order, with every column that occurs.
pub(crate) fn merge(table: &SchemaRef, batches: &[Arc<HotBatch>]) -> HotBatch {
    let schema = schema_of(table, batches);
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

/// The table's fields that occur in the batches, in the table's order; `_sequence` of late rows
/// after the fixed columns.
fn schema_of(table: &SchemaRef, batches: &[Arc<HotBatch>]) -> SchemaRef {
    let schemas: Vec<SchemaRef> = batches.iter().map(|rows| rows.batch.schema()).collect();
    let fields = schemas.iter().flat_map(|schema| schema.fields());
    let occurring: HashSet<&str> = fields.map(|field| field.name().as_str()).collect();
    let occurs = |(place, field): &(usize, &Arc<Field>)| {
        *place < FIXED_COLUMNS || occurring.contains(field.name().as_str())
    };
    let fields = table.fields().iter().enumerate().filter(occurs);
    let mut fields: Vec<_> = fields.map(|(_, field)| hot_field(field)).collect();
    if occurring.contains(SEQUENCE) {
        fields.insert(FIXED_COLUMNS, Arc::new(sequence_field()));
    }
    Arc::new(Schema::new(fields))
}

fn align(batch: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
    let own = batch.schema();
    let names = own.fields().iter().map(|field| field.name().as_str());
    let own: HashMap<&str, &ArrayRef> = names.zip(batch.columns()).collect();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match own.get(field.name().as_str()) {
            Some(column) if column.data_type() == field.data_type() => (*column).clone(),
            // Texts may come with a dictionary or without one.
            Some(column) => cast(column, field.data_type()).expect("texts are texts"),
            None => new_null_array(field.data_type(), batch.num_rows()),
        })
        .collect();
    RecordBatch::try_new(schema.clone(), columns)
        .expect("a metric may be null, the fixed columns are in every batch")
}

#[cfg(test)]
mod tests;
