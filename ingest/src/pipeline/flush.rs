//! The flush thread: frozen rows become files, then the journal is trimmed.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc::{Sender, WeakSender};

use super::{CompactOrder, FlushJob, Shared};
use crate::intake::Submission;
use crate::journal::{Trimmer, drop_old_damaged};
use crate::lake::LakeError;
use crate::last_values::checkpoint;
use crate::quarantine::QuarantineError;
use crate::stats::{add, subtract};

/// The flush thread's state.
pub(crate) struct Flusher {
    /// Number of the last journal record whose rows are all in files.
    pub through: u64,
    pub trimmer: Trimmer,
    /// How often intake is asked to look at the age of the hot rows.
    pub tick: Duration,
    pub intake: WeakSender<Submission>,
    /// Compaction looks after every flush, and now and then without one.
    pub compaction: Sender<CompactOrder>,
    pub shared: Arc<Shared>,
}

#[derive(Debug, Error)]
enum FlushError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
}

impl Flusher {
    /// Runs until commit ends.
    pub(super) fn run(mut self, jobs: &Receiver<FlushJob>) {
        loop {
            match jobs.recv_timeout(self.tick) {
                Ok(job) => {
                    if !self.flush(job) {
                        return;
                    }
                    drop(self.compaction.try_send(CompactOrder::Look));
                }
                Err(RecvTimeoutError::Timeout) => {
                    // A full queue needs no reminder: its batches look at the age themselves.
                    if let Some(intake) = self.intake.upgrade() {
                        drop(intake.try_send(Submission::Tick));
                    }
                    drop(self.compaction.try_send(CompactOrder::Look));
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// False when the service closed while the disk refused.
    fn flush(&mut self, job: FlushJob) -> bool {
        let shared = self.shared.clone();
        let FlushJob {
            mut frozen,
            through,
            last,
            order,
        } = job;
        if through > self.through {
            let filed = shared.closing.retry(&shared.counters, "flush", || {
                // First, because after the trim only its own file has the refused messages.
                shared.quarantine.sync()?;
                let watermarks = &order.watermarks;
                let lake = &shared.lake;
                Ok::<_, FlushError>(lake.flush(&mut frozen, through, watermarks, &shared.tables)?)
            });
            if filed.is_none() {
                return false;
            }
            self.through = through;
            // Before the trim: a start reads it and goes on with the records after it.
            let written = shared.closing.retry(&shared.counters, "last values", || {
                checkpoint::write(&*shared.disk, &shared.data_dir, through, &last)
            });
            if written.is_none() {
                return false;
            }
            add(&shared.counters.flushes, 1);
        }
        self.trimmer.trim(through);
        let journal = shared.data_dir.join(crate::recover::JOURNAL);
        if let Err(error) = drop_old_damaged(&*shared.disk, &journal) {
            tracing::warn!(%error, "old damaged journal segments cannot be removed");
        }
        subtract(&shared.counters.frozen_rows, order.rows as u64);
        subtract(&shared.counters.frozen_bytes, order.bytes as u64);
        subtract(&shared.counters.flushes_under_way, 1);
        for reply in order.replies {
            let _ = reply.send(());
        }
        true
    }
}
