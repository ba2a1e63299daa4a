//! The task that follows the stream and keeps what is found.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use fieldwright_condition::window::Window;
use fieldwright_condition::{FitError, Learning, Member, Model};
use fieldwright_ingest::clock::process_sleep;
use fieldwright_ingest::snapshot::Committed;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::backlog::Backlog;
use super::fleets::ClassInUse;
use super::keeper::Keeper;
use super::rereading::{Reading, Stored, read, read_again};
use super::shared::{Shared, stopped};
use super::studies::{put_in_use, rows_of, work};
use crate::detect::engine::{Arrived, Due, Finding, Found};
use crate::detect::jobs::{JobRequest, Then, Work};
use crate::detect::registry::ModelRecord;
use crate::detect::training::TrainingJob;

/// Who makes and promotes the version at the end of a learning period.
const LEARNING: &str = "learning";
/// Models trained at the same time.
const TRAININGS: usize = 1;
/// Batches of stored rows that wait to be followed.
const STORED_BATCHES: usize = 4;
/// Between two looks at what is stored. **Units**: process clock. Tests want to see many.
const LOOK_PERIOD: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1000 });
/// Windows that late rows revise between two looks.
const REVISIONS_PER_LOOK: usize = 256;
/// Commits after which one finding that waits is kept although more commits have come.
const COMMITS_PER_WAITING: u64 = 4;
/// How long the end waits for a training that has begun.
const LAST_TRAINING: Duration = Duration::from_secs(2);

/// What comes back from a training, or another reading.
pub(super) enum Trained {
    /// Of an asset whose learning period is over.
    Learned {
        job: Box<TrainingJob>,
        model: Option<Box<Model>>,
        /// Windows that wait for the model, as late rows have revised them.
        waiting: Vec<Window>,
    },
    /// Of a whole class.
    Class {
        in_use: Box<ClassInUse>,
        installed: oneshot::Sender<()>,
    },
    /// Asked for by a person.
    ByHand {
        model: Box<Model>,
        installed: oneshot::Sender<()>,
    },
    /// The stored rows of windows that late rows have changed.
    Reread(Vec<(Due, Vec<RecordBatch>)>),
}

pub(super) struct Follower {
    shared: Arc<Shared>,
    keeper: Keeper,
    /// What assets have found faster than it can be kept.
    backlog: Backlog,
    /// Commits that were followed while something waited.
    commits: u64,
    trained: mpsc::Sender<Trained>,
    stop: watch::Receiver<bool>,
    trainings: Arc<Semaphore>,
    /// Number of the commit up to which everything is followed.
    through: u64,
    /// Where that stood when it was last seen behind although nothing came.
    quiet_at: Option<u64>,
    /// Whether stored rows are being read for windows that late rows have changed.
    is_rereading: bool,
}

