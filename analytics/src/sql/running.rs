//! One running query: a task on the engine's own threads that hands its rows to whoever asked.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::physical_plan::execute_stream;
use datafusion::sql::parser::Statement;
use fieldwright_ingest::clock::process_sleep;
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::answer::{Deadline, Rows};
use super::catalog::QueryCatalogs;
use super::engine::{Lane, Shared};
use super::memory::Share;
use super::request::{Manner, Parameters};
use super::stopping::{self, Stop};
use super::threads::{Set, TAKE_UP};
use super::{
    AnswerStream, Described, SqlError, SqlLimits, SqlRequest, complexity, gate, offered,
    parameters, timeseries, width,
};

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
    request: &SqlRequest,
    keeps: Keeps,
) -> Result<AnswerStream, SqlError> {
    let limits = request.limits(&shared.limits);
    let limit = limits.time;
    // On the caller's own runtime: it passes also when every thread of ours is stuck.
    let mut deadline: Deadline = Box::pin(process_sleep(limit));
    let mut registered = shared.register.enter(request)?;
    let (told, rows) = mpsc::channel(WAITING_BATCHES);
    let begun = begin(shared, lane, request, &limits, keeps, Aim::Rows(told));
    let (described, task) = tokio::select! {
        biased;
        begun = begun => begun?,
        () = &mut deadline => return Err(SqlError::TimedOut { limit }),
        Ok(()) = &mut registered.canceled => return Err(SqlError::Canceled),
    };
    let rows = Rows {
        told: rows,
        task,
        registered,
        at_most: request.rows,
    };
    Ok(AnswerStream::new(described.schema, rows, limits, deadline))
}

/// Plans a query on the lane's threads and tells what it would answer.
pub(super) async fn describe(
    shared: &Arc<Shared>,
    lane: &Lane,
    request: &SqlRequest,
) -> Result<Described, SqlError> {
    let limits = request.limits(&shared.limits);
    let limit = limits.time;
    let mut registered = shared.register.enter(request)?;
    let begun = begin(
        shared,
        lane,
        request,
        &limits,
        Keeps::WhileRunning,
        Aim::Description,
    );
    tokio::select! {
        biased;
        begun = begun => begun.map(|(described, _task)| described),
        () = process_sleep(limit) => Err(SqlError::TimedOut { limit }),
        Ok(()) = &mut registered.canceled => Err(SqlError::Canceled),
    }
}

/// Reads a text without running it.
///
/// **Errors**: it is not admitted.
pub(super) async fn admit(
    shared: &Arc<Shared>,
    lane: &Lane,
    request: &SqlRequest,
) -> Result<Arc<Statement>, SqlError> {
    if let Some(statement) = shared.statements.get(request.manner, &request.text) {
        return Ok(statement);
    }
    let set = lane.threads.ready().await;
    let (shared, manner, text) = (Arc::clone(shared), request.manner, request.text.clone());
    let admitted = set
        .handle()
        .spawn(async move { read(&shared, manner, &text) });
    admitted.await.unwrap_or_else(|_| Err(died()))
}

/// Reads a text, on a thread of ours: their stacks are deep enough.
fn read(shared: &Arc<Shared>, manner: Manner, text: &Arc<str>) -> Result<Arc<Statement>, SqlError> {
    if let Some(statement) = shared.statements.get(manner, text) {
        return Ok(statement);
    }
    let statement = match manner {
        Manner::Plain => gate::admit(text, &shared.limits)?,
        Manner::PostgresCatalog => gate::admit_catalog(text, shared.pg_catalog()?, &shared.limits)?,
    };
    let statement = Arc::new(statement);
    shared.statements.keep(manner, text, &statement);
    Ok(statement)
}

