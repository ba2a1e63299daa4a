//! The compaction thread: keeps files few, drops what is too old, removes what nobody reads.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use crate::clock::{SharedClock, wall_now};
use crate::lake::{CompactionLimits, Ended, LakeError, Retention};
use crate::stats::{add, read};

/// Orders that may wait; a full queue has reminders enough.
pub(crate) const WAITING_ORDERS: usize = 8;
/// How long a flush under way is waited for before the next span of time.
const FLUSH_PAUSE: Duration = Duration::from_millis(20);
/// After so many pauses compaction goes on although flushes are under way.
const MOST_PAUSES: usize = 500;

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum CompactOrder {
    /// Look whether something is to be done.
    Look,
    /// Compact everything, however little.
    Everything(oneshot::Sender<Result<(), LakeError>>),
}

/// The compaction thread's state.
pub(crate) struct Compactor {
    pub orders: mpsc::Receiver<CompactOrder>,
    pub limits: CompactionLimits,
    pub retention: Retention,
    /// How long files stay that are in no table any more.
    pub tombstone: TimeDelta,
    pub clock: SharedClock,
    pub shared: Arc<Shared>,
}

impl Compactor {
    /// Runs until nobody can order anything.
    pub(super) fn run(mut self) {
        while let Some(order) = self.orders.blocking_recv() {
            let (force, reply) = match order {
                CompactOrder::Look => (false, None),
                CompactOrder::Everything(reply) => (true, Some(reply)),
            };
            let done = self.round(force);
            if let Err(error) = &done {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "compaction failed; that table is as it was and it is tried again"
                );
                add(&self.shared.counters.compaction_failures, 1);
            }
            if let Some(reply) = reply {
                drop(reply.send(done));
            }
        }
    }

    /// Looks after all tables: one that cannot be compacted keeps no other from it, and what nobody
    /// names any more goes in any case.
    ///
    /// **Errors**: the first of them.
    fn round(&self, force: bool) -> Result<(), LakeError> {
        let Shared { lake, tables, .. } = &*self.shared;
        let now = self.clock.now();
        let mut outcome = lake.retain(&self.retention, now, tables);
        for name in lake.classes() {
            match self.table(&name, force, now) {
                Ok(()) => {}
                Err(Ended::Canceled) => return outcome,
                Err(Ended::Failed(error)) => outcome = outcome.and(Err(error)),
            }
        }
        let before = wall_now() - self.tombstone;
        match lake.clear(before.timestamp_millis()) {
            Ok(0) => {}
            Ok(removed) => tracing::debug!(removed, "files that no table names were removed"),
            Err(error) => outcome = outcome.and(Err(error)),
        }
        outcome
    }

    fn table(&self, name: &Arc<str>, force: bool, now: DateTime<Utc>) -> Result<(), Ended> {
        let Shared { lake, tables, .. } = &*self.shared;
        let exact_from = self.retention.before(name, now).unwrap_or(i64::MIN);
        let go_on = || self.go_on();
        while let Some(done) = lake.compact(name, self.limits, force, exact_from, tables, &go_on)? {
            let counters = &self.shared.counters;
            add(&counters.compactions, 1);
            add(&counters.merged_duplicates, done.met.duplicates);
            add(&counters.merged_conflicts, done.met.conflicts);
            tracing::debug!(table = %name, taken = done.taken, written = done.written,
                rows = done.rows, "compacted");
        }
        Ok(())
    }

    /// Lets a flush go first; false when the service closes.
    fn go_on(&self) -> bool {
        let Shared {
            closing, counters, ..
        } = &*self.shared;
        for _ in 0..MOST_PAUSES {
            if closing.has_begun() {
                return false;
            }
            if read(&counters.flushes_under_way) == 0 {
                break;
            }
            closing.pause(FLUSH_PAUSE);
        }
        !closing.has_begun()
    }
}
