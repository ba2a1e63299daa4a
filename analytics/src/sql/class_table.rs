//! The wide table of one class: hot batches and Parquet files of one snapshot as one table.
//!
//! In-order rows are unique, so memory and files are simply put together. Only where late rows may
//! touch the asked time does an [`OverlayExec`] apply them; below it nothing but the key columns
//! may be filtered, because a late row can change every other value.

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
use fieldwright_ingest::snapshot::{ASSET, ColdFile, HotBatch, SEQUENCE, TIME, TableSnapshot};

use super::cold::{self, FileScan};
use super::hot;
use super::lake_scan::LakeSource;
use super::metric;
use super::overlay::OverlayExec;
use super::pruning::KeyPruning;

/// One class of one snapshot.
#[derive(Debug)]
pub(super) struct ClassTable {
    table: Arc<TableSnapshot>,
    source: LakeSource,
}

impl ClassTable {
    pub(super) fn new(table: Arc<TableSnapshot>, source: LakeSource) -> Self {
        Self { table, source }
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
        plan_class(
            session,
            &self.source,
            &self.table,
            projection,
            filters,
            limit,
        )
        .await
    }
}

/// Plans the rows of one class that may pass `filters`: never fewer, sometimes more.
pub(super) async fn plan_class(
    session: &dyn Session,
    source: &LakeSource,
    table: &TableSnapshot,
    projection: &[usize],
    filters: &[Expr],
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = &table.schema;
    let key_filters: Vec<Expr> = filters.iter().filter(|f| only_key(f)).cloned().collect();
    let key_predicate = physical_predicate(session, schema, &key_filters)?;
    let pruning = KeyPruning::new(schema, key_predicate)?;
    let scan = |schema: SchemaRef, filters, limit| FileScan {
        session,
        source,
        physical: &table.physical,
        schema,
        filters,
        one_asset: key_filters.iter().any(names_one_asset),
        limit,
    };
    let in_order = Rows::kept(&pruning, &table.hot, &table.files)?;
    let late = Rows::kept(&pruning, &table.late_hot, &table.late_files)?;
    if late.is_empty() {
        let limit = limit.filter(|_| filters.is_empty());
        let scan = scan(Arc::clone(schema), filters, limit);
        let parts = in_order.plan(&scan, projection).await?;
        return together(parts, schema, projection);
    }

    // Rows at whose time nothing came late are as they are.
    let (touched, untouched) = in_order.split(&late);
    let below = with_key(schema, projection)?;
    let cells = metric::cells(&schema.project(&below)?).into();
    let keys = scan(Arc::clone(schema), &key_filters, None);
    let touched = together(touched.plan(&keys, &below).await?, schema, &below)?;
    let late_schema = with_sequence(schema);
    let mut late_columns = below.clone();
    late_columns.push(schema.fields().len());
    let keys = scan(Arc::clone(&late_schema), &key_filters, None);
    let late = together(
        late.plan(&keys, &late_columns).await?,
        &late_schema,
        &late_columns,
    )?;
    let overlaid: Arc<dyn ExecutionPlan> = Arc::new(OverlayExec::new(
        one_partition(touched),
        one_partition(late),
        cells,
    ));
    let overlaid = project(overlaid, schema, projection, &below)?;
    let all = scan(Arc::clone(schema), filters, None);
    let mut parts = untouched.plan(&all, projection).await?;
    parts.push(overlaid);
    together(parts, schema, projection)
}

/// The containers that a query has to read.
struct Rows {
    hot: Vec<Arc<HotBatch>>,
    files: Vec<Arc<ColdFile>>,
    /// Files before any was left out.
    files_before: usize,
}

impl Rows {
    fn kept(pruning: &KeyPruning, hot: &[Arc<HotBatch>], files: &[Arc<ColdFile>]) -> Result<Self> {
        Ok(Self {
            hot: pruning.keep_batches(hot)?,
            files: pruning.keep_files(files)?,
            files_before: files.len(),
        })
    }

    fn is_empty(&self) -> bool {
        self.hot.is_empty() && self.files.is_empty()
    }

    /// Those whose times meet a container of `late`, and the others.
    fn split(self, late: &Rows) -> (Self, Self) {
        let of_hot = |batch: &Arc<HotBatch>| (batch.min_time, batch.max_time);
        let of_file = |file: &Arc<ColdFile>| (file.min_time, file.max_time);
        let ranges: Vec<(i64, i64)> = late
            .hot
            .iter()
            .map(of_hot)
            .chain(late.files.iter().map(of_file))
            .collect();
        let meets = |(min, max): (i64, i64)| ranges.iter().any(|(a, b)| min <= *b && *a <= max);
        let (hot, other_hot) = self.hot.into_iter().partition(|batch| meets(of_hot(batch)));
        let (files, other_files) = self
            .files
            .into_iter()
            .partition(|file| meets(of_file(file)));
        let files_before = self.files_before;
        let rows = |hot, files| Self {
            hot,
            files,
            files_before,
        };
        (rows(hot, files), rows(other_hot, other_files))
    }

    async fn plan(
        &self,
        scan: &FileScan<'_>,
        projection: &[usize],
    ) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::with_capacity(2);
        if !self.files.is_empty() {
            let files = cold::plan_files(scan, &self.files, self.files_before, projection).await?;
            parts.extend(files);
        }
        if !self.hot.is_empty() {
            let partitions = scan.session.config().target_partitions();
            let (schema, limit) = (&scan.schema, scan.limit);
            let hot = hot::plan_batches(schema, &self.hot, projection, limit, partitions)?;
            parts.push(hot);
        }
        Ok(parts)
    }
}

fn together(
    mut parts: Vec<Arc<dyn ExecutionPlan>>,
    schema: &SchemaRef,
    projection: &[usize],
) -> Result<Arc<dyn ExecutionPlan>> {
    match parts.len() {
        0 => Ok(Arc::new(EmptyExec::new(Arc::new(
            schema.project(projection)?,
        )))),
        1 => Ok(parts.swap_remove(0)),
        _ => UnionExec::try_new(parts),
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

/// True for `asset = 'literal'`.
fn names_one_asset(filter: &Expr) -> bool {
    use datafusion::logical_expr::Operator::{And, Eq};
    let Expr::BinaryExpr(comparison) = filter else {
        return false;
    };
    let is_asset = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == ASSET);
    let (left, right) = (comparison.left.as_ref(), comparison.right.as_ref());
    match comparison.op {
        And => names_one_asset(left) || names_one_asset(right),
        Eq => {
            (is_asset(left) && matches!(right, Expr::Literal(..)))
                || (is_asset(right) && matches!(left, Expr::Literal(..)))
        }
        _ => false,
    }
}

pub(super) fn physical_predicate(
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

/// The key columns first, then what else is wanted; a column of a reading brings the others, for a
/// late row has the reading when any of them says something.
fn with_key(schema: &SchemaRef, projection: &[usize]) -> Result<Vec<usize>> {
    let mut below = vec![schema.index_of(ASSET)?, schema.index_of(TIME)?];
    let mut add = |index: &usize| {
        if !below.contains(index) {
            below.push(*index);
        }
    };
    projection.iter().for_each(&mut add);
    let wanted = metric::cells(schema).into_iter();
    let wanted = wanted.filter(|cell| cell.iter().any(|at| projection.contains(at)));
    wanted.for_each(|cell| cell.iter().for_each(&mut add));
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