impl Follower {
    pub(super) fn new(
        shared: Arc<Shared>,
        trained: mpsc::Sender<Trained>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            keeper: Keeper::new(Arc::clone(&shared), stop.clone()),
            backlog: Backlog::default(),
            commits: 0,
            shared,
            trained,
            stop,
            trainings: Arc::new(Semaphore::new(TRAININGS)),
            through: 0,
            quiet_at: None,
            is_rereading: false,
        }
    }

    /// Follows until told to stop. What was not followed by then is read at the next start.
    pub(super) async fn run(
        mut self,
        mut feed: mpsc::Receiver<Arc<Committed>>,
        mut models: mpsc::Receiver<Trained>,
    ) {
        let known = self.shared.marks().seen.clone();
        self.read(Reading::Start(known), &mut models).await;
        self.shared
            .counters
            .caught_up
            .store(true, Ordering::Relaxed);
        let mut look = Box::pin(process_sleep(LOOK_PERIOD));
        let mut stream_open = true;
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(trained) = models.recv() => self.install(trained).await,
                () = &mut look => {
                    self.look(feed.is_empty(), &mut models).await;
                    look = Box::pin(process_sleep(LOOK_PERIOD));
                }
                next = feed.recv(), if stream_open => match next {
                    Some(committed) => {
                        self.next(&committed, &mut models).await;
                        self.let_wait(feed.is_empty()).await;
                    }
                    None => stream_open = false,
                },
                () = ready(()), if !self.backlog.is_empty() => self.keep_waiting().await,
            }
        }
        drop((feed, models));
        let trainings = Arc::clone(&self.trainings);
        tokio::select! {
            _ = trainings.acquire() => {}
            () = process_sleep(LAST_TRAINING) => {}
        }
    }

    async fn next(&mut self, committed: &Committed, models: &mut mpsc::Receiver<Trained>) {
        if committed.sequence <= self.through {
            return;
        }
        self.quiet_at = None;
        if committed.skipped > 0 {
            let left_out = &self.shared.counters.left_out;
            left_out.fetch_add(committed.skipped, Ordering::Relaxed);
            self.catch_up(models).await;
            return;
        }
        for parts in committed.parts.chunk_by(|a, b| a.class == b.class) {
            let mut arrived = Arrived::default();
            for part in parts {
                match part.late {
                    false => arrived.in_order.push(&part.rows.batch),
                    true => arrived.late.push(&part.rows.batch),
                }
            }
            self.take(&parts[0].class, &arrived).await;
        }
        self.came_through(committed.sequence);
    }

    /// After a commit: lets findings that wait have a part of the time while the stream is busy.
    async fn let_wait(&mut self, feed_is_empty: bool) {
        if feed_is_empty {
            self.backlog.idle();
        } else if !self.backlog.is_empty() {
            self.commits += 1;
            if self.commits.is_multiple_of(COMMITS_PER_WAITING) {
                self.keep_waiting().await;
            }
        }
    }

    /// Keeps the finding that waits and has its turn.
    async fn keep_waiting(&mut self) {
        if let Some(finding) = self.backlog.next() {
            self.keeper.keep(&finding).await;
        }
    }

    /// Moves the mark; and where the feed left out the newest commits, nothing comes that says so.
    async fn look(&mut self, feed_is_empty: bool, models: &mut mpsc::Receiver<Trained>) {
        let snapshot = (self.shared.snapshots)();
        self.shared.marks().look(&snapshot, self.through);
        let behind = feed_is_empty && snapshot.sequence > self.through;
        // Rows are visible a moment before they are announced.
        let still = self.quiet_at == Some(self.through);
        self.quiet_at = behind.then_some(self.through);
        if behind && still {
            self.catch_up(models).await;
        }
        self.reread();
    }

    /// Reads the rows of windows that late rows have changed, one reading at a time: alarms do not
    /// wait for files. The rows come back through the channel.
    fn reread(&mut self) {
        if self.is_rereading {
            return;
        }
        let now = self.shared.clock.now().timestamp_micros();
        let due = self.shared.engine().due_revisions(REVISIONS_PER_LOOK, now);
        if due.is_empty() {
            return;
        }
        self.is_rereading = true;
        let (shared, trained) = (Arc::clone(&self.shared), self.trained.clone());
        tokio::spawn(async move {
            let read = tokio::task::spawn_blocking(move || read_again(&shared, due)).await;
            let found = read.unwrap_or_else(|error| {
                tracing::error!(%error, "late readings revise nothing");
                Vec::new()
            });
            // The follower is gone when it was told to stop.
            let _ = trained.send(Trained::Reread(found)).await;
        });
    }

    /// Follows what is stored and was not seen: the feed leaves out commits when it is full.
    async fn catch_up(&mut self, models: &mut mpsc::Receiver<Trained>) {
        let catch_ups = &self.shared.counters.catch_ups;
        catch_ups.fetch_add(1, Ordering::Relaxed);
        let seen = self.shared.marks().seen.clone().unwrap_or_default();
        self.read(Reading::CatchUp(seen), models).await;
    }

    /// Follows stored rows; what was followed when detection is told to stop counts as not read.
    async fn read(&mut self, reading: Reading, models: &mut mpsc::Receiver<Trained>) {
        let (sender, mut batches) = mpsc::channel::<Stored>(STORED_BATCHES);
        let shared = Arc::clone(&self.shared);
        let reader = tokio::task::spawn_blocking(move || read(&shared, &reading, &sender));
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                Some(trained) = models.recv() => self.install(trained).await,
                next = batches.recv() => match next {
                    Some(stored) => {
                        let arrived = Arrived {
                            in_order: stored.in_order.iter().collect(),
                            late: stored.late.iter().collect(),
                            stored: true,
                        };
                        self.take(&stored.class, &arrived).await;
                    }
                    None => break,
                },
            }
        }
        if *stop.borrow() {
            return;
        }
        match reader.await {
            Ok(snapshot) => {
                self.shared.marks().read(&snapshot);
                self.came_through(snapshot.sequence);
            }
            Err(error) => tracing::error!(%error, "stored rows cannot be read again"),
        }
    }

    fn came_through(&mut self, sequence: u64) {
        self.through = self.through.max(sequence);
        let counter = &self.shared.counters.sequence;
        counter.fetch_max(self.through, Ordering::Relaxed);
    }

    async fn take(&mut self, class: &Arc<str>, arrived: &Arrived<'_>) {
        let mut findings = Vec::new();
        self.shared.engine().take(class, arrived, &mut findings);
        self.keep_all(findings).await;
    }

    async fn install(&mut self, trained: Trained) {
        let counters = &self.shared.counters;
        let mut findings = Vec::new();
        match trained {
            Trained::Learned {
                job,
                model,
                waiting,
            } => {
                let mut engine = self.shared.engine();
                engine.revise_waiting(&job.asset, &job.class, waiting);
                if let Some(model) = model {
                    counters.trained.fetch_add(1, Ordering::Relaxed);
                    engine.install(*model, &mut findings);
                } else {
                    counters.training_failures.fetch_add(1, Ordering::Relaxed);
                    engine.training_failed(*job);
                }
            }
            Trained::Class { in_use, installed } => {
                counters.trained.fetch_add(1, Ordering::Relaxed);
                let ClassInUse { model, members } = *in_use;
                self.shared.engine().install_class(model, &members);
                let _ = installed.send(());
            }
            Trained::ByHand { model, installed } => {
                counters.trained.fetch_add(1, Ordering::Relaxed);
                self.shared.engine().install(*model, &mut findings);
                // Nobody waits for it when the request was given up.
                let _ = installed.send(());
            }
            Trained::Reread(found) => {
                self.is_rereading = false;
                for (due, rows) in found {
                    self.shared.engine().revise(&due, &rows);
                }
            }
        }
        self.keep_all(findings).await;
    }

    async fn keep_all(&mut self, findings: Vec<Finding>) {
        let mut referred: BTreeMap<Arc<str>, Vec<Member>> = BTreeMap::new();
        for finding in findings {
            match finding.found {
                Found::Train(job) => self.train(job),
                Found::TrainClass { class, from, to } => self.train_class(&class, (from, to)),
                Found::Refer { class, member } => referred.entry(class).or_default().push(*member),
                _ => {
                    if let Some(finding) = self.backlog.take(finding) {
                        self.keeper.keep(&finding).await;
                    }
                }
            }
        }
        while self.backlog.is_full() && !*self.stop.borrow() {
            self.keep_waiting().await;
        }
        if !referred.is_empty() {
            self.keep_members(referred).await;
        }
    }

    /// Keeps new assets of classes that learn as a whole: one sync for all of a batch.
    async fn keep_members(&self, referred: BTreeMap<Arc<str>, Vec<Member>>) {
        let shared = Arc::clone(&self.shared);
        let keeping = tokio::task::spawn_blocking(move || {
            for (class, members) in referred {
                if let Err(error) = shared.folder.add_members(&class, &members) {
                    // They are judged from memory; after a restart they collect again.
                    tracing::error!(
                        class = &*class,
                        ?error,
                        "new assets of a class cannot be kept"
                    );
                }
            }
        });
        // A task that cannot be run ends with detection.
        let _ = keeping.await;
    }

    /// Learns a class as a job of its own, from what is stored.
    fn train_class(&self, class: &str, (from, to): (DateTime<Utc>, DateTime<Utc>)) {
        let learning = self.shared.config.class(class).learning.delta();
        // Later windows count more, and an asset may be years older than its class's settings.
        let from = match learning.is_zero() {
            true => from,
            false => from.max(to - learning * 2),
        };
        let request = JobRequest {
            work: Work::TrainClass {
                class: class.to_owned(),
                then: Then::Promote,
            },
            asset: String::new(),
            from,
            to,
            by: LEARNING.to_owned(),
            key: None,
        };
        match self.shared.jobs.take(request, self.shared.clock.now()) {
            Ok((cell, _)) => {
                let parts = (Arc::clone(&self.shared), self.trained.clone());
                work(parts, self.stop.clone(), cell);
            }
            Err(error) => {
                tracing::warn!(class, %error, "a class goes on learning");
                self.shared.engine().class_not_learned(class);
            }
        }
    }

    /// Trains on another thread; the model comes back through the channel.
    fn train(&self, job: Box<TrainingJob>) {
        let (shared, trained) = (Arc::clone(&self.shared), self.trained.clone());
        let trainings = Arc::clone(&self.trainings);
        let mut stop = self.stop.clone();
        tokio::spawn(async move {
            let turn = tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                turn = trainings.acquire_owned() => turn,
            };
            let Ok(_turn) = turn else {
                return;
            };
            let work = tokio::task::spawn_blocking(move || {
                let mut job = job;
                let stream = job.windows.clone();
                let mut waiting = cut_again(&shared, &mut job, &stream).unwrap_or_default();
                let mut model = job.run();
                // What came late in the meantime belongs to it too. Once: of a device whose
                // readings are always late there is always more.
                if let Some(again) = cut_again(&shared, &mut job, &stream) {
                    waiting = again;
                    model = job.run();
                }
                let model = keep_learned(&shared, &job, model).map(Box::new);
                Trained::Learned {
                    job,
                    model,
                    waiting,
                }
            });
            if let Ok(done) = work.await {
                // The follower is gone when it was told to stop: the asset learns again.
                let _ = trained.send(done).await;
            }
        });
    }
}

