//! Messages that were refused, kept with the reason until someone replays them.
//!
//! Bounded in entries and bytes: the oldest makes room and is counted. An entry is durable from
//! the moment that its message is acknowledged: first through the journal, whose replay gives the
//! same message the same id, then through the quarantine's own file, which is synced before the
//! journal is trimmed.

mod file;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::sync::oneshot;

pub(crate) use self::store::{Bounds, Store};
use crate::clock::SharedClock;
use crate::intake::{Intake, Submission};
use crate::source::Envelope;
use crate::validate::Rejection;

/// Which refused message: the journal record that brought it and its place in it.
///
/// Shown as `q12-3`. A replay of the journal gives the same message the same id, so an entry
/// exists once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuarantineId {
    /// Journal record.
    pub sequence: u64,
    /// Place in the record, from 0.
    pub index: u32,
}

/// A refused message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// Its id.
    pub id: QuarantineId,
    /// The topic as it came.
    pub topic: Bytes,
    /// The payload as it came, or its beginning (see `payload_bytes`).
    pub payload: Bytes,
    /// Size of the whole payload; more than `payload` has when it was too large to keep.
    pub payload_bytes: u64,
    /// When it was received, business clock.
    pub received_at: DateTime<Utc>,
    /// Why it was refused.
    pub reason: Rejection,
}

/// Some entries in the order of their arrival.
#[derive(Debug, Clone)]
pub struct QuarantinePage {
    /// The entries.
    pub entries: Vec<Arc<QuarantineEntry>>,
    /// Give it as `after` for the next page; none at the end.
    pub next: Option<QuarantineId>,
}

/// How full the quarantine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuarantineTotals {
    /// Entries.
    pub entries: u64,
    /// Bytes of their topics and payloads.
    pub bytes: u64,
    /// Entries dropped to make room, ever.
    pub dropped: u64,
}

/// Why an entry was not replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// No such entry.
    #[error("the quarantine has no entry {0}; it may have been replayed or dropped to make room")]
    NotFound(QuarantineId),
    /// Only its beginning was kept.
    #[error("only the beginning of {0} was kept: publish it again")]
    Cut(QuarantineId),
    /// It is refused under the present rules too.
    #[error("{id} is still refused: {reason}")]
    StillRefused {
        /// The entry.
        id: QuarantineId,
        /// Why, now.
        reason: Rejection,
    },
    /// The pipeline has stopped.
    #[error("the ingest pipeline has stopped; {0} stays in the quarantine")]
    Stopped(QuarantineId),
    /// The message was accepted, but its entry could not be removed durably.
    #[error("{id} was accepted, but the quarantine file cannot be written; replay it again later")]
    Remove {
        /// The entry.
        id: QuarantineId,
        /// What failed.
        source: QuarantineError,
    },
}

/// Why the quarantine's file cannot be used.
#[derive(Debug, Error)]
pub enum QuarantineError {
    /// It cannot be read.
    #[error("the quarantine {path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("the quarantine {path} cannot be written; free space or check the disk")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A text that is no [`QuarantineId`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is no quarantine id; it looks like q12-3")]
pub struct NoQuarantineId(String);

/// A handle on the quarantine; cheap to clone.
#[derive(Debug, Clone)]
pub struct Quarantine {
    store: Arc<Store>,
    intake: Intake,
    clock: SharedClock,
}

impl Quarantine {
    pub(crate) fn new(store: Arc<Store>, intake: Intake, clock: SharedClock) -> Self {
        Self {
            store,
            intake,
            clock,
        }
    }

    /// Up to `limit` entries after `after`, the oldest first.
    pub fn list(&self, after: Option<QuarantineId>, limit: usize) -> QuarantinePage {
        self.store.list(after, limit)
    }

    /// One entry.
    pub fn get(&self, id: QuarantineId) -> Option<Arc<QuarantineEntry>> {
        self.store.get(id)
    }

    /// How full it is.
    pub fn totals(&self) -> QuarantineTotals {
        self.store.totals()
    }

    /// Submits an entry again, as received now, and removes it once it is accepted and durable.
    ///
    /// A crash in between leaves the entry; replaying it again changes nothing, because a reading
    /// counts once.
    ///
    /// **Errors**: see [`ReplayError`]; the entry stays as it was.
    pub async fn replay(&self, id: QuarantineId) -> Result<(), ReplayError> {
        let entry = self.get(id).ok_or(ReplayError::NotFound(id))?;
        if entry.payload.len() as u64 != entry.payload_bytes {
            return Err(ReplayError::Cut(id));
        }
        let envelope = Envelope {
            topic: entry.topic.clone(),
            payload: entry.payload.clone().into(),
            received_at: self.clock.now(),
        };
        let (reply, answer) = oneshot::channel();
        let submission = Submission::Requeue { envelope, reply };
        self.intake
            .submit(submission)
            .await
            .map_err(|_| ReplayError::Stopped(id))?;
        match answer.await {
            Ok(Ok(())) => self
                .store
                .remove(id)
                .map_err(|source| ReplayError::Remove { id, source }),
            Ok(Err(reason)) => Err(ReplayError::StillRefused { id, reason }),
            Err(_) => Err(ReplayError::Stopped(id)),
        }
    }
}

impl QuarantineEntry {
    /// What it counts against the bound.
    pub(crate) fn bytes(&self) -> u64 {
        (self.topic.len() + self.payload.len()) as u64
    }
}

impl fmt::Display for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "q{}-{}", self.sequence, self.index)
    }
}

impl FromStr for QuarantineId {
    type Err = NoQuarantineId;

    fn from_str(text: &str) -> Result<Self, NoQuarantineId> {
        let parts = text.strip_prefix('q').and_then(|rest| rest.split_once('-'));
        let id = parts.and_then(|(sequence, index)| {
            Some(Self {
                sequence: sequence.parse().ok()?,
                index: index.parse().ok()?,
            })
        });
        id.ok_or_else(|| NoQuarantineId(text.chars().take(40).collect()))
    }
}