async fn begin(
    shared: &Arc<Shared>,
    lane: &Lane,
    request: &SqlRequest,
    limits: &Arc<SqlLimits>,
    keeps: Keeps,
    aim: Aim,
) -> Result<(Described, Task), SqlError> {
    let place = match Arc::clone(&lane.places).try_acquire_owned() {
        // The query's own task reads the text, too: going to a thread and back costs time.
        Ok(place) => place,
        Err(_) => {
            // A text that is refused waits for no place.
            admit(shared, lane, request).await?;
            let place = Arc::clone(&lane.places).acquire_owned().await;
            place.expect("the engine never closes its places")
        }
    };
    let place = Place(Arc::new(Mutex::new(Some(place))));
    loop {
        let set = lane.threads.current();
        let (planned, mut when_planned) = oneshot::channel();
        let begun = Arc::new(Begun::default());
        let stop = Stop::default();
        let query = Query {
            shared: Arc::clone(shared),
            limits: Arc::clone(limits),
            manner: request.manner,
            text: Arc::clone(&request.text),
            parameters: request.parameters.clone(),
            lowered_memory: request.memory_bytes.is_some(),
            stop: stop.clone(),
            free_at_end: (keeps == Keeps::WhileRunning).then(|| place.clone()),
        };
        let running = query.run(Arc::clone(&begun), planned, aim.clone());
        let handle = set.handle().spawn(running);
        let answered = timeout(TAKE_UP, &mut when_planned).await;
        if answered.is_err() && begun.give_up() {
            // Every thread is stuck: the query has not been looked at, so others may take it.
            handle.abort();
            lane.threads.replace(&set);
            continue;
        }
        let task = Task {
            handle,
            stop,
            place,
            set,
        };
        let answered = match answered {
            Ok(answered) => answered,
            Err(_still_planning) => when_planned.await,
        };
        let described = answered.unwrap_or_else(|_| Err(died()))?;
        return Ok((described, task));
    }
}

/// What a query is run for.
#[derive(Clone)]
enum Aim {
    Rows(mpsc::Sender<Told>),
    Description,
}

/// Whether a query was taken up by a thread, or given up before one did.
#[derive(Default)]
struct Begun(AtomicU8);

impl Begun {
    const WAITING: u8 = 0;
    const BEGUN: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// False when nobody waits for this attempt any more.
    fn begin(&self) -> bool {
        self.leave_waiting(Self::BEGUN)
    }

    /// False when a thread has begun.
    fn give_up(&self) -> bool {
        self.leave_waiting(Self::GIVEN_UP)
    }

    fn leave_waiting(&self, next: u8) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let left = self
            .0
            .compare_exchange(Self::WAITING, next, success, failure);
        left.is_ok()
    }
}

/// The error of a query whose task ended without a word.
pub(super) fn died() -> SqlError {
    let source = DataFusionError::Internal("the query's task ended early".to_owned());
    SqlError::Broken {
        source: Arc::new(source),
    }
}

type Planned = oneshot::Sender<Result<Described, SqlError>>;

struct Query {
    shared: Arc<Shared>,
    limits: Arc<SqlLimits>,
    manner: Manner,
    text: Arc<str>,
    parameters: Parameters,
    lowered_memory: bool,
    stop: Stop,
    free_at_end: Option<Place>,
}

impl Query {
    async fn run(self, begun: Arc<Begun>, planned: Planned, aim: Aim) {
        if !begun.begin() {
            return;
        }
        let limit = self.limits.time;
        let mut planned = Some(planned);
        let ended = tokio::select! {
            biased;
            () = process_sleep(limit) => Err(SqlError::TimedOut { limit }),
            ended = self.work(&mut planned, &aim) => ended,
        };
        // A slow reader of the last rows keeps nobody waiting.
        if let Some(place) = &self.free_at_end {
            place.free();
        }
        let told = match aim {
            Aim::Rows(told) => Some(told),
            Aim::Description => None,
        };
        match (ended, planned, told) {
            // Whoever asked may be gone; then nobody needs to be told.
            (Err(error), Some(planned), _) => _ = planned.send(Err(error)),
            (Err(error), None, Some(told)) => _ = told.send(Told::Rows(Err(error))).await,
            (Ok(()), _, Some(told)) => _ = told.send(Told::Done).await,
            (_, _, None) => {}
        }
    }

