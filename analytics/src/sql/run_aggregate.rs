//! Partial aggregation of rows that come in runs of one group.
//!
//! Files are sorted by (asset, time), so rows of one asset, or of one asset and one period, stand
//! together. Then a group is found by comparing a row with the one before it: no row is hashed.
//! A group that comes again (in the next file, in memory) is another partial state of it, which
//! the final aggregation joins as it joins those of partitions. So this is right for rows in any
//! order and fast for rows in runs.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{concat, partition, take};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, aggregate_expressions};
use datafusion::physical_plan::execution_plan::{
    ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::{Stream, StreamExt, stream};

use super::by_runs::narrow;

/// Finished groups that leave together.
const GROUPS_PER_BATCH: usize = 8_192;

/// Partial aggregation by runs, in the place of an [`AggregateExec`] of the same shape.
#[derive(Debug)]
pub(super) struct RunAggregateExec {
    input: Arc<dyn ExecutionPlan>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    functions: Vec<Arc<AggregateFunctionExpr>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RunAggregateExec {
    /// The same as `partial`, when that is a partial aggregation by keys that this one can do.
    pub(super) fn instead_of(partial: &AggregateExec) -> Option<Self> {
        let group = partial.group_expr();
        let can = *partial.mode() == AggregateMode::Partial
            && group.is_single()
            && !group.expr().is_empty()
            && partial.limit_options().is_none()
            && partial.dynamic_expressions_produced().is_empty()
            && partial
                .aggr_expr()
                .iter()
                .all(|f| f.groups_accumulator_supported());
        can.then(|| {
            Self::new(
                Arc::clone(partial.input()),
                group.input_exprs(),
                partial.aggr_expr().to_vec(),
                partial.filter_expr().to_vec(),
                partial.schema(),
            )
        })
    }

    /// Whether all that it evaluates is of a fixed width, or a column.
    pub(super) fn is_narrow(&self) -> bool {
        let schema = self.input.schema();
        let arguments = self.functions.iter().flat_map(|f| f.expressions());
        let filters = self.filters.iter().flatten().cloned();
        let mut all = self.keys.iter().cloned().chain(arguments).chain(filters);
        all.all(|expr| narrow(&expr, &schema))
    }

    /// The same over another input of the same schema.
    pub(super) fn over(self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input, ..self }
    }

    fn new(
        input: Arc<dyn ExecutionPlan>,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        functions: Vec<Arc<AggregateFunctionExpr>>,
        filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
        schema: SchemaRef,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            datafusion::physical_expr::Partitioning::UnknownPartitioning(
                input.output_partitioning().partition_count(),
            ),
            EmissionType::Incremental,
            input.boundedness(),
        );
        Self {
            input,
            keys,
            functions,
            filters,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for RunAggregateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(|key| key.to_string()).collect();
        let functions: Vec<&str> = self.functions.iter().map(|f| f.name()).collect();
        write!(
            f,
            "RunAggregateExec: gby=[{}], aggr=[{}]",
            keys.join(", "),
            functions.join(", ")
        )
    }
}

impl ExecutionPlan for RunAggregateExec {
    fn name(&self) -> &str {
        "RunAggregateExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // Dealing rows out one batch after the other would cut the runs.
        vec![false]
    }
    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let arguments = self.functions.iter().flat_map(|f| f.expressions());
        let filters = self.filters.iter().flatten().cloned();
        for expr in self.keys.iter().cloned().chain(arguments).chain(filters) {
            if apply(&expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }
    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(
            children.swap_remove(0),
            self.keys.clone(),
            self.functions.clone(),
            self.filters.clone(),
            self.schema(),
        )))
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
        let memory = MemoryConsumer::new("RunAggregateExec").register(context.memory_pool());
        let groups = Groups::new(self, memory)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            aggregated(input, groups, metrics),
        )))
    }
}

fn aggregated(
    input: SendableRecordBatchStream,
    groups: Groups,
    metrics: BaselineMetrics,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    stream::try_unfold(Some((input, groups, metrics)), |state| async {
        let Some((mut input, mut groups, metrics)) = state else {
            return Ok(None);
        };
        while let Some(batch) = input.next().await {
            let batch = batch?;
            let timer = metrics.elapsed_compute().timer();
            groups.add(&batch)?;
            timer.done();
            if groups.count > GROUPS_PER_BATCH {
                let batch = groups.emit(groups.count - 1)?;
                metrics.record_output(batch.num_rows());
                return Ok(Some((batch, Some((input, groups, metrics)))));
            }
        }
        let batch = groups.emit(groups.count)?;
        metrics.record_output(batch.num_rows());
        metrics.done();
        Ok(Some((batch, None)))
    })
}

