//! One running query: a task on the engine's own threads that hands its rows to whoever asked.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::parser::Statement;
use fieldwright_ingest::clock::process_sleep;
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::answer::Deadline;
use super::catalog::QueryCatalogs;
use super::engine::{Lane, Shared};
use super::stopping::{self, Stop};
use super::threads::Set;
use super::{AnswerStream, SqlError, complexity, gate, offered, timeseries, width};

/// Batches that wait for a slow reader.
const WAITING_BATCHES: usize = 2;

/// What the task tells: a batch or an error, and at last that there is no more. A channel that
/// closes without the last word means that the task died.
pub(super) enum Told {
    Rows(Result<RecordBatch, SqlError>),
    Done,
}

/// The caller's end of a query's task: stops the task and gives its place back when dropped,
/// also when the task is stuck and takes no notice.
#[derive(Debug)]
pub(super) struct Task {
    handle: JoinHandle<()>,
    stop: Stop,
    place: Place,
    set: Arc<Set>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stop.stop();
        self.handle.abort();
        self.place.free();
    }
}

impl Task {
    /// The threads that the query ran on.
    pub(super) fn threads(&self) -> Handle {
        self.set.handle().clone()
    }
}

/// A query's place among those that may run at the same time.
#[derive(Debug, Clone)]
struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Place {
    fn free(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// How long a query keeps its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Until its last row is handed over.
    WhileRunning,
    /// Until the answer is dropped too.
    ToTheEnd,
}

/// Starts a query on the lane's threads and waits until it is planned, up to the time limit.
pub(super) async fn start(
    shared: &Arc<Shared>,
    lane: &Lane,
    sql: &str,
    keeps: Keeps,
) -> Result<AnswerStream, SqlError> {
    let limit = shared.limits.time;
    // On the caller's own runtime: it passes also when every thread of ours is stuck.
    let mut deadline: Deadline = Box::pin(process_sleep(limit));
    let (told, rows) = mpsc::channel(WAITING_BATCHES);
    let begun = begin(shared, lane, sql, keeps, told);
    let (schema, task) = tokio::select! {
        biased;
        begun = begun => begun?,
        () = &mut deadline => return Err(SqlError::TimedOut { limit }),
    };
    let limits = Arc::clone(&shared.limits);
    Ok(AnswerStream::new(schema, rows, task, limits, deadline))
}

async fn begin(
    shared: &Arc<Shared>,
    lane: &Lane,
    sql: &str,
    keeps: Keeps,
    told: mpsc::Sender<Told>,
) -> Result<(SchemaRef, Task), SqlError> {
    let set = lane.threads.ready().await;
    let (text, limits) = (sql.to_owned(), Arc::clone(&shared.limits));
    let admitted = set
        .handle()
        .spawn(async move { gate::admit(&text, &limits) });
    let statement = admitted.await.unwrap_or_else(|_| Err(died()))?;
    let place = Arc::clone(&lane.places).acquire_owned().await;
    let place = place.expect("the engine never closes its places");
    let place = Place(Arc::new(Mutex::new(Some(place))));
    // Those may have become stuck while this query waited.
    let set = lane.threads.ready().await;
    let (planned, when_planned) = oneshot::channel();
    let stop = Stop::default();
    let query = Query {
        shared: Arc::clone(shared),
        stop: stop.clone(),
        free_at_end: (keeps == Keeps::WhileRunning).then(|| place.clone()),
    };
    let handle = set.handle().spawn(query.run(statement, planned, told));
    let task = Task {
        handle,
        stop,
        place,
        set,
    };
    let schema = when_planned.await.unwrap_or_else(|_| Err(died()))?;
    Ok((schema, task))
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
    stop: Stop,
    free_at_end: Option<Place>,
}

impl Query {
    async fn run(self, statement: Statement, planned: Planned, told: mpsc::Sender<Told>) {
        let limit = self.shared.limits.time;
        let mut planned = Some(planned);
        let ended = tokio::select! {
            biased;
            () = process_sleep(limit) => Err(SqlError::TimedOut { limit }),
            ended = self.work(statement, &mut planned, &told) => ended,
        };
        // A slow reader of the last rows keeps nobody waiting.
        if let Some(place) = &self.free_at_end {
            place.free();
        }
        match (ended, planned) {
            // Whoever asked may be gone; then nobody needs to be told.
            (Err(error), Some(planned)) => _ = planned.send(Err(error)),
            (Err(error), None) => _ = told.send(Told::Rows(Err(error))).await,
            (Ok(()), _) => _ = told.send(Told::Done).await,
        }
    }

    async fn work(
        &self,
        statement: Statement,
        planned: &mut Option<Planned>,
        told: &mpsc::Sender<Told>,
    ) -> Result<(), SqlError> {
        // Held to the end: files of this snapshot stay until the query is done with them.
        let snapshot = (self.shared.snapshots)();
        let operational = self
            .shared
            .operational
            .as_ref()
            .map(|tables| tables.begin_query());
        let catalogs = QueryCatalogs::new(
            Arc::clone(&snapshot),
            operational,
            Arc::clone(&self.shared.columns),
        );
        let session = self.session(catalogs);

        let plan = session
            .statement_to_plan(statement)
            .await
            .map_err(|e| self.sort(e))?;
        complexity::admit_plan(&plan, &self.shared.limits)?;
        gate::admit_plan(&plan)?;
        offered::admit_plan(&plan)?;
        width::admit_plan(&plan)?;
        timeseries::admit_plan(&plan)?;
        let plan = session
            .create_physical_plan(&plan)
            .await
            .and_then(timeseries::charge_windows)
            .and_then(|plan| stopping::interruptible(plan, &self.stop))
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