    async fn work(&self, planned: &mut Option<Planned>, aim: &Aim) -> Result<(), SqlError> {
        let statement = read(&self.shared, self.manner, &self.text)?;
        // Held to the end: files of this snapshot stay until the query is done with them.
        let snapshot = (self.shared.snapshots)();
        let catalogs = self.shared.catalogs(Arc::clone(&snapshot));
        let session = self.session(catalogs)?;

        let plan = session
            .statement_to_plan((*statement).clone())
            .await
            .map_err(|e| self.sort(e))?;
        let plan = match &self.parameters {
            Parameters::None => plan,
            Parameters::Values(values) => plan
                .with_param_values(values.clone())
                .map_err(|e| self.sort(e))?,
            Parameters::Late(make) => {
                let types = parameters::of_plan(&plan).map_err(|e| self.sort(e))?;
                plan.with_param_values(make(&types)?)
                    .map_err(|e| self.sort(e))?
            }
        };
        complexity::admit_plan(&plan, &self.limits)?;
        gate::admit_plan(&plan)?;
        offered::admit_plan(&plan)?;
        width::admit_plan(&plan)?;
        timeseries::admit_plan(&plan)?;
        let told = match aim {
            Aim::Rows(told) => told,
            Aim::Description => {
                let parameters = parameters::of_plan(&plan).map_err(|e| self.sort(e))?;
                // Planned to the end where that is possible: some clients compare what they were
                // told with what they get.
                let schema = match parameters.is_empty() {
                    true => {
                        let plan = session.create_physical_plan(&plan).await;
                        plan.map_err(|e| self.sort(e))?.schema()
                    }
                    false => Arc::clone(plan.schema().inner()),
                };
                let described = Described { schema, parameters };
                if let Some(planned) = planned.take() {
                    _ = planned.send(Ok(described));
                }
                return Ok(());
            }
        };
        let plan = session
            .create_physical_plan(&plan)
            .await
            .and_then(timeseries::charge_held)
            .and_then(|plan| stopping::interruptible(plan, &self.stop))
            .map_err(|e| self.sort(e))?;
        let mut rows = execute_stream(plan, self.context(&session)).map_err(|e| self.sort(e))?;
        if let Some(planned) = planned.take() {
            let described = Described {
                schema: rows.schema(),
                parameters: Vec::new(),
            };
            _ = planned.send(Ok(described));
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
    fn session(&self, catalogs: QueryCatalogs) -> Result<SessionState, SqlError> {
        let (mut session, catalogs) = match self.manner {
            Manner::Plain => (self.shared.session.clone(), catalogs),
            Manner::PostgresCatalog => {
                let catalog = self.shared.pg_catalog()?;
                let (name, tables) = catalog.schema();
                (
                    catalog.session().clone(),
                    catalogs.with_schema(name, tables),
                )
            }
        };
        session.register_catalog_list(Arc::new(catalogs));
        session.mark_start_execution();
        session.execution_props_mut().query_execution_start_time = Some(self.shared.clock.now());
        Ok(session)
    }

    /// What a plan runs with: the runtime of all queries, with less memory where that is asked.
    fn context(&self, session: &SessionState) -> Arc<TaskContext> {
        if !self.lowered_memory {
            return session.task_ctx();
        }
        let runtime = session.runtime_env();
        let all = Arc::clone(&runtime.memory_pool);
        let mut own = RuntimeEnv::clone(runtime);
        own.memory_pool = Arc::new(Share::new(all, self.limits.memory_bytes));
        Arc::new(TaskContext::from(session).with_runtime(Arc::new(own)))
    }

    fn sort(&self, error: DataFusionError) -> SqlError {
        SqlError::from_engine(error, self.limits.memory_bytes)
    }
}
