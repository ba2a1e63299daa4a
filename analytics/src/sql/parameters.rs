//! The parameters `$1`, `$2` and so on of a planned query, and what their place says they are.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Most parameters of one query.
pub(crate) const PARAMETERS: usize = 1_000;

/// The types of the parameters in order; nothing where the plan shows none.
///
/// **Errors**: a parameter has another name than `$1`, `$2` and so on.
pub(super) fn of_plan(plan: &LogicalPlan) -> Result<Vec<Option<FieldRef>>> {
    let mut found: Vec<Option<FieldRef>> = Vec::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let (placeholder, shown) = match expr {
                    Expr::Cast(cast) => match cast.expr.as_ref() {
                        Expr::Placeholder(inner) => (inner, Some(Arc::clone(&cast.field))),
                        _ => return Ok(TreeNodeRecursion::Continue),
                    },
                    Expr::Placeholder(placeholder) => (placeholder, placeholder.field.clone()),
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                let place = place(placeholder)?;
                if found.len() <= place {
                    found.resize(place + 1, None);
                }
                let known = &mut found[place];
                // What stands in a comparison says more than a name that a cast made up.
                if known.as_ref().is_none_or(|known| is_bare(known)) && shown.is_some() {
                    *known = shown;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn is_bare(field: &Field) -> bool {
    field.name().is_empty()
}

fn place(placeholder: &Placeholder) -> Result<usize> {
    let number = placeholder.id.strip_prefix('$');
    let number = number.and_then(|digits| digits.parse::<usize>().ok());
    match number {
        Some(number @ 1..=PARAMETERS) => Ok(number - 1),
        _ => Err(DataFusionError::Plan(format!(
            "The parameter {} is not one of $1 to ${PARAMETERS}.",
            placeholder.id
        ))),
    }
}
