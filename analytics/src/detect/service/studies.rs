//! Versions of models: learned, judged by the past, tried in the shadow, put in use.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_condition::Model;
use tokio::sync::{mpsc, oneshot, watch};

use super::Detection;
use super::fleets::{ClassInUse, of_class, run_class};
use super::follower::Trained;
use super::lives::run_life;
use super::shared::{READ_TRIES, Shared};
use crate::detect::backtest::back_test;
use crate::detect::history::{AssetRows, HistoryError, read_asset};
use crate::detect::jobs::{JobCell, JobRefusal, JobReport, JobRequest, JobResult, Then, Work};
use crate::detect::models::ModelFolderError;
use crate::detect::registry::ModelRecord;
use crate::detect::shadow::ShadowReport;
use crate::detect::training::{TrainError, TrainingJob};

/// Why a version cannot be put in use or tried.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// Nobody knows it.
    #[error("there is no version {version} {of}")]
    NotFound {
        /// Of which asset or class.
        of: String,
        /// The version.
        version: String,
    },
    /// It was made for other settings.
    #[error("version {version} {of} was made for other settings of the class")]
    OtherSettings {
        /// Of which asset or class.
        of: String,
        /// The version.
        version: String,
    },
    /// There is nothing beside which it could judge.
    #[error("no model {0} is in use, so nothing can be tried beside it")]
    NothingInUse(String),
    /// The disk refuses.
    #[error("the versions of a model cannot be read or kept")]
    Folder(#[from] ModelFolderError),
    /// Detection is being shut down.
    #[error("detection is shutting down")]
    ShuttingDown,
}

impl Detection {
    /// Begins a job, or gives the one with the same key.
    ///
    /// **Errors**: see [`JobRefusal`].
    pub fn begin_job(&self, request: JobRequest) -> Result<JobReport, JobRefusal> {
        let now = self.shared.clock.now();
        let (cell, is_new) = self.shared.jobs.take(request, now)?;
        let report = cell.report().clone();
        if is_new {
            let parts = (Arc::clone(&self.shared), self.trained.clone());
            work(parts, self.stop.subscribe(), cell);
        }
        Ok(report)
    }

    /// The reports of all jobs since the start, the newest first.
    pub fn jobs(&self) -> Vec<JobReport> {
        self.shared.jobs.reports()
    }

    /// One job.
    ///
    /// **Errors** when there is none of this number.
    pub fn job(&self, number: u64) -> Result<JobReport, JobRefusal> {
        Ok(self.shared.jobs.find(number)?.report().clone())
    }

    /// Tells a job to stop.
    ///
    /// **Errors** when there is none of this number.
    pub fn cancel_job(&self, number: u64) -> Result<JobReport, JobRefusal> {
        let cell = self.shared.jobs.find(number)?;
        cell.cancel(self.shared.clock.now());
        let report = cell.report().clone();
        Ok(report)
    }

    /// All versions of an asset's model, the latest one first.
    ///
    /// **Errors** when they cannot be read.
    pub fn versions(&self, asset: &str) -> Result<Vec<ModelRecord>, VersionError> {
        Ok(self.shared.folder.versions(asset)?)
    }

    /// Puts a version in use: a candidate, or a former one again.
    ///
    /// **Errors**: see [`VersionError`].
    pub async fn promote(
        &self,
        asset: &str,
        version: &str,
        by: &str,
    ) -> Result<ModelRecord, VersionError> {
        let shared = Arc::clone(&self.shared);
        let (tag, name, by) = (asset.to_owned(), version.to_owned(), by.to_owned());
        let work = tokio::task::spawn_blocking(move || {
            let record = find(&shared, &tag, &name)?;
            put_in_use(&shared, record, &by, shared.clock.now()).map_err(VersionError::from)
        });
        let record = work.await.map_err(|_| VersionError::ShuttingDown)??;
        let (installed, done) = oneshot::channel();
        let model = Box::new(record.model.clone());
        let trained = Trained::ByHand { model, installed };
        let sent = self.trained.send(trained).await;
        sent.map_err(|_| VersionError::ShuttingDown)?;
        done.await.map_err(|_| VersionError::ShuttingDown)?;
        self.shared.engine().end_shadow(asset);
        Ok(record)
    }

