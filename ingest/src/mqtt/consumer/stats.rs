//! What the consumer counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Figures of a consumer since it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerStats {
    /// Whether the broker is connected and every topic is subscribed to.
    pub connected: bool,
    /// Connections made; the newest one's number is the epoch of its acknowledgements.
    pub connections: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Messages received, repeated ones included.
    pub messages_in: u64,
    /// **Units** bytes of topics and payloads received.
    pub bytes_in: u64,
    /// Acknowledgements sent.
    pub acknowledgements_out: u64,
    /// Receipts that came after their connection had ended; they acknowledged nothing.
    pub stale_receipts: u64,
    /// Reconnects at which the broker had lost the session: messages may be missing.
    pub possible_gaps: u64,
    /// Subscriptions that the broker refused.
    pub subscriptions_refused: u64,
    /// Messages received and not yet acknowledged.
    pub unacknowledged: u64,
}

/// The live counters behind [`ConsumerStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    connected: AtomicBool,
    pub(crate) connections: AtomicU64,
    pub(crate) connect_failures: AtomicU64,
    pub(crate) messages_in: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) acknowledgements_out: AtomicU64,
    pub(crate) stale_receipts: Arc<AtomicU64>,
    pub(crate) possible_gaps: AtomicU64,
    pub(crate) subscriptions_refused: AtomicU64,
    pub(crate) unacknowledged: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Release);
    }

    pub(crate) fn snapshot(&self) -> ConsumerStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConsumerStats {
            connected: self.is_connected(),
            connections: read(&self.connections),
            connect_failures: read(&self.connect_failures),
            messages_in: read(&self.messages_in),
            bytes_in: read(&self.bytes_in),
            acknowledgements_out: read(&self.acknowledgements_out),
            stale_receipts: read(&self.stale_receipts),
            possible_gaps: read(&self.possible_gaps),
            subscriptions_refused: read(&self.subscriptions_refused),
            unacknowledged: read(&self.unacknowledged),
        }
    }
}
