//! The rule that aggregates by runs where rows come in runs.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use fieldwright_ingest::snapshot::{ASSET, TIME};

use super::lake_scan::LakeScanExec;
use super::run_aggregate::RunAggregateExec;

/// Rows of a batch where nothing wide is made of it: what a batch costs by itself counts less.
const LARGE_BATCH: usize = 16_384;

/// Replaces partial aggregations by asset, or by asset and something of the time, over files.
#[derive(Debug)]
pub(super) struct ByRuns;

impl PhysicalOptimizerRule for ByRuns {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_down(|node| {
            let aggregate = node.downcast_ref::<AggregateExec>();
            let Some(aggregate) = aggregate.filter(|aggregate| groups_are_runs(aggregate)) else {
                return Ok(Transformed::no(node));
            };
            let Some(mut by_runs) = RunAggregateExec::instead_of(aggregate) else {
                return Ok(Transformed::no(node));
            };
            if by_runs.is_narrow() && is_narrow(aggregate.input()) {
                by_runs = by_runs.over(in_large_batches(aggregate.input())?);
            }
            Ok(Transformed::yes(Arc::new(by_runs) as _))
        })?;
        Ok(plan.data)
    }
    fn name(&self) -> &str {
        "ByRuns"
    }
    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether nothing between the scan and the aggregation makes a value wider than a column's: then
/// a batch of more rows takes no more memory than one of fewer.
fn is_narrow(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = |child: &Arc<dyn ExecutionPlan>| child.schema();
    let here = if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let below = schema(projection.input());
        projection.expr().iter().all(|e| narrow(&e.expr, &below))
    } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        narrow(filter.predicate(), &schema(filter.input()))
    } else {
        plan.is::<CooperativeExec>() || plan.is::<UnionExec>() || plan.children().is_empty()
    };
    here && plan.children().into_iter().all(is_narrow)
}

/// Whether an expression and all its parts are columns, constants or of a fixed width.
pub(super) fn narrow(expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> bool {
    let fixed = |data_type: DataType| {
        data_type.primitive_width().is_some() || data_type == DataType::Boolean
    };
    let plain = expr.is::<Column>() || expr.is::<Literal>();
    let here = plain || expr.data_type(schema).is_ok_and(fixed);
    here && expr.children().into_iter().all(|part| narrow(part, schema))
}

fn in_large_batches(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = Arc::clone(plan).transform_up(|node| {
        Ok(match node.downcast_ref::<LakeScanExec>() {
            Some(scan) => Transformed::yes(Arc::new(scan.in_batches_of(LARGE_BATCH)) as _),
            None => Transformed::no(node),
        })
    })?;
    Ok(plan.data)
}

/// The asset itself is a key, and all other keys follow from asset and time.
fn groups_are_runs(aggregate: &AggregateExec) -> bool {
    let mut has_asset = false;
    let keys = aggregate.group_expr().input_exprs();
    keys.iter().all(|key| {
        let columns = collect_columns(key);
        has_asset |= key.is::<Column>()
            && columns
                .iter()
                .all(|c| origin(aggregate.input(), c.index()) == Some(ASSET));
        columns
            .iter()
            .all(|column| origin(aggregate.input(), column.index()).is_some())
    }) && has_asset
}

/// The key column of a scan of files that this column of the plan is, or is made of.
fn origin(plan: &Arc<dyn ExecutionPlan>, at: usize) -> Option<&'static str> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let expr: &Arc<dyn PhysicalExpr> = &projection.expr().get(at)?.expr;
        let columns = collect_columns(expr);
        let mut origins = columns
            .iter()
            .map(|c| origin(projection.input(), c.index()));
        let first = origins.next()??;
        let all_same = origins.all(|other| other == Some(first));
        // Something made of the asset is not the asset, but what is made of the time may stay so.
        let plain = first == TIME || expr.is::<Column>();
        return (all_same && plain).then_some(first);
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let at = match filter.projection() {
            Some(projection) => *projection.get(at)?,
            None => at,
        };
        return origin(filter.input(), at);
    }
    if plan.is::<CooperativeExec>() {
        return origin(plan.children().first()?, at);
    }
    if plan.is::<UnionExec>() {
        // Rows in memory come in any order, but most rows are in files.
        let children = plan.children();
        return children.into_iter().find_map(|child| origin(child, at));
    }
    let scan = plan.downcast_ref::<LakeScanExec>()?;
    let schema = scan.schema();
    let name = schema.fields().get(at)?.name();
    [ASSET, TIME].into_iter().find(|key| key == name)
}
