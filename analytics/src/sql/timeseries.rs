//! What reliability engineers ask of readings over time and stock SQL lacks.
//!
//! Gaps filled (`date_bin_gapfill`, `locf`, `interpolate`), the reading before another one
//! (`ASOF JOIN`), averages weighted by time, counters that reset, time in a state, first and last
//! by time. What plain SQL can say is rewritten once in the parsed statement; the rest is
//! functions and two operators of our own. `docs/recipes/time-series-sql.md` is the user's page,
//! the files of `timeseries/slt` say what each means.

mod asof;
mod charged;
mod counter;
mod filling;
mod gapfill;
mod instants;
mod over_time;
mod planner;
mod points;
mod rewriting;
mod state_time;
mod weighted;

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition};

use super::SqlError;

pub(super) use charged::charge_held;
pub(super) use rewriting::rewrite;

/// The builder with the functions, the rules and the operators of this folder.
pub(super) fn register(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    let aggregates = builder.aggregate_functions().get_or_insert_default();
    aggregates.push(weighted::time_weighted_avg());
    aggregates.push(counter::counter_rate());
    aggregates.push(counter::counter_increase());
    aggregates.push(state_time::time_in_state());
    let windows = builder.window_functions().get_or_insert_default();
    windows.push(filling::locf());
    windows.push(filling::interpolate());
    let scalars = builder.scalar_functions().get_or_insert_default();
    scalars.push(gapfill::date_bin_gapfill());
    let relations = builder.relation_planners().get_or_insert_default();
    relations.push(Arc::new(asof::AsofRelations));
    builder
        .with_analyzer_rule(Arc::new(asof::AsofRule))
        .with_analyzer_rule(Arc::new(gapfill::GapFillRule))
        .with_optimizer_rule(Arc::new(asof::AsofFilters))
        .with_query_planner(Arc::new(planner::TimeSeriesPlanner))
}

/// Refuses what would look at all earlier rows again for every row.
///
/// **Errors** are of the family *refused*.
pub(super) fn admit_plan(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut refused = None;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Window(window) = node {
            for expr in &window.window_expr {
                expr.apply(|part| {
                    refused = refused.take().or_else(|| over_of_points(part));
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        Ok(match refused {
            None => TreeNodeRecursion::Continue,
            Some(_) => TreeNodeRecursion::Stop,
        })
    });
    match (refused, walked) {
        (Some(refused), _) => Err(refused),
        (None, Err(error)) => Err(SqlError::Invalid {
            message: error.strip_backtrace(),
        }),
        (None, Ok(_)) => Ok(()),
    }
}

fn over_of_points(expr: &Expr) -> Option<SqlError> {
    let Expr::WindowFunction(window) = expr else {
        return None;
    };
    let WindowFunctionDefinition::AggregateUDF(function) = &window.fun else {
        return None;
    };
    over_time::NAMES
        .contains(&function.name())
        .then(|| SqlError::NotOffered {
            what: format!("{} with OVER", function.name()),
            instead: "Write GROUP BY, for instance with date_bin for one value per span of time.",
        })
}
