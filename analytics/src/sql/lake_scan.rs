//! A scan of Parquet files through the cache of decoded columns.
//!
//! Files are sorted by (asset, time). So a condition on the asset is asked once per asset and not
//! once per row, one on the time becomes a binary search within each asset's rows, and only
//! columns that are asked for, of row groups that have wanted rows, are decoded at all. Rows leave
//! in the order of the files.

// Lists of ranges of rows that happen to have one.
#![allow(clippy::single_range_in_vec_init)]

mod cache;
mod columns;
mod file;
mod footer;
mod gather;
mod keys;
mod pieces;
mod runs;
mod statistics;
mod stream;
#[cfg(test)]
mod testing;

pub(super) use cache::ColumnCache;
pub use cache::ColumnCacheUse;
pub(super) use columns::{StoredColumn, join_stored};
pub(super) use pieces::{Found, Wanted, find, row_bytes};

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::object_store::ObjectStore;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use self::pieces::Piece;
use self::stream::Reading;

/// Where files are, and what of them is in memory.
#[derive(Debug, Clone)]
pub(super) struct LakeSource {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) cache: Arc<ColumnCache>,
}

/// Columns of row groups, through the cache.
///
/// **Shape**: rows of a partition leave in the order of its pieces; `ordering` is declared only
/// when the pieces prove it.
#[derive(Debug, Clone)]
pub(super) struct LakeScanExec {
    source: LakeSource,
    columns: Arc<[StoredColumn]>,
    found: Arc<Found>,
    /// Conditions on the asset alone or on the time alone. They are only used to skip: whoever
    /// asks applies them again.
    conditions: Vec<Arc<dyn PhysicalExpr>>,
    /// Rows of a batch where not those of the session.
    batch_rows: Option<usize>,
    statistics: Arc<Statistics>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl LakeScanExec {
    /// Reads `columns`, which are the fields of `schema`.
    pub(super) fn new(
        source: LakeSource,
        schema: SchemaRef,
        columns: Vec<StoredColumn>,
        found: Found,
        conditions: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Self {
        let conditions: Vec<_> = conditions
            .into_iter()
            .filter(keys::is_key_condition)
            .collect();
        let whole = found.is_whole() && conditions.is_empty();
        let statistics = statistics::of(&schema, &found, whole);
        let ordering = found.ordering(&schema);
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(schema, ordering),
            Partitioning::UnknownPartitioning(found.partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            source,
            columns: columns.into(),
            found: Arc::new(found),
            conditions,
            batch_rows: None,
            statistics: Arc::new(statistics),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl LakeScanExec {
    /// The same with batches of so many rows: only for whoever makes nothing wide of them.
    pub(super) fn in_batches_of(&self, rows: usize) -> Self {
        Self {
            batch_rows: Some(rows),
            ..self.clone()
        }
    }
}

impl DisplayAs for LakeScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.found;
        write!(
            f,
            "LakeScanExec: files={} of {}, row_groups={} of {}, partitions={}",
            found.files,
            found.files_before,
            found.groups,
            found.groups_before,
            found.partitions.len()
        )?;
        if !self.conditions.is_empty() {
            let conditions: Vec<String> = self.conditions.iter().map(|c| c.to_string()).collect();
            write!(f, ", skip_unless=[{}]", conditions.join(" AND "))?;
        }
        if let Some(ordering) = self.properties.eq_properties.oeq_class().iter().next() {
            write!(f, ", output_ordering=[{ordering}]")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for LakeScanExec {
    fn name(&self) -> &str {
        "LakeScanExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }
    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for condition in &self.conditions {
            if apply(condition)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
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
    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match args.partition() {
            None => Ok(Arc::clone(&self.statistics)),
            Some(_) => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }
    /// Keeps what speaks of the key alone, so that rows can be skipped by what a join or a
    /// subquery finds; never promises to apply it.
    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let filters = pushed.parent_filters;
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(vec![
            PushedDown::No;
            filters.len()
        ]);
        let new = filters.into_iter().map(|pushed| pushed.filter);
        let new = new.filter(|filter| {
            keys::is_key_condition(filter)
                && !self
                    .conditions
                    .iter()
                    .any(|known| known.to_string() == filter.to_string())
        });
        let new: Vec<_> = new.collect();
        if new.is_empty() {
            return Ok(answer);
        }
        let mut with = self.clone();
        with.conditions.extend(new);
        with.statistics = Arc::new(self.statistics.as_ref().clone().to_inexact());
        Ok(answer.with_updated_node(Arc::new(with) as _))
    }
    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let pieces: Arc<[Piece]> = Arc::clone(&self.found.partitions[partition]);
        let reading = Reading {
            source: self.source.clone(),
            schema: self.schema(),
            columns: Arc::clone(&self.columns),
            conditions: self.conditions.clone(),
            batch_rows: self
                .batch_rows
                .unwrap_or_else(|| context.session_config().batch_size()),
            figures: stream::Figures::new(&self.metrics, partition),
        };
        let rows = reading.rows(pieces);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
