//! One running query: a task on the engine's own threads that hands its rows to whoever asked.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::physical_plan::execute_stream;
use fieldwright_ingest::clock::process_sleep;
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::catalog::QueryCatalogs;
use super::engine::Shared;
use super::{AnswerStream, SqlError, complexity, gate};

/// Batches that wait for a slow reader.
const WAITING_BATCHES: usize = 2;

/// What the task tells: a batch or an error, and at last that there is no more. A channel that
/// closes without the last word means that the task died.
pub(super) enum Told {
    Rows(Result<RecordBatch, SqlError>),
    Done,
}

/// Aborts the task when dropped.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a query on `threads` and waits until it is planned.
pub(super) async fn start(
    shared: &Arc<Shared>,
    threads: &Handle,
    sql: &str,
) -> Result<AnswerStream, SqlError> {
    let (planned, when_planned) = oneshot::channel();
    let (told, rows) = mpsc::channel(WAITING_BATCHES);
    let query = Query {
        shared: Arc::clone(shared),
        sql: sql.to_owned(),
    };
    let task = Task(threads.spawn(query.run(planned, told)));
    let schema = when_planned.await.unwrap_or_else(|_| Err(died()))?;
    Ok(AnswerStream::new(
        schema,
        rows,
        task,
        Arc::clone(&shared.limits),
    ))
}

/// The error of a query whose task ended without a word.
pub(super) fn died() -> SqlError {
    let source = DataFusionError::Internal("the query's task ended early".to_owned());
    SqlError::Broken {
        source: Arc::new(source),
    }
}

type Planned = oneshot::Sender<Result<SchemaRef, SqlError>>;

struct Query {
    shared: Arc<Shared>,
    sql: String,
}

impl Query {
    async fn run(self, planned: Planned, told: mpsc::Sender<Told>) {
        let limit = self.shared.limits.time;
        let mut planned = Some(planned);
        let ended = tokio::select! {
            biased;
            () = process_sleep(limit) => Err(SqlError::TimedOut { limit }),
            ended = self.work(&mut planned, &told) => ended,
        };
        match (ended, planned) {
            // Whoever asked may be gone; then nobody needs to be told.
            (Err(error), Some(planned)) => _ = planned.send(Err(error)),
            (Err(error), None) => _ = told.send(Told::Rows(Err(error))).await,
            (Ok(()), _) => _ = told.send(Told::Done).await,
        }
    }

    async fn work(
        &self,
        planned: &mut Option<Planned>,
        told: &mpsc::Sender<Told>,
    ) -> Result<(), SqlError> {
        let statement = gate::admit(&self.sql, &self.shared.limits)?;
        let places: &Semaphore = &self.shared.places;
        let _place = places
            .acquire()
            .await
            .expect("the engine never closes its places");

        // Held to the end: files of this snapshot stay until the query is done with them.
        let snapshot = (self.shared.snapshots)();
        let operational = self
            .shared
            .operational
            .as_ref()
            .map(|tables| tables.begin_query());
        let catalogs = QueryCatalogs::new(Arc::clone(&snapshot), operational);
        let session = self.session(catalogs);

        let plan = session
            .statement_to_plan(statement)
            .await
            .map_err(|e| self.sort(e))?;
        complexity::admit_plan(&plan, &self.shared.limits)?;
        gate::admit_plan(&plan)?;
        let plan = session
            .create_physical_plan(&plan)
            .await
            .map_err(|e| self.sort(e))?;
        let mut rows = execute_stream(plan, session.task_ctx()).map_err(|e| self.sort(e))?;
        if let Some(planned) = planned.take() {
            _ = planned.send(Ok(rows.schema()));
        }
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|e| self.sort(e))?;
            if told.send(Told::Rows(Ok(batch))).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// A copy of the base session that knows this query's tables and instant.
    fn session(&self, catalogs: QueryCatalogs) -> SessionState {
        let mut session = self.shared.session.clone();
        session.register_catalog_list(Arc::new(catalogs));
        session.mark_start_execution();
        session.execution_props_mut().query_execution_start_time = Some(self.shared.clock.now());
        session
    }

    fn sort(&self, error: DataFusionError) -> SqlError {
        SqlError::from_engine(error, self.shared.limits.memory_bytes)
    }
}
