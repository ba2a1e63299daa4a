//! The walk through both sides.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array, new_null_array};
use arrow::compute::{interleave, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::row::OwnedRow;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::BaselineMetrics;
use futures::{Stream, stream};

use super::side::{Order, Side, bytes_of};

/// Most batches of the right side that one batch of the answer is put together from.
const SOURCES: usize = 16;

/// Rows of the left, each with its match.
pub(super) struct Matches {
    schema: SchemaRef,
    left: Side,
    right: Side,
    order: Order,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
    /// Key of the latest row of the left.
    key: Option<OwnedRow>,
    /// The nearest row of the right with that key so far: one row of its own.
    nearest: Option<RecordBatch>,
}

/// A batch of the answer while it is put together.
struct Answer {
    from: usize,
    /// Batches of the right, the first of them empty.
    sources: Vec<RecordBatch>,
    /// How many of them are more than one row.
    whole: usize,
    /// For each row of the left: the source and the row in it; none is (0, 0).
    picks: Vec<(usize, usize)>,
}

impl Matches {
    pub(super) fn new(
        schema: SchemaRef,
        left: Side,
        right: Side,
        order: Order,
        memory: MemoryReservation,
        metrics: BaselineMetrics,
    ) -> Self {
        Self {
            schema,
            left,
            right,
            order,
            memory,
            metrics,
            key: None,
            nearest: None,
        }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        stream::try_unfold(self, |mut walk| async move {
            let batch = walk.next_batch().await?;
            Ok(batch.map(|batch| (batch, walk)))
        })
    }

    async fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        self.left.fill().await?;
        let Some(batch) = self.left.batch().cloned() else {
            self.memory.free();
            return Ok(None);
        };
        let mut answer = Answer {
            from: self.left.at(),
            sources: Vec::new(),
            whole: 0,
            picks: Vec::new(),
        };
        self.account(&answer)?;
        // The match found so far, within the sources of this answer.
        let mut pick = None;
        while self.left.at() < batch.num_rows() && answer.whole < SOURCES {
            self.next_key(&mut pick);
            self.read_right(&mut answer, &mut pick).await?;
            let known = self.left.row().is_some_and(|row| row.known);
            answer.picks.push(match (known, pick, &self.nearest) {
                (false, ..) => (0, 0),
                (true, Some(pick), _) => pick,
                (true, None, Some(nearest)) => {
                    answer.sources.push(nearest.clone());
                    *pick.insert((answer.sources.len(), 0))
                }
                (true, None, None) => (0, 0),
            });
            self.left.advance();
        }
        self.keep(&answer, pick)?;
        let batch = self.put_together(&batch, answer)?;
        self.metrics.record_output(batch.num_rows());
        Ok(Some(batch))
    }

    /// Forgets the match when the left goes on to another key.
    fn next_key(&mut self, pick: &mut Option<(usize, usize)>) {
        let key = self.left.row().and_then(|row| row.equal);
        let same = match (&self.key, &key) {
            (Some(old), Some(new)) => old.row() == *new,
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.key = key.map(|key| key.owned());
            self.nearest = None;
            *pick = None;
        }
    }

    /// Reads the right side up to the last row that the current row of the left may match.
    async fn read_right(
        &mut self,
        answer: &mut Answer,
        pick: &mut Option<(usize, usize)>,
    ) -> Result<()> {
        // The nearest row of the right's current batch.
        let mut nearer = None;
        loop {
            if self.right.used_up() {
                if let (Some(row), Some(batch)) = (nearer.take(), self.right.batch()) {
                    self.nearest = Some(one_row(batch, row)?);
                    *pick = None;
                }
                if self.right.fill().await? {
                    self.account(answer)?;
                }
            }
            let (Some(left), Some(right)) = (self.left.row(), self.right.row()) else {
                break;
            };
            let meets = match right.nearest.cmp(&left.nearest) {
                Ordering::Less => true,
                Ordering::Equal => self.order.same_counts,
                Ordering::Greater => false,
            };
            match right.equal.cmp(&left.equal) {
                Ordering::Greater => break,
                Ordering::Equal if !meets => break,
                Ordering::Equal if right.known => nearer = Some(self.right.at()),
                _ => {}
            }
            self.right.advance();
        }
        if let (Some(row), Some(batch)) = (nearer, self.right.batch()) {
            *pick = Some(answer.source(batch, row));
        }
        Ok(())
    }

    /// Keeps the match for the next batch as a row of its own, so that its batch can go.
    fn keep(&mut self, answer: &Answer, pick: Option<(usize, usize)>) -> Result<()> {
        if let Some((source, row)) = pick {
            self.nearest = Some(one_row(&answer.sources[source - 1], row)?);
        }
        Ok(())
    }

    fn account(&mut self, answer: &Answer) -> Result<()> {
        let sources: usize = answer.sources.iter().map(bytes_of).sum();
        let nearest = self.nearest.as_ref().map_or(0, bytes_of);
        let bytes = self.left.bytes() + self.right.bytes() + sources + nearest;
        // The answer itself is about as large as what it is put together from.
        self.memory.try_resize(bytes.saturating_mul(2))
    }

    fn put_together(&self, left: &RecordBatch, answer: Answer) -> Result<RecordBatch> {
        let rows = answer.picks.len();
        let mut columns = left.slice(answer.from, rows).columns().to_vec();
        let width = columns.len();
        for (place, field) in self.schema.fields().iter().skip(width).enumerate() {
            let none = new_null_array(field.data_type(), 1);
            let sources = answer
                .sources
                .iter()
                .map(|batch| batch.column(place).as_ref());
            let sources: Vec<&dyn Array> = [none.as_ref()].into_iter().chain(sources).collect();
            let column: ArrayRef = interleave(&sources, &answer.picks)?;
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

impl Answer {
    /// A row of a batch of the right side as a pick.
    fn source(&mut self, batch: &RecordBatch, row: usize) -> (usize, usize) {
        let same = |known: &RecordBatch| {
            let mut pairs = known.columns().iter().zip(batch.columns());
            known.num_rows() == batch.num_rows() && pairs.all(|(a, b)| Arc::ptr_eq(a, b))
        };
        if !self.sources.last().is_some_and(same) {
            self.sources.push(batch.clone());
            self.whole += 1;
        }
        (self.sources.len(), row)
    }
}

/// A row with buffers of its own.
fn one_row(batch: &RecordBatch, row: usize) -> Result<RecordBatch> {
    let row = UInt64Array::from(vec![row as u64]);
    Ok(take_record_batch(batch, &row)?)
}
