//! The operator that makes the missing rows.

use std::fmt;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::UserDefinedLogicalNodeCore;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr,
    PhysicalSortExpr,
};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PlanProperties,
};

use super::stride::Stride;
use super::walk::{Spans, Walk};
use super::{GapFill, NAME};

/// Constants of a [`GapFill`]: the stride, from when and to when.
pub(in super::super) type Constants = (
    Arc<dyn PhysicalExpr>,
    Option<Arc<dyn PhysicalExpr>>,
    Option<Arc<dyn PhysicalExpr>>,
);

/// The rows of a grouping and a row for every span of time that is missing, in order of series
/// and time. Holds one batch.
#[derive(Debug)]
pub(in super::super) struct GapFillExec {
    input: Arc<dyn ExecutionPlan>,
    bin: usize,
    groups: usize,
    spans: Spans,
    order: Option<LexOrdering>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl GapFillExec {
    /// **Errors**: a stride or a bound that is null or makes no sense.
    pub(in super::super) fn try_new(
        node: &GapFill,
        input: Arc<dyn ExecutionPlan>,
        (stride, from, to): Constants,
    ) -> Result<Self> {
        let schema: SchemaRef = Arc::new(node.schema().as_arrow().clone());
        let DataType::Timestamp(unit, _) = schema.field(node.bin).data_type().clone() else {
            return plan_err!("{NAME} takes instants");
        };
        let ScalarValue::IntervalMonthDayNano(Some(interval)) = constant(&stride)? else {
            return plan_err!("The interval of {NAME} is null.");
        };
        let instant = |expr: Option<Arc<dyn PhysicalExpr>>| -> Result<Option<i64>> {
            expr.map(|expr| in_unit(&constant(&expr)?, unit))
                .transpose()
        };
        let stride = Stride::new(interval, unit)?;
        let spans = Spans {
            stride,
            from: instant(from)?,
            to: instant(to)?,
            closed: node.closed(),
        };
        Self::with_schema(schema, input, (node.bin, node.groups), spans)
    }

    fn with_schema(
        schema: SchemaRef,
        input: Arc<dyn ExecutionPlan>,
        (bin, groups): (usize, usize),
        spans: Spans,
    ) -> Result<Self> {
        let series = (0..groups).filter(|at| *at != bin);
        let by = series.chain([bin]).map(|at| {
            let column = Column::new(schema.field(at).name(), at);
            let options = SortOptions {
                descending: false,
                nulls_first: true,
            };
            PhysicalSortExpr::new(Arc::new(column), options)
        });
        let order = LexOrdering::new(by);
        let equivalences =
            EquivalenceProperties::new_with_orderings(Arc::clone(&schema), order.clone());
        let properties = PlanProperties::new(
            equivalences,
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            input,
            bin,
            groups,
            spans,
            order,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn series(&self) -> Vec<usize> {
        (0..self.groups).filter(|at| *at != self.bin).collect()
    }
}

fn constant(expr: &Arc<dyn PhysicalExpr>) -> Result<ScalarValue> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    let value = expr.evaluate(&row)?.into_array(1)?;
    ScalarValue::try_from_array(&value, 0)
}

fn in_unit(instant: &ScalarValue, unit: TimeUnit) -> Result<i64> {
    let number = instant
        .cast_to(&DataType::Timestamp(unit, None))?
        .cast_to(&DataType::Int64)?
        .to_array()?;
    match number.as_primitive::<Int64Type>().iter().next().flatten() {
        Some(instant) => Ok(instant),
        None => plan_err!("A bound of {NAME} is null."),
    }
}

impl DisplayAs for GapFillExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "GapFillExec: spans of {}",
            self.schema().field(self.bin).name()
        )
    }
}

impl ExecutionPlan for GapFillExec {
    fn name(&self) -> &str {
        "GapFillExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let schema = self.input.schema();
        let series = self.series().into_iter();
        let series = series.map(|at| Arc::new(Column::new(schema.field(at).name(), at)) as _);
        let series: Vec<Arc<dyn PhysicalExpr>> = series.collect();
        InputDistributionRequirements::new(vec![match series.is_empty() {
            true => Distribution::SinglePartition,
            false => Distribution::KeyPartitioned(series),
        }])
    }
    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.order.clone().map(OrderingRequirements::from)]
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
        let input = children.swap_remove(0);
        let places = (self.bin, self.groups);
        let exec = Self::with_schema(self.schema(), input, places, self.spans)?;
        Ok(Arc::new(exec))
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
        let memory = MemoryConsumer::new("GapFillExec").register(context.memory_pool());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows_per_batch = context.session_config().batch_size();
        let input = self.input.execute(partition, context)?;
        let places = (self.bin, self.series());
        let walk = Walk::new(self.schema(), input, places, self.spans, rows_per_batch)?;
        let rows = walk.into_stream(memory, metrics);
        let rows = RecordBatchStreamAdapter::new(self.schema(), rows);
        Ok(make_cooperative(Box::pin(rows)))
    }
}
