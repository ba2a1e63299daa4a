//! The commit thread: one sync for all batches that wait, then publish, then acknowledge.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use tokio::sync::mpsc;

use super::{FlushJob, FlushOrder, Shared, WAITING_BATCHES, Work};
use crate::batch::Batch;
use crate::clock::process_now;
use crate::journal::Journal;
use crate::snapshot::{Committed, CommittedPart};
use crate::stats::{Counters, add, set};

/// The commit thread's state.
pub(crate) struct Committer {
    pub journal: Journal,
    /// Number of the last record that is committed.
    pub sequence: u64,
    pub shared: Arc<Shared>,
}

impl Committer {
    /// Runs until intake ends, or until the service closes while the disk refuses.
    pub(super) fn run(
        mut self,
        work: &Receiver<Work>,
        jobs: &SyncSender<FlushJob>,
        feed: &mpsc::Sender<Arc<Committed>>,
    ) {
        while let Ok(first) = work.recv() {
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
            self.publish(&mut group, feed);
            if let Some(order) = flush {
                self.journal.seal();
                let frozen = self.shared.tables.freeze();
                let job = FlushJob {
                    frozen,
                    through: self.sequence,
                    order,
                };
                if jobs.send(job).is_err() {
                    return;
                }
            }
            set(&self.shared.counters.journal_bytes, self.journal.bytes());
        }
    }

    fn publish(&mut self, group: &mut [Batch], feed: &mpsc::Sender<Arc<Committed>>) {
        let Shared {
            tables,
            quarantine,
            counters,
            ..
        } = &*self.shared;
        group.iter().for_each(|batch| quarantine.add(batch));
        tables.apply(group);
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
            // A full feed holds up the next commit; one that nobody reads any more does not.
            drop(feed.blocking_send(Arc::new(committed(batch))));
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

fn committed(batch: &mut Batch) -> Committed {
    let parts = batch.parts.drain(..);
    let parts = parts.map(|part| CommittedPart {
        class: part.class,
        late: part.late,
        rows: part.rows,
    });
    Committed {
        sequence: batch.sequence,
        parts: parts.collect(),
    }
}

fn count(counters: &Counters, batch: &Batch) {
    add(&counters.accepted_messages, batch.counts.messages);
    add(&counters.accepted_samples, batch.counts.samples);
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
