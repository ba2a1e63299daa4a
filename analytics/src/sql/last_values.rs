//! The last value of every metric: `last_values` (a row a metric) and `<class>_last` (a row an
//! asset).
//!
//! They come from memory. A filter on `asset` or `class` picks the assets before anything is
//! built, and planning builds nothing at all.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use fieldwright_ingest::last_values::{ClassLastValues, LastValues, long_schema};
use fieldwright_ingest::snapshot::ASSET;
use futures::stream;

use super::named::named;

/// The table of all classes.
pub(super) const LAST_VALUES: &str = "last_values";
/// What the name of a class's table of last values ends with.
const ENDING: &str = "_last";
const CLASS: &str = "class";
/// Assets below which a scan is not worth another partition.
const PARTITION_ASSETS: usize = 16_384;

/// All classes, a row a metric.
#[derive(Debug)]
pub(super) struct LastValuesTable(Arc<LastValues>);

/// One class, a row an asset; the columns are those of the class's table.
#[derive(Debug)]
pub(super) struct ClassLastTable(Arc<ClassLastValues>);

impl LastValuesTable {
    pub(super) fn new(last: Arc<LastValues>) -> Self {
        Self(last)
    }
}

impl ClassLastTable {
    /// The table of this name, if it is one of a class.
    pub(super) fn find(last: &LastValues, name: &str) -> Option<Self> {
        let class = name.strip_suffix(ENDING)?;
        Some(Self(Arc::clone(last.class(class)?)))
    }

    /// The names of all such tables.
    pub(super) fn names(last: &LastValues) -> impl Iterator<Item = String> {
        last.classes()
            .map(|class| format!("{}{ENDING}", class.class()))
    }
}

#[async_trait]
impl TableProvider for LastValuesTable {
    fn schema(&self) -> SchemaRef {
        long_schema()
    }
    fn table_type(&self) -> TableType {
        TableType::View
    }
    /// Picks assets and classes; the rows are filtered again.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let classes = named(filters, CLASS);
        let wanted = |class: &&Arc<ClassLastValues>| {
            let named = classes.as_ref();
            named.is_none_or(|names| names.contains(&**class.class()))
        };
        let tags = named(filters, ASSET);
        let partitions = session.config().target_partitions();
        let mut picks = Vec::new();
        for class in self.0.classes().filter(wanted) {
            picks.extend(Pick::of(class, tags.as_ref(), partitions));
        }
        let limit = limit.filter(|_| filters.is_empty());
        plan(long_schema(), Shape::Long, picks, projection, limit)
    }
}

#[async_trait]
impl TableProvider for ClassLastTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.0.schema())
    }
    fn table_type(&self) -> TableType {
        TableType::View
    }
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let tags = named(filters, ASSET);
        let partitions = session.config().target_partitions();
        let picks = Pick::of(&self.0, tags.as_ref(), partitions);
        let limit = limit.filter(|_| filters.is_empty());
        plan(self.schema(), Shape::Wide, picks, projection, limit)
    }
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    Long,
    Wide,
}

/// Assets of one class that one partition reads.
#[derive(Debug, Clone)]
struct Pick {
    class: Arc<ClassLastValues>,
    assets: Assets,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Assets {
    Range(Range<u32>),
    Few(Vec<u32>),
}

impl Pick {
    fn of(
        class: &Arc<ClassLastValues>,
        tags: Option<&BTreeSet<String>>,
        partitions: usize,
    ) -> Vec<Self> {
        let pick = |assets| Self {
            class: Arc::clone(class),
            assets,
        };
        if let Some(tags) = tags {
            let mut found: Vec<u32> = tags.iter().filter_map(|tag| class.find(tag)).collect();
            found.sort_unstable();
            return if found.is_empty() {
                Vec::new()
            } else {
                vec![pick(Assets::Few(found))]
            };
        }
        let count = class.assets();
        let parts = count.div_ceil(PARTITION_ASSETS);
        let parts = parts.min(partitions).max(1);
        let edge = |part: usize| (count * part / parts) as u32;
        let ranges = (0..parts).map(|part| edge(part)..edge(part + 1));
        ranges
            .filter(|range| !range.is_empty())
            .map(|range| pick(Assets::Range(range)))
            .collect()
    }

    /// Numbers of the assets, so many at a time.
    fn portions(&self, size: usize) -> Vec<Vec<u32>> {
        match &self.assets {
            Assets::Few(assets) => assets.chunks(size).map(<[u32]>::to_vec).collect(),
            Assets::Range(range) => {
                let starts = range.clone().step_by(size);
                let end = |start: u32| range.end.min(start.saturating_add(size as u32));
                starts.map(|start| (start..end(start)).collect()).collect()
            }
        }
    }
}

/// One partition of a scan.
struct Part {
    /// Of the rows that it gives.
    schema: SchemaRef,
    columns: Vec<usize>,
    shape: Shape,
    pick: Pick,
}

fn plan(
    schema: SchemaRef,
    shape: Shape,
    picks: Vec<Pick>,
    projection: Option<&Vec<usize>>,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let all = (0..schema.fields().len()).collect();
    let columns = projection.cloned().unwrap_or(all);
    let projected = Arc::new(schema.project(&columns)?);
    let parts = picks.into_iter().map(|pick| -> Arc<dyn PartitionStream> {
        Arc::new(Part {
            schema: Arc::clone(&projected),
            columns: columns.clone(),
            shape,
            pick,
        })
    });
    let parts = parts.collect();
    let scan = StreamingTableExec::try_new(projected, parts, None, Vec::new(), false, limit)?;
    Ok(Arc::new(scan))
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assets = match &self.pick.assets {
            Assets::Range(range) => range.len(),
            Assets::Few(assets) => assets.len(),
        };
        let class = self.pick.class.class();
        write!(
            f,
            "LastValues: class={class}, assets={assets}, {:?}",
            self.shape
        )
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let size = context.session_config().batch_size().max(1);
        let (shape, columns) = (self.shape, self.columns.clone());
        let class = Arc::clone(&self.pick.class);
        let portions = self.pick.portions(size).into_iter();
        let rows = portions.map(move |assets| -> Result<RecordBatch> {
            Ok(match shape {
                Shape::Long => class.long(&assets, &columns)?,
                Shape::Wide => class.wide(&assets, &columns)?,
            })
        });
        let rows = RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::iter(rows));
        Box::pin(rows)
    }
}

#[cfg(test)]
mod tests;
