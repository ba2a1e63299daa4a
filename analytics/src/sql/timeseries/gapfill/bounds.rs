//! The range that a query's WHERE says.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNode;
use datafusion::functions::core::{greatest, least};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF,
};

use super::node::Range;

/// Bounds of `time` that stand in the WHERE right below a grouping.
pub(super) fn of_input(input: &LogicalPlan, time: &Expr) -> Result<Range> {
    let LogicalPlan::Filter(filter) = input else {
        return Ok(Range::default());
    };
    let time_type = time.get_type(input.schema())?;
    let as_time = |expr: &Expr| Expr::Cast(Cast::new(Box::new(expr.clone()), time_type.clone()));
    let (mut from, mut before, mut until) = (Vec::new(), Vec::new(), Vec::new());
    for part in split_conjunction(&filter.predicate) {
        for (op, bound) in comparisons(part, time) {
            match op {
                Operator::Gt | Operator::GtEq => from.push(as_time(bound)),
                Operator::Lt => before.push(as_time(bound)),
                Operator::LtEq => until.push(as_time(bound)),
                _ => {}
            }
        }
    }
    // Of several bounds the tightest counts. Where some exclude their instant and some include it,
    // a span that begins with the last instant is not made.
    let closed = before.is_empty();
    before.append(&mut until);
    Ok(Range {
        from: tightest(from, greatest),
        to: tightest(before, least),
        closed,
    })
}

fn tightest(mut bounds: Vec<Expr>, of: fn() -> Arc<ScalarUDF>) -> Option<Expr> {
    match bounds.len() {
        0 | 1 => bounds.pop(),
        _ => Some(of().call(bounds)),
    }
}

/// `time op constant` within a condition.
fn comparisons<'a>(part: &'a Expr, time: &Expr) -> Vec<(Operator, &'a Expr)> {
    let constant =
        |expr: &Expr| expr.column_refs().is_empty() && !expr.is_volatile() && !has_query(expr);
    let is_time = |expr: &Expr| instant(expr) == instant(time);
    match part {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if is_time(left) && constant(right) {
                return vec![(*op, right)];
            }
            match op.swap() {
                Some(op) if is_time(right) && constant(left) => vec![(op, left)],
                _ => Vec::new(),
            }
        }
        Expr::Between(between)
            if !between.negated
                && is_time(&between.expr)
                && constant(&between.low)
                && constant(&between.high) =>
        {
            vec![
                (Operator::GtEq, &between.low),
                (Operator::LtEq, &between.high),
            ]
        }
        _ => Vec::new(),
    }
}

/// An instant without what only changes its unit.
fn instant(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) if matches!(cast.field.data_type(), DataType::Timestamp(..)) => {
            instant(&cast.expr)
        }
        _ => expr,
    }
}

fn has_query(expr: &Expr) -> bool {
    let found = expr.exists(|part| {
        Ok(matches!(
            part,
            Expr::ScalarSubquery(_) | Expr::OuterReferenceColumn(..)
        ))
    });
    found.unwrap_or(true)
}
