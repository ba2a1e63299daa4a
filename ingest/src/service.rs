//! The ingest pipeline as one thing: start it, hand it messages, look at it, stop it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::clock::{SharedClock, process_now};
use crate::codec::sparkplug::rebirth::RebirthRequests;
use crate::commands::{self, Commands};
use crate::config::{ConfigMistake, IngestConfig};
use crate::decode::Decoder;
use crate::disk::{Disk, LocalDisk};
use crate::durable;
use crate::intake::{Intake, Submission};
use crate::journal::{Journal, JournalError};
use crate::lake::{Lake, LakeError};
use crate::last_values::checkpoint;
use crate::notice::{self, Notice};
use crate::pipeline::{
    BatchLimits, Closing, Committer, CompactOrder, Compactor, Flusher, Follower, HotRows,
    IntakeLoop, Parts, Shared, Threads, Turn, WAITING_ORDERS,
};
use crate::quarantine::{Bounds, Quarantine, QuarantineError, Store};
use crate::recover::{self, JOURNAL, LAKE, QUARANTINE, ReadError, Recovered};
use crate::snapshot::{Committed, Snapshot};
use crate::stats::{Counters, Stats, add, read, set};
use crate::tables::Snapshots;
use crate::topic::PatternError;

/// The commits in order, for those who follow the stream. It ends when the pipeline has stopped.
///
/// It never holds up a commit: while it is full, commits are left out and counted
/// ([`Stats::feed_skipped`]), and the next entry says how many ([`Committed::skipped`]). That
/// entry comes as soon as there is room, without parts when nothing more is committed. What was
/// left out is in the snapshot. A follower that is gone is not missed.
pub type Feed = mpsc::Receiver<Arc<Committed>>;

/// A running pipeline.
#[derive(Debug)]
pub struct Ingest {
    intake: Intake,
    snapshots: Snapshots,
    quarantine: Quarantine,
    shared: Arc<Shared>,
    commands: Mutex<Option<Commands>>,
    compaction: mpsc::WeakSender<CompactOrder>,
    threads: Mutex<Option<Threads>>,
}

/// Why the pipeline does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration has mistakes.
    #[error("the ingest configuration has mistakes: {}", listed(.0))]
    Config(Vec<ConfigMistake>),
    /// A mapping rule cannot be compiled.
    #[error("a mapping rule's topic is not a pattern")]
    Rules(#[from] PatternError),
    /// A folder cannot be made.
    #[error("the folder {path} cannot be made")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The lake cannot be used.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The quarantine cannot be used.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// What stands in the folder cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A thread cannot be started.
    #[error("the system refuses a thread")]
    Thread(#[source] io::Error),
}

/// Why the pipeline did not stop as it should, or could not do what was asked.
#[derive(Debug, Error)]
pub enum Stopped {
    /// It has stopped already.
    #[error("the ingest pipeline has stopped")]
    Already,
    /// The disk refused to the end. What is not on it was never acknowledged.
    #[error(
        "the ingest pipeline stopped while the disk refused: {0}; nothing acknowledged is lost"
    )]
    Disk(String),
    /// One of its threads ended in a bug.
    #[error("a thread of the ingest pipeline failed; what was acknowledged is in the journal")]
    Failed,
}

/// Why tables were not compacted.
#[derive(Debug, Error)]
pub enum CompactError {
    /// The pipeline stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The lake refused; the tables are as they were.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

impl Ingest {
    /// Opens the data folder, replays its journal and starts the threads.
    ///
    /// The caller holds the folder's lock. **Errors**: see [`StartError`].
    pub fn start(
        config: IngestConfig,
        data_dir: &Path,
        clock: SharedClock,
    ) -> Result<(Self, Feed), StartError> {
        Self::start_on(LocalDisk::shared(), config, data_dir, clock)
    }

