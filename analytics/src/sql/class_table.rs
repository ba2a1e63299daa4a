//! The wide table of one class: hot batches and Parquet files of one snapshot as one table.
//!
//! In-order rows are unique, so memory and files are simply put together. Only when late rows may
//! touch the asked time does an [`OverlayExec`] apply them; then nothing but the key columns may
//! be filtered below it, because a late row can change every other value.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::union::UnionExec;
use fieldwright_ingest::snapshot::{
    ASSET, ColdFile, HotBatch, LakeRoot, SEQUENCE, TIME, TableSnapshot,
};

use super::overlay::OverlayExec;
use super::pruning::TimePruning;
use super::{cold, hot};

/// One class of one snapshot.
#[derive(Debug)]
pub(super) struct ClassTable {
    lake: Arc<LakeRoot>,
    table: Arc<TableSnapshot>,
}

impl ClassTable {
    pub(super) fn new(lake: Arc<LakeRoot>, table: Arc<TableSnapshot>) -> Self {
        Self { lake, table }
    }
}

#[async_trait]
impl TableProvider for ClassTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.schema)
    }
    fn table_type(&self) -> TableType {
        TableType::Base
    }
    /// Every filter helps to skip files and row groups; none is applied row by row.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.table.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        plan_class(session, &self.lake, &self.table, projection, filters, limit)
    }
}

/// Plans the rows of one class that may pass `filters`: never fewer, sometimes more.
pub(super) fn plan_class(
    session: &dyn Session,
    lake: &LakeRoot,
    table: &TableSnapshot,
    projection: &[usize],
    filters: &[Expr],
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = &table.schema;
    let key_filters: Vec<Expr> = filters.iter().filter(|f| only_key(f)).cloned().collect();
    let key_predicate = physical_predicate(session, schema, &key_filters)?;
    let pruning = TimePruning::new(schema, key_predicate.clone())?;
    let in_order = Rows::kept(&pruning, &table.hot, &table.files)?;
    let late = Rows::kept(&pruning, &table.late_hot, &table.late_files)?;

    if late.is_empty() {
        let predicate = match key_filters.len() == filters.len() {
            true => key_predicate,
            false => physical_predicate(session, schema, filters)?,
        };
        let limit = limit.filter(|_| filters.is_empty());
        return in_order.plan(session, lake, schema, projection, predicate, limit);
    }

    let below = with_key(schema, projection)?;
    let in_order = in_order.plan(session, lake, schema, &below, key_predicate.clone(), None)?;
    let late_schema = with_sequence(schema);
    let mut late_columns = below.clone();
    late_columns.push(schema.fields().len());
    let late = late.plan(
        session,
        lake,
        &late_schema,
        &late_columns,
        key_predicate,
        None,
    )?;
    let overlaid: Arc<dyn ExecutionPlan> = Arc::new(OverlayExec::new(
        one_partition(in_order),
        one_partition(late),
    ));
    project(overlaid, schema, projection, &below)
}

/// The containers that a query has to read.
struct Rows {
    hot: Vec<Arc<HotBatch>>,
    files: Vec<Arc<ColdFile>>,
}

impl Rows {
    fn kept(pruning: &TimePruning, hot: &[Arc<HotBatch>], files: &[Arc<ColdFile>]) -> Result<Self> {
        Ok(Self {
            hot: pruning.keep(hot, |batch| (batch.min_time, batch.max_time))?,
            files: pruning.keep(files, |file| (file.min_time, file.max_time))?,
        })
    }

    fn is_empty(&self) -> bool {
        self.hot.is_empty() && self.files.is_empty()
    }

    fn plan(
        &self,
        session: &dyn Session,
        lake: &LakeRoot,
        schema: &SchemaRef,
        projection: &[usize],
        predicate: Option<Arc<dyn PhysicalExpr>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::with_capacity(2);
        if !self.files.is_empty() {
            parts.push(cold::plan_files(
                session,
                lake,
                schema,
                &self.files,
                projection,
                predicate,
                limit,
            )?);
        }
        if !self.hot.is_empty() {
            parts.push(hot::plan_batches(schema, &self.hot, projection, limit)?);
        }
        match parts.len() {
            0 => Ok(Arc::new(EmptyExec::new(Arc::new(
                schema.project(projection)?,
            )))),
            _ => UnionExec::try_new(parts),
        }
    }
}

/// True when the filter speaks of nothing but the identity of a row.
fn only_key(filter: &Expr) -> bool {
    let columns = filter.column_refs();
    !filter.is_volatile()
        && !columns.is_empty()
        && columns
            .iter()
            .all(|column| column.name == ASSET || column.name == TIME)
}

fn physical_predicate(
    session: &dyn Session,
    schema: &SchemaRef,
    filters: &[Expr],
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some(filter) = conjunction(filters.iter().cloned()) else {
        return Ok(None);
    };
    let schema = DFSchema::try_from(schema.as_ref().clone())?;
    session.create_physical_expr(filter, &schema).map(Some)
}

/// The key columns first, then what else is wanted.
fn with_key(schema: &SchemaRef, projection: &[usize]) -> Result<Vec<usize>> {
    let mut below = vec![schema.index_of(ASSET)?, schema.index_of(TIME)?];
    for index in projection {
        if !below.contains(index) {
            below.push(*index);
        }
    }
    Ok(below)
}

fn with_sequence(schema: &SchemaRef) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new(SEQUENCE, DataType::UInt64, false)));
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn one_partition(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match plan.properties().partitioning.partition_count() {
        1 => plan,
        _ => Arc::new(CoalescePartitionsExec::new(plan)),
    }
}

/// Drops the key columns that nobody asked for and restores the asked order.
fn project(
    plan: Arc<dyn ExecutionPlan>,
    schema: &SchemaRef,
    projection: &[usize],
    below: &[usize],
) -> Result<Arc<dyn ExecutionPlan>> {
    if projection == below {
        return Ok(plan);
    }
    let columns = projection.iter().map(|index| {
        let name = schema.field(*index).name();
        let place = below
            .iter()
            .position(|b| b == index)
            .expect("below holds the projection");
        ProjectionExpr::new(Arc::new(Column::new(name, place)), name.clone())
    });
    let columns: Vec<ProjectionExpr> = columns.collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}
