//! Filled gaps in a logical plan.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

/// The rows of a grouping and a row for every span of time that is missing.
///
/// **Shape**: the columns of the grouping; what was aggregated is null in a row that was missing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct GapFill {
    input: LogicalPlan,
    /// Place of the span among the columns, and how many columns are groups.
    pub(super) bin: usize,
    pub(super) groups: usize,
    stride: Expr,
    range: Range,
    schema: DFSchemaRef,
}

/// From when to when every series has a row for each span; where it is open, from its own first
/// to its own last span.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Range {
    pub(super) from: Option<Expr>,
    pub(super) to: Option<Expr>,
    /// The span of `to` itself belongs to the range.
    pub(super) closed: bool,
}

impl GapFill {
    pub(super) fn new(
        input: LogicalPlan,
        (bin, groups): (usize, usize),
        stride: Expr,
        range: Range,
        names: &DFSchema,
    ) -> Result<Self> {
        let fields = names.iter().enumerate().map(|(at, (qualifier, field))| {
            let nullable = at >= groups || field.is_nullable();
            let field = field.as_ref().clone().with_nullable(nullable);
            (qualifier.cloned(), Arc::new(field))
        });
        let schema = DFSchema::new_with_metadata(fields.collect(), names.metadata().clone())?;
        Ok(Self {
            input,
            bin,
            groups,
            stride,
            range,
            schema: Arc::new(schema),
        })
    }

    /// The stride, from when and to when.
    pub(in super::super) fn bounds(&self) -> (Expr, Option<Expr>, Option<Expr>) {
        let range = &self.range;
        (self.stride.clone(), range.from.clone(), range.to.clone())
    }

    pub(super) fn closed(&self) -> bool {
        self.range.closed
    }
}

impl PartialOrd for GapFill {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.bin, &self.stride).partial_cmp(&(other.bin, &other.stride))? {
            Ordering::Equal if self == other => Some(Ordering::Equal),
            Ordering::Equal => None,
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for GapFill {
    fn name(&self) -> &str {
        "GapFill"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        let bounds = self.range.from.iter().chain(&self.range.to);
        [&self.stride].into_iter().chain(bounds).cloned().collect()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GapFill: every {}", self.stride)?;
        if let Some(from) = &self.range.from {
            write!(f, " from {from}")?;
        }
        match &self.range.to {
            Some(to) if self.range.closed => write!(f, " through {to}"),
            Some(to) => write!(f, " until {to}"),
            None => Ok(()),
        }
    }
    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let mut exprs = exprs.into_iter();
        let (Some(stride), Some(input)) = (exprs.next(), inputs.pop()) else {
            return plan_err!("gaps are filled in one input, by a stride");
        };
        let mut next = |old: &Option<Expr>| old.as_ref().and_then(|_| exprs.next());
        let range = Range {
            from: next(&self.range.from),
            to: next(&self.range.to),
            closed: self.range.closed,
        };
        Ok(Self {
            input,
            stride,
            range,
            ..self.clone()
        })
    }
}
