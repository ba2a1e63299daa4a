//! What a query gives back: rows as they come, or all of them with a limit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use fieldwright_ingest::snapshot::Snapshot;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;

use super::{SqlError, SqlLimits};

/// The rows of a query, collected.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Names and types of the columns; field metadata `unit` carries a unit where one is known.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// True when there are more rows than the limits let through.
    pub truncated: bool,
}

impl Answer {
    /// Rows held.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// The rows of a query as they come. Dropping it cancels the query.
pub struct AnswerStream {
    schema: SchemaRef,
    // Dropped first: the plan's tasks end before their snapshot and their place are given back.
    rows: SendableRecordBatchStream,
    deadline: BoxFuture<'static, ()>,
    limits: Arc<SqlLimits>,
    ended: bool,
    _snapshot: Arc<Snapshot>,
    _place: OwnedSemaphorePermit,
}

impl AnswerStream {
    pub(super) fn new(
        rows: SendableRecordBatchStream,
        deadline: BoxFuture<'static, ()>,
        limits: Arc<SqlLimits>,
        snapshot: Arc<Snapshot>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            schema: rows.schema(),
            rows,
            deadline,
            limits,
            ended: false,
            _snapshot: snapshot,
            _place: place,
        }
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Collects the rows up to the limits of an answer; what is cut off is flagged.
    ///
    /// **Errors** as the query's own.
    pub async fn collect_answer(mut self) -> Result<Answer, SqlError> {
        let schema = self.schema();
        let mut batches = Vec::new();
        let mut truncated = false;
        let (mut rows_left, mut bytes) = (self.limits.answer_rows, 0);
        while let Some(batch) = self.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            bytes += batch.get_array_memory_size();
            if batch.num_rows() > rows_left || bytes > self.limits.answer_bytes {
                truncated = true;
                let fits = if bytes > self.limits.answer_bytes {
                    0
                } else {
                    rows_left
                };
                if fits > 0 {
                    batches.push(batch.slice(0, fits));
                }
                break;
            }
            rows_left -= batch.num_rows();
            batches.push(batch);
        }
        Ok(Answer {
            schema,
            batches,
            truncated,
        })
    }
}

impl Stream for AnswerStream {
    type Item = Result<RecordBatch, SqlError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.deadline.poll_unpin(context).is_ready() {
            self.ended = true;
            return Poll::Ready(Some(Err(SqlError::TimedOut {
                limit: self.limits.time,
            })));
        }
        match self.rows.poll_next_unpin(context) {
            Poll::Ready(Some(Ok(batch))) => Poll::Ready(Some(Ok(batch))),
            Poll::Ready(Some(Err(error))) => {
                self.ended = true;
                let memory = self.limits.memory_bytes;
                Poll::Ready(Some(Err(SqlError::from_engine(error, memory))))
            }
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl std::fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerStream")
            .field("schema", &self.schema)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
