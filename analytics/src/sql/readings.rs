//! `readings`: every value of every metric of every asset as a row of its own.

use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use fieldwright_ingest::snapshot::{ASSET, RECEIVED_AT, Snapshot, TIME, TableSnapshot};

use super::class_table::plan_class;
use super::lake_scan::LakeSource;
use super::metric::Metric;
use super::unpivot::{UnpivotExec, Wide};

/// The table's name.
pub(crate) const READINGS: &str = "readings";
/// Name of the column with the metric's name.
pub(super) const METRIC: &str = "metric";
/// Name of the column with the value.
pub(super) const VALUE: &str = "value";

/// Name of the column with the value of a metric that is no number.
pub(super) const TEXT: &str = "text";
/// Name of the column that says how good the value is: good, uncertain or bad.
pub(super) const QUALITY: &str = "quality";
/// Name of the column with the unit of the value.
pub(super) const UNIT: &str = "unit";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new(ASSET, DataType::Utf8, false),
        Field::new(TIME, instant.clone(), false),
        Field::new(METRIC, DataType::Utf8, false),
        Field::new(VALUE, DataType::Float64, true),
        Field::new(TEXT, DataType::Utf8, true),
        Field::new(QUALITY, DataType::Utf8, false),
        Field::new(UNIT, DataType::Utf8, true),
        Field::new(RECEIVED_AT, instant, false),
    ]))
});

/// All classes of one snapshot, turned from wide to long.
#[derive(Debug)]
pub(super) struct ReadingsTable {
    snapshot: Arc<Snapshot>,
    source: LakeSource,
}

impl ReadingsTable {
    pub(super) fn new(snapshot: Arc<Snapshot>, source: LakeSource) -> Self {
        Self { snapshot, source }
    }
}

#[async_trait]
impl TableProvider for ReadingsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&SCHEMA)
    }
    fn table_type(&self) -> TableType {
        TableType::View
    }
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = filters.iter().map(|filter| match Sort::of(filter) {
            Sort::Row | Sort::Metric => TableProviderFilterPushDown::Inexact,
            Sort::Other => TableProviderFilterPushDown::Unsupported,
        });
        Ok(support.collect())
    }
    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..SCHEMA.fields().len()).collect();
        let schema = Arc::new(SCHEMA.project(projection.unwrap_or(&all))?);
        let of = |sort| filters.iter().filter(move |f| Sort::of(f) == sort).cloned();
        let row_filters: Vec<Expr> = of(Sort::Row).collect();
        let metric_filter = conjunction(of(Sort::Metric));

        let mut classes = Vec::new();
        for table in self.snapshot.tables.values() {
            let metrics = kept_metrics(session, table, metric_filter.as_ref())?;
            if metrics.is_empty() {
                continue;
            }
            let (columns, metrics) = wide_columns(table, &schema, metrics)?;
            let source = &self.source;
            let plan = plan_class(session, source, table, &columns, &row_filters, None).await?;
            if !plan.is::<EmptyExec>() {
                classes.push(Wide { plan, metrics });
            }
        }
        if classes.is_empty() {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let partitions = session.config().target_partitions();
        Ok(Arc::new(UnpivotExec::new(schema, classes, partitions)))
    }
}

/// What a filter speaks of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// Columns that the wide row has too.
    Row,
    /// The metric's name alone: it decides which columns are read.
    Metric,
    /// Anything else.
    Other,
}

impl Sort {
    fn of(filter: &Expr) -> Self {
        let columns = filter.column_refs();
        let all = |names: &[&str]| columns.iter().all(|c| names.contains(&c.name.as_str()));
        if filter.is_volatile() || columns.is_empty() {
            Self::Other
        } else if all(&[METRIC]) {
            Self::Metric
        } else if all(&[ASSET, TIME, RECEIVED_AT]) {
            Self::Row
        } else {
            Self::Other
        }
    }
}

/// Metrics of the class whose names pass the filter, by their places among its columns.
fn kept_metrics(
    session: &dyn Session,
    table: &TableSnapshot,
    filter: Option<&Expr>,
) -> Result<Vec<Metric>> {
    let metrics = Metric::all_of(&table.schema);
    let Some(filter) = filter else {
        return Ok(metrics);
    };
    let schema = Arc::new(Schema::new(vec![Field::new(METRIC, DataType::Utf8, false)]));
    let names = StringArray::from_iter_values(metrics.iter().map(|metric| &metric.name));
    let rows = metrics.len();
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(names)])?;
    let df_schema = DFSchema::try_from(schema.as_ref().clone())?;
    let kept = session
        .create_physical_expr(filter.clone(), &df_schema)?
        .evaluate(&batch)?;
    let kept = kept.into_array(rows)?;
    let kept = kept.as_boolean();
    let metrics = metrics.into_iter().zip(kept.iter());
    Ok(metrics
        .filter(|(_, keep)| *keep == Some(true))
        .map(|(metric, _)| metric)
        .collect())
}

/// Columns to read of the class: what the answer needs of the row, then the metrics, whose places
/// are then those among the columns that are read.
fn wide_columns(
    table: &TableSnapshot,
    wanted: &SchemaRef,
    mut metrics: Vec<Metric>,
) -> Result<(Vec<usize>, Vec<Metric>)> {
    let mut columns = Vec::with_capacity(metrics.len() + 3);
    for name in [ASSET, TIME, RECEIVED_AT] {
        if wanted.index_of(name).is_ok() {
            columns.push(table.schema.index_of(name)?);
        }
    }
    for metric in &mut metrics {
        for place in metric.places_mut() {
            columns.push(*place);
            *place = columns.len() - 1;
        }
    }
    Ok((columns, metrics))
}
