//! Which batches and files can hold rows of the asked assets and time.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use fieldwright_ingest::snapshot::{ASSET, ColdFile, HotBatch, TIME};

/// A filter turned into a question about the smallest and largest keys of a container.
pub(super) struct KeyPruning(Option<Arc<PruningPredicate>>);

impl KeyPruning {
    pub(super) fn new(
        schema: &SchemaRef,
        predicate: Option<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        Ok(Self(pruning(schema, predicate)))
    }

    /// The batches that may hold a row that passes.
    pub(super) fn keep_batches(&self, batches: &[Arc<HotBatch>]) -> Result<Vec<Arc<HotBatch>>> {
        let times = batches.iter().map(|batch| (batch.min_time, batch.max_time));
        self.keep(batches, Ranges::new(times, None))
    }

    /// The files that may hold a row that passes.
    pub(super) fn keep_files(&self, files: &[Arc<ColdFile>]) -> Result<Vec<Arc<ColdFile>>> {
        let times = files.iter().map(|file| (file.min_time, file.max_time));
        let min = files.iter().map(|file| &*file.min_asset);
        let max = files.iter().map(|file| &*file.max_asset);
        let assets = [
            Arc::new(StringArray::from_iter_values(min)) as ArrayRef,
            Arc::new(StringArray::from_iter_values(max)),
        ];
        self.keep(files, Ranges::new(times, Some(assets)))
    }

    fn keep<T>(&self, containers: &[Arc<T>], ranges: Ranges) -> Result<Vec<Arc<T>>> {
        let Some(predicate) = self.0.as_ref().filter(|_| !containers.is_empty()) else {
            return Ok(containers.to_vec());
        };
        let kept = predicate.prune(&ranges)?;
        let kept = containers.iter().zip(kept).filter(|(_, keep)| *keep);
        Ok(kept.map(|(container, _)| Arc::clone(container)).collect())
    }
}

/// The question that a predicate is to containers whose smallest and largest values are known.
pub(super) fn pruning(
    schema: &SchemaRef,
    predicate: Option<Arc<dyn PhysicalExpr>>,
) -> Option<Arc<PruningPredicate>> {
    PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(schema))
        .build(predicate?)
}

struct Ranges {
    times: [ArrayRef; 2],
    assets: Option<[ArrayRef; 2]>,
}

impl Ranges {
    fn new(times: impl Iterator<Item = (i64, i64)>, assets: Option<[ArrayRef; 2]>) -> Self {
        let (min, max): (Vec<i64>, Vec<i64>) = times.unzip();
        let times = [min, max].map(|micros| {
            Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")) as ArrayRef
        });
        Self { times, assets }
    }

    fn of(&self, column: &Column) -> Option<&[ArrayRef; 2]> {
        match column.name.as_str() {
            TIME => Some(&self.times),
            ASSET => self.assets.as_ref(),
            _ => None,
        }
    }
}

impl PruningStatistics for Ranges {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column).map(|[min, _]| Arc::clone(min))
    }
    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column).map(|[_, max]| Arc::clone(max))
    }
    fn num_containers(&self) -> usize {
        self.times[0].len()
    }
    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        // The key is never null.
        let zeros = || Arc::new(UInt64Array::from(vec![0; self.num_containers()])) as ArrayRef;
        self.of(column).map(|_| zeros())
    }
    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }
    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
