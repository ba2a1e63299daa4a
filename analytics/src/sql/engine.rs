//! The engine: one runtime for all queries, one cheap session for each.

use std::sync::Arc;

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
use super::lake_scan::{ColumnCache, ColumnCacheUse};
use super::operational::Operational;
use super::operational::declared::DeclaredTables;
use super::picture::{PictureSource, Pictures};
use super::running::{self, Keeps};
use super::threads::Threads;
use super::{Answer, AnswerStream, SqlError, SqlLimits, offered, timeseries, width};

/// Where a query gets its picture of the readings from; asked once per query.
pub type SnapshotSource = Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>;

/// Name of the one catalog and of the one schema in it.
pub(super) const CATALOG: &str = "fieldwright";
pub(super) const SCHEMA: &str = "public";

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
        running::start(&self.shared, &self.people, sql, Keeps::WhileRunning).await
    }

    /// Runs a query and writes its rows up to the limits of an answer as JSON text:
    /// `{"columns":[{"name","type","unit"?}],"rows":[[…]],"truncated":bool}`.
    ///
    /// Dropping the future cancels the query.
    ///
    /// **Errors**: see [`SqlError`].
    pub async fn json(&self, sql: &str) -> Result<String, SqlError> {
        let answer = running::start(&self.shared, &self.people, sql, Keeps::ToTheEnd).await?;
        answer.collect_json().await
    }

    /// The same as [`query`](Self::query) for the rules of alarms: in places and on threads that
    /// no other query can take.
    ///
    /// **Errors**: see [`SqlError`].
    pub async fn query_rule(&self, sql: &str) -> Result<Answer, SqlError> {
        let answer = running::start(&self.shared, &self.rules, sql, Keeps::WhileRunning).await?;
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
