//! The ASOF join in a logical plan.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::logical_plan::builder::build_join_schema;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, Operator, UserDefinedLogicalNodeCore};

/// Every row of the left with the nearest row of the right.
///
/// **Shape**: the columns of the left, then those of the right, which may be null.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct AsofJoin {
    pub(in super::super) left: LogicalPlan,
    pub(in super::super) right: LogicalPlan,
    /// What is equal on both sides.
    pub(in super::super) on: Vec<(Expr, Expr)>,
    pub(in super::super) nearest: Nearest,
    schema: DFSchemaRef,
}

/// `left op right`, op one of `>=`, `>`, `<=`, `<`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(in super::super) struct Nearest {
    pub(in super::super) left: Expr,
    pub(in super::super) op: Operator,
    pub(in super::super) right: Expr,
}

impl AsofJoin {
    pub(super) fn new(
        left: LogicalPlan,
        right: LogicalPlan,
        on: Vec<(Expr, Expr)>,
        nearest: Nearest,
    ) -> Result<Self> {
        let schema = build_join_schema(left.schema(), right.schema(), &JoinType::Left)?;
        Ok(Self {
            left,
            right,
            on,
            nearest,
            schema: Arc::new(schema),
        })
    }
}

impl PartialOrd for AsofJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |node: &Self| (node.on.clone(), node.nearest.clone());
        match key(self).partial_cmp(&key(other))? {
            Ordering::Equal if self == other => Some(Ordering::Equal),
            Ordering::Equal => None,
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for AsofJoin {
    fn name(&self) -> &str {
        "AsofJoin"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    /// The nearest pair first, then the equal ones.
    fn expressions(&self) -> Vec<Expr> {
        let mut all = vec![self.nearest.left.clone(), self.nearest.right.clone()];
        for (left, right) in &self.on {
            all.extend([left.clone(), right.clone()]);
        }
        all
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Nearest { left, op, right } = &self.nearest;
        write!(f, "AsofJoin: nearest {left} {op} {right}")?;
        for (left, right) in &self.on {
            write!(f, ", {left} = {right}")?;
        }
        Ok(())
    }
    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let mut pairs = exprs.chunks_exact(2);
        let (Some([left, right]), Some(right_input), Some(left_input)) =
            (pairs.next(), inputs.pop(), inputs.pop())
        else {
            return plan_err!("an ASOF JOIN has two sides and a condition");
        };
        let nearest = Nearest {
            left: left.clone(),
            op: self.nearest.op,
            right: right.clone(),
        };
        let on = pairs.map(|pair| (pair[0].clone(), pair[1].clone()));
        Self::new(left_input, right_input, on.collect(), nearest)
    }
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.left.schema().fields().len();
        let (left, right): (Vec<usize>, Vec<usize>) =
            output_columns.iter().partition(|at| **at < width);
        let right = right.into_iter().map(|at| at - width).collect();
        Some(vec![left, right])
    }
}
