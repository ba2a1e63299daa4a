//! What a query gives back: rows as they come, or all of them with a limit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::{Stream, StreamExt};
use tokio::sync::{mpsc, oneshot};

use super::register::Registered;
use super::running::{Task, Told, died};
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
    rows: mpsc::Receiver<Told>,
    limits: Arc<SqlLimits>,
    /// Rows that may still come, where the question named a limit.
    rows_left: Option<usize>,
    ended: bool,
    truncated: bool,
    /// Nothing once the time limit has passed.
    task: Option<Task>,
    registered: Registered,
    deadline: Deadline,
}

/// The caller's end of a running query.
pub(super) struct Rows {
    pub(super) told: mpsc::Receiver<Told>,
    pub(super) task: Task,
    pub(super) registered: Registered,
    /// The limit that the question named.
    pub(super) at_most: Option<usize>,
}

const CANCELED: Poll<Result<(), oneshot::error::RecvError>> = Poll::Ready(Ok(()));

/// When a query's time is over.
pub(super) type Deadline = Pin<Box<dyn Future<Output = ()> + Send>>;

impl std::fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerStream")
            .field("schema", &self.schema)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

impl AnswerStream {
    pub(super) fn new(
        schema: SchemaRef,
        rows: Rows,
        limits: Arc<SqlLimits>,
        deadline: Deadline,
    ) -> Self {
        Self {
            schema,
            rows: rows.told,
            limits,
            rows_left: rows.at_most,
            ended: false,
            truncated: false,
            task: Some(rows.task),
            registered: rows.registered,
            deadline,
        }
    }

    /// The id under which the query can be canceled.
    pub fn id(&self) -> &str {
        self.registered.id()
    }

    /// True once the stream has ended although there are more rows than the question asked for.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Ends the query, and with it the stream, before its end.
    fn cut(&mut self) {
        self.ended = true;
        self.task = None;
    }

    /// What is let through of a batch under the question's own limit.
    fn within_rows(&mut self, batch: RecordBatch) -> Option<RecordBatch> {
        let Some(left) = self.rows_left else {
            return Some(batch);
        };
        if batch.num_rows() <= left {
            self.rows_left = Some(left - batch.num_rows());
            return Some(batch);
        }
        self.truncated = true;
        self.cut();
        (left > 0).then(|| batch.slice(0, left))
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Collects the rows up to the limits of an answer; what is cut off is flagged.
    ///
    /// **Errors** as the query's own.
    pub async fn collect_answer(mut self) -> Result<Answer, SqlError> {
        self.collect_rows().await
    }

    /// Collects the rows and writes them as JSON on the query's threads; the query keeps its
    /// place until that is done.
    pub(super) async fn collect_json(mut self) -> Result<String, SqlError> {
        let answer = self.collect_rows().await?;
        let task = self.task.take().ok_or_else(died)?;
        let limits = Arc::clone(&self.limits);
        let written = task.threads().spawn(async move {
            let written = answer.to_json(&limits);
            drop(task);
            written
        });
        let limit = self.limits.time;
        tokio::select! {
            biased;
            written = written => written.map_err(|_| died()),
            () = &mut self.deadline => Err(SqlError::TimedOut { limit }),
        }
    }

    async fn collect_rows(&mut self) -> Result<Answer, SqlError> {
        let schema = self.schema();
        let mut batches = Vec::new();
        let mut truncated = false;
        // One limit is enough: the answer's own is the lower one.
        self.rows_left = None;
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
        // Looked at first: a query that always has rows must end, too.
        let canceled = Pin::new(&mut self.registered.canceled).poll(context);
        let rows = if canceled == CANCELED {
            Some(Err(SqlError::Canceled))
        } else {
            match self.rows.poll_recv(context) {
                Poll::Ready(Some(Told::Rows(rows))) => Some(rows),
                Poll::Ready(Some(Told::Done)) => None,
                Poll::Ready(None) => Some(Err(died())),
                Poll::Pending => {
                    std::task::ready!(self.deadline.as_mut().poll(context));
                    let limit = self.limits.time;
                    Some(Err(SqlError::TimedOut { limit }))
                }
            }
        };
        match rows {
            Some(Ok(batch)) => Poll::Ready(self.within_rows(batch).map(Ok)),
            Some(Err(error)) => {
                self.cut();
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.ended = true;
                Poll::Ready(None)
            }
        }
    }
}
