//! The operator of an ASOF join: one walk through both sides in order of key and time.

use std::fmt;
use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, plan_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Operator, UserDefinedLogicalNodeCore};
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

use super::matches::Matches;
use super::side::{Order, Side};
use crate::sql::timeseries::asof::AsofJoin;

/// One side's expressions: what must be equal, then what is compared.
#[derive(Debug, Clone)]
pub(in super::super) struct Keys {
    pub(in super::super) equal: Vec<Arc<dyn PhysicalExpr>>,
    pub(in super::super) nearest: Arc<dyn PhysicalExpr>,
}

/// Every row of the left with the nearest row of the right.
///
/// **Shape**: both sides come sorted by key and time, the same keys in the same partition; what
/// leaves keeps the left's order. Holds a few batches of each side, whatever their size.
#[derive(Debug)]
pub(in super::super) struct AsofJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    left_keys: Keys,
    right_keys: Keys,
    op: Operator,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AsofJoinExec {
    /// **Errors**: an operator that orders nothing, or sides of different types.
    pub(in super::super) fn try_new(
        node: &AsofJoin,
        sides: (Arc<dyn ExecutionPlan>, Arc<dyn ExecutionPlan>),
        keys: (Keys, Keys),
    ) -> Result<Self> {
        let (left, right) = sides;
        let schema = Arc::new(node.schema().as_arrow().clone());
        Self::with_schema(schema, left, right, keys, node.nearest.op)
    }

    fn with_schema(
        schema: arrow::datatypes::SchemaRef,
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        keys: (Keys, Keys),
        op: Operator,
    ) -> Result<Self> {
        let (left_keys, right_keys) = keys;
        let types = |keys: &Keys, plan: &Arc<dyn ExecutionPlan>| -> Result<Vec<_>> {
            let schema = plan.schema();
            keys.all().map(|expr| expr.data_type(&schema)).collect()
        };
        if types(&left_keys, &left)? != types(&right_keys, &right)? {
            return plan_err!(
                "ASOF JOIN compares values of one type. CAST one side to the other's type."
            );
        }
        // The left's columns keep their places.
        let equivalences =
            EquivalenceProperties::new_with_orderings(schema, left.output_ordering().cloned());
        let properties = PlanProperties::new(
            equivalences,
            left.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            left,
            right,
            left_keys,
            right_keys,
            op,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn order(&self) -> Order {
        Order {
            descending: matches!(self.op, Operator::LtEq | Operator::Lt),
            same_counts: matches!(self.op, Operator::LtEq | Operator::GtEq),
        }
    }

    fn sorted_by(&self, keys: &Keys) -> Option<OrderingRequirements> {
        let options = |descending| SortOptions {
            descending,
            nulls_first: true,
        };
        let equal = keys.equal.iter();
        let equal = equal.map(|expr| PhysicalSortExpr::new(Arc::clone(expr), options(false)));
        let nearest = options(self.order().descending);
        let nearest = PhysicalSortExpr::new(Arc::clone(&keys.nearest), nearest);
        LexOrdering::new(equal.chain([nearest])).map(OrderingRequirements::from)
    }
}

impl Keys {
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.equal.iter().chain([&self.nearest])
    }
}

impl DisplayAs for AsofJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, right) = (&self.left_keys, &self.right_keys);
        write!(
            f,
            "AsofJoinExec: {} {} {}",
            left.nearest, self.op, right.nearest
        )?;
        for (a, b) in left.equal.iter().zip(&right.equal) {
            write!(f, ", {a} = {b}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for AsofJoinExec {
    fn name(&self) -> &str {
        "AsofJoinExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        if self.left_keys.equal.is_empty() {
            return InputDistributionRequirements::new(vec![Distribution::SinglePartition; 2]);
        }
        let by = |keys: &Keys| Distribution::KeyPartitioned(keys.equal.clone());
        let sides = vec![by(&self.left_keys), by(&self.right_keys)];
        InputDistributionRequirements::co_partitioned(sides)
    }
    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![
            self.sorted_by(&self.left_keys),
            self.sorted_by(&self.right_keys),
        ]
    }
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true, false]
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }
    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut next = TreeNodeRecursion::Continue;
        for expr in self.left_keys.all().chain(self.right_keys.all()) {
            next = f(expr)?;
            if next == TreeNodeRecursion::Stop {
                break;
            }
        }
        Ok(next)
    }
    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let right = children.swap_remove(1);
        let left = children.swap_remove(0);
        let keys = (self.left_keys.clone(), self.right_keys.clone());
        let join = Self::with_schema(self.schema(), left, right, keys, self.op)?;
        Ok(Arc::new(join))
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
        let memory = MemoryConsumer::new("AsofJoinExec").register(context.memory_pool());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let left = self.left.execute(partition, Arc::clone(&context))?;
        let right = self.right.execute(partition, context)?;
        let order = self.order();
        let left = Side::new(left, &self.left_keys, order)?;
        let right = Side::new(right, &self.right_keys, order)?;
        let rows = Matches::new(self.schema(), left, right, order, memory, metrics).into_stream();
        let rows = RecordBatchStreamAdapter::new(self.schema(), rows);
        Ok(make_cooperative(Box::pin(rows)))
    }
}
