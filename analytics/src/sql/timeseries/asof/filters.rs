//! Moves conditions on an ASOF join's left side below it, and what they say about the right side.
//!
//! A condition on the right side stays above: it must not change which row is the nearest.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Extension, Filter, LogicalPlan, LogicalPlanBuilder, Operator,
    UserDefinedLogicalNode, binary_expr,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::AsofJoin;

/// Filter over ASOF join → ASOF join over filters.
#[derive(Debug)]
pub(in super::super) struct AsofFilters;

impl OptimizerRule for AsofFilters {
    fn name(&self) -> &str {
        "push_down_asof_filter"
    }
    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }
    fn supports_rewrite(&self) -> bool {
        true
    }
    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else {
            return Ok(Transformed::no(plan));
        };
        let Some(join) = asof(&filter.input) else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let left = join.left.schema();
        let (down, up): (Vec<Expr>, Vec<Expr>) = split_conjunction_owned(filter.predicate.clone())
            .into_iter()
            .partition(|part| {
                let columns = part.column_refs();
                !part.is_volatile()
                    && !columns.is_empty()
                    && columns.iter().all(|column| left.has_column(column))
            });
        if down.is_empty() {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let told = down.iter().flat_map(|part| of_right(part, join)).collect();
        let node = AsofJoin::new(
            filtered(join.left.clone(), down)?,
            filtered(join.right.clone(), told)?,
            join.on.clone(),
            join.nearest.clone(),
        )?;
        let node = Arc::new(node);
        let pushed = filtered(LogicalPlan::Extension(Extension { node }), up)?;
        Ok(Transformed::yes(pushed))
    }
}

fn asof(plan: &LogicalPlan) -> Option<&AsofJoin> {
    match plan {
        LogicalPlan::Extension(Extension { node }) => {
            let node: &dyn UserDefinedLogicalNode = node.as_ref();
            node.as_any().downcast_ref()
        }
        _ => None,
    }
}

fn filtered(plan: LogicalPlan, parts: Vec<Expr>) -> Result<LogicalPlan> {
    match conjunction(parts) {
        None => Ok(plan),
        // One that is there already is not put there again by the optimizer's next pass.
        Some(predicate) => match &plan {
            LogicalPlan::Filter(Filter { predicate: old, .. }) if *old == predicate => Ok(plan),
            _ => LogicalPlanBuilder::from(plan).filter(predicate)?.build(),
        },
    }
}

/// What a condition on the left side says about the rows of the right side that can be met: what
/// is equal has the same value, and what is nearest lies on the same side of a bound.
fn of_right(part: &Expr, join: &AsofJoin) -> Vec<Expr> {
    let mut told = Vec::new();
    for (left, right) in &join.on {
        if part.column_refs() == left.column_refs() && matches!(left, Expr::Column(_)) {
            told.extend(replaced(part, left, right));
        }
    }
    let bound = match part {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => Some((left, *op, right)),
        _ => None,
    };
    if let Some((left, op, value)) = bound
        && **left == join.nearest.left
        && value.column_refs().is_empty()
        && below(op) == below(join.nearest.op).map(|below| !below)
        && below(op).is_some()
    {
        // left <= value and left >= right: right <= value.
        let within = match below(op) {
            Some(true) => Operator::LtEq,
            _ => Operator::GtEq,
        };
        let right = join.nearest.right.clone();
        told.push(binary_expr(right, within, value.as_ref().clone()));
    }
    told
}

fn below(op: Operator) -> Option<bool> {
    match op {
        Operator::Lt | Operator::LtEq => Some(true),
        Operator::Gt | Operator::GtEq => Some(false),
        _ => None,
    }
}

fn replaced(part: &Expr, left: &Expr, right: &Expr) -> Option<Expr> {
    let replaced = part.clone().transform(|node| {
        Ok(match node == *left {
            true => Transformed::yes(right.clone()),
            false => Transformed::no(node),
        })
    });
    replaced.ok().map(|done| done.data)
}
