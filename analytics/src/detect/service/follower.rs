//! The task that follows the stream and keeps what is found.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use fieldwright_ingest::clock::process_sleep;
use fieldwright_ingest::snapshot::Committed;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::shared::{READ_TRIES, Shared};
use crate::alarms::{AlarmError, Command, Progress, Refusal};
use crate::detect::DETECTOR;
use crate::detect::engine::{Finding, Found};
use crate::detect::history::{HistoryError, read_table};
use crate::detect::pca::PcaModel;
use crate::detect::training::TrainingJob;

/// Models trained at the same time.
const TRAININGS: usize = 1;
/// Batches of old rows that wait to be followed.
const OLD_BATCHES: usize = 4;
/// Between two rounds of saving progress. **Units**: process clock.
const PROGRESS_PERIOD: Duration = Duration::from_secs(2);
/// Assets whose progress is saved in one round, so that the writers of orders never wait long.
const PROGRESS_ROUND: usize = 200;
/// Waits before a failed write is tried again: doubled each time up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// What comes back from a training.
pub(super) enum Trained {
    /// Of an asset whose learning period is over.
    Learned {
        job: Box<TrainingJob>,
        model: Option<Box<PcaModel>>,
    },
    /// Asked for by a person.
    ByHand {
        model: Box<PcaModel>,
        installed: oneshot::Sender<()>,
    },
}

pub(super) struct Follower {
    shared: Arc<Shared>,
    trained: mpsc::Sender<Trained>,
    stop: watch::Receiver<bool>,
    trainings: Arc<Semaphore>,
}

impl Follower {
    pub(super) fn new(
        shared: Arc<Shared>,
        trained: mpsc::Sender<Trained>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            shared,
            trained,
            stop,
            trainings: Arc::new(Semaphore::new(TRAININGS)),
        }
    }

    /// Follows until told to stop or the stream ends; then saves progress.
    pub(super) async fn run(
        mut self,
        mut feed: mpsc::Receiver<Arc<Committed>>,
        mut models: mpsc::Receiver<Trained>,
    ) {
        let through = self.read_again(&mut models).await;
        self.shared
            .counters
            .sequence
            .fetch_max(through, Ordering::Relaxed);
        self.shared
            .counters
            .caught_up
            .store(true, Ordering::Relaxed);
        let mut saved = Box::pin(process_sleep(PROGRESS_PERIOD));
        let mut stream_open = true;
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(trained) = models.recv() => self.install(trained).await,
                () = &mut saved => {
                    self.keep_house().await;
                    saved = Box::pin(process_sleep(PROGRESS_PERIOD));
                }
                next = feed.recv(), if stream_open => match next {
                    Some(committed) if committed.sequence > through => self.follow(&committed).await,
                    Some(_) => {}
                    None => stream_open = false,
                },
            }
        }
        drop(feed);
        while self.save_progress().await == PROGRESS_ROUND {}
    }

    async fn follow(&mut self, committed: &Committed) {
        for part in committed.parts.iter().filter(|part| !part.late) {
            self.take(&part.class, &part.rows.batch).await;
        }
        self.shared
            .counters
            .sequence
            .fetch_max(committed.sequence, Ordering::Relaxed);
    }

    async fn take(&mut self, class: &Arc<str>, batch: &RecordBatch) {
        let mut findings = Vec::new();
        self.shared.engine().ingest(class, batch, &mut findings);
        self.keep_all(findings).await;
    }

    async fn install(&mut self, trained: Trained) {
        let counters = &self.shared.counters;
        let mut findings = Vec::new();
        match trained {
            Trained::Learned {
                model: Some(model), ..
            } => {
                counters.trained.fetch_add(1, Ordering::Relaxed);
                self.shared.engine().install(*model, &mut findings);
            }
            Trained::Learned { job, model: None } => {
                counters.training_failures.fetch_add(1, Ordering::Relaxed);
                self.shared.engine().training_failed(*job);
            }
            Trained::ByHand { model, installed } => {
                counters.trained.fetch_add(1, Ordering::Relaxed);
                self.shared.engine().install(*model, &mut findings);
                // Nobody waits for it when the request was given up.
                let _ = installed.send(());
            }
        }
        self.keep_all(findings).await;
    }

    async fn keep_all(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            match finding.found {
                Found::Train(job) => self.train(job),
                found => self.keep(&found, finding.progress.as_ref()).await,
            }
        }
    }

    /// Writes a finding, however long the store is away: until then no further batch is taken,
    /// and after a crash the same rows lead to the same finding.
    async fn keep(&mut self, found: &Found, progress: Option<&Progress>) {
        self.shared
            .counters
            .findings
            .fetch_add(1, Ordering::Relaxed);
        let mut wait = FIRST_RETRY;
        while let Err(error) = self.try_keep(found, progress).await {
            if wait == FIRST_RETRY {
                tracing::error!(?error, "an alarm cannot be kept; trying again");
            }
            self.shared
                .counters
                .store_retries
                .fetch_add(1, Ordering::Relaxed);
            let mut stop = self.stop.clone();
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = process_sleep(wait) => {}
            }
            wait = (wait * 2).min(LAST_RETRY);
        }
    }

    async fn try_keep(&self, found: &Found, progress: Option<&Progress>) -> Result<(), AlarmError> {
        let alarms = &self.shared.alarms;
        let now = self.shared.clock.now();
        let progress = progress.cloned();
        let told = match found {
            Found::Raise(occurrence) => {
                let alarm = alarms.raise(occurrence.clone(), progress, now).await?;
                tracing::info!(
                    alarm = %alarm.id, asset = alarm.asset, summary = alarm.summary, "alarm raised"
                );
                return Ok(());
            }
            Found::Worse(worse) => {
                let more = Command::AddEvidence {
                    at: worse.raised_at,
                    severity: worse.severity,
                    summary: worse.summary.clone(),
                    evidence: worse.evidence.clone(),
                };
                alarms
                    .tell(&worse.asset, DETECTOR, &more, progress, now)
                    .await
            }
            Found::Return { asset, at } => {
                let gone = Command::Return { at: *at };
                alarms.tell(asset, DETECTOR, &gone, progress, now).await
            }
            Found::Train(_) => return Ok(()),
        };
        match told {
            // A rule said no, and will say no again: a full list of evidence is no trouble.
            Err(AlarmError::Refused(Refusal::EvidenceFull { .. })) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Trains on another thread; the model comes back through the channel.
    fn train(&self, job: Box<TrainingJob>) {
        let (shared, trained) = (Arc::clone(&self.shared), self.trained.clone());
        let trainings = Arc::clone(&self.trainings);
        tokio::spawn(async move {
            let Ok(_turn) = trainings.acquire_owned().await else {
                return;
            };
            let work = tokio::task::spawn_blocking(move || {
                let model = learn(&shared, &job);
                Trained::Learned {
                    job,
                    model: model.map(Box::new),
                }
            });
            if let Ok(done) = work.await {
                // The follower is gone when it was told to stop: the asset learns again.
                let _ = trained.send(done).await;
            }
        });
    }

    /// Follows the rows from before the start; gives the number of the last commit among them.
    async fn read_again(&mut self, models: &mut mpsc::Receiver<Trained>) -> u64 {
        let (sender, mut batches) = mpsc::channel::<(Arc<str>, RecordBatch)>(OLD_BATCHES);
        let shared = Arc::clone(&self.shared);
        let reading = tokio::task::spawn_blocking(move || read_blocking(&shared, &sender));
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return 0,
                Some(trained) = models.recv() => self.install(trained).await,
                next = batches.recv() => match next {
                    Some((class, batch)) => self.take(&class, &batch).await,
                    None => break,
                },
            }
        }
        reading.await.unwrap_or_default()
    }

    async fn keep_house(&self) {
        self.save_progress().await;
        if let Err(error) = self
            .shared
            .alarms
            .unshelve_due(self.shared.clock.now())
            .await
        {
            tracing::warn!(
                ?error,
                "alarms cannot be taken from the shelf; trying again later"
            );
        }
    }

    /// Saves one round; gives how many assets were saved.
    async fn save_progress(&self) -> usize {
        let progress = self.shared.engine().take_progress(PROGRESS_ROUND);
        if let Err(error) = self.shared.alarms.store().save_progress(&progress).await {
            tracing::warn!(
                ?error,
                "progress of detection cannot be saved; trying again later"
            );
            self.shared.engine().give_back(&progress);
            return 0;
        }
        progress.len()
    }
}

