//! Detection at work: it follows the stream of commits, trains models, keeps alarms and progress.
//!
//! From a committed batch to the committed alarm there is no polling: the follower wakes with the
//! batch, windows close, and what is found is written before the next batch is taken. While the
//! store is away the follower waits, the feed fills and leaves commits out, and the follower reads
//! them from the lake afterwards: telemetry never waits for the store.

mod backlog;
mod fleets;
mod followed;
mod follower;
mod house;
mod keeper;
mod lasting;
mod lives;
mod prognosis;
mod rereading;
mod retired;
mod shared;
mod studies;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_condition::Model;
use fieldwright_condition::watch::Condition;
use fieldwright_ingest::clock::SharedClock;
use fieldwright_ingest::snapshot::Committed;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::followed::Followed;
use self::follower::{Follower, Trained};
use self::house::House;
use self::lasting::Lasting;
use self::retired::Retired;
use self::shared::{Shared, train_by_hand};
pub use self::studies::VersionError;
use super::config::DetectConfig;
use super::engine::Engine;
use super::models::{ModelFolder, ModelFolderError, ModelSummary};
use super::rules::{RuleBoard, RuleStats, Runner, RunnerParts};
use super::scores::AssetScore;
use super::training::TrainError;
use super::verdict::{AssetVerdict, Health, HealthState};
use crate::alarms::{AlarmBook, AlarmError, AlarmStoreError};
use crate::feedback::LimitFactor;
use crate::sql::{SnapshotSource, SqlEngine};

/// Trained models that may wait for the follower.
const TRAINED_WAITING: usize = 16;

/// Everything that detection works with.
#[derive(Debug)]
pub struct DetectionParts<'a> {
    /// The settings.
    pub config: DetectConfig,
    /// The data folder; models are kept in its folder `models`.
    pub data_dir: &'a Path,
    /// Every commit in order.
    pub feed: mpsc::Receiver<Arc<Committed>>,
    /// The engine that rules ask; without it no rule is evaluated.
    pub sql: Option<Arc<SqlEngine>>,
    /// The alarms.
    pub alarms: Arc<AlarmBook>,
    /// The limits that people promoted.
    pub limits: Vec<LimitFactor>,
    /// The business clock.
    pub clock: SharedClock,
}

