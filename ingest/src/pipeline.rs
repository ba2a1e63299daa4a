//! Three threads: *intake* decodes, *commit* syncs and publishes, *flush* writes files.
//!
//! ```text
//! sources ─(deliveries)→ intake ─(batches)→ commit ─(frozen rows)→ flush
//!                                              └─(feed)→ detectors
//! ```
//! Decoding batch n + 1 overlaps with the sync of batch n, and batches that wait while the disk
//! syncs are synced together. Every arrow is a bounded queue, so a slow disk ends in sources that
//! read more slowly from the wire. The feed alone is none to wait for: a full one is left out.

mod commit;
mod compact;
mod feed;
mod flush;
mod intake;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as blocking;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc::WeakSender;
use tokio::sync::oneshot;

pub(crate) use self::commit::Committer;
pub(crate) use self::compact::{CompactOrder, Compactor, WAITING_ORDERS};
pub(crate) use self::feed::Follower;
pub(crate) use self::flush::Flusher;
pub(crate) use self::intake::{BatchLimits, HotRows, IntakeLoop};
use crate::batch::Batch;
use crate::catalog::Watermarks;
use crate::commands::CommandSender;
use crate::disk::Disk;
use crate::intake::Submission;
use crate::lake::Lake;
use crate::last_values::LastValues;
use crate::quarantine::Store;
use crate::stats::Counters;
use crate::tables::{Frozen, Tables};

/// Closed batches that may wait for a sync.
pub(crate) const WAITING_BATCHES: usize = 8;
/// Flushes that may wait for the one under way.
pub(crate) const WAITING_FLUSHES: usize = 1;
/// First pause after the disk refused; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub data_dir: PathBuf,
    pub disk: Arc<dyn Disk>,
    pub tables: Arc<Tables>,
    pub lake: Lake,
    pub quarantine: Arc<Store>,
    pub counters: Counters,
    pub closing: Closing,
    pub turn: Turn,
    /// Where messages for devices leave.
    pub commands: CommandSender,
}

/// From intake to commit.
#[derive(Debug)]
pub(crate) struct Work {
    pub batch: Batch,
    /// Flush everything up to and with this batch.
    pub flush: Option<FlushOrder>,
}

/// The order to flush, made where the state of the catalog is known.
#[derive(Debug, Default)]
pub(crate) struct FlushOrder {
    /// Rows in it.
    pub rows: usize,
    /// Bytes of memory in it.
    pub bytes: usize,
    pub watermarks: Watermarks,
    pub replies: Vec<oneshot::Sender<()>>,
}

/// From commit to flush.
#[derive(Debug)]
pub(crate) struct FlushJob {
    pub frozen: Vec<Frozen>,
    /// Number of the last journal record in them.
    pub through: u64,
    /// The last values after that record.
    pub last: Arc<LastValues>,
    pub order: FlushOrder,
}

/// Whose turn it is: while commit syncs, the open batch takes messages; when it is done, it wants
/// the batch at once. So a message waits for the sync under way and its own, not for a third.
#[derive(Debug)]
pub(crate) struct Turn {
    wanted: AtomicBool,
}

/// Says that the service is closing, and interrupts the pauses of those who wait for the disk.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    begun: Mutex<bool>,
    changed: Condvar,
}

/// The running threads.
#[derive(Debug)]
pub(crate) struct Threads {
    handles: Vec<JoinHandle<()>>,
    /// Comes when the last thread ends.
    ended: oneshot::Receiver<()>,
}

/// The parts that the threads run.
pub(crate) struct Parts {
    pub intake: IntakeLoop,
    pub committer: Committer,
    pub flusher: Flusher,
    pub compactor: Compactor,
}

impl Parts {
    /// Starts the threads.
    ///
    /// **Errors**: the system has no thread left.
    pub(crate) fn start(self) -> io::Result<Threads> {
        let Self {
            intake,
            committer,
            flusher,
            compactor,
        } = self;
        let (batches, to_commit) = blocking::sync_channel(WAITING_BATCHES);
        let (jobs, to_flush) = blocking::sync_channel(WAITING_FLUSHES);
        let (end, ended) = oneshot::channel();
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(run)
        };
        let handles = vec![
            spawn(
                "ingest-compact",
                Box::new(move || {
                    compactor.run();
                    let _ = end.send(());
                }),
            )?,
            spawn("ingest-flush", Box::new(move || flusher.run(&to_flush)))?,
            spawn(
                "ingest-commit",
                Box::new(move || committer.run(&to_commit, &jobs)),
            )?,
            spawn("ingest-intake", Box::new(move || intake.run(&batches)))?,
        ];
        Ok(Threads { handles, ended })
    }
}

impl Threads {
    /// Waits until all have ended. False when one of them panicked.
    pub(crate) async fn ended(self) -> bool {
        // The compaction thread ends last, when the flush thread has nothing more to order.
        let whole = self.ended.await.is_ok();
        self.handles.into_iter().all(|handle| handle.join().is_ok()) && whole
    }
}

impl Default for Turn {
    fn default() -> Self {
        let wanted = AtomicBool::new(true);
        Self { wanted }
    }
}

impl Turn {
    /// Commit has nothing to sync: wakes intake if it holds a batch open.
    fn want(&self, intake: &WeakSender<Submission>) {
        self.wanted.store(true, Ordering::SeqCst);
        // A full queue wakes intake as well.
        if let Some(intake) = intake.upgrade() {
            drop(intake.try_send(Submission::Tick));
        }
    }

    /// A batch was handed over.
    fn handed_over(&self) {
        self.wanted.store(false, Ordering::SeqCst);
    }

    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }
}

impl Closing {
    pub(crate) fn begin(&self) {
        *self.begun.lock().expect("no holder panics") = true;
        self.changed.notify_all();
    }

    pub(crate) fn has_begun(&self) -> bool {
        *self.begun.lock().expect("no holder panics")
    }

    /// Tries until it works; none when the service closed while it did not.
    fn retry<T, E: std::error::Error>(
        &self,
        counters: &Counters,
        part: &'static str,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Option<T> {
        let mut pause = FIRST_PAUSE;
        let mut failing = false;
        loop {
            let closing = self.has_begun();
            match attempt() {
                Ok(done) => {
                    if failing {
                        tracing::info!(part, "the disk takes writes again");
                        counters.set_trouble(part, None);
                    }
                    return Some(done);
                }
                Err(error) => {
                    let said = with_sources(&error);
                    if !failing {
                        tracing::error!(part, error = %said,
                            "the disk refuses; nothing more is acknowledged until it works again");
                    }
                    counters.set_trouble(part, Some(said));
                    failing = true;
                }
            }
            if closing {
                tracing::error!(part, "stopping although the disk refuses");
                return None;
            }
            self.pause(pause);
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    fn pause(&self, length: Duration) {
        let begun = self.begun.lock().expect("no holder panics");
        drop(
            self.changed
                .wait_timeout_while(begun, length, |begun| !*begun),
        );
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        said = format!("{said}: {inner}");
        source = inner.source();
    }
    said
}
