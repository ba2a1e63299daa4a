//! The engine: one runtime for all queries, one cheap session for each.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use datafusion::execution::SessionState;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;
use fieldwright_ingest::clock::SharedClock;
use fieldwright_ingest::snapshot::Snapshot;
use tokio::sync::Semaphore;

use super::by_runs::ByRuns;
use super::catalog::QueryCatalogs;
use super::lake_scan::{ColumnCache, ColumnCacheUse};
use super::operational::Operational;
use super::operational::declared::DeclaredTables;
use super::pg_catalog::PgCatalog;
use super::picture::{Picture, PictureSource, Pictures};
use super::register::Register;
use super::running::{self, Keeps};
use super::statements::Statements;
use super::threads::Threads;
use super::{
    Answer, AnswerStream, Described, RunningQuery, SqlError, SqlLimits, SqlRequest, offered,
    timeseries, width,
};

/// Where a query gets its picture of the readings from; asked once per query.
pub type SnapshotSource = Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>;

/// Name of the one catalog and of the one schema in it.
pub(crate) const CATALOG: &str = "fieldwright";
pub(crate) const SCHEMA: &str = "public";

/// Answers read-only SQL.
///
/// Queries run on threads of their own, so a heavy one delays no acknowledgement of a reading.
pub struct SqlEngine {
    shared: Arc<Shared>,
    people: Lane,
    rules: Lane,
}

/// Places and threads of one kind of callers, so that no other kind can take them.
pub(super) struct Lane {
    pub(super) places: Arc<Semaphore>,
    pub(super) threads: Threads,
}

impl Lane {
    fn new(places: usize, limits: &SqlLimits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.max(1))),
            threads: Threads::new(limits.partitions),
        }
    }
}

/// What all queries share.
pub(super) struct Shared {
    pub(super) snapshots: PictureSource,
    pub(super) operational: Option<Arc<DeclaredTables>>,
    pub(super) clock: SharedClock,
    pub(super) limits: Arc<SqlLimits>,
    pub(super) session: SessionState,
    pub(super) columns: Arc<ColumnCache>,
    pub(super) statements: Statements,
    pub(super) register: Arc<Register>,
    /// Made when a PostgreSQL client first asks about it.
    pg_catalog: OnceLock<PgCatalog>,
}

impl Shared {
    /// The tables of one query, over this picture of the readings.
    pub(super) fn catalogs(&self, picture: Arc<Picture>) -> QueryCatalogs {
        let operational = self.operational.as_ref();
        QueryCatalogs::new(
            picture,
            operational.map(|tables| tables.begin_query()),
            Arc::clone(&self.columns),
        )
    }

    /// What PostgreSQL clients find out about the tables.
    ///
    /// **Errors**: it cannot be made, which is a fault of ours.
    pub(super) fn pg_catalog(self: &Arc<Self>) -> Result<&PgCatalog, SqlError> {
        if let Some(catalog) = self.pg_catalog.get() {
            return Ok(catalog);
        }
        let made = PgCatalog::new(Arc::downgrade(self), &self.session)
            .map_err(|error| SqlError::from_engine(error, self.limits.memory_bytes))?;
        Ok(self.pg_catalog.get_or_init(|| made))
    }
}

impl SqlEngine {
    /// An engine over snapshots of the readings and, when given, the operational tables.
    ///
    /// # Panics
    /// When the operating system gives no threads, as at a start it must.
    pub fn new(
        pictures: impl Into<Pictures>,
        operational: Option<Operational>,
        clock: SharedClock,
        limits: SqlLimits,
    ) -> Self {
        let shared = Shared {
            snapshots: pictures.into().0,
            operational: operational.map(|given| Arc::new(DeclaredTables::new(given, &limits))),
            clock,
            session: base_session(&limits),
            columns: Arc::new(ColumnCache::new(limits.cache_bytes)),
            limits: Arc::new(limits),
            statements: Statements::default(),
            register: Arc::default(),
            pg_catalog: OnceLock::new(),
        };
        let limits = &shared.limits;
        Self {
            people: Lane::new(limits.concurrent, limits),
            rules: Lane::new(limits.concurrent_rules, limits),
            shared: Arc::new(shared),
        }
    }

    /// The limits that queries keep to.
    pub fn limits(&self) -> &SqlLimits {
        &self.shared.limits
    }

