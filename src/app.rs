//! The composition root: configuration in, running service out. The only file, with those in
//! `app/`, that names concrete adapters.
//!
//! Start goes from the back to the front: store, journal, models, and only then the doors.
//! Shutdown goes from the front to the back: the doors close, what was received is finished,
//! synced and flushed, and the folder is let go last.

mod doors;
mod offline;
mod state;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldwright_analytics::alarms::{AlarmBook, AlarmStore, AlarmStoreError, SqlAlarmStore};
use fieldwright_analytics::detect::{Detection, DetectionError, DetectionParts};
use fieldwright_analytics::feedback::FieldFeedback;
use fieldwright_analytics::sql::{SqlEngine, SqlLimits};
use fieldwright_ingest::clock::{SharedClock, wall_now};
use fieldwright_ingest::{Ingest, StartError, Stopped};
use fieldwright_workorders::registry::seed::{self, SeedError};
use fieldwright_workorders::store::{Ctx, Db, IdSource, RandomIds, StoreClaim, StoreError};

pub use offline::{offline_snapshot, offline_sql, offline_verify};

use crate::api;
use crate::business_clock::{self, ClockError};
use crate::config::Settings;
use crate::data_dir::{DataDir, DataDirError, Endpoints};
use crate::wiring::{Parts, Wiring};
use doors::{HttpDoor, MqttDoor, SqlDoors};

/// A running service.
#[derive(Debug)]
pub struct App {
    // Declared in the order in which they must be dropped: the folder last.
    http: HttpDoor,
    sql_doors: SqlDoors,
    mqtt: MqttDoor,
    wiring: Wiring,
    parts: Parts,
    ingest: Arc<Ingest>,
    endpoints: Endpoints,
    claim: StoreClaim,
    folder: DataDir,
}

