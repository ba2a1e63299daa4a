//! The intake thread: takes deliveries, decodes them, closes batches.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::sync::oneshot;

use super::{FlushOrder, Shared, Work};
use crate::batch::OpenBatch;
use crate::catalog::Catalog;
use crate::clock::{SharedClock, process_now};
use crate::codec::sparkplug::rebirth::RebirthRequests;
use crate::decode::Decoder;
use crate::intake::Submission;
use crate::source::{Envelope, Receipt};
use crate::stats::{Counters, add, read, set};
use crate::validate::Rejection;

/// The intake thread's state.
pub(crate) struct IntakeLoop {
    pub submissions: mpsc::Receiver<Submission>,
    pub decoder: Decoder,
    pub catalog: Catalog,
    pub limits: BatchLimits,
    pub hot: HotRows,
    pub rebirths: RebirthRequests,
    /// Stamps commands.
    pub clock: SharedClock,
    /// Number of the next journal record.
    pub next_sequence: u64,
    pub shared: Arc<Shared>,
}

/// When a batch closes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchLimits {
    pub rows: usize,
    pub age: Duration,
}

/// Rows since the last flush began, and when the next begins.
#[derive(Debug)]
pub(crate) struct HotRows {
    pub rows: usize,
    /// Bytes of memory that they take.
    pub bytes: usize,
    /// When the first of them came, process clock.
    pub since: Option<Instant>,
    pub flush_rows: usize,
    pub flush_age: Duration,
    /// Rows at which a flush is ordered although one is under way, and then waited for.
    pub max_rows: usize,
    /// The same two in bytes.
    pub flush_bytes: usize,
    pub max_bytes: usize,
}

/// Why the loop goes on or ends.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    /// Someone waits for this batch to be flushed: close it.
    CloseBatch,
    Stop,
}

/// A batch under way.
struct Open {
    batch: OpenBatch,
    flushes: Vec<oneshot::Sender<()>>,
}