/// Returns once detection is told to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

fn learn(shared: &Shared, job: &TrainingJob) -> Option<PcaModel> {
    let model = match job.run() {
        Ok(model) => model,
        Err(error) => {
            tracing::warn!(asset = job.asset, %error, "an asset goes on learning");
            return None;
        }
    };
    if let Err(error) = shared.folder.save(&model) {
        // It works from memory; after a restart it is learned again.
        tracing::error!(asset = job.asset, ?error, "a model cannot be kept");
    }
    tracing::info!(asset = job.asset, model = model.version, "learning is over");
    Some(model)
}

fn read_blocking(shared: &Shared, sender: &mpsc::Sender<(Arc<str>, RecordBatch)>) -> u64 {
    let mut tries = 0;
    loop {
        tries += 1;
        let snapshot = (shared.snapshots)();
        let mut outcome = Ok(());
        for (class, table) in &snapshot.tables {
            let from = shared.engine().read_from(class);
            outcome = read_table(table, from, |batch| {
                // Nobody listens any more when detection was told to stop.
                let _ = sender.blocking_send((Arc::clone(class), batch.clone()));
            });
            if outcome.is_err() {
                break;
            }
        }
        match outcome {
            Ok(()) => return snapshot.sequence,
            // Rows that were taken before are not newer the second time and change nothing.
            Err(HistoryError::Open { .. }) if tries < READ_TRIES => {}
            Err(error) => {
                tracing::error!(
                    ?error,
                    "old rows cannot be read again; their windows are not scored"
                );
                return snapshot.sequence;
            }
        }
    }
}
