//! The rule that makes the operator of a marked left join.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Extension, Join, LogicalPlan, LogicalPlanBuilder, Operator,
};
use datafusion::optimizer::AnalyzerRule;

use super::node::Nearest;
use super::{AsofJoin, MARK_NAME};

/// Makes [`AsofJoin`] of marked left joins.
#[derive(Debug)]
pub(in super::super) struct AsofRule;

impl AnalyzerRule for AsofRule {
    fn name(&self) -> &str {
        "asof_join"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(has_mark) => {
                let node = Arc::new(operator(join)?);
                Ok(Transformed::yes(LogicalPlan::Extension(Extension { node })))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(plan.data)
    }
}

fn has_mark(filter: &Expr) -> bool {
    let parts = split_conjunction_owned(filter.clone());
    parts.iter().any(|part| marked(part).is_some())
}

fn marked(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == MARK_NAME => {
            args.first()
        }
        Expr::Alias(alias) => marked(&alias.expr),
        _ => None,
    }
}

fn operator(join: Join) -> Result<AsofJoin> {
    let (left, right) = (join.left.schema(), join.right.schema());
    let mut on = join.on.clone();
    let mut nearest = None;
    let mut of_right = Vec::new();
    for part in join
        .filter
        .clone()
        .map_or_else(Vec::new, split_conjunction_owned)
    {
        if let Some(condition) = marked(&part) {
            nearest = Some(nearest_of(condition, left, right)?);
            continue;
        }
        match sides(&part, left, right) {
            Some((a, Operator::Eq, b)) => on.push((a, b)),
            // Rows of the right that may be met at all.
            _ if belongs(&part, right) => of_right.push(part),
            _ => {
                return plan_err!(
                    "ON of an ASOF JOIN takes equalities of the two sides and conditions on the \
                     right side, joined by AND, not {part}."
                );
            }
        }
    }
    let Some(nearest) = nearest else {
        return plan_err!("an ASOF JOIN without MATCH_CONDITION");
    };
    let (left, right) = (
        Arc::unwrap_or_clone(join.left),
        Arc::unwrap_or_clone(join.right),
    );
    let right = match conjunction(of_right) {
        None => right,
        Some(met) => LogicalPlanBuilder::from(right).filter(met)?.build()?,
    };
    AsofJoin::new(left, right, on, nearest)
}

fn nearest_of(condition: &Expr, left: &DFSchema, right: &DFSchema) -> Result<Nearest> {
    match sides(condition, left, right) {
        Some((a, op, b)) if orders(op) => Ok(Nearest {
            left: a,
            op,
            right: b,
        }),
        _ => plan_err!(
            "MATCH_CONDITION takes one comparison of the left side with the right side by >=, >, \
             <= or <, not {condition}"
        ),
    }
}

fn orders(op: Operator) -> bool {
    matches!(
        op,
        Operator::GtEq | Operator::Gt | Operator::LtEq | Operator::Lt
    )
}

/// A comparison with what belongs to the left side first.
fn sides(expr: &Expr, left: &DFSchema, right: &DFSchema) -> Option<(Expr, Operator, Expr)> {
    let Expr::BinaryExpr(BinaryExpr {
        left: a,
        op,
        right: b,
    }) = expr
    else {
        return None;
    };
    if belongs(a, left) && belongs(b, right) {
        return Some((a.as_ref().clone(), *op, b.as_ref().clone()));
    }
    if belongs(a, right) && belongs(b, left) {
        return Some((b.as_ref().clone(), op.swap()?, a.as_ref().clone()));
    }
    None
}

fn belongs(expr: &Expr, side: &DFSchema) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.iter().all(|column| side.has_column(column))
}
