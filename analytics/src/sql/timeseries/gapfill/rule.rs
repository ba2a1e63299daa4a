//! The rule that takes `date_bin_gapfill` out of a grouping and lays the operator over it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::functions::datetime::date_bin;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Aggregate, Expr, Extension, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::bounds;
use super::node::Range;
use super::{GapFill, NAME};

/// Makes [`GapFill`] of groupings by `date_bin_gapfill`.
#[derive(Debug)]
pub(in super::super) struct GapFillRule;

impl AnalyzerRule for GapFillRule {
    fn name(&self) -> &str {
        "gap_fill"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut filled = false;
        let plan = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.iter().any(mentions) => {
                filled = true;
                Ok(Transformed::yes(over(aggregate)?))
            }
            // What was aggregated may be null now, which everything above has to know.
            other if filled => Ok(Transformed::yes(other.recompute_schema()?)),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(plan.data)
    }
}

fn mentions(expr: &Expr) -> bool {
    let found = expr.exists(|part| {
        Ok(matches!(part, Expr::ScalarFunction(function) if function.func.name() == NAME))
    });
    found.unwrap_or(false)
}

fn call(expr: &Expr) -> Option<&ScalarFunction> {
    match expr {
        Expr::Alias(alias) => call(&alias.expr),
        Expr::ScalarFunction(function) if function.func.name() == NAME => Some(function),
        _ => None,
    }
}

fn over(aggregate: Aggregate) -> Result<LogicalPlan> {
    let groups = &aggregate.group_expr;
    let calls = groups.iter().enumerate();
    let calls: Vec<_> = calls.filter(|(_, expr)| mentions(expr)).collect();
    let [(place, expr)] = calls.as_slice() else {
        return plan_err!("A query groups by one {NAME}.");
    };
    let Some(function) = call(expr) else {
        return plan_err!(
            "{NAME} stands in GROUP BY by itself, without ROLLUP, CUBE, GROUPING SETS or other \
             functions around it."
        );
    };
    let (stride, time) = (&function.args[0], &function.args[1]);
    constant(stride, "the interval")?;
    let mut range = match function.args.as_slice() {
        [_, _, from, to] => {
            constant(from, "the instant that it begins with")?;
            constant(to, "the instant that it ends before")?;
            Range {
                from: Some(from.clone()),
                to: Some(to.clone()),
                closed: false,
            }
        }
        _ => bounds::of_input(&aggregate.input, time)?,
    };
    let first = |from| date_bin().call(vec![stride.clone(), from]);
    range.from = range.from.map(first);
    let binned = date_bin().call(vec![stride.clone(), time.clone()]);
    let (place, width) = (*place, groups.len());
    let name = expr.schema_name().to_string();
    let mut groups = groups.clone();
    groups[place] = binned.alias(name);
    let names = Arc::clone(&aggregate.schema);
    let stride = stride.clone();
    let grouped = Aggregate::try_new(aggregate.input, groups, aggregate.aggr_expr)?;
    let grouped = LogicalPlan::Aggregate(grouped);
    let node = GapFill::new(grouped, (place, width), stride, range, &names)?;
    Ok(LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    }))
}

fn constant(expr: &Expr, what: &str) -> Result<()> {
    let mut constant = true;
    expr.apply(|part| {
        constant &= !matches!(
            part,
            Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::ScalarSubquery(_)
        );
        Ok(TreeNodeRecursion::Continue)
    })?;
    match constant {
        true => Ok(()),
        false => plan_err!("{NAME} takes a constant for {what}."),
    }
}