/// Cuts the windows of a learning period again when late rows belong to them; gives those after it,
/// which wait for the model. `None`: the windows are as they were.
fn cut_again(shared: &Shared, job: &mut TrainingJob, stream: &Learning) -> Option<Vec<Window>> {
    if !shared.engine().take_revised(&job.asset, &job.class) {
        return None;
    }
    match rows_of(shared, &job.asset, (job.from, i64::MAX)) {
        Ok((class, rows)) if class == job.class => match job.cut_as_streamed(&rows, stream) {
            Ok(waiting) => Some(waiting),
            Err(unlike) => {
                tracing::warn!(
                    asset = job.asset,
                    "{unlike}; it learns without its late readings: send all metrics of an \
                     instant in one message, or each with its own time"
                );
                None
            }
        },
        Ok(_) => None,
        Err(error) => {
            tracing::error!(
                asset = job.asset,
                ?error,
                "stored rows cannot be read again; an asset learns without its late readings"
            );
            None
        }
    }
}

/// Puts what was learned in use.
fn keep_learned(
    shared: &Shared,
    job: &TrainingJob,
    learned: Result<Model, FitError>,
) -> Option<Model> {
    let model = match learned {
        Ok(model) => model,
        Err(error) => {
            tracing::warn!(asset = job.asset, %error, "an asset goes on learning");
            return None;
        }
    };
    let now = shared.clock.now();
    let record = ModelRecord::new(model, &job.settings, LEARNING, now);
    let model = record.model.clone();
    if let Err(error) = put_in_use(shared, record, LEARNING, now) {
        // It works from memory; after a restart it is learned again.
        tracing::error!(asset = job.asset, ?error, "a model cannot be kept");
    }
    tracing::info!(asset = job.asset, model = model.version, "learning is over");
    Some(model)
}
