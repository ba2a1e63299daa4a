//! Ends a query although one of its joins never pauses.
//!
//! A task is only stopped where it pauses, and a join can look at billions of pairs before it
//! gives a row. So joins pause after so many batches, and look at a flag for every batch of pairs.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, JoinType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::lit;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};

/// Says that nobody wants the query's rows any more.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The plan, with joins that pause and that end once `stop` says so.
pub(super) fn interruptible(
    plan: Arc<dyn ExecutionPlan>,
    stop: &Stop,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        let join: Arc<dyn ExecutionPlan> = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            let filter = watched(join.filter(), join.join_type(), stop);
            join.builder().with_filter(filter).build_exec()?
        } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            let filter = watched(join.filter(), join.join_type(), stop);
            let (left, right) = (Arc::clone(join.left()), Arc::clone(join.right()));
            let join = NestedLoopJoinExecBuilder::new(left, right, *join.join_type())
                .with_projection_ref(join.projection().clone())
                .with_filter(filter)
                .build()?;
            Arc::new(join)
        } else if node.is::<CrossJoinExec>() {
            node
        } else {
            return Ok(Transformed::no(node));
        };
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(join)) as _))
    })?;
    Ok(plan.data)
}

/// The condition of a join, with an eye on `stop`.
///
/// A join that gives rows for pairs pauses between them. One that only asks whether there is a
/// pair gives none for a long time, so it gets a condition although it has none.
fn watched(filter: Option<&JoinFilter>, join: &JoinType, stop: &Stop) -> Option<JoinFilter> {
    let filter = match (filter, join) {
        (Some(filter), _) => filter.clone(),
        (None, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) => return None,
        (None, _) => JoinFilter::new(lit(true), Vec::new(), Arc::new(Schema::empty())),
    };
    let watched = Watched {
        condition: Arc::clone(filter.expression()),
        stop: stop.clone(),
    };
    Some(JoinFilter::new(
        Arc::new(watched),
        filter.column_indices().to_vec(),
        Arc::clone(filter.schema()),
    ))
}

/// A condition that fails once the query is to stop.
#[derive(Debug)]
struct Watched {
    condition: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.condition.eq(&other.condition) && Arc::ptr_eq(&self.stop.0, &other.stop.0)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for Watched {
    fn data_type(&self, input_schema: &Schema) -> Result<DataType> {
        self.condition.data_type(input_schema)
    }

    fn nullable(&self, input_schema: &Schema) -> Result<bool> {
        self.condition.nullable(input_schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        match self.stop.stopped() {
            // Nobody listens any more; what matters is that the join ends.
            true => Err(DataFusionError::Execution("stopped".to_owned())),
            false => self.condition.evaluate(batch),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let condition = children
            .pop()
            .unwrap_or_else(|| Arc::clone(&self.condition));
        Ok(Arc::new(Self {
            condition,
            stop: self.stop.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}