    /// The same on a given disk: for tests of what a disk may do.
    ///
    /// **Errors**: see [`StartError`].
    pub fn start_on(
        disk: Arc<dyn Disk>,
        config: IngestConfig,
        data_dir: &Path,
        clock: SharedClock,
    ) -> Result<(Self, Feed), StartError> {
        let mistakes = config.validate();
        if !mistakes.is_empty() {
            return Err(StartError::Config(mistakes));
        }
        for part in [JOURNAL, LAKE, QUARANTINE] {
            let path = data_dir.join(part);
            durable::make_folders_on(&*disk, &path)
                .map_err(|source| StartError::Folder { path, source })?;
        }
        // The names that an earlier process gave are in the system's memory, maybe no more than
        // that. What follows builds on them, up to the trim of the journal.
        for path in [
            data_dir.to_owned(),
            data_dir.join(JOURNAL),
            data_dir.join(QUARANTINE),
        ] {
            disk.sync_folder(&path)
                .map_err(|source| StartError::Folder { path, source })?;
        }
        let lake = open_lake(disk.clone(), &data_dir.join(LAKE), &config)?;
        let bounds = Bounds {
            entries: config.quarantine_entries,
            bytes: config.quarantine_bytes,
            payload_bytes: config.max_payload_bytes,
        };
        let store = Arc::new(Store::open(
            disk.clone(),
            &data_dir.join(QUARANTINE),
            bounds,
        )?);
        let rules = config.decode_rules();
        let found = recover::recover(data_dir, Some(&lake), &rules, |batch| store.add(batch))?;
        let (sender, submissions) = mpsc::channel(config.queue_deliveries);
        let (feed, follower) = mpsc::channel(config.feed_commits);
        let intake = Intake::new(sender, config.max_payload_bytes);
        let Recovered {
            tables,
            catalog,
            last_sequence,
            ..
        } = found;
        let snapshots = tables.snapshots();
        let (command_sender, commands) = commands::channel();
        let counters = Counters::default();
        add(&counters.replayed_messages, found.messages);
        add(&counters.journal_damages, found.damages);
        let shared = Arc::new(Shared {
            data_dir: data_dir.to_owned(),
            disk: disk.clone(),
            tables,
            lake,
            quarantine: store.clone(),
            counters,
            closing: Closing::default(),
            turn: Turn::default(),
            commands: command_sender,
        });
        let mut journal = Journal::new(
            data_dir.join(JOURNAL),
            &rules,
            config.journal_segment_bytes,
            found.next_segment,
            found.segments,
        )
        .on(disk.clone())
        .with_sessions(found.sessions.clone());
        journal.sync_found()?;
        journal.keep_sessions()?;
        // Before the trim: without the journal nothing else would bring the last values up to it.
        let last = shared.tables.last_values();
        let is_remembered = || {
            found.remembered == Some(last_sequence)
                || checkpoint::write(&*disk, data_dir, last_sequence, &last).is_ok()
        };
        if found.first_needed.is_none() && is_remembered() && store.sync().is_ok() {
            journal.trimmer().trim(last_sequence);
        }
        set(&shared.counters.journal_bytes, journal.bytes());
        set(&shared.counters.live_bytes, found.bytes as u64);
        let (orders, to_compact) = mpsc::channel(WAITING_ORDERS);
        let compaction = orders.downgrade();
        // An id of the quarantine is never given twice, even if the journal lost its last record.
        let quarantined = store.last().map_or(0, |id| id.sequence);
        let mut decoder = Decoder::new(rules)?;
        decoder.restore(found.sessions);
        let threads = Parts {
            flusher: Flusher {
                through: found.first_needed.map_or(last_sequence, |first| first - 1),
                trimmer: journal.trimmer(),
                tick: config.flush_age() / 8,
                intake: intake.downgrade(),
                compaction: orders.clone(),
                shared: shared.clone(),
            },
            compactor: Compactor {
                orders: to_compact,
                limits: config.compaction_limits(),
                retention: config.retention(),
                tombstone: config.tombstone(),
                clock: clock.clone(),
                shared: shared.clone(),
            },
            committer: Committer {
                journal,
                sequence: last_sequence,
                follower: Follower::new(feed, last_sequence),
                intake: intake.downgrade(),
                shared: shared.clone(),
            },
            intake: IntakeLoop {
                submissions,
                decoder,
                catalog,
                limits: BatchLimits {
                    rows: config.batch_rows,
                    age: config.batch_age(),
                },
                hot: HotRows {
                    rows: found.rows,
                    bytes: found.bytes,
                    since: (found.messages > 0).then(process_now),
                    flush_rows: config.flush_rows,
                    flush_age: config.flush_age(),
                    max_rows: config.max_hot_rows,
                    flush_bytes: config.flush_bytes as usize,
                    max_bytes: config.max_hot_bytes as usize,
                },
                rebirths: RebirthRequests::new(config.rebirth_pause(), config.sparkplug_nodes),
                clock: clock.clone(),
                next_sequence: last_sequence.max(quarantined) + 1,
                shared: shared.clone(),
            },
        };
        // From here on only the flush thread holds the sender: with it, compaction ends.
        drop(orders);
        let threads = Mutex::new(Some(threads.start().map_err(StartError::Thread)?));
        let quarantine = Quarantine::new(store, intake.clone(), clock);
        Ok((
            Self {
                intake,
                snapshots,
                quarantine,
                shared,
                commands: Mutex::new(Some(commands)),
                compaction,
                threads,
            },
            follower,
        ))
    }

    /// The door for sources of messages; cheap to clone.
    pub fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// The newest picture of all tables.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.load()
    }

    /// A handle that loads the newest picture whenever asked; cheap to clone.
    pub fn snapshots(&self) -> Snapshots {
        self.snapshots.clone()
    }

    /// Metrics that were published with two types.
    pub fn notices(&self) -> Vec<Notice> {
        notice::notices(&self.snapshot())
    }

