//! What SQL offers here: everything of the engine except what makes much out of little.
//!
//! Results of functions are not charged to the memory of the queries, so a function whose result
//! has any size its arguments say can take all memory of the process in one call. What is left
//! grows by a bounded factor, which [`width`](super::width) counts.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::{TableFunction, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, GroupByExpr, ObjectName, TableFactor, Visit, Visitor};

use super::SqlError;

mod sets;

/// Most rows of `generate_series`.
pub(super) const SERIES_ROWS: u64 = 1_000_000;

const CUBE_INSTEAD: &str = "Name the GROUPING SETS that you need.";
/// Most centroids of `approx_percentile_cont`, which lays them all out at once.
const CENTROIDS: f64 = 10_000.0;
const CENTROIDS_INSTEAD: &str = "Write numbers there, of at most 10000; 100 is the usual one.";

const SERIES: &str = "generate_series";

const PLAIN: &str = "Ask for the values themselves.";
const SERIES_INSTEAD: &str =
    "For a list of whole numbers write FROM generate_series(first, last), of at most 1000000 rows.";
const CAST_INSTEAD: &str = "Write CAST(… AS …).";
const ROWS_INSTEAD: &str = "Ask for the rows themselves, with ORDER BY.";

/// Functions that are not offered, by every name they have, and what to do instead.
const DENIED: [(&str, &str); 27] = [
    ("repeat", PLAIN),
    ("lpad", PLAIN),
    ("rpad", PLAIN),
    ("array_repeat", PLAIN),
    ("list_repeat", PLAIN),
    ("array_resize", PLAIN),
    ("list_resize", PLAIN),
    ("range", SERIES_INSTEAD),
    ("levenshtein", PLAIN),
    ("arrow_cast", CAST_INSTEAD),
    ("arrow_try_cast", CAST_INSTEAD),
    ("array_agg", ROWS_INSTEAD),
    ("string_agg", ROWS_INSTEAD),
    ("listagg", ROWS_INSTEAD),
    ("group_concat", ROWS_INSTEAD),
    ("unnest", ROWS_INSTEAD),
    ("arrays_zip", PLAIN),
    ("list_zip", PLAIN),
    // With a function of their own for each element.
    ("array_transform", PLAIN),
    ("list_transform", PLAIN),
    ("array_filter", PLAIN),
    ("list_filter", PLAIN),
    ("array_any_match", PLAIN),
    ("any_match", PLAIN),
    ("list_any_match", PLAIN),
    ("array_first", PLAIN),
    ("list_first", PLAIN),
];

/// What to do instead of a function that is not offered.
fn denied(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let found = DENIED.iter().find(|(denied, _)| *denied == name);
    found.map(|(_, instead)| *instead)
}

/// Names of all functions of a session, aliases included.
#[cfg(test)]
pub(super) fn names(session: &SessionState) -> Vec<String> {
    let scalar = session.scalar_functions().keys();
    let aggregate = session.aggregate_functions().keys();
    let window = session.window_functions().keys();
    let higher = session.higher_order_functions().keys();
    let table = session.table_functions().keys();
    let all = scalar.chain(aggregate).chain(window).chain(higher);
    let mut all: Vec<String> = all.chain(table).cloned().collect();
    all.sort();
    all.dedup();
    all
}

/// The session without what is not offered.
pub(super) fn restrict(mut builder: SessionStateBuilder) -> SessionState {
    let kept = |name: &str, aliases: &[String]| {
        denied(name).is_none() && aliases.iter().all(|alias| denied(alias).is_none())
    };
    if let Some(functions) = builder.scalar_functions() {
        functions.retain(|f| kept(f.name(), f.aliases()) && f.name() != SERIES);
    }
    if let Some(functions) = builder.aggregate_functions() {
        functions.retain(|f| kept(f.name(), f.aliases()));
    }
    if let Some(functions) = builder.window_functions() {
        functions.retain(|f| kept(f.name(), f.aliases()));
    }
    let series = builder.table_functions().take();
    let series = series.unwrap_or_default().remove(SERIES);
    let bounded = series.map(|series| {
        let bounded = Arc::new(BoundedSeries(series));
        let function = TableFunction::new(SERIES.to_owned(), bounded);
        (SERIES.to_owned(), Arc::new(function))
    });
    builder
        .with_table_functions(bounded.into_iter().collect::<HashMap<_, _>>())
        .with_higher_order_functions(Vec::new())
        .build()
}

/// `generate_series` of whole numbers with a limit of rows.
#[derive(Debug)]
struct BoundedSeries(Arc<TableFunction>);

impl TableFunctionImpl for BoundedSeries {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        match series_rows(args.exprs()) {
            Some(rows) if rows <= SERIES_ROWS => self.0.create_table_provider_with_args(args),
            _ => Err(SqlError::NotOffered {
                what: format!(
                    "generate_series beyond {SERIES_ROWS} rows or of anything but whole numbers"
                ),
                instead: SERIES_INSTEAD,
            }
            .into()),
        }
    }
}

