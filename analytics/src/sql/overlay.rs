//! The operator that lays late rows over in-order rows.

use std::fmt;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::late::{Cells, LateRows};

/// Late rows over in-order rows: one row per key, late readings first.
///
/// **Shape**: both inputs begin with `asset`, `time`; the late one has the same columns and then
/// `_sequence`. One partition each. No order is kept, no statistics are known.
#[derive(Debug)]
pub(super) struct OverlayExec {
    in_order: Arc<dyn ExecutionPlan>,
    late: Arc<dyn ExecutionPlan>,
    cells: Cells,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl OverlayExec {
    /// `cells` are the places of the columns of each reading, all of them within the inputs.
    pub(super) fn new(
        in_order: Arc<dyn ExecutionPlan>,
        late: Arc<dyn ExecutionPlan>,
        cells: Cells,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(in_order.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            in_order,
            late,
            cells,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for OverlayExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OverlayExec: late rows over in-order rows")
    }
}

impl ExecutionPlan for OverlayExec {
    fn name(&self) -> &str {
        "OverlayExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition; 2])
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.in_order, &self.late]
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
        let late = children.swap_remove(1);
        let in_order = children.swap_remove(0);
        Ok(Arc::new(Self::new(in_order, late, self.cells.clone())))
    }
    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let recompute = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, recompute)
    }
    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let memory = MemoryConsumer::new("OverlayExec").register(context.memory_pool());
        let late = self.late.execute(0, Arc::clone(&context))?;
        let in_order = self.in_order.execute(0, context)?;
        let merged = LateRows::collect(late, self.schema(), self.cells.clone(), memory);
        let rows = stream::once(async move {
            Ok::<_, DataFusionError>(overlaid(in_order, merged.await?, metrics))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            schema,
            rows.try_flatten(),
        )))
    }
}

/// All in-order rows, changed where late rows say so, then the late rows of new keys.
fn overlaid(
    in_order: SendableRecordBatchStream,
    late: LateRows,
    metrics: BaselineMetrics,
) -> impl futures::Stream<Item = Result<RecordBatch>> + Send {
    stream::try_unfold(Some((in_order, late, metrics)), |state| async {
        let Some((mut in_order, mut late, metrics)) = state else {
            return Ok(None);
        };
        let (batch, state) = match in_order.next().await {
            Some(batch) => {
                let batch = late.lay_over(batch?)?;
                metrics.record_output(batch.num_rows());
                (batch, Some((in_order, late, metrics)))
            }
            None => {
                let batch = late.unmet()?;
                metrics.record_output(batch.num_rows());
                metrics.done();
                (batch, None)
            }
        };
        Ok(Some((batch, state)))
    })
}
