//! How much a query may grow when it is written out.
//!
//! A short text can name a small query twice, and that one twice, and so on; and the optimizer
//! writes a column's expression wherever the column is used. Both double with every level, so
//! both are counted before the planner or the optimizer, which nothing can interrupt, does it.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{ObjectName, Query, Visit, Visitor};

use super::gate::CHAIN;
use super::{SqlError, SqlLimits};

/// Most tables of a query when every WITH is written out.
const RELATIONS: u64 = 500;
/// Most terms of one expression when every column is replaced by what it stands for.
const TERMS: u64 = 10_000;

/// Lets a statement pass that names a bounded number of tables when every WITH is written out.
pub(super) fn admit_relations(statement: &Statement, limits: &SqlLimits) -> Result<(), SqlError> {
    let mut relations = Relations::default();
    let counted = match statement {
        Statement::Statement(statement) => statement.visit(&mut relations),
        Statement::Explain(explain) => return admit_relations(&explain.statement, limits),
        // Refused for what they are.
        _ => return Ok(()),
    };
    match counted {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(SqlError::TooComplex {
            limit: limits.operators,
            chain: CHAIN,
        }),
    }
}

/// Counts the tables behind every query, innermost first.
#[derive(Default)]
struct Relations {
    /// Tables behind each name of a WITH; a name that is used twice keeps the latest.
    named: HashMap<String, u64>,
    open: Vec<OpenQuery>,
}

struct OpenQuery {
    tables: u64,
    /// Names of its WITH whose queries come next, in order.
    with: VecDeque<String>,
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        let with = with
            .map(|cte| cte.alias.name.value.to_lowercase())
            .collect();
        self.open.push(OpenQuery { tables: 0, with });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        let Some(done) = self.open.pop() else {
            return ControlFlow::Continue(());
        };
        if let Some(around) = self.open.last_mut() {
            match around.with.pop_front() {
                Some(name) => _ = self.named.insert(name, done.tables),
                None => around.tables = around.tables.saturating_add(done.tables),
            }
        }
        if done.tables > RELATIONS {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = relation
            .0
            .last()
            .map(|part| part.to_string().to_lowercase());
        let behind = name.and_then(|name| self.named.get(name.trim_matches('"')).copied());
        if let Some(query) = self.open.last_mut() {
            query.tables = query.tables.saturating_add(behind.unwrap_or(1).max(1));
        }
        ControlFlow::Continue(())
    }
}

/// Lets a plan of bounded size pass.
pub(super) fn admit_plan(plan: &LogicalPlan, limits: &SqlLimits) -> Result<(), SqlError> {
    Terms { limits }.of_plan(plan).map(|_| ())
}

struct Terms<'a> {
    limits: &'a SqlLimits,
}

impl Terms<'_> {
    /// Terms behind each column of the plan's output.
    fn of_plan(&self, plan: &LogicalPlan) -> Result<Vec<u64>, SqlError> {
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            inputs.push(self.of_plan(input)?);
        }
        self.of_subqueries(plan)?;
        let width = plan.schema().fields().len();
        let terms: Vec<u64> = match plan {
            LogicalPlan::Projection(projection) => {
                let schema = projection.input.schema();
                projection
                    .expr
                    .iter()
                    .map(|expr| terms_of(expr, schema, &inputs[0]))
                    .collect()
            }
            LogicalPlan::Aggregate(aggregate) => {
                let schema = aggregate.input.schema();
                let groups = aggregate.group_expr.iter();
                groups
                    .map(|expr| terms_of(expr, schema, &inputs[0]))
                    .collect()
            }
            _ => inputs.concat(),
        };
        if terms.iter().any(|terms| *terms > TERMS) {
            return Err(SqlError::TooComplex {
                limit: self.limits.operators,
                chain: CHAIN,
            });
        }
        // What is not an expression of its input (a function's result over many rows) is one term.
        let terms = terms.into_iter().chain(std::iter::repeat(1)).take(width);
        Ok(terms.collect())
    }

    fn of_subqueries(&self, plan: &LogicalPlan) -> Result<(), SqlError> {
        let mut refused = Ok(());
        let walked = plan.apply_subqueries(|subquery| {
            refused = self.of_plan(subquery).map(|_| ());
            Ok(match refused {
                Ok(()) => TreeNodeRecursion::Jump,
                Err(_) => TreeNodeRecursion::Stop,
            })
        });
        walked.map_err(|error| SqlError::Invalid {
            message: error.strip_backtrace(),
        })?;
        refused
    }
}

fn terms_of(expr: &Expr, schema: &DFSchema, behind: &[u64]) -> u64 {
    let mut terms = 0_u64;
    let counted = expr.apply(|node| {
        let more = match node {
            Expr::Column(column) => {
                let place = schema.maybe_index_of_column(column);
                place
                    .and_then(|place| behind.get(place))
                    .copied()
                    .unwrap_or(1)
            }
            _ => 1,
        };
        terms = terms.saturating_add(more);
        Ok(TreeNodeRecursion::Continue)
    });
    counted.map_or(u64::MAX, |_| terms)
}
