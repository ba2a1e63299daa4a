//! The commit thread: one sync for all batches that wait, then publish, then acknowledge.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use tokio::sync::mpsc::WeakSender;

use super::{FlushJob, FlushOrder, Follower, Shared, WAITING_BATCHES, Work};
use crate::batch::Batch;
use crate::clock::process_now;
use crate::intake::Submission;
use crate::journal::Journal;
use crate::stats::{Counters, add, set};

/// How often a follower that was left behind is looked after while nothing is committed.
const LEFT_BEHIND_TICK: Duration = Duration::from_millis(100);

/// The commit thread's state.
pub(crate) struct Committer {
    pub journal: Journal,
    /// Number of the last record that is committed.
    pub sequence: u64,
    pub follower: Follower,
    pub intake: WeakSender<Submission>,
    pub shared: Arc<Shared>,
}

impl Committer {
    /// Runs until intake ends, or until the service closes while the disk refuses.
    pub(super) fn run(mut self, work: &Receiver<Work>, jobs: &SyncSender<FlushJob>) {
        while let Some(first) = self.next(work) {
            let (mut group, flush) = gather(first, work);
            let Shared {
                closing, counters, ..
            } = &*self.shared;
            let journal = &mut self.journal;
            let written = closing.retry(counters, "journal", || journal.append(&group));
            if written.is_none() {
                // Later batches were classified after this one, so none of them may pass it.
                // Dropping their receipts leaves every message unacknowledged.
                return;
            }
            self.shared.turn.want(&self.intake);
            self.publish(&mut group);
            if let Some(order) = flush {
                self.journal.seal();
                if let Err(error) = self.journal.keep_sessions() {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        "after a crash Sparkplug nodes would be asked for rebirths"
                    );
                }
                let frozen = self.shared.tables.freeze();
                let job = FlushJob {
                    frozen,
                    through: self.sequence,
                    last: self.shared.tables.last_values(),
                    order,
                };
                if jobs.send(job).is_err() {
                    return;
                }
            }
            set(&self.shared.counters.journal_bytes, self.journal.bytes());
        }
    }

    /// The next batch; meanwhile a follower that was left behind is told so once it has room.
    fn next(&mut self, work: &Receiver<Work>) -> Option<Work> {
        while self.follower.is_left_behind() {
            match work.recv_timeout(LEFT_BEHIND_TICK) {
                Ok(first) => return Some(first),
                Err(RecvTimeoutError::Timeout) => self.follower.tell(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        work.recv().ok()
    }

    fn publish(&mut self, group: &mut [Batch]) {
        let Shared {
            tables,
            quarantine,
            counters,
            ..
        } = &*self.shared;
        group.iter().for_each(|batch| quarantine.add(batch));
        let repeats = tables.apply(group);
        add(&counters.duplicate_samples, repeats.duplicates);
        add(&counters.conflicting_samples, repeats.conflicts);
        for batch in group.iter_mut() {
            count(counters, batch);
            if batch.is_recorded() {
                self.sequence = self.sequence.max(batch.sequence);
            }
            for receipt in batch.receipts.drain(..) {
                receipt.confirm();
            }
        }
        for batch in group.iter_mut().filter(|batch| !batch.parts.is_empty()) {
            self.follower.send(batch, counters);
        }
        tables.tidy();
    }
}

/// The first batch and those that came while the disk was busy, up to one that orders a flush.
fn gather(first: Work, work: &Receiver<Work>) -> (Vec<Batch>, Option<FlushOrder>) {
    let mut flush = first.flush;
    let mut group = vec![first.batch];
    while flush.is_none() && group.len() < WAITING_BATCHES {
        let Ok(next) = work.try_recv() else { break };
        group.push(next.batch);
        flush = next.flush;
    }
    (group, flush)
}

fn count(counters: &Counters, batch: &Batch) {
    add(&counters.accepted_messages, batch.counts.messages);
    add(&counters.accepted_rows, batch.counts.rows);
    add(&counters.accepted_samples, batch.counts.samples);
    add(&counters.mistyped_samples, batch.counts.mistyped);
    add(&counters.late_rows, batch.counts.late);
    add(&counters.repeated_rows, batch.counts.repeated);
    add(&counters.commits, u64::from(batch.is_recorded()));
    for (_, refusal) in &batch.rejects {
        add(&counters.rejected[refusal.rank()], 1);
    }
    if let Some(opened) = batch.opened {
        let lag = (process_now() - opened).as_micros() as u64;
        set(&counters.commit_lag_us, lag);
    }
}