/// The groups since the last emission; the last of them may go on in the next batch.
struct Groups {
    schema: SchemaRef,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    states: Vec<Box<dyn GroupsAccumulator>>,
    /// Per key, its values in the groups in parts.
    values: Vec<Vec<ArrayRef>>,
    /// The keys of the last row seen.
    last: Option<Vec<ArrayRef>>,
    count: usize,
    /// The group of each row of a batch.
    group_of: Vec<usize>,
    memory: MemoryReservation,
}

impl Groups {
    fn new(plan: &RunAggregateExec, memory: MemoryReservation) -> Result<Self> {
        let functions = &plan.functions;
        let states = functions.iter().map(|f| f.create_groups_accumulator());
        Ok(Self {
            schema: plan.schema(),
            keys: plan.keys.clone(),
            arguments: aggregate_expressions(functions, &AggregateMode::Partial, plan.keys.len())?,
            filters: plan.filters.clone(),
            states: states.collect::<Result<_>>()?,
            values: vec![Vec::new(); plan.keys.len()],
            last: None,
            count: 0,
            group_of: Vec::new(),
            memory,
        })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let array = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let keys = self.keys.iter().map(array).collect::<Result<Vec<_>>>()?;
        self.assign(&keys, rows)?;
        for ((state, arguments), filter) in self
            .states
            .iter_mut()
            .zip(&self.arguments)
            .zip(&self.filters)
        {
            let arguments = arguments.iter().map(array).collect::<Result<Vec<_>>>()?;
            let filter = filter.as_ref().map(array).transpose()?;
            let filter: Option<&BooleanArray> = filter.as_ref().map(|filter| filter.as_boolean());
            state.update_batch(&arguments, &self.group_of, filter, self.count)?;
        }
        self.charge()
    }

    /// Gives every row its group: the one of the row before it, or a new one.
    fn assign(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        let runs = partition(keys)?.ranges();
        let goes_on = match &self.last {
            Some(last) => same_row(last, keys)?,
            None => false,
        };
        let first = self.count - usize::from(goes_on);
        self.group_of.clear();
        for (place, run) in runs.iter().enumerate() {
            self.group_of.resize(run.end, first + place);
        }
        let new = runs
            .iter()
            .skip(usize::from(goes_on))
            .map(|run| run.start as u32);
        let new = UInt32Array::from_iter_values(new);
        self.count += new.len();
        if !new.is_empty() {
            for (values, key) in self.values.iter_mut().zip(keys) {
                values.push(take(key, &new, None)?);
            }
        }
        let last = keys.iter().map(|key| key.slice(rows - 1, 1));
        self.last = Some(last.collect());
        Ok(())
    }

    /// Lets the first `count` groups go.
    fn emit(&mut self, count: usize) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        if count == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        for values in &mut self.values {
            let parts: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
            let all = concat(&parts)?;
            columns.push(all.slice(0, count));
            *values = vec![all.slice(count, all.len() - count)];
        }
        let emit = match count == self.count {
            true => EmitTo::All,
            false => EmitTo::First(count),
        };
        for state in &mut self.states {
            columns.extend(state.state(emit)?);
        }
        self.count -= count;
        if self.count == 0 {
            self.last = None;
        }
        self.charge()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn charge(&mut self) -> Result<()> {
        let states: usize = self.states.iter().map(|state| state.size()).sum();
        let keys = self.count * self.values.len() * size_of::<u64>() * 4;
        self.memory.try_resize(states + keys)
    }
}

/// Whether the one row of `last` has the keys of the first row of `keys`; null is like null.
fn same_row(last: &[ArrayRef], keys: &[ArrayRef]) -> Result<bool> {
    for (last, key) in last.iter().zip(keys) {
        let first = key.slice(0, 1);
        if !not_distinct(last, &first)?.value(0) {
            return Ok(false);
        }
    }
    Ok(true)
}
