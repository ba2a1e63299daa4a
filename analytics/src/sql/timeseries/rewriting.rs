//! Rewrites a parsed statement, once, into what the planner knows.
//!
//! * `a ASOF JOIN b …` is put in parentheses of its own, where [`asof`](super::asof) plans it.
//! * `first_by(v, t)` and `last_by(v, t)` become `first_value` and `last_value` by order of time.
//! * `time_in_state(s, t, 'x')` becomes `time_in_state(s = 'x', t)`.
//! * `locf(…)` and `interpolate(…)` without OVER beside `date_bin_gapfill` get the window that
//!   the grouping means.

mod calls;
mod joins;
mod windows;

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, Select, SelectItem, TableFactor, VisitMut, VisitorMut,
};

use super::super::SqlError;

/// Most terms that a statement may grow by when it is rewritten.
const COPIED_TERMS: usize = 2_000;

/// The statement as the planner takes it.
///
/// **Errors** are of the family *refused*.
pub(in super::super) fn rewrite(statement: &mut Statement) -> Result<(), SqlError> {
    let mut rewriter = Rewriter { copied: 0 };
    let done = match statement {
        Statement::Statement(statement) => statement.visit(&mut rewriter),
        Statement::Explain(explain) => return rewrite(&mut explain.statement),
        _ => return Ok(()),
    };
    match done {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(refused) => Err(refused),
    }
}

struct Rewriter {
    copied: usize,
}

impl Rewriter {
    /// Counts copies of `expr`; they grow the statement.
    fn copy(&mut self, expr: &Expr) -> ControlFlow<SqlError, Expr> {
        let mut terms = Terms::default();
        let mut copy = expr.clone();
        let _ = copy.visit(&mut terms);
        self.copied += terms.count;
        if terms.queries {
            return refuse(
                "A time or a group of a time-series function is an expression without a subquery."
                    .to_owned(),
            );
        }
        if self.copied > COPIED_TERMS {
            return refuse(format!(
                "The time-series functions of one query may name their times and groups with at \
                 most {COPIED_TERMS} terms. Compute them in a subquery first."
            ));
        }
        ControlFlow::Continue(copy)
    }
}

impl VisitorMut for Rewriter {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        keep_names(&mut select.projection);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let from = std::mem::take(&mut select.from);
        select.from = from.into_iter().map(joins::in_parentheses).collect();
        windows::of_select(self, select)
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        windows::of_order(self, query)
    }

    fn post_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<SqlError> {
        if let TableFactor::NestedJoin {
            table_with_joins, ..
        } = table
            && joins::has_asof(table_with_joins)
        {
            **table_with_joins = joins::in_parentheses(table_with_joins.as_ref().clone());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        calls::rewrite(self, expr)
    }
}

/// A column without a name is named as the caller wrote it, not as it is rewritten.
fn keep_names(projection: &mut [SelectItem]) {
    for item in projection {
        let SelectItem::UnnamedExpr(expr) = item else {
            continue;
        };
        if calls::ours(expr) {
            let alias = Ident::with_quote('"', expr.to_string());
            let expr = expr.clone();
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

/// What a piece of a statement is made of.
#[derive(Default)]
struct Terms {
    count: usize,
    queries: bool,
}

impl VisitorMut for Terms {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries = true;
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<()> {
        self.count += 1;
        ControlFlow::Continue(())
    }
}

fn refuse<T>(message: String) -> ControlFlow<SqlError, T> {
    ControlFlow::Break(SqlError::Invalid { message })
}
