//! `left ASOF JOIN right MATCH_CONDITION (left.time >= right.time) ON left.asset = right.asset`:
//! to every row of the left, the nearest row of the right that fulfils the condition.
//!
//! **Source**: the form of Snowflake, which DataFusion is about to take; when it does, this folder
//! can go. Planned first as a left join with a mark in its condition, so that names, types and
//! USING are the planner's own; an analyzer rule then makes the operator of it, before any rule
//! could take the mark for a condition.

mod exec;
mod filters;
mod matches;
mod node;
mod rule;
mod side;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::{Column, Result, exec_err, plan_err};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    ColumnarValue, Expr, JoinType, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, and,
};
use datafusion::sql::sqlparser::ast::{JoinConstraint, JoinOperator, ObjectName, TableFactor};

pub(super) use exec::{AsofJoinExec, Keys};
pub(super) use filters::AsofFilters;
pub(super) use node::AsofJoin;
pub(super) use rule::AsofRule;

/// What marks the match condition within the condition of a join. No query can call it.
static MARK: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Mark::new())));

const MARK_NAME: &str = "asof_match";

/// Plans ASOF joins, which stand in parentheses of their own.
#[derive(Debug)]
pub(super) struct AsofRelations;

impl RelationPlanner for AsofRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (pair, alias) = match relation {
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } if matches!(
                table_with_joins.joins.as_slice(),
                [join] if matches!(join.join_operator, JoinOperator::AsOf { .. })
            ) =>
            {
                (*table_with_joins, alias)
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let left = context.plan(pair.relation)?;
        let mut joins = pair.joins;
        let Some(join) = joins.pop() else {
            return plan_err!("an ASOF JOIN without a right side");
        };
        let right = context.plan(join.relation)?;
        let JoinOperator::AsOf {
            match_condition,
            constraint,
        } = join.join_operator
        else {
            return plan_err!("an ASOF JOIN of another kind");
        };
        let both = left.schema().join(right.schema())?;
        let condition = context.sql_to_expr(match_condition, &both)?;
        let mark = MARK.call(vec![condition]);
        let left = LogicalPlanBuilder::from(left);
        let plan = match constraint {
            JoinConstraint::On(on) => {
                let on = context.sql_to_expr(on, &both)?;
                left.join_on(right, JoinType::Left, [on, mark])?.build()?
            }
            JoinConstraint::None => left.join_on(right, JoinType::Left, [mark])?.build()?,
            JoinConstraint::Using(names) => {
                let names = names.into_iter().map(|name| column(name, context));
                let names = names.collect::<Result<Vec<_>>>()?;
                marked(
                    left.join_using(right, JoinType::Left, names)?.build()?,
                    mark,
                )?
            }
            JoinConstraint::Natural => {
                return plan_err!("ASOF JOIN takes ON or USING, not NATURAL");
            }
        };
        let planned = PlannedRelation::new(plan, alias);
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}

fn column(name: ObjectName, context: &dyn RelationPlannerContext) -> Result<Column> {
    match name.0.as_slice() {
        [part] if part.as_ident().is_some() => {
            let ident = part.as_ident().cloned().unwrap_or_else(|| "".into());
            Ok(Column::from_name(context.normalize_ident(ident)))
        }
        _ => plan_err!("USING takes names of columns without their table"),
    }
}

fn marked(plan: LogicalPlan, mark: Expr) -> Result<LogicalPlan> {
    let LogicalPlan::Join(mut join) = plan else {
        return plan_err!("USING needs columns of types that can be compared");
    };
    join.filter = Some(match join.filter {
        Some(filter) => and(filter, mark),
        None => mark,
    });
    Ok(LogicalPlan::Join(join))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark {
    signature: Signature,
}

impl Mark {
    fn new() -> Self {
        Self {
            signature: Signature::exact(vec![DataType::Boolean], Volatility::Volatile),
        }
    }
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        MARK_NAME
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("the match condition of an ASOF JOIN is no condition by itself")
    }
}
