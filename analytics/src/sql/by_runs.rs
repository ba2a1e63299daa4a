//! The rule that aggregates by runs where rows come in runs.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
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
            let by_runs = node
                .downcast_ref::<AggregateExec>()
                .filter(|aggregate| groups_are_runs(aggregate))
                .and_then(RunAggregateExec::instead_of);
            Ok(match by_runs {
                Some(by_runs) => Transformed::yes(Arc::new(by_runs) as _),
                None => Transformed::no(node),
            })
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
