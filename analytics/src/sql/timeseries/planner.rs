//! Makes the operators of this folder's nodes.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::asof::{AsofJoin, AsofJoinExec, Keys};
use super::gapfill::{GapFill, GapFillExec};

/// The stock planner and what it does not know.
#[derive(Debug)]
pub(super) struct TimeSeriesPlanner;

#[async_trait]
impl QueryPlanner for TimeSeriesPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Operators)])
            .create_physical_plan(plan, session)
            .await
    }
}

struct Operators;

#[async_trait]
impl ExtensionPlanner for Operators {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let exprs = Exprs {
            planner,
            session,
            context,
        };
        if let Some(join) = node.as_any().downcast_ref::<AsofJoin>() {
            let [left, right] = inputs else {
                return plan_err!("an ASOF JOIN has two sides");
            };
            let keys = exprs.of_join(join)?;
            let sides = (Arc::clone(left), Arc::clone(right));
            return Ok(Some(Arc::new(AsofJoinExec::try_new(join, sides, keys)?)));
        }
        if let Some(fill) = node.as_any().downcast_ref::<GapFill>() {
            let [input] = inputs else {
                return plan_err!("gaps are filled in one input");
            };
            let (stride, from, to) = fill.bounds();
            let constant = |expr: &Expr| exprs.plan(expr, &DFSchema::empty());
            let from = from.as_ref().map(constant).transpose()?;
            let to = to.as_ref().map(constant).transpose()?;
            let bounds = (constant(&stride)?, from, to);
            let exec = GapFillExec::try_new(fill, Arc::clone(input), bounds)?;
            return Ok(Some(Arc::new(exec)));
        }
        Ok(None)
    }
}

struct Exprs<'a> {
    planner: &'a dyn PhysicalPlanner,
    session: &'a dyn Session,
    context: &'a PhysicalPlanningContext,
}

impl Exprs<'_> {
    fn plan(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        self.planner
            .create_physical_expr(expr, schema, self.session, self.context)
    }

    fn of_join(&self, join: &AsofJoin) -> Result<(Keys, Keys)> {
        let (left, right) = (join.left.schema(), join.right.schema());
        let equal = |pick: fn(&(Expr, Expr)) -> &Expr, schema| {
            let exprs = join.on.iter().map(pick);
            exprs
                .map(|expr| self.plan(expr, schema))
                .collect::<Result<Vec<_>>>()
        };
        let left_keys = Keys {
            equal: equal(|pair| &pair.0, left)?,
            nearest: self.plan(&join.nearest.left, left)?,
        };
        let right_keys = Keys {
            equal: equal(|pair| &pair.1, right)?,
            nearest: self.plan(&join.nearest.right, right)?,
        };
        Ok((left_keys, right_keys))
    }
}