    /// Lets a version judge beside the one in use; it raises nothing.
    ///
    /// **Errors**: see [`VersionError`].
    pub fn begin_shadow(&self, asset: &str, version: &str) -> Result<ShadowReport, VersionError> {
        let model = find_any(&self.shared, asset, version)?;
        let nothing = || VersionError::NothingInUse(format!("of asset {asset}"));
        let mut engine = self.shared.engine();
        if !engine.begin_shadow(asset, Arc::new(model)) {
            return Err(nothing());
        }
        engine.shadow(asset).ok_or_else(nothing)
    }

    /// Ends that; gives what the candidate would have done.
    pub fn end_shadow(&self, asset: &str) -> Option<ShadowReport> {
        let mut engine = self.shared.engine();
        let report = engine.shadow(asset);
        engine.end_shadow(asset);
        report
    }

    /// All versions that judge beside those in use.
    pub fn shadows(&self) -> Vec<ShadowReport> {
        self.shared.engine().shadows()
    }
}

/// Does the work of a job in its turn.
pub(super) fn work(
    (shared, trained): (Arc<Shared>, mpsc::Sender<Trained>),
    mut stop: watch::Receiver<bool>,
    cell: Arc<JobCell>,
) {
    tokio::spawn(async move {
        let turns = Arc::clone(&shared.job_turns);
        let turn = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            turn = turns.acquire_owned() => turn,
        };
        let is_class = match &cell.report().request.work {
            Work::TrainClass { class, .. } => Some(class.clone()),
            Work::Train { .. } | Work::TrainLife { .. } | Work::BackTest { .. } => None,
        };
        if turn.is_err() || !cell.begin() {
            // It was canceled while it waited.
            is_class.inspect(|class| shared.engine().class_not_learned(class));
            return;
        }
        let (inner, working) = (Arc::clone(&shared), Arc::clone(&cell));
        let work = tokio::task::spawn_blocking(move || run(&inner, &working));
        let done = match work.await {
            Ok(Ok(done)) => {
                let (installed, in_use) = oneshot::channel();
                let sent = match (done.promoted, done.class_promoted) {
                    (Some(model), _) => Some(Trained::ByHand { model, installed }),
                    (None, Some(in_use)) => Some(Trained::Class { in_use, installed }),
                    (None, None) => None,
                };
                if let Some(sent) = sent
                    && trained.send(sent).await.is_ok()
                {
                    // Detection ends: the version is in use after the next start.
                    let _ = in_use.await;
                }
                Ok(done.result)
            }
            Ok(Err(failure)) => Err(failure),
            Err(error) => Err(error.to_string()),
        };
        is_class.inspect(|class| shared.engine().class_not_learned(class));
        cell.end(done, shared.clock.now());
    });
}

/// A version that fits what its class is today.
fn find(shared: &Shared, asset: &str, version: &str) -> Result<ModelRecord, VersionError> {
    let (of, name) = (format!("of asset {asset}"), version.to_owned());
    let record = shared.folder.version(asset, version)?;
    let Some(record) = record else {
        return Err(VersionError::NotFound { of, version: name });
    };
    if record.model.fits(shared.config.class(&record.model.class)) {
        return Ok(record);
    }
    Err(VersionError::OtherSettings { of, version: name })
}

/// A version of an asset's model, or what a version of its class's model makes of it.
fn find_any(shared: &Shared, asset: &str, version: &str) -> Result<Model, VersionError> {
    match of_class(shared, asset, version)? {
        Some(model) => Ok(model),
        None => find(shared, asset, version).map(|record| record.model),
    }
}

/// Makes a version the one in use after the next start, and notes who did.
pub(super) fn put_in_use(
    shared: &Shared,
    record: ModelRecord,
    by: &str,
    now: DateTime<Utc>,
) -> Result<ModelRecord, ModelFolderError> {
    let record = record.promoted(by, now);
    shared.folder.save(&record.model)?;
    shared.folder.keep(&record, Some(&record.model.version))?;
    Ok(record)
}

