//! What a source of messages hands to the pipeline, and what it is promised back.

use bytes::Bytes;
use chrono::{DateTime, Utc};

/// One message as it came from the wire. Topic and payload share the receive buffer.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Topic, UTF-8.
    pub topic: Bytes,
    /// Payload, any bytes.
    pub payload: Bytes,
    /// When it was received, business clock.
    pub received_at: DateTime<Utc>,
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
