//! The engine: one runtime for all queries, one cheap session for each.

use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionConfig;
use fieldwright_ingest::clock::{SharedClock, process_sleep};
use fieldwright_ingest::snapshot::Snapshot;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::catalog::QueryCatalogs;
use super::operational::Operational;
use super::operational::declared::DeclaredTables;
use super::{Answer, AnswerStream, SqlError, SqlLimits, gate};

/// Where a query gets its picture of the readings from; asked once per query.
pub type SnapshotSource = Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>;

/// Name of the one catalog and of the one schema in it.
pub(super) const CATALOG: &str = "fieldwright";
pub(super) const SCHEMA: &str = "public";

/// Answers read-only SQL.
pub struct SqlEngine {
    snapshots: SnapshotSource,
    operational: Option<Arc<DeclaredTables>>,
    clock: SharedClock,
    limits: Arc<SqlLimits>,
    session: SessionState,
    places: Arc<Semaphore>,
}

impl SqlEngine {
    /// An engine over snapshots of the readings and, when given, the operational tables.
    pub fn new(
        snapshots: SnapshotSource,
        operational: Option<Operational>,
        clock: SharedClock,
        limits: SqlLimits,
    ) -> Self {
        Self {
            snapshots,
            operational: operational.map(|given| Arc::new(DeclaredTables::new(given, &limits))),
            clock,
            session: base_session(&limits),
            places: Arc::new(Semaphore::new(limits.concurrent.max(1))),
            limits: Arc::new(limits),
        }
    }

    /// The limits that queries keep to.
    pub fn limits(&self) -> &SqlLimits {
        &self.limits
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
        let statement = gate::admit(sql, &self.limits)?;
        let mut deadline = process_sleep(self.limits.time).boxed();
        let place = self.place(&mut deadline).await?;

        let snapshot = (self.snapshots)();
        let session = self.session_for(Arc::clone(&snapshot));
        let started = async {
            let plan = session
                .statement_to_plan(statement)
                .await
                .map_err(|e| self.sort(e))?;
            gate::admit_plan(&plan)?;
            let plan = session
                .create_physical_plan(&plan)
                .await
                .map_err(|e| self.sort(e))?;
            execute_stream(plan, session.task_ctx()).map_err(|e| self.sort(e))
        };
        let rows = tokio::select! {
            biased;
            () = &mut deadline => return Err(SqlError::TimedOut { limit: self.limits.time }),
            started = started => started?,
        };
        Ok(AnswerStream::new(
            rows,
            deadline,
            Arc::clone(&self.limits),
            snapshot,
            place,
        ))
    }

    async fn place(
        &self,
        deadline: &mut BoxFuture<'static, ()>,
    ) -> Result<OwnedSemaphorePermit, SqlError> {
        tokio::select! {
            biased;
            place = Arc::clone(&self.places).acquire_owned() => {
                Ok(place.expect("the engine never closes its places"))
            }
            () = deadline => Err(SqlError::TimedOut { limit: self.limits.time }),
        }
    }

    /// A copy of the base session that knows this query's tables and instant.
    fn session_for(&self, snapshot: Arc<Snapshot>) -> SessionState {
        let mut session = self.session.clone();
        let operational = self.operational.as_ref().map(DeclaredTables::begin_query);
        session.register_catalog_list(Arc::new(QueryCatalogs::new(snapshot, operational)));
        session.mark_start_execution();
        session.execution_props_mut().query_execution_start_time = Some(self.clock.now());
        session
    }

    fn sort(&self, error: datafusion::error::DataFusionError) -> SqlError {
        SqlError::from_engine(error, self.limits.memory_bytes)
    }
}

impl std::fmt::Debug for SqlEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlEngine")
            .field("limits", &self.limits)
            .field("clock", &self.clock)
            .field("operational", &self.operational)
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
