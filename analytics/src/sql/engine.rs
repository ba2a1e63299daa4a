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
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use super::operational::Operational;
use super::operational::declared::DeclaredTables;
use super::{Answer, AnswerStream, SqlError, SqlLimits, running};

/// Where a query gets its picture of the readings from; asked once per query.
pub type SnapshotSource = Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>;

/// Name of the one catalog and of the one schema in it.
pub(super) const CATALOG: &str = "fieldwright";
pub(super) const SCHEMA: &str = "public";

/// Stack of each of the engine's threads: planning recurses once per operator of a query, and an
/// unoptimized build takes about 12 KiB for each of [`SqlLimits::operators`]. Only what is used
/// of it takes memory.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Answers read-only SQL.
///
/// Queries run on threads of their own, so a heavy one delays no acknowledgement of a reading.
pub struct SqlEngine {
    shared: Arc<Shared>,
    threads: Threads,
}

/// What all queries share.
pub(super) struct Shared {
    pub(super) snapshots: SnapshotSource,
    pub(super) operational: Option<Arc<DeclaredTables>>,
    pub(super) clock: SharedClock,
    pub(super) limits: Arc<SqlLimits>,
    pub(super) session: SessionState,
    pub(super) places: Semaphore,
}

/// The engine's threads; they end in the background, since an async caller must not wait.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl SqlEngine {
    /// An engine over snapshots of the readings and, when given, the operational tables.
    ///
    /// # Panics
    /// When the operating system gives no threads, as at a start it must.
    pub fn new(
        snapshots: SnapshotSource,
        operational: Option<Operational>,
        clock: SharedClock,
        limits: SqlLimits,
    ) -> Self {
        let threads = Builder::new_multi_thread()
            .worker_threads(limits.partitions.max(1))
            .thread_stack_size(STACK_BYTES)
            .thread_name("sql")
            .enable_all()
            .build()
            .expect("the operating system gives the SQL engine its threads");
        let shared = Shared {
            snapshots,
            operational: operational.map(|given| Arc::new(DeclaredTables::new(given, &limits))),
            clock,
            session: base_session(&limits),
            places: Semaphore::new(limits.concurrent.max(1)),
            limits: Arc::new(limits),
        };
        Self {
            shared: Arc::new(shared),
            threads: Threads(Some(threads)),
        }
    }

    /// The limits that queries keep to.
    pub fn limits(&self) -> &SqlLimits {
        &self.shared.limits
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
        let threads = self.threads.0.as_ref().expect("taken only when dropped");
        running::start(&self.shared, threads.handle(), sql).await
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
        .with_target_partitions(limits.partitions.max(1));
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
    SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .build()
}
