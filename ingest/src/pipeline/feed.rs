//! The feed to those who follow the stream: offered every commit, waited for never.
//!
//! An acknowledgement must not depend on a detector whose store is away, so a full feed leaves
//! commits out and says so with the next entry.

use std::sync::Arc;

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::batch::Batch;
use crate::snapshot::{Committed, CommittedPart};
use crate::stats::{Counters, add};

/// The sending end of the feed.
#[derive(Debug)]
pub(crate) struct Follower {
    feed: mpsc::Sender<Arc<Committed>>,
    /// Number of the newest commit that was sent or left out.
    sequence: u64,
    /// Commits left out since the last entry that was sent.
    skipped: u64,
}

impl Follower {
    /// A follower who has seen everything up to `sequence`.
    pub(crate) fn new(feed: mpsc::Sender<Arc<Committed>>, sequence: u64) -> Self {
        Self {
            feed,
            sequence,
            skipped: 0,
        }
    }

    /// Whether commits were left out that nobody has been told of.
    pub(super) fn is_left_behind(&self) -> bool {
        self.skipped > 0 && !self.feed.is_closed()
    }

    /// Sends the rows of a commit, or leaves it out when the feed is full.
    pub(super) fn send(&mut self, batch: &mut Batch, counters: &Counters) {
        let parts = batch.parts.drain(..);
        let parts = parts.map(|part| CommittedPart {
            class: part.class,
            late: part.late,
            rows: part.rows,
        });
        self.sequence = batch.sequence;
        match self.offer(parts.collect()) {
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => {
                if self.skipped == 0 {
                    tracing::warn!(
                        sequence = self.sequence,
                        "detection does not keep up; it will read what it misses from the tables"
                    );
                }
                self.skipped += 1;
                add(&counters.feed_skipped, 1);
            }
        }
    }

    /// Says that commits were left out, if there is room now.
    pub(super) fn tell(&mut self) {
        drop(self.offer(Vec::new()));
    }

    fn offer(&mut self, parts: Vec<CommittedPart>) -> Result<(), TrySendError<Arc<Committed>>> {
        let committed = Committed {
            sequence: self.sequence,
            skipped: self.skipped,
            parts,
        };
        self.feed.try_send(Arc::new(committed))?;
        self.skipped = 0;
        Ok(())
    }
}