/// Why a service did not start, or did not end in order.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The business clock of the folder.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A listener would be reachable from outside without a token.
    #[error(
        "refused to listen on {address}: it is not loopback and no token is configured; \
         name a file with a token in http.token_file (or --token-file)"
    )]
    NotLoopback {
        /// The address.
        address: std::net::SocketAddr,
    },
    /// The token or password file cannot be used.
    #[error("cannot use the secret in {path}: {problem}")]
    Token {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The API's address cannot be listened on.
    #[error(
        "could not listen for HTTP on {address}: choose another address with --http, \
         or stop the process that holds this one"
    )]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A door of SQL.
    #[error(
        "SQL cannot be offered to other tools; choose another address with --postgres or --flight"
    )]
    SqlDoor(#[from] fieldwright_analytics::doors::DoorError),
    /// A certificate or its key cannot be used.
    #[error("cannot use the certificate in {path}: {problem}")]
    Certificate {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// MQTT, as endpoint or as consumer.
    #[error("MQTT cannot start")]
    Mqtt(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The operational store.
    #[error("the operational store cannot be used")]
    Store(#[from] StoreError),
    /// The alarms in it.
    #[error("the alarms in the operational store cannot be used")]
    Alarms(#[from] AlarmStoreError),
    /// Labels and promoted limits in it.
    #[error("what the field says cannot be kept in the operational store")]
    Feedback(#[from] sqlx::Error),
    /// The seeds.
    #[error("the operational store cannot be seeded")]
    Seed(#[from] SeedError),
    /// Journal and files.
    #[error("the readings in the data folder cannot be opened")]
    Ingest(#[from] StartError),
    /// The pipeline stopped by itself.
    #[error("the readings cannot be finished in order")]
    Unfinished(#[from] Stopped),
    /// Models and detectors.
    #[error("detection cannot start")]
    Detection(#[from] DetectionError),
}

impl App {
    /// Starts the service on a folder and says where it listens.
    ///
    /// **Errors**: nothing is left running.
    pub async fn start(settings: Settings, dir: &Path) -> Result<Self, AppError> {
        let token = doors::token(&settings)?;
        doors::refuse_strangers(&settings, token.is_some())?;
        let folder = DataDir::take(dir)?;
        folder.clear_endpoints();
        let clock = business_clock::open(folder.path(), settings.clock)?;
        let listener = HttpDoor::listen(settings.http.listen).await?;
        let ids: Arc<dyn IdSource> = Arc::new(RandomIds::new());
        let db = open_store(&settings, folder.path()).await?;
        let folder_id = folder.identity(|| ids.uuid(wall_now()).simple().to_string())?;
        let clock_name = business_clock::spec(&clock).to_string();
        let claim = db.claim(&folder_id, &clock_name, wall_now()).await?;
        let ctx = Ctx::new(clock.now(), wall_now(), "seed", Arc::clone(&ids));
        seed::seed(&db, &ctx).await?;
        let alarm_store = SqlAlarmStore::open(db.pool().clone(), db.write_gate()).await?;
        let alarm_store: Arc<dyn AlarmStore> = Arc::new(alarm_store);
        let alarms = AlarmBook::open(alarm_store).await?;
        let alarms = Arc::new(alarms.with_policy(settings.detect.alarms));

        let (ingest, feed) = start_ingest(&settings, folder.path(), &clock).await?;
        let snapshots = ingest.snapshots();
        let source: fieldwright_analytics::sql::SnapshotSource = Arc::new(move || snapshots.load());
        let sql = Arc::new(SqlEngine::new(
            ingest.snapshots(),
            Some(tables::operational(&db)),
            Arc::clone(&clock),
            sql_limits(&settings),
        ));
        let field = FieldFeedback::open(db.pool().clone(), db.write_gate()).await?;
        let detection = DetectionParts {
            config: settings.detect.clone(),
            data_dir: folder.path(),
            feed,
            sql: Some(Arc::clone(&sql)),
            alarms: Arc::clone(&alarms),
            limits: field.limits().await?,
            clock: Arc::clone(&clock),
        };
        let detection = Detection::start(detection, source).await?;
        let parts = Parts {
            db: db.clone(),
            alarms: Arc::clone(&alarms),
            detection: Arc::new(detection),
            field: Arc::new(field),
            sql: Arc::clone(&sql),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
        };
        let wiring = Wiring::start(parts.clone()).await?;
        let mqtt =
            MqttDoor::open(&settings, token.as_deref(), folder.path(), &ingest, &clock).await?;
        // A second client of a broker is made only when there is something to send.
        if settings.ingest.sends_commands()
            && let Some(commands) = ingest.commands()
        {
            mqtt.follow(commands);
        }
        let state = state::api_state(
            &parts,
            &ingest,
            &sql,
            &mqtt,
            token.as_deref(),
            &listener,
            &folder_id,
        );
        let sql_doors = SqlDoors::open(&settings, token.as_deref(), &sql).await?;
        let http = HttpDoor::open(listener, api::router(state));
        let endpoints = Endpoints {
            http: http.address(),
            mqtt: mqtt.address(),
            mqtts: mqtt.tls_address(),
            postgres: sql_doors.postgres(),
            flight: sql_doors.flight(),
        };
        folder.write_endpoints(&endpoints)?;
        Ok(Self {
            http,
            sql_doors,
            mqtt,
            wiring,
            parts,
            ingest,
            endpoints,
            claim,
            folder,
        })
    }

    /// The data folder, absolute.
    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Where the service really listens.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What the telemetry half and the work half share; for benchmarks and tests in this process.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Closes the doors, finishes what was received, flushes, lets the folder go.
    pub async fn shutdown(self) -> Result<(), AppError> {
        self.folder.clear_endpoints();
        self.mqtt.close().await;
        self.sql_doors.close().await;
        // Whoever waits for the store lets go first: nothing may hold up what was received.
        self.parts.detection.stop();
        let flushed = self.ingest.shutdown().await;
        self.parts.detection.shutdown().await;
        self.http.close().await;
        self.wiring.shutdown().await;
        self.parts.db.close().await;
        self.claim.release().await;
        Ok(flushed?)
    }
}

/// SQLite in the folder, or where the URL points.
async fn open_store(settings: &Settings, dir: &Path) -> Result<Db, StoreError> {
    match &settings.store_url {
        Some(url) => Db::open(url).await,
        None => Db::open_file(&store_file(dir)).await,
    }
}

/// Where the embedded store of a folder lies.
fn store_file(dir: &Path) -> PathBuf {
    dir.join("store.db")
}

/// Opening replays the journal, which is disk and CPU: not on a worker of the runtime.
async fn start_ingest(
    settings: &Settings,
    dir: &Path,
    clock: &SharedClock,
) -> Result<(Arc<Ingest>, fieldwright_ingest::Feed), AppError> {
    let (config, dir, clock) = (settings.ingest.clone(), dir.to_owned(), Arc::clone(clock));
    let started = tokio::task::spawn_blocking(move || Ingest::start(config, &dir, clock)).await;
    let (ingest, feed) = started.expect("opening the readings does not panic")?;
    Ok((Arc::new(ingest), feed))
}

fn sql_limits(settings: &Settings) -> SqlLimits {
    SqlLimits {
        time: std::time::Duration::from_secs(settings.sql.time_limit_s),
        answer_rows: settings.sql.row_limit,
        memory_bytes: settings.sql.memory_mib << 20,
        cache_bytes: settings.sql.cache_mib << 20,
        ..SqlLimits::default()
    }
}
