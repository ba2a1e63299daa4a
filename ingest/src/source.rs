//! What a source of messages hands to the pipeline, and what it is promised back.

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// **Units** bytes that are kept of a payload too large to be taken.
pub(crate) const PAYLOAD_KEPT: usize = 4096;

/// One message as it came from the wire. Topic and payload share the receive buffer.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Topic, UTF-8.
    pub topic: Bytes,
    /// Payload, any bytes, or the beginning of one that is too large to be taken.
    pub payload: Payload,
    /// When it was received, business clock.
    pub received_at: DateTime<Utc>,
}

/// The payload of a message: whole, or only its beginning.
///
/// A source that cannot take a payload hands over its beginning and its size, so that the message
/// is quarantined and acknowledged instead of coming again for ever. Dereferences to the bytes
/// that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    bytes: Bytes,
    /// Bytes of the whole; more than `bytes` has when it was cut.
    size: u64,
}

impl Payload {
    /// The beginning of a payload of `size` bytes, the rest of which is not kept.
    pub fn cut(beginning: Bytes, size: u64) -> Self {
        let size = size.max(beginning.len() as u64);
        Self {
            bytes: beginning,
            size,
        }
    }

    /// The bytes that are there.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Bytes of the whole payload.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether only the beginning is there.
    pub fn is_cut(&self) -> bool {
        self.bytes.len() as u64 != self.size
    }
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(whole: T) -> Self {
        let bytes = whole.into();
        Self {
            size: bytes.len() as u64,
            bytes,
        }
    }
}

impl std::ops::Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Messages that arrived together, with the promise that goes back when all are durable.
#[derive(Debug)]
pub struct Delivery {
    /// The messages in the order of arrival; never empty.
    pub envelopes: Vec<Envelope>,
    /// Called once, after the journal record is synced and its rows are visible to queries.
    pub receipt: Receipt,
}

/// The acknowledgement of one delivery.
///
/// Dropping it unconfirmed means: not durable, do not acknowledge.
pub struct Receipt(Option<Box<dyn FnOnce() + Send>>);

impl Receipt {
    /// A receipt that runs `acknowledge` when the delivery is durable.
    pub fn new(acknowledge: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(acknowledge)))
    }
    /// A receipt that nobody waits for (QoS 0).
    pub fn none() -> Self {
        Self(None)
    }
    /// Says that the delivery is synced to disk and visible.
    pub fn confirm(mut self) {
        if let Some(acknowledge) = self.0.take() {
            acknowledge();
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Receipt").field(&self.0.is_some()).finish()
    }
}