/// Detection at work.
#[derive(Debug)]
pub struct Detection {
    shared: Arc<Shared>,
    trained: mpsc::Sender<Trained>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// Why detection does not start.
#[derive(Debug, thiserror::Error)]
pub enum DetectionError {
    /// The settings are wrong.
    #[error("the settings of detection have mistakes: {}", .0.join("; "))]
    Config(Vec<String>),
    /// The models cannot be read.
    #[error("the models cannot be read")]
    Models(#[from] ModelFolderError),
    /// The progress cannot be read.
    #[error("the progress of detection cannot be read")]
    Store(#[from] AlarmStoreError),
    /// Alarms that nothing watches any more cannot be returned.
    #[error("alarms of what is not watched any more cannot be returned")]
    Retire(#[from] AlarmError),
}

/// How much detection has done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DetectionStats {
    /// Rows taken.
    pub rows: u64,
    /// Windows closed.
    pub windows: u64,
    /// Windows scored.
    pub scores: u64,
    /// Windows not judged: too few readings or metrics.
    pub skipped: u64,
    /// Windows not judged: their regime is unknown.
    pub unknown_regime: u64,
    /// Late rows of assets that are watched.
    pub late: u64,
    /// Judged windows that late rows have revised.
    pub revised: u64,
    /// Late rows and windows that are not revised: too old, too many, or not to be judged.
    pub not_revised: u64,
    /// Assets that are learning.
    pub learning: usize,
    /// Assets that have a model.
    pub scored: usize,
    /// Models trained.
    pub trained: u64,
    /// Trainings that failed.
    pub training_failures: u64,
    /// Alarms raised or made worse or returned by the detector.
    pub findings: u64,
    /// Writes to the store that had to be tried again.
    pub store_retries: u64,
    /// Findings that wait for the store.
    pub unkept: u64,
    /// Findings given up because the store refuses them for good.
    pub not_kept: u64,
    /// Commits that the feed left out because it was full.
    pub left_out: u64,
    /// Times that left out commits were read from the lake.
    pub catch_ups: u64,
    /// Number of the last commit that was followed.
    pub sequence: u64,
    /// Commits behind the newest that is visible to queries.
    pub behind: u64,
    /// Whether the rows from before the start have been read again.
    pub caught_up: bool,
    /// The rules by name.
    pub rules: BTreeMap<String, RuleStats>,
}

impl Detection {
    /// Loads models and progress, reads again what is not scored yet, and follows the stream.
    ///
    /// **Errors**: see [`DetectionError`].
    pub async fn start(
        parts: DetectionParts<'_>,
        snapshots: SnapshotSource,
    ) -> Result<Self, DetectionError> {
        let mistakes = parts.config.validate();
        if !mistakes.is_empty() {
            return Err(DetectionError::Config(mistakes));
        }
        let config = Arc::new(parts.config);
        let folder = ModelFolder::open(&parts.data_dir.join("models"))?;
        let mut engine = Engine::new(Arc::clone(&config));
        for limit in &parts.limits {
            if !engine.set_limit_factor(&limit.class, &limit.cause, limit.factor) {
                tracing::warn!(
                    class = limit.class,
                    cause = limit.cause,
                    "a limit was promoted for a detector that the class no longer has"
                );
            }
        }
        let mut saved = parts.alarms.store().progress().await?;
        let seen = Followed::take_from(&mut saved);
        // What an asset has learned by itself comes last and goes before what its class has.
        let mut models = engine.know_classes(folder.classes()?);
        models.extend(folder.load()?);
        engine.restore(saved, models);
        let board = Arc::new(RuleBoard::default());
        let shared = Arc::new(Shared::new(
            Arc::clone(&config),
            engine,
            seen.clone(),
            Arc::clone(&board),
            (Arc::clone(&parts.alarms), Arc::clone(&parts.clock)),
            folder,
            Arc::clone(&snapshots),
        ));
        *shared.life_models() = shared.folder.lives_in_use(&config)?;
        Retired(&shared).give_back(parts.clock.now()).await?;
        let (stop, stopped) = watch::channel(false);
        let (trained, models) = mpsc::channel(TRAINED_WAITING);
        let follower = Follower::new(Arc::clone(&shared), trained.clone(), stopped.clone());
        let house = Arc::new(House::new(Arc::clone(&shared), seen));
        let mut tasks = vec![tokio::spawn(Arc::clone(&house).run(stopped.clone()))];
        let lasting = Lasting::new(Arc::clone(&shared));
        tasks.push(tokio::spawn(lasting.run(stopped.clone())));
        tasks.push(tokio::spawn(async move {
            follower.run(parts.feed, models).await;
            house.finish().await;
        }));
        if let Some(sql) = parts.sql {
            let enabled = config.rules.iter().filter(|(_, rule)| rule.enabled);
            let names: Vec<String> = enabled.map(|(name, _)| name.clone()).collect();
            parts.alarms.store().keep_rules(&names).await?;
            let runner_parts = RunnerParts {
                sql,
                snapshots,
                alarms: parts.alarms,
                clock: parts.clock,
                board,
            };
            for (name, rule) in config.rules.iter().filter(|(_, rule)| rule.enabled) {
                let runner = Runner::new(name, rule, runner_parts.clone());
                tasks.push(tokio::spawn(runner.run(config.rule_floor, stopped.clone())));
            }
        }
        Ok(Self {
            shared,
            trained,
            stop,
            tasks: Mutex::new(tasks),
        })
    }

    /// How an asset is.
    pub fn health(&self, asset: &str) -> Health {
        let mut health = self.shared.engine().health(asset, self.shared.clock.now());
        if self.shared.board.is_active(asset) {
            health.state = HealthState::Alarm;
        }
        health
    }

    /// How an asset and its components are, by the window that was judged last; `None` before that.
    pub fn condition(&self, asset: &str) -> Option<Condition> {
        self.shared.engine().condition(asset)
    }

    /// What its detectors have said of an asset lately, oldest first: the last [`KEPT_SCORES`] since
    /// the start of the service. `None` when nobody has heard of it.
    ///
    /// [`KEPT_SCORES`]: super::KEPT_SCORES
    pub fn scores(&self, asset: &str) -> Option<Vec<AssetScore>> {
        self.shared.engine().scores(asset)
    }

    /// Whether an asset is back in its band since a repair that was done at `since`.
    ///
    /// Its detector and all rules about its class are asked; all that have an opinion must agree.
    pub fn asset_verdict(&self, asset: &str, since: DateTime<Utc>) -> AssetVerdict {
        let engine = self.shared.engine();
        let of_detector = engine.verdict(asset, since);
        let (Some((class, _)), Some(settings)) = (engine.newest(asset), engine.settings(asset))
        else {
            return AssetVerdict::NoTelemetry;
        };
        drop(engine);
        let windows = i32::try_from(settings.verify_out_of_band_windows).unwrap_or(i32::MAX);
        let patience = settings.verify_settle.delta() + settings.step.delta() * windows;
        let of_rules = self.shared.board.verdict(asset, &class, since, patience);
        match (of_detector, of_rules) {
            (Some(AssetVerdict::NoTelemetry), _) => AssetVerdict::NoTelemetry,
            (Some(detector), Some(rules)) => detector.and(rules),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => AssetVerdict::Waiting,
        }
    }

    /// The models in use.
    pub fn models(&self) -> Vec<ModelSummary> {
        let engine = self.shared.engine();
        let models = engine.models();
        let summary =
            |model: &Arc<Model>| ModelSummary::of(model, &engine.class_settings(&model.class));
        models.iter().map(summary).collect()
    }

    /// Whether the alarms of a class that have this cause come from a detector, whose limit can be
    /// multiplied; a threshold or an SQL rule is changed by hand where it is written.
    pub fn takes_limit(&self, class: &str, cause: &str) -> bool {
        self.shared.config.is_detector(class, cause)
    }

    /// Multiplies the limit of a detector for all assets of its class, from the next window on;
    /// whoever knows what is promoted says it again after a start, in [`DetectionParts::limits`].
    ///
    /// `false` when the class has no such detector, and nothing is changed.
    pub fn set_limit_factor(&self, limit: &LimitFactor) -> bool {
        let mut engine = self.shared.engine();
        engine.set_limit_factor(&limit.class, &limit.cause, limit.factor)
    }

    /// Trains an asset by hand on its readings from `from` to before `to`, whatever it was doing.
    ///
    /// **Errors**: see [`TrainError`].
    pub async fn train(
        &self,
        asset: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<ModelSummary, TrainError> {
        let model = train_by_hand(&self.shared, asset, from, to).await?;
        let settings = self.shared.engine().class_settings(&model.class);
        let summary = ModelSummary::of(&model, &settings);
        let (installed, done) = oneshot::channel();
        let trained = Trained::ByHand {
            model: Box::new(model),
            installed,
        };
        self.trained
            .send(trained)
            .await
            .map_err(|_| TrainError::ShuttingDown)?;
        done.await.map_err(|_| TrainError::ShuttingDown)?;
        Ok(summary)
    }

    /// How much was done.
    pub fn stats(&self) -> DetectionStats {
        self.shared.stats()
    }

    /// Tells all tasks to end, and waits for none: commits that come now are not followed.
    ///
    /// What was committed but not followed is found again at the next start.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Stops, saves progress if the store takes it, and returns when all is done: soon, even when
    /// the store is away and the feed is full.
    pub async fn shutdown(&self) {
        self.stop();
        for task in self.tasks.lock().await.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of detection failed");
            }
        }
    }

    /// Ends all tasks where they stand.
    #[cfg(test)]
    pub(super) async fn kill(&self) {
        for task in self.tasks.lock().await.drain(..) {
            task.abort();
            // It was told to end, so how it ends is no news.
            let _ = task.await;
        }
    }
}
