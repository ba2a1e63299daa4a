//! Charges what window functions and joins hold to the memory of the queries.
//!
//! The stock operator of window functions keeps every row that it reads until it has read the
//! last one, and nobody counts them. Joins count the columns of what they keep, so batches without
//! columns, of which `count(*)` makes any number, cost them nothing. An operator that hands rows on
//! can count both.

use std::fmt;
use std::sync::Arc;

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

/// Rows are put together once more before they are computed with.
const COPIES: usize = 2;
/// What a batch takes besides its columns. **Units**: bytes.
const BATCH_BYTES: usize = 128;

/// The plan, with the rows charged that its operators hold and do not count.
pub(in super::super) fn charge_held(
    plan: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        let held = held_inputs(&node);
        if held == 0 {
            return Ok(Transformed::no(node));
        }
        let children = node.children().into_iter().enumerate();
        let children = children.map(|(at, input)| match at < held {
            true => Arc::new(ChargedExec::new(Arc::clone(input))) as _,
            false => Arc::clone(input),
        });
        let children = children.collect();
        let keep = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        Ok(Transformed::yes(node.replace_children(children, keep)?))
    })?;
    Ok(plan.data)
}

/// How many of an operator's inputs, from the first, it holds without counting them.
fn held_inputs(node: &Arc<dyn ExecutionPlan>) -> usize {
    let joins = node.is::<CrossJoinExec>() || node.is::<NestedLoopJoinExec>();
    let bare = || node.children()[0].schema().fields().is_empty();
    usize::from(node.is::<WindowAggExec>() || (joins && bare()))
}

/// Hands on batches and charges them until the reader is done with all of them.
#[derive(Debug)]
struct ChargedExec {
    input: Arc<dyn ExecutionPlan>,
}

impl ChargedExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input }
    }
}

impl DisplayAs for ChargedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChargedExec: rows that are held")
    }
}

impl ExecutionPlan for ChargedExec {
    fn name(&self) -> &str {
        "ChargedExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }
    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children.swap_remove(0))))
    }
    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, recompute)
    }
    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new("ChargedExec").register(context.memory_pool());
        let rows = self.input.execute(partition, context)?;
        let charged = rows.map(move |batch| {
            let batch = batch?;
            memory.try_grow(bytes_of(&batch) * COPIES + BATCH_BYTES)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            charged,
        )))
    }
}

fn bytes_of(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    let bytes = columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(0));
    bytes.sum()
}
