//! One message that waits for a client.

use std::sync::Arc;

use super::super::log::record::Queued;
use super::super::message::Message;

/// One message that waits for a client, or for the client's acknowledgement.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number in the session.
    pub(super) number: u64,
    /// Given when it is queued, so that it is the same after a restart; 0 at quality of service 0.
    pub(super) packet_id: u16,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) identifiers: Option<Arc<[u32]>>,
    pub(super) stage: Stage,
    /// What must be on disk before it may be sent.
    pub(super) ticket: u64,
    pub(super) message: Arc<Message>,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    New,
    /// It was sent, or may have been.
    Sent,
    /// Quality of service 2: the client has it and must release its packet id.
    Received,
}

/// **Units** bytes that an entry takes besides its message: an empty one is not for nothing.
const ENTRY_BYTES: usize = 128;

impl Entry {
    /// **Units** bytes that it counts with.
    pub(super) fn bytes(&self) -> usize {
        Self::bytes_of(&self.message)
    }

    /// The same for a message that is to wait.
    pub(super) fn bytes_of(message: &Message) -> usize {
        message.bytes() + ENTRY_BYTES
    }

    pub(super) fn record(&self, session: u64) -> Queued<'_> {
        Queued {
            session,
            entry: self.number,
            packet_id: self.packet_id,
            qos: self.qos,
            retain: self.retain,
            identifiers: self.identifiers.as_deref().unwrap_or_default(),
        }
    }
}