    /// The refused messages; cheap to clone.
    pub fn quarantine(&self) -> Quarantine {
        self.quarantine.clone()
    }

    /// Messages that the pipeline wants sent to devices; for the first who asks, then none.
    pub fn commands(&self) -> Option<Commands> {
        self.commands.lock().expect("no holder panics").take()
    }

    /// The figures.
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        let quarantine = self.quarantine.totals();
        let snapshot = self.snapshot();
        let tables = || snapshot.tables.values();
        let files = || tables().flat_map(|table| table.files.iter().chain(&table.late_files));
        let hot = || tables().flat_map(|table| table.hot.iter().chain(&table.late_hot));
        Stats {
            accepted_messages: read(&counters.accepted_messages),
            accepted_rows: read(&counters.accepted_rows),
            accepted_samples: read(&counters.accepted_samples),
            mistyped_samples: read(&counters.mistyped_samples),
            late_rows: read(&counters.late_rows),
            repeated_rows: read(&counters.repeated_rows),
            duplicate_samples: read(&counters.duplicate_samples),
            conflicting_samples: read(&counters.conflicting_samples),
            rejected: counters.rejected(),
            commits: read(&counters.commits),
            commit_lag_us: read(&counters.commit_lag_us),
            feed_skipped: read(&counters.feed_skipped),
            replayed_messages: read(&counters.replayed_messages),
            journal_damages: read(&counters.journal_damages),
            journal_bytes: read(&counters.journal_bytes),
            hot_rows: hot().map(|rows| rows.batch.num_rows() as u64).sum(),
            hot_bytes: read(&counters.live_bytes) + read(&counters.frozen_bytes),
            tables: tables().len() as u64,
            files: files().count() as u64,
            file_bytes: files().map(|file| file.bytes).sum(),
            file_rows: files().map(|file| file.rows).sum(),
            flushes: read(&counters.flushes),
            compactions: read(&counters.compactions),
            compaction_failures: read(&counters.compaction_failures),
            merged_duplicates: read(&counters.merged_duplicates),
            merged_conflicts: read(&counters.merged_conflicts),
            quarantine_entries: quarantine.entries,
            quarantine_bytes: quarantine.bytes,
            quarantine_dropped: quarantine.dropped,
            rebirth_requests: read(&counters.rebirth_requests),
            commands_dropped: read(&counters.commands_dropped),
            disk_trouble: counters.trouble(),
        }
    }

    /// Brings everything submitted so far into files; waits while the disk refuses.
    ///
    /// **Errors**: the pipeline stopped before it was done.
    pub async fn flush(&self) -> Result<(), Stopped> {
        let (reply, done) = oneshot::channel();
        let submission = Submission::Flush(reply);
        self.intake
            .submit(submission)
            .await
            .map_err(|_| Stopped::Already)?;
        done.await.map_err(|_| Stopped::Already)
    }

    /// Brings everything submitted so far into files and compacts all tables, however little there
    /// is to do.
    ///
    /// **Errors**: the pipeline stopped before it was done, or the lake refused.
    pub async fn compact(&self) -> Result<(), CompactError> {
        self.flush().await?;
        let orders = self.compaction.upgrade().ok_or(Stopped::Already)?;
        let (reply, done) = oneshot::channel();
        let order = CompactOrder::Everything(reply);
        orders.send(order).await.map_err(|_| Stopped::Already)?;
        drop(orders);
        Ok(done.await.map_err(|_| Stopped::Already)??)
    }

    /// Takes nothing more, commits and flushes what was handed over, stops the threads.
    ///
    /// A second call does nothing. **Errors**: see [`Stopped`]; nothing acknowledged is lost.
    pub async fn shutdown(&self) -> Result<(), Stopped> {
        let Some(threads) = self.threads.lock().expect("no holder panics").take() else {
            return Ok(());
        };
        self.shared.closing.begin();
        // A pipeline whose intake is gone already is only waited for.
        let _ = self.intake.submit(Submission::Close).await;
        if !threads.ended().await {
            return Err(Stopped::Failed);
        }
        match self.shared.counters.trouble() {
            Some(trouble) => Err(Stopped::Disk(trouble)),
            None => Ok(()),
        }
    }
}

impl Drop for Ingest {
    /// A pipeline that is dropped without [`Ingest::shutdown`] still ends when its last intake is
    /// gone; it does not wait for a disk that refuses.
    fn drop(&mut self) {
        self.shared.closing.begin();
    }
}

fn open_lake(disk: Arc<dyn Disk>, folder: &Path, config: &IngestConfig) -> Result<Lake, LakeError> {
    let lake = Lake::open(disk, folder, config)?;
    let removed = lake.remove_leftovers()?;
    if removed > 0 {
        tracing::info!(removed, "files of a flush that did not finish were removed");
    }
    Ok(lake)
}

fn listed(mistakes: &[ConfigMistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
