//! Reading one operational table within the query's transaction.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::declared::{Declared, QueryTransaction, quoted};
use super::decode::{ColumnBuilder, Stored};
use super::pushdown::{Bound, Condition, pushes};
use crate::sql::SqlError;

/// Rows per batch.
const BATCH: usize = 8_192;

/// One operational table in one query.
#[derive(Debug)]
pub(super) struct OperationalProvider {
    pub(super) declared: Arc<Declared>,
    pub(super) transaction: Arc<QueryTransaction>,
    pub(super) row_limit: usize,
}

#[async_trait]
impl TableProvider for OperationalProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.declared.schema)
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = filters
            .iter()
            .map(|filter| match pushes(filter, &self.declared) {
                true => TableProviderFilterPushDown::Inexact,
                false => TableProviderFilterPushDown::Unsupported,
            });
        Ok(support.collect())
    }
    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.declared.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all).clone();
        let schema = Arc::new(self.declared.schema.project(&projection)?);
        // A limit is only given when no filter is left above the scan.
        let limit = limit.filter(|_| filters.is_empty());
        let (text, values) = self.select(&projection, filters, limit);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Arc::new(OperationalExec {
            select: Arc::new(Select {
                declared: Arc::clone(&self.declared),
                transaction: Arc::clone(&self.transaction),
                projection,
                schema,
                text,
                values,
                row_limit: self.row_limit,
            }),
            properties: Arc::new(properties),
        }))
    }
}

impl OperationalProvider {
    /// The SELECT: declared names and numbered placeholders, nothing else.
    fn select(
        &self,
        projection: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> (String, Vec<Bound>) {
        let columns = projection
            .iter()
            .map(|at| quoted(self.declared.table.columns[*at].source));
        let mut columns: Vec<String> = columns.collect();
        if columns.is_empty() {
            columns.push("1".to_owned());
        }
        let mut text = format!(
            "SELECT {} FROM {}",
            columns.join(", "),
            self.declared.source_clause()
        );
        let mut condition = Condition::default();
        let mut conditions = Vec::new();
        for filter in filters {
            let bound_before = condition.values.len();
            match condition.write(filter, &self.declared) {
                Some(written) => conditions.push(written),
                None => condition.values.truncate(bound_before),
            }
        }
        if !conditions.is_empty() {
            text.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
        }
        // One row more than allowed shows that there are too many.
        let most = limit
            .unwrap_or(usize::MAX)
            .min(self.row_limit.saturating_add(1));
        text.push_str(&format!(" LIMIT {most}"));
        (text, condition.values)
    }
}

/// A SELECT on the store.
struct Select {
    declared: Arc<Declared>,
    transaction: Arc<QueryTransaction>,
    projection: Vec<usize>,
    schema: SchemaRef,
    text: String,
    values: Vec<Bound>,
    row_limit: usize,
}

impl Select {
    async fn fetch(&self, memory: MemoryReservation) -> Result<Fetched> {
        let store = |source| SqlError::Store {
            table: self.declared.table.name.to_owned(),
            source: Arc::new(source),
        };
        // Tables of one query share its transaction, so they are read one after the other.
        let mut open = self.transaction.open.lock().await;
        if open.is_none() {
            *open = Some(self.transaction.begin().await.map_err(store)?);
        }
        let transaction = open.as_mut().expect("opened just above");
        // Safe: the text holds declared names and placeholders only (see `select`).
        let mut query = sqlx::query(AssertSqlSafe(self.text.as_str()));
        for value in &self.values {
            query = match value {
                Bound::Int(i) => query.bind(*i),
                Bound::Text(text) => query.bind(text.clone()),
            };
        }
        let mut rows = query.fetch(&mut **transaction);
        let mut fetched = Fetched {
            batches: Vec::new(),
            memory,
        };
        let mut chunk = Chunk::new(self);
        let mut count = 0;
        while let Some(row) = rows.try_next().await.map_err(store)? {
            count += 1;
            if count > self.row_limit {
                let table = self.declared.table.name.to_owned();
                return Err(SqlError::TooManyRows {
                    table,
                    limit: self.row_limit,
                }
                .into());
            }
            chunk.push(self, &row)?;
            if chunk.rows == BATCH {
                fetched.take(chunk.finish(self)?)?;
            }
        }
        fetched.take(chunk.finish(self)?)?;
        Ok(fetched)
    }
}

/// Rows read, with the memory they take.
struct Fetched {
    batches: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl Fetched {
    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        self.memory.try_grow(batch.get_array_memory_size())?;
        self.batches.push(batch);
        Ok(())
    }
}

/// Rows that become one batch.
struct Chunk {
    columns: Vec<ColumnBuilder>,
    rows: usize,
}

impl Chunk {
    fn new(select: &Select) -> Self {
        let kinds = select
            .projection
            .iter()
            .map(|at| select.declared.table.columns[*at].kind);
        Self {
            columns: kinds.map(ColumnBuilder::new).collect(),
            rows: 0,
        }
    }

    fn push(&mut self, select: &Select, row: &AnyRow) -> Result<(), SqlError> {
        let table = select.declared.table.name;
        for (at, builder) in self.columns.iter_mut().enumerate() {
            let value = Stored::of(row, at).map_err(|source| SqlError::Store {
                table: table.to_owned(),
                source: Arc::new(source),
            })?;
            builder
                .push(value)
                .map_err(|expected| SqlError::Undecodable {
                    table: table.to_owned(),
                    column: select.schema.field(at).name().clone(),
                    expected,
                })?;
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(&mut self, select: &Select) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(ColumnBuilder::finish);
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        let schema = Arc::clone(&select.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

/// The scan in a plan.
struct OperationalExec {
    select: Arc<Select>,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for OperationalExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationalExec")
            .field("select", &self.select.text)
            .finish()
    }
}

impl DisplayAs for OperationalExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationalExec: {}", self.select.text)
    }
}

impl ExecutionPlan for OperationalExec {
    fn name(&self) -> &str {
        "OperationalExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }
    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }
    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }
    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let select = Arc::clone(&self.select);
        let memory = MemoryConsumer::new("OperationalExec").register(context.memory_pool());
        let rows = stream::once(async move { select.fetch(memory).await })
            .map_ok(|fetched| {
                let Fetched { batches, memory } = fetched;
                // The memory is given back when the last batch has been handed on.
                stream::iter(batches)
                    .map(Ok::<_, datafusion::error::DataFusionError>)
                    .inspect_ok(move |_| {
                        let _ = &memory;
                    })
            })
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.select.schema),
            rows,
        )))
    }
}