    #[cfg(test)]
    pub(super) fn people(&self) -> &Lane {
        &self.people
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What the cache of decoded columns did so far.
    pub fn column_cache(&self) -> ColumnCacheUse {
        self.shared.columns.figures()
    }

    /// Bytes of memory that the running queries hold now.
    pub fn memory_in_use(&self) -> usize {
        self.shared.session.runtime_env().memory_pool.reserved()
    }

    /// Runs a query and collects its rows up to the limits of an answer.
    ///
    /// Dropping the future cancels the query.
    ///
    /// **Errors**: see [`SqlError`]; a cut-off answer is no error but says `truncated`.
    pub async fn query(&self, sql: &str) -> Result<Answer, SqlError> {
        self.stream(sql).await?.collect_answer().await
    }

    /// Runs a query and gives its rows as they come. Dropping the stream cancels the query.
    ///
    /// **Errors**: see [`SqlError`].
    pub async fn stream(&self, sql: &str) -> Result<AnswerStream, SqlError> {
        self.open(&SqlRequest::new(sql)).await
    }

    /// The same as [`stream`](Self::stream), with parameters, limits and an id of its own.
    ///
    /// **Errors**: see [`SqlError`].
    pub async fn open(&self, request: &SqlRequest) -> Result<AnswerStream, SqlError> {
        running::start(&self.shared, &self.people, request, Keeps::WhileRunning).await
    }

    /// Runs a query and writes its rows up to the limits of an answer as JSON text:
    /// `{"columns":[{"name","type","unit"?}],"rows":[[…]],"truncated":bool}`.
    ///
    /// Dropping the future cancels the query.
    ///
    /// **Errors**: see [`SqlError`].
    pub async fn json(&self, request: &SqlRequest) -> Result<String, SqlError> {
        let answer = running::start(&self.shared, &self.people, request, Keeps::ToTheEnd).await?;
        answer.collect_json().await
    }

    /// Plans a query and says what it would answer, and which parameters it has.
    ///
    /// **Errors**: see [`SqlError`].
    pub async fn describe(&self, request: &SqlRequest) -> Result<Described, SqlError> {
        running::describe(&self.shared, &self.people, request).await
    }

    /// Reads a query without planning it.
    ///
    /// **Errors**: the text is not admitted; what it names is looked up later.
    pub async fn admit(&self, request: &SqlRequest) -> Result<(), SqlError> {
        let admitted = running::admit(&self.shared, &self.people, request).await;
        admitted.map(|_statement| ())
    }

    /// The queries that run now, the oldest first.
    pub fn running(&self) -> Vec<RunningQuery> {
        self.shared.register.list()
    }

    /// Cancels a running query; says whether one ran under this id.
    pub fn cancel(&self, id: &str) -> bool {
        self.shared.register.cancel(id)
    }

    /// Every table that a query sees now, with its columns: what clients list.
    pub fn tables(&self) -> Vec<(String, SchemaRef)> {
        self.shared.catalogs((self.shared.snapshots)()).listed()
    }

    /// The classes that have a table now.
    pub fn classes(&self) -> Vec<String> {
        let snapshot = (self.shared.snapshots)();
        snapshot.tables.keys().map(ToString::to_string).collect()
    }

    /// The same as [`query`](Self::query) for the rules of alarms: in places and on threads that
    /// no other query can take.
    ///
    /// **Errors**: see [`SqlError`].
    pub async fn query_rule(&self, sql: &str) -> Result<Answer, SqlError> {
        let request = SqlRequest::new(sql).through("rules");
        let answer =
            running::start(&self.shared, &self.rules, &request, Keeps::WhileRunning).await?;
        answer.collect_answer().await
    }
}

impl std::fmt::Debug for SqlEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlEngine")
            .field("limits", &self.shared.limits)
            .field("clock", &self.shared.clock)
            .field("operational", &self.shared.operational)
            .finish_non_exhaustive()
    }
}

fn base_session(limits: &SqlLimits) -> SessionState {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_target_partitions(limits.partitions.max(1))
        .with_batch_size(width::BATCH_ROWS);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    // Strings stay Utf8 from the file to the answer: one string type for all our operators.
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    // It lays out memory for as many groups as LIMIT says, whatever that is, and charges nothing.
    options.optimizer.enable_topk_aggregation = false;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(limits.memory_bytes)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .build_arc()
        .expect("a runtime without disk and without own stores touches nothing that can fail");
    let builder = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_physical_optimizer_rule(Arc::new(ByRuns));
    offered::restrict(timeseries::register(builder))
}