/// The asset's rows of a span, of the class where it is watched.
///
/// **Errors** when they cannot be read or there are none.
pub(super) fn rows_of(
    shared: &Shared,
    asset: &str,
    span: (i64, i64),
) -> Result<AssetRows, TrainError> {
    let watched = shared.engine().newest(asset).map(|(class, _)| class);
    let mut tries = 0;
    let found = loop {
        tries += 1;
        match read_asset(&(shared.snapshots)(), asset, watched.as_deref(), span) {
            // Files may be put together while they are read; a newer picture knows the new ones.
            Err(HistoryError::Open { .. }) if tries < READ_TRIES => {}
            Err(source) => {
                let asset = asset.to_owned();
                return Err(TrainError::History { asset, source });
            }
            Ok(found) => break found,
        }
    };
    found.ok_or_else(|| TrainError::UnknownAsset(asset.to_owned()))
}

/// What a job has come to.
pub(super) struct Done {
    pub(super) result: JobResult,
    /// A model of one asset that is in use from here on.
    pub(super) promoted: Option<Box<Model>>,
    /// A model of a class that is.
    pub(super) class_promoted: Option<Box<ClassInUse>>,
}

/// Why a job has ended that somebody stopped.
pub(super) fn canceled() -> String {
    "it was told to stop".to_owned()
}

fn run(shared: &Shared, cell: &JobCell) -> Result<Done, String> {
    let request = cell.report().request.clone();
    match &request.work {
        Work::TrainClass { class, then } => return run_class(shared, cell, class, *then),
        Work::TrainLife { class, promote } => return run_life(shared, cell, class, *promote),
        Work::Train { .. } | Work::BackTest { .. } => {}
    }
    let span = (
        request.from.timestamp_micros(),
        request.to.timestamp_micros(),
    );
    let rows = rows_of(shared, &request.asset, span);
    let (class, batches) = rows.map_err(|error| error.to_string())?;
    if !cell.goes_on(0.3) {
        return Err(canceled());
    }
    let settings = shared.engine().class_settings(&class);
    match request.work {
        Work::BackTest { version } => {
            let model = match version {
                Some(version) => {
                    let model = find_any(shared, &request.asset, &version);
                    Arc::new(model.map_err(|error| error.to_string())?)
                }
                None => {
                    let live = shared.engine().model(&request.asset);
                    live.ok_or_else(|| format!("asset {} has no model in use", request.asset))?
                }
            };
            let goes_on = |done: f64| cell.goes_on(0.3 + 0.7 * done);
            let report = back_test(&settings, &model, &batches, goes_on);
            let result = JobResult::BackTest(Box::new(report.ok_or_else(canceled)?));
            Ok(Done {
                result,
                promoted: None,
                class_promoted: None,
            })
        }
        Work::TrainClass { class, then } => run_class(shared, cell, &class, then),
        Work::TrainLife { class, promote } => run_life(shared, cell, &class, promote),
        Work::Train { then } => {
            let own = Arc::clone(&settings);
            let job = TrainingJob::from_rows(class, request.asset, own, &batches, span.1);
            if !cell.goes_on(0.5) {
                return Err(canceled());
            }
            let model = job.run().map_err(|error| error.to_string())?;
            if !cell.goes_on(0.9) {
                return Err(canceled());
            }
            let now = shared.clock.now();
            let record = ModelRecord::new(model, &settings, &request.by, now);
            keep(shared, record, then, &request.by, now)
        }
    }
}

pub(super) fn keep(
    shared: &Shared,
    record: ModelRecord,
    then: Then,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Done, String> {
    let said = |error: ModelFolderError| error.to_string();
    let result = JobResult::Trained {
        version: record.model.version.clone(),
    };
    let asset = record.model.asset.clone();
    let promoted = match then {
        Then::Promote => {
            let record = put_in_use(shared, record, by, now).map_err(said)?;
            Some(Box::new(record.model))
        }
        Then::Keep | Then::Shadow => {
            let live = shared.engine().model(&asset);
            let live = live.as_ref().map(|model| model.version.as_str());
            shared.folder.keep(&record, live).map_err(said)?;
            let model = Arc::new(record.model);
            if then == Then::Shadow && !shared.engine().begin_shadow(&asset, model) {
                let of = format!("of asset {asset}");
                return Err(VersionError::NothingInUse(of).to_string());
            }
            None
        }
    };
    Ok(Done {
        result,
        promoted,
        class_promoted: None,
    })
}
