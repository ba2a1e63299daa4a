//! Messages that were refused, kept with the reason until someone replays them.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::validate::Rejection;

/// Which refused message: the journal record that brought it and its place in it.
///
/// A replay of the journal gives the same message the same id, so an entry exists once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuarantineId {
    /// Journal record.
    pub sequence: u64,
    /// Place in the record, from 0.
    pub index: u32,
}

/// A refused message.
#[derive(Debug, Clone)]
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

/// A handle on the quarantine; cheap to clone.
///
/// `list(after: Option<QuarantineId>, limit) -> Page`, `get(id) -> Option<Arc<QuarantineEntry>>`,
/// `async replay(id) -> Result<(), ReplayError>`.
#[derive(Debug, Clone)]
pub struct Quarantine {}
