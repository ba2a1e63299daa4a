//! Rows in memory, brought to the table's schema.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use fieldwright_ingest::snapshot::HotBatch;

/// Rows below which a scan is not worth a second partition.
const ROWS_PER_PARTITION: usize = if cfg!(test) { 8 } else { 65_536 };

/// A scan of `batches`, projected, in about equal parts.
pub(super) fn plan_batches(
    schema: &SchemaRef,
    batches: &[Arc<HotBatch>],
    projection: &[usize],
    limit: Option<usize>,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let projected = Arc::new(schema.project(projection)?);
    let mut adapter = Adapter {
        projected: Arc::clone(&projected),
        from: None,
        columns: vec![],
    };
    let all: usize = batches.iter().map(|hot| hot.batch.num_rows()).sum();
    let share = all.div_ceil(partitions.max(1)).max(ROWS_PER_PARTITION);
    let mut parts = vec![Vec::new()];
    let (mut rows, mut in_part) = (0, 0);
    for hot in batches {
        if limit.is_some_and(|limit| rows >= limit) {
            break;
        }
        if in_part >= share {
            parts.push(Vec::new());
            in_part = 0;
        }
        rows += hot.batch.num_rows();
        in_part += hot.batch.num_rows();
        if let Some(part) = parts.last_mut() {
            part.push(adapter.adapt(&hot.batch)?);
        }
    }
    let source = MemorySourceConfig::try_new(&parts, projected, None)?.with_limit(limit);
    Ok(DataSourceExec::from_data_source(source))
}

/// Maps columns by name; remembers the mapping because neighbors share a schema.
struct Adapter {
    projected: SchemaRef,
    from: Option<SchemaRef>,
    columns: Vec<Option<usize>>,
}

impl Adapter {
    fn adapt(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let schema = batch.schema_ref();
        if !self
            .from
            .as_ref()
            .is_some_and(|from| Arc::ptr_eq(from, schema))
        {
            let fields = self.projected.fields().iter();
            self.columns = fields
                .map(|field| schema.index_of(field.name()).ok())
                .collect();
            self.from = Some(Arc::clone(schema));
        }
        let rows = batch.num_rows();
        let columns = self.projected.fields().iter().zip(&self.columns);
        let columns = columns.map(|(field, source)| -> Result<ArrayRef> {
            Ok(match source {
                None => new_null_array(field.data_type(), rows),
                Some(index) => {
                    let column = batch.column(*index);
                    match column.data_type() == field.data_type() {
                        true => Arc::clone(column),
                        false => cast(column, field.data_type())?,
                    }
                }
            })
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.projected),
            columns,
            &options,
        )?)
    }
}
