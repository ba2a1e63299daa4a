//! What the tasks of detection share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, Utc};
use fieldwright_condition::Model;
use fieldwright_condition::prognosis::ages::AssetLives;
use fieldwright_condition::prognosis::class_life::ClassLifeModel;
use fieldwright_ingest::clock::SharedClock;
use tokio::sync::{Semaphore, watch};

use super::DetectionStats;
use super::followed::{Followed, Marks};
use super::studies::{put_in_use, rows_of};
use crate::alarms::AlarmBook;
use crate::detect::config::DetectConfig;
use crate::detect::engine::Engine;
use crate::detect::jobs::JobBoard;
use crate::detect::models::ModelFolder;
use crate::detect::registry::ModelRecord;
use crate::detect::rules::RuleBoard;
use crate::detect::training::{TrainError, TrainingJob};
use crate::sql::SnapshotSource;

/// How often rows are read again when files move while they are read.
pub(super) const READ_TRIES: usize = 5;
/// Who makes and promotes a version when somebody trains without a job.
const BY_HAND: &str = "hand";

#[derive(Debug)]
pub(super) struct Counters {
    pub(super) trained: AtomicU64,
    pub(super) training_failures: AtomicU64,
    pub(super) findings: AtomicU64,
    pub(super) store_retries: AtomicU64,
    pub(super) not_kept: AtomicU64,
    pub(super) left_out: AtomicU64,
    pub(super) catch_ups: AtomicU64,
    pub(super) sequence: AtomicU64,
    pub(super) caught_up: AtomicBool,
}

pub(super) struct Shared {
    pub(super) config: Arc<DetectConfig>,
    engine: Mutex<Engine>,
    marks: Mutex<Marks>,
    /// Held while progress is taken from the engine and written, so that it only goes forward.
    pub(super) progress_turn: tokio::sync::Mutex<()>,
    pub(super) board: Arc<RuleBoard>,
    pub(super) alarms: Arc<AlarmBook>,
    pub(super) folder: ModelFolder,
    pub(super) snapshots: SnapshotSource,
    pub(super) clock: SharedClock,
    pub(super) counters: Counters,
    pub(super) jobs: JobBoard,
    /// What was told of the lives of all assets.
    lives: Mutex<Arc<Vec<AssetLives>>>,
    /// The models of remaining life in use, by class.
    life_models: Mutex<BTreeMap<String, Arc<ClassLifeModel>>>,
    /// Held over what changes or lists the versions of remaining life, on disk and in use.
    life_turn: Mutex<()>,
    /// One job at a time works; it must not take the cores from the stream.
    pub(super) job_turns: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(
        config: Arc<DetectConfig>,
        engine: Engine,
        seen: Option<Followed>,
        board: Arc<RuleBoard>,
        (alarms, clock): (Arc<AlarmBook>, SharedClock),
        folder: ModelFolder,
        snapshots: SnapshotSource,
    ) -> Self {
        let counters = Counters {
            trained: AtomicU64::new(0),
            training_failures: AtomicU64::new(0),
            findings: AtomicU64::new(0),
            store_retries: AtomicU64::new(0),
            not_kept: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            catch_ups: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            caught_up: AtomicBool::new(false),
        };
        let engine = Mutex::new(engine);
        Self {
            config,
            engine,
            marks: Mutex::new(Marks::starting(seen)),
            progress_turn: tokio::sync::Mutex::default(),
            board,
            alarms,
            folder,
            snapshots,
            clock,
            counters,
            jobs: JobBoard::default(),
            lives: Mutex::default(),
            life_models: Mutex::default(),
            life_turn: Mutex::default(),
            job_turns: Arc::new(Semaphore::new(1)),
        }
    }

    /// The engine; held for one batch or one question at a time.
    pub(super) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().expect("no holder panics")
    }

    /// What was told last of the lives of all assets.
    pub(super) fn lives(&self) -> Arc<Vec<AssetLives>> {
        Arc::clone(&self.lives.lock().expect("no holder panics"))
    }

    pub(super) fn take_lives(&self, lives: Arc<Vec<AssetLives>>) {
        *self.lives.lock().expect("no holder panics") = lives;
    }

    /// The models of remaining life in use, by class.
    pub(super) fn life_models(&self) -> MutexGuard<'_, BTreeMap<String, Arc<ClassLifeModel>>> {
        self.life_models.lock().expect("no holder panics")
    }

    /// Held over what changes or lists the versions of remaining life: two promotions at a time
    /// would leave another version in use than on disk. It waits for the disk.
    pub(super) fn life_turn(&self) -> MutexGuard<'_, ()> {
        self.life_turn.lock().expect("no holder panics")
    }

    /// Which files have been followed.
    pub(super) fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().expect("no holder panics")
    }

    pub(super) fn stats(&self) -> DetectionStats {
        let (counts, unkept, (learning, scored)) = {
            let engine = self.engine();
            (engine.counts(), engine.unkept(), engine.assets())
        };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sequence = read(&self.counters.sequence);
        DetectionStats {
            rows: counts.rows,
            windows: counts.windows,
            scores: counts.scores,
            skipped: counts.skipped,
            unknown_regime: counts.unknown_regime,
            late: counts.late,
            revised: counts.revised,
            not_revised: counts.not_revised,
            learning,
            scored,
            trained: read(&self.counters.trained),
            training_failures: read(&self.counters.training_failures),
            findings: read(&self.counters.findings),
            store_retries: read(&self.counters.store_retries),
            unkept,
            not_kept: read(&self.counters.not_kept),
            left_out: read(&self.counters.left_out),
            catch_ups: read(&self.counters.catch_ups),
            sequence,
            behind: (self.snapshots)().sequence.saturating_sub(sequence),
            caught_up: self.counters.caught_up.load(Ordering::Relaxed),
            rules: self.board.stats(),
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Returns once detection is told to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

/// Reads the asset's rows, cuts them into windows, trains and keeps the model.
pub(super) async fn train_by_hand(
    shared: &Arc<Shared>,
    asset: &str,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Model, TrainError> {
    if to <= from {
        return Err(TrainError::EmptySpan);
    }
    let shared = Arc::clone(shared);
    let asset = asset.to_owned();
    let span = (from.timestamp_micros(), to.timestamp_micros());
    let work = tokio::task::spawn_blocking(move || train_blocking(&shared, asset, span));
    work.await.map_err(|_| TrainError::ShuttingDown)?
}

fn train_blocking(
    shared: &Shared,
    asset: String,
    (from, to): (i64, i64),
) -> Result<Model, TrainError> {
    let (class, batches) = rows_of(shared, &asset, (from, to))?;
    let settings = Arc::new(shared.config.class(&class).clone());
    let own = Arc::clone(&settings);
    let job = TrainingJob::from_rows(class, asset.clone(), own, &batches, to);
    let model = job.run().map_err(|source| TrainError::Fit {
        asset: asset.clone(),
        source,
    })?;
    let now = shared.clock.now();
    let record = ModelRecord::new(model, &settings, BY_HAND, now);
    let record = put_in_use(shared, record, BY_HAND, now);
    let record = record.map_err(|source| TrainError::Keep { asset, source })?;
    Ok(record.model)
}
