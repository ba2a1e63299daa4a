//! One side of an ASOF join: its batches with keys and times that can be compared by bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::record_batch::RecordBatch;
use arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::PhysicalExpr;
use futures::StreamExt;

use super::exec::Keys;

/// Which row is the nearest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// The first one at or after, instead of the last one at or before.
    pub(super) descending: bool,
    /// The same instant counts.
    pub(super) same_counts: bool,
}

/// A side that is read batch by batch.
pub(super) struct Side {
    stream: SendableRecordBatchStream,
    keys: Keys,
    /// None when nothing must be equal.
    equal: Option<RowConverter>,
    nearest: RowConverter,
    batch: Option<Read>,
    at: usize,
    ended: bool,
}

/// A batch that was read.
struct Read {
    rows: RecordBatch,
    equal: Option<Rows>,
    nearest: Rows,
    /// Rows whose keys are all known.
    known: Option<NullBuffer>,
}

impl Side {
    pub(super) fn new(
        stream: SendableRecordBatchStream,
        keys: &Keys,
        order: Order,
    ) -> Result<Self> {
        let schema = stream.schema();
        let field = |expr: &Arc<dyn PhysicalExpr>, descending| -> Result<SortField> {
            let options = SortOptions {
                descending,
                nulls_first: true,
            };
            let data_type = expr.data_type(&schema)?;
            Ok(SortField::new_with_options(data_type, options))
        };
        let equal = keys.equal.iter().map(|expr| field(expr, false));
        let equal = equal.collect::<Result<Vec<_>>>()?;
        let equal = (!equal.is_empty())
            .then(|| RowConverter::new(equal))
            .transpose()?;
        Ok(Self {
            nearest: RowConverter::new(vec![field(&keys.nearest, order.descending)?])?,
            equal,
            keys: keys.clone(),
            stream,
            batch: None,
            at: 0,
            ended: false,
        })
    }

    /// Makes the current row one that is there: reads on when the batch is used up.
    ///
    /// Gives whether a batch was read. When there is none any more, [`row`](Self::row) is none.
    pub(super) async fn fill(&mut self) -> Result<bool> {
        let mut read = false;
        while !self.ended && self.used_up() {
            self.at = 0;
            self.batch = match self.stream.next().await {
                Some(batch) => Some(self.comparable(batch?)?),
                None => {
                    self.ended = true;
                    None
                }
            };
            read = true;
        }
        Ok(read)
    }

    pub(super) fn used_up(&self) -> bool {
        let rows = self.batch.as_ref().map(|batch| batch.rows.num_rows());
        rows.is_none_or(|rows| self.at >= rows)
    }

    pub(super) fn row(&self) -> Option<SideRow<'_>> {
        let batch = self.batch.as_ref()?;
        (self.at < batch.rows.num_rows()).then(|| SideRow {
            known: batch
                .known
                .as_ref()
                .is_none_or(|known| known.is_valid(self.at)),
            equal: batch.equal.as_ref().map(|rows| rows.row(self.at)),
            nearest: batch.nearest.row(self.at),
        })
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn batch(&self) -> Option<&RecordBatch> {
        self.batch.as_ref().map(|batch| &batch.rows)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.batch.as_ref().map_or(0, |batch| {
            let rows = batch.equal.as_ref().map_or(0, Rows::size);
            bytes_of(&batch.rows) + rows + batch.nearest.size()
        })
    }

    fn comparable(&self, rows: RecordBatch) -> Result<Read> {
        let values = |expr: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            expr.evaluate(&rows)?.into_array(rows.num_rows())
        };
        let equal = self.keys.equal.iter().map(values);
        let equal = equal.collect::<Result<Vec<_>>>()?;
        let nearest = values(&self.keys.nearest)?;
        let known = equal.iter().chain([&nearest]);
        let known = known.fold(None, |known, array| {
            NullBuffer::union(known.as_ref(), array.logical_nulls().as_ref())
        });
        let converter = self.equal.as_ref();
        let equal = converter.map(|converter| converter.convert_columns(&equal));
        Ok(Read {
            equal: equal.transpose()?,
            nearest: self.nearest.convert_columns(&[nearest])?,
            known,
            rows,
        })
    }
}

/// Bytes of the rows of a batch, without what else its buffers hold.
pub(super) fn bytes_of(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    let bytes = columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(0));
    bytes.sum()
}

/// What is compared of a row.
pub(super) struct SideRow<'a> {
    pub(super) known: bool,
    pub(super) equal: Option<Row<'a>>,
    pub(super) nearest: Row<'a>,
}