impl IntakeLoop {
    /// Runs until the service closes or all sources are gone.
    pub(super) fn run(mut self, batches: &SyncSender<Work>) {
        let mut stopping = false;
        while !stopping {
            let Some(first) = self.submissions.blocking_recv() else {
                break;
            };
            let mut open = self.open();
            let mut next = self.take(first, &mut open, batches);
            while next == Next::GoOn && !self.is_due(&open.batch) {
                next = match self.submissions.try_recv() {
                    Ok(submission) => self.take(submission, &mut open, batches),
                    // Its sync could not begin now; meanwhile it takes more.
                    Err(TryRecvError::Empty) if self.may_wait(&open) => {
                        match self.submissions.blocking_recv() {
                            Some(submission) => self.take(submission, &mut open, batches),
                            None => Next::CloseBatch,
                        }
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => Next::CloseBatch,
                };
            }
            if next == Next::Stop {
                self.submissions.close();
                stopping = true;
                // What was handed over before the door closed is still taken.
                while let Some(submission) = self.submissions.blocking_recv() {
                    self.take(submission, &mut open, batches);
                }
            }
            if !self.close(open, batches, false) {
                return;
            }
        }
        let open = self.open();
        self.close(open, batches, true);
    }

    fn open(&self) -> Open {
        Open {
            batch: OpenBatch::new(self.next_sequence),
            flushes: Vec::new(),
        }
    }

    fn take(
        &mut self,
        submission: Submission,
        open: &mut Open,
        batches: &SyncSender<Work>,
    ) -> Next {
        match submission {
            Submission::Delivery(delivery) => {
                self.take_envelopes(delivery.envelopes, open, batches);
                open.batch.promise(delivery.receipt);
            }
            Submission::Requeue { envelope, reply } => self.requeue(envelope, reply, open),
            Submission::Tick => {}
            Submission::Flush(reply) => {
                open.flushes.push(reply);
                return Next::CloseBatch;
            }
            Submission::Close => return Next::Stop,
        }
        Next::GoOn
    }

    /// A delivery larger than a batch goes on in the next; its promise ends in the last.
    fn take_envelopes(
        &mut self,
        envelopes: Vec<Envelope>,
        open: &mut Open,
        batches: &SyncSender<Work>,
    ) {
        for envelope in envelopes {
            if open.batch.is_full(self.limits.rows) {
                let full =
                    std::mem::replace(&mut open.batch, OpenBatch::new(self.next_sequence + 1));
                let flushes = std::mem::take(&mut open.flushes);
                self.close(
                    Open {
                        batch: full,
                        flushes,
                    },
                    batches,
                    false,
                );
            }
            if open.batch.opened().is_none() {
                open.batch.open_at(process_now());
            }
            open.batch
                .push(&mut self.decoder, &mut self.catalog, envelope);
        }
    }

    fn requeue(
        &mut self,
        envelope: Envelope,
        reply: oneshot::Sender<Result<(), Rejection>>,
        open: &mut Open,
    ) {
        open.batch.open_at(process_now());
        match open
            .batch
            .push_accepted(&mut self.decoder, &mut self.catalog, envelope)
        {
            Ok(()) => open
                .batch
                .promise(Receipt::new(move || drop(reply.send(Ok(()))))),
            Err(refusal) => drop(reply.send(Err(refusal))),
        }
    }

    /// Nothing is lost when the batch stays open until the next submission: commit is busy, and
    /// says so when it is not.
    fn may_wait(&self, open: &Open) -> bool {
        open.batch.opened().is_some() && open.flushes.is_empty() && !self.shared.turn.is_wanted()
    }

    fn is_due(&self, batch: &OpenBatch) -> bool {
        batch.is_full(self.limits.rows)
            || batch
                .opened()
                .is_some_and(|opened| process_now() - opened >= self.limits.age)
    }

    /// Asks the Sparkplug nodes whose sessions have a gap to say their births again.
    fn ask_for_rebirths(&mut self) {
        let nodes = self.decoder.take_rebirths();
        if nodes.is_empty() {
            return;
        }
        let at = self.clock.now().timestamp_millis();
        let Shared {
            commands, counters, ..
        } = &*self.shared;
        for command in self.rebirths.commands(nodes, process_now(), at) {
            add(&counters.rebirth_requests, 1);
            if !commands.send(command) {
                add(&counters.commands_dropped, 1);
            }
        }
    }

    /// Hands a batch over, with the order to flush when it is time. False when nobody takes it.
    fn close(&mut self, open: Open, batches: &SyncSender<Work>, last: bool) -> bool {
        let Open { batch, flushes } = open;
        let mut batch = batch.close(&self.catalog);
        batch.sessions = self.decoder.sessions();
        self.ask_for_rebirths();
        if batch.is_recorded() {
            self.next_sequence = batch.sequence + 1;
            // A refused message alone is reason enough: the journal is to be trimmed of it.
            self.hot.since = self.hot.since.or(batch.opened);
        }
        self.hot.rows += batch.rows();
        self.hot.bytes += batch.bytes();
        let counters = &self.shared.counters;
        let due = last || !flushes.is_empty() || self.hot.is_due(counters);
        let flush = due.then(|| {
            add(&counters.flushes_under_way, 1);
            add(&counters.frozen_rows, self.hot.rows as u64);
            add(&counters.frozen_bytes, self.hot.bytes as u64);
            self.hot.since = None;
            FlushOrder {
                rows: std::mem::take(&mut self.hot.rows),
                bytes: std::mem::take(&mut self.hot.bytes),
                watermarks: self.catalog.watermarks(),
                replies: flushes,
            }
        });
        set(&counters.live_bytes, self.hot.bytes as u64);
        if !batch.is_recorded() && batch.receipts.is_empty() && flush.is_none() {
            return true;
        }
        self.shared.turn.handed_over();
        batches.send(Work { batch, flush }).is_ok()
    }
}

impl HotRows {
    fn is_due(&self, counters: &Counters) -> bool {
        let aged = self
            .since
            .is_some_and(|since| process_now() - since >= self.flush_age);
        let wanted = self.rows >= self.flush_rows || self.bytes >= self.flush_bytes || aged;
        let free = read(&counters.flushes_under_way) == 0;
        let in_memory = self.rows as u64 + read(&counters.frozen_rows);
        let bytes = self.bytes as u64 + read(&counters.frozen_bytes);
        let full = in_memory >= self.max_rows as u64 || bytes >= self.max_bytes as u64;
        // While one flush is under way the next waits for it, unless memory would grow too far.
        (wanted && free) || (self.rows > 0 && full)
    }
}
