//! The operator that turns wide rows into one row per value.
//!
//! One operator serves all classes: its partitions are dealt out among the classes' own, so fifty
//! classes make one plan of fifty scans that runs a few of them at a time.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, RecordBatchOptions, StringArray, new_null_array,
};
use arrow::compute::{BatchCoalescer, filter};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::exec_datafusion_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use super::metric::{GOOD, Metric};
use super::readings::{METRIC, QUALITY, TEXT, UNIT, VALUE};

/// A scan of one class.
#[derive(Debug, Clone)]
pub(super) struct Wide {
    /// The scan.
    pub(super) plan: Arc<dyn ExecutionPlan>,
    /// The metrics by the places of their columns in the scan.
    pub(super) metrics: Vec<Metric>,
}

/// One row per value that is not null.
#[derive(Debug)]
pub(super) struct UnpivotExec {
    classes: Vec<Wide>,
    partitions: usize,
    properties: Arc<PlanProperties>,
}

impl UnpivotExec {
    pub(super) fn new(schema: SchemaRef, classes: Vec<Wide>, partitions: usize) -> Self {
        let sources: usize = classes.iter().map(|class| partitions_of(&class.plan)).sum();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions.clamp(1, sources.max(1))),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            classes,
            partitions,
            properties: Arc::new(properties),
        }
    }
}

fn partitions_of(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.properties().partitioning.partition_count()
}

impl DisplayAs for UnpivotExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics = self.classes.iter();
        let metrics = metrics.map(|class| class.metrics.len());
        write!(
            f,
            "UnpivotExec: classes={}, metrics={}",
            self.classes.len(),
            metrics.sum::<usize>()
        )
    }
}

impl ExecutionPlan for UnpivotExec {
    fn name(&self) -> &str {
        "UnpivotExec"
    }
    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.classes.len()]
    }
    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.classes.iter().map(|class| &class.plan).collect()
    }
    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let classes = children.into_iter().zip(&self.classes);
        let classes = classes.map(|(plan, old)| Wide {
            plan,
            metrics: old.metrics.clone(),
        });
        Ok(Arc::new(Self::new(
            self.schema(),
            classes.collect(),
            self.partitions,
        )))
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
        let step = self.properties.partitioning.partition_count();
        let sources = self.classes.iter().flat_map(|class| {
            (0..partitions_of(&class.plan)).map(move |partition| (class.clone(), partition))
        });
        let mine: Vec<(Wide, usize)> = sources.skip(partition).step_by(step).collect();
        let schema = self.schema();
        let long = Arc::clone(&schema);
        let rows_per_batch = context.session_config().batch_size();
        let rows = stream::iter(mine).map(move |(class, partition)| {
            let wide = class.plan.execute(partition, Arc::clone(&context))?;
            let turn = Turn::new(&class, Arc::clone(&long), rows_per_batch);
            Ok::<_, datafusion::error::DataFusionError>(unpivoted(wide, turn))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            schema,
            rows.try_flatten(),
        )))
    }
}

fn unpivoted(
    wide: SendableRecordBatchStream,
    turn: Turn,
) -> impl futures::Stream<Item = Result<RecordBatch>> + Send {
    stream::try_unfold(Some((wide, turn)), |state| async {
        let Some((mut wide, mut turn)) = state else {
            return Ok(None);
        };
        loop {
            if let Some(batch) = turn.next_full() {
                return Ok(Some((batch, Some((wide, turn)))));
            }
            match wide.next().await {
                Some(batch) => turn.push(&batch?)?,
                None => {
                    let rest = turn.finish()?;
                    return Ok(rest.map(|batch| (batch, None)));
                }
            }
        }
    })
}

/// Where a column of the long row comes from.
enum Source {
    /// A column of the wide row.
    Row(usize),
    Metric,
    Value,
    Text,
    Quality,
    Unit,
}

/// Turns the batches of one class.
struct Turn {
    schema: SchemaRef,
    sources: Vec<Source>,
    metrics: Vec<Metric>,
    rows: BatchCoalescer,
    /// Rows counted when no column is asked for.
    bare_rows: usize,
}

impl Turn {
    fn new(class: &Wide, schema: SchemaRef, rows_per_batch: usize) -> Self {
        let wide = class.plan.schema();
        let sources = schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                METRIC => Source::Metric,
                VALUE => Source::Value,
                TEXT => Source::Text,
                QUALITY => Source::Quality,
                UNIT => Source::Unit,
                // The columns of the row stand before the metrics, so the first of the name is it.
                name => Source::Row(
                    wide.index_of(name)
                        .expect("the scan reads the row's columns"),
                ),
            });
        Self {
            sources: sources.collect(),
            metrics: class.metrics.clone(),
            rows: BatchCoalescer::new(Arc::clone(&schema), rows_per_batch),
            schema,
            bare_rows: 0,
        }
    }

    fn push(&mut self, wide: &RecordBatch) -> Result<()> {
        for metric in &self.metrics {
            let said = metric.said(wide)?;
            let rows = said
                .as_ref()
                .map_or(wide.num_rows(), BooleanArray::true_count);
            if rows == 0 {
                continue;
            }
            if self.sources.is_empty() {
                self.bare_rows += rows;
                continue;
            }
            let keep = |column: &ArrayRef| -> Result<ArrayRef> {
                Ok(match &said {
                    Some(said) => filter(column, said)?,
                    None => Arc::clone(column),
                })
            };
            let texts = |text: &str| -> ArrayRef {
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
                    text, rows,
                )))
            };
            let keep_or_null = |at: Option<usize>, data_type: &DataType| match at {
                None => Ok(new_null_array(data_type, rows)),
                Some(at) if wide.column(at).data_type() == data_type => keep(wide.column(at)),
                Some(_) => {
                    let name = &metric.name;
                    Err(exec_datafusion_err!(
                        "metric {name} is not a {data_type} column"
                    ))
                }
            };
            let columns = self.sources.iter().map(|source| match source {
                Source::Row(at) => keep(wide.column(*at)),
                Source::Metric => Ok(texts(&metric.name)),
                Source::Value => keep_or_null(metric.number, &DataType::Float64),
                Source::Text => keep_or_null(metric.text, &DataType::Utf8),
                Source::Quality => match metric.quality {
                    None => Ok(texts(GOOD)),
                    Some(_) => or_good(&keep_or_null(metric.quality, &DataType::Utf8)?),
                },
                Source::Unit => Ok(match &metric.unit {
                    Some(unit) => texts(unit),
                    None => new_null_array(&DataType::Utf8, rows),
                }),
            });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            self.rows
                .push_batch(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?;
        }
        Ok(())
    }

    fn next_full(&mut self) -> Option<RecordBatch> {
        self.rows.next_completed_batch()
    }

    fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if self.sources.is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(self.bare_rows));
            let counted =
                RecordBatch::try_new_with_options(Arc::clone(&self.schema), vec![], &options)?;
            return Ok(Some(counted));
        }
        self.rows.finish_buffered_batch()?;
        Ok(self.rows.next_completed_batch())
    }
}

fn or_good(quality: &ArrayRef) -> Result<ArrayRef> {
    let said = quality.as_string_opt::<i32>();
    let said = said.ok_or_else(|| exec_datafusion_err!("a quality is no text"))?;
    let said = said.iter().map(|said| said.unwrap_or(GOOD));
    Ok(Arc::new(StringArray::from_iter_values(said)))
}
