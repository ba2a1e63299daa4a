//! The window that a grouping by `date_bin_gapfill` means.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, OrderByExpr, OrderByKind, OrderByOptions, Query, Select, SelectItem,
    SetExpr, Value, ValueWithSpan, VisitMut, VisitorMut, WindowSpec, WindowType,
};

use super::super::super::SqlError;
use super::super::gapfill::NAME;
use super::{Rewriter, calls, refuse};

/// `locf(avg(v))` beside `GROUP BY date_bin_gapfill(…), asset` gets
/// `OVER (PARTITION BY asset ORDER BY date_bin_gapfill(…))`.
pub(super) fn of_select(rewriter: &mut Rewriter, select: &mut Select) -> ControlFlow<SqlError> {
    let Some(grouping) = Grouping::of(select)? else {
        return ControlFlow::Continue(());
    };
    let mut filler = Filler { rewriter, grouping };
    for item in &mut select.projection {
        item.visit(&mut filler)?;
    }
    ControlFlow::Continue(())
}

/// The same in the ORDER BY that follows the SELECT.
pub(super) fn of_order(rewriter: &mut Rewriter, query: &mut Query) -> ControlFlow<SqlError> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return ControlFlow::Continue(());
    };
    let Some(grouping) = Grouping::of(select)? else {
        return ControlFlow::Continue(());
    };
    let mut filler = Filler { rewriter, grouping };
    if let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(exprs) = &mut order.kind
    {
        for expr in exprs {
            expr.visit(&mut filler)?;
        }
    }
    ControlFlow::Continue(())
}

/// A GROUP BY with `date_bin_gapfill`.
struct Grouping {
    bin: Expr,
    others: Vec<Expr>,
}

impl Grouping {
    fn of(select: &Select) -> ControlFlow<SqlError, Option<Self>> {
        let GroupByExpr::Expressions(exprs, modifiers) = &select.group_by else {
            return ControlFlow::Continue(None);
        };
        let exprs = exprs.iter().map(|expr| resolved(expr, &select.projection));
        let (mut bins, others): (Vec<Expr>, Vec<Expr>) = exprs.partition(is_bin);
        match (bins.pop(), bins.len(), modifiers.len()) {
            (None, ..) => ControlFlow::Continue(None),
            (Some(bin), 0, 0) => ControlFlow::Continue(Some(Self { bin, others })),
            _ => refuse(format!(
                "A query groups by one {NAME}, without ROLLUP, CUBE or GROUPING SETS."
            )),
        }
    }
}

fn is_bin(expr: &Expr) -> bool {
    match expr {
        Expr::Function(function) => calls::name(function) == NAME,
        Expr::Nested(inner) => is_bin(inner),
        _ => false,
    }
}

/// What a group by place or by name of a column of the answer stands for.
fn resolved(expr: &Expr, projection: &[SelectItem]) -> Expr {
    match expr {
        Expr::Value(ValueWithSpan {
            value: Value::Number(place, _),
            ..
        }) => {
            let place = place.parse::<usize>().unwrap_or(0).checked_sub(1);
            match place.and_then(|place| projection.get(place)) {
                Some(SelectItem::UnnamedExpr(named))
                | Some(SelectItem::ExprWithAlias { expr: named, .. }) => named.clone(),
                _ => expr.clone(),
            }
        }
        Expr::Identifier(name) => {
            let named = projection.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if alias.value == name.value => {
                    Some(expr.clone())
                }
                _ => None,
            });
            named.unwrap_or_else(|| expr.clone())
        }
        _ => expr.clone(),
    }
}

struct Filler<'a> {
    rewriter: &'a mut Rewriter,
    grouping: Grouping,
}

impl VisitorMut for Filler<'_> {
    type Break = SqlError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        let name = calls::name(function);
        if function.over.is_some() || !matches!(name.as_str(), "locf" | "interpolate") {
            return ControlFlow::Continue(());
        }
        let bin = self.rewriter.copy(&self.grouping.bin)?;
        if name == "interpolate"
            && let Some(args) = calls::arguments(function)
            && args.len() == 1
        {
            args.push(calls::argument(bin.clone()));
        }
        let mut partition_by = Vec::new();
        for other in &self.grouping.others {
            partition_by.push(self.rewriter.copy(other)?);
        }
        function.over = Some(WindowType::WindowSpec(WindowSpec {
            window_name: None,
            partition_by,
            order_by: vec![OrderByExpr {
                expr: bin,
                options: OrderByOptions::default(),
                with_fill: None,
            }],
            window_frame: None,
        }));
        ControlFlow::Continue(())
    }
}