/// Rows of a series; nothing when its arguments are no whole numbers.
fn series_rows(args: &[Expr]) -> Option<u64> {
    let number = |arg: &Expr| match arg {
        Expr::Literal(ScalarValue::Int64(number), _) => *number,
        _ => None,
    };
    let numbers: Option<Vec<i64>> = args.iter().map(number).collect();
    let (first, last, step) = match numbers?.as_slice() {
        [last] => (0, *last, 1),
        [first, last] => (*first, *last, 1),
        [first, last, step] => (*first, *last, *step),
        _ => return None,
    };
    Some(first.abs_diff(last) / step.unsigned_abs().max(1) + 1)
}

/// Lets a statement pass that uses only what is offered.
pub(super) fn admit(statement: &Statement) -> std::result::Result<(), SqlError> {
    match statement {
        Statement::Statement(statement) => match statement.visit(&mut Offered::default()) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(refused) => Err(refused),
        },
        Statement::Explain(explain) => admit(&explain.statement),
        _ => Ok(()),
    }
}

/// The same for what only the plan shows.
pub(super) fn admit_plan(plan: &LogicalPlan) -> std::result::Result<(), SqlError> {
    let mut refused = None;
    let walked = plan.apply_with_subqueries(|node| {
        refused = match node {
            LogicalPlan::Unnest(_) => Some(("unnest", ROWS_INSTEAD)),
            LogicalPlan::RecursiveQuery(_) => Some(("WITH RECURSIVE", SERIES_INSTEAD)),
            _ if lays_out_much(node)? => {
                Some(("approx_percentile_cont of so many", CENTROIDS_INSTEAD))
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Ok(TreeNodeRecursion::Stop)
    });
    match (refused, walked) {
        (Some((what, instead)), _) => Err(SqlError::NotOffered {
            what: what.to_owned(),
            instead,
        }),
        (None, Err(error)) => Err(SqlError::Invalid {
            message: error.strip_backtrace(),
        }),
        (None, Ok(_)) => Ok(()),
    }
}

/// Whether an approximate percentile is asked for with more centroids than are offered, or with a
/// number of them that is not known yet.
fn lays_out_much(node: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        expr.apply(|part| {
            let (name, args) = match part {
                Expr::AggregateFunction(call) => (call.func.name(), &call.params.args),
                Expr::WindowFunction(call) => (call.fun.name(), &call.params.args),
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            if name.starts_with("approx_percentile_cont") {
                found |= args.iter().any(|arg| !is_few(arg));
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

/// A number of at most so many, or a column's value, which is none of the settings.
fn is_few(arg: &Expr) -> bool {
    match arg {
        Expr::Literal(value, _) => {
            let number = value.cast_to(&DataType::Float64);
            let number = number.ok().and_then(|number| match number {
                ScalarValue::Float64(number) => number,
                _ => None,
            });
            number.is_some_and(|number| number <= CENTROIDS)
        }
        other => !other.column_refs().is_empty(),
    }
}

#[derive(Default)]
struct Offered {
    sets: sets::GroupingSets,
}

impl Offered {
    fn check(name: &ObjectName) -> ControlFlow<SqlError> {
        let last = name.0.last().map(ToString::to_string).unwrap_or_default();
        let last = last.trim_matches('"');
        match denied(last) {
            Some(instead) => refuse(&format!("the function {}", last.to_lowercase()), instead),
            None => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Offered {
    type Break = SqlError;

    /// Refuses what the parser reads and the planner passes over: the answer would be another one.
    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<SqlError> {
        let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) =
            &select.group_by;
        if let Some(modifier) = modifiers.first() {
            let instead = "Write GROUP BY ROLLUP (…), CUBE (…) or GROUPING SETS (…).";
            return refuse(&format!("GROUP BY … {modifier}"), instead);
        }
        if select.prewhere.is_some() {
            return refuse("PREWHERE", "Write WHERE.");
        }
        if !select.connect_by.is_empty() {
            return refuse("CONNECT BY", PLAIN);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<SqlError> {
        match expr {
            ast::Expr::Function(function) => {
                let name = function.name.to_string().to_lowercase();
                if name.trim_matches('"') == SERIES {
                    return refuse("generate_series in an expression", SERIES_INSTEAD);
                }
                Self::check(&function.name)
            }
            expr => match self.sets.admit(expr) {
                true => ControlFlow::Continue(()),
                false => refuse(sets::MANY, CUBE_INSTEAD),
            },
        }
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<SqlError> {
        match table {
            TableFactor::Table {
                sample: Some(_), ..
            }
            | TableFactor::Derived {
                sample: Some(_), ..
            } => refuse(
                "TABLESAMPLE",
                "Write a condition that picks rows, such as WHERE date_part('second', time) = 0.",
            ),
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            }
            | TableFactor::Function { name, .. } => Self::check(name),
            TableFactor::Table {
                version: Some(_), ..
            } => refuse(
                "a table as of another time",
                "Write a condition on time or received_at.",
            ),
            TableFactor::UNNEST { .. } => refuse("unnest", ROWS_INSTEAD),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn refuse(what: &str, instead: &'static str) -> ControlFlow<SqlError> {
    ControlFlow::Break(SqlError::NotOffered {
        what: what.to_owned(),
        instead,
    })
}
