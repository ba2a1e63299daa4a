//! Which batches and files can hold rows of the asked time.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, TimestampMicrosecondArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use fieldwright_ingest::snapshot::TIME;

/// A filter turned into a question about smallest and largest times.
pub(super) struct TimePruning {
    predicate: Option<Arc<PruningPredicate>>,
    time_type: DataType,
}

impl TimePruning {
    pub(super) fn new(
        schema: &SchemaRef,
        predicate: Option<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let time_type = schema.field_with_name(TIME)?.data_type().clone();
        let predicate = predicate.and_then(|predicate| {
            PruningPredicateBuilder::new()
                .with_file_schema(Arc::clone(schema))
                .build(predicate)
        });
        Ok(Self {
            predicate,
            time_type,
        })
    }

    /// The containers that may hold a row that passes; `range` gives a container's times.
    pub(super) fn keep<T>(
        &self,
        containers: &[Arc<T>],
        range: impl Fn(&T) -> (i64, i64),
    ) -> Result<Vec<Arc<T>>> {
        let Some(predicate) = self.predicate.as_ref().filter(|_| !containers.is_empty()) else {
            return Ok(containers.to_vec());
        };
        let (min, max): (Vec<i64>, Vec<i64>) = containers.iter().map(|c| range(c)).unzip();
        let times = |values: Vec<i64>| -> Result<ArrayRef> {
            let values: ArrayRef =
                Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"));
            Ok(cast(&values, &self.time_type)?)
        };
        let ranges = Ranges {
            min: times(min)?,
            max: times(max)?,
        };
        let kept = predicate.prune(&ranges)?;
        let kept = containers.iter().zip(kept).filter(|(_, keep)| *keep);
        Ok(kept.map(|(container, _)| Arc::clone(container)).collect())
    }
}

struct Ranges {
    min: ArrayRef,
    max: ArrayRef,
}

impl PruningStatistics for Ranges {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        (column.name == TIME).then(|| Arc::clone(&self.min))
    }
    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        (column.name == TIME).then(|| Arc::clone(&self.max))
    }
    fn num_containers(&self) -> usize {
        self.min.len()
    }
    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        // `time` is never null.
        (column.name == TIME)
            .then(|| Arc::new(UInt64Array::from(vec![0; self.min.len()])) as ArrayRef)
    }
    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }
    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
