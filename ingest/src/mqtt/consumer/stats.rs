//! What the consumer counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Figures of a consumer since it started, over all its connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerStats {
    /// Whether every connection is up and every topic is subscribed to.
    pub connected: bool,
    /// Connections made; of each, the newest one's number is the epoch of its acknowledgements.
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
    /// **Units** bytes that these messages and those on their way through the pipeline take.
    pub unacknowledged_bytes: u64,
}

/// The live counters behind [`ConsumerStats`].
#[derive(Debug)]
pub(crate) struct Counters {
    connected: watch::Sender<bool>,
    pub(crate) connections: AtomicU64,
    pub(crate) connect_failures: AtomicU64,
    pub(crate) messages_in: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) acknowledgements_out: AtomicU64,
    pub(crate) stale_receipts: Arc<AtomicU64>,
    pub(crate) possible_gaps: AtomicU64,
    pub(crate) subscriptions_refused: AtomicU64,
    pub(crate) unacknowledged: AtomicU64,
    pub(crate) unacknowledged_bytes: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            connected: watch::Sender::new(false),
            connections: AtomicU64::default(),
            connect_failures: AtomicU64::default(),
            messages_in: AtomicU64::default(),
            bytes_in: AtomicU64::default(),
            acknowledgements_out: AtomicU64::default(),
            stale_receipts: Arc::default(),
            possible_gaps: AtomicU64::default(),
            subscriptions_refused: AtomicU64::default(),
            unacknowledged: AtomicU64::default(),
            unacknowledged_bytes: AtomicU64::default(),
        }
    }
}

impl ConsumerStats {
    /// Adds the figures of another connection.
    pub(crate) fn plus(self, other: &Self) -> Self {
        Self {
            connected: self.connected && other.connected,
            connections: self.connections + other.connections,
            connect_failures: self.connect_failures + other.connect_failures,
            messages_in: self.messages_in + other.messages_in,
            bytes_in: self.bytes_in + other.bytes_in,
            acknowledgements_out: self.acknowledgements_out + other.acknowledgements_out,
            stale_receipts: self.stale_receipts + other.stale_receipts,
            possible_gaps: self.possible_gaps + other.possible_gaps,
            subscriptions_refused: self.subscriptions_refused + other.subscriptions_refused,
            unacknowledged: self.unacknowledged + other.unacknowledged,
            unacknowledged_bytes: self.unacknowledged_bytes + other.unacknowledged_bytes,
        }
    }
}

impl Counters {
    pub(crate) fn is_connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Tells when the connection comes and goes.
    pub(crate) fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.send_replace(connected);
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
            unacknowledged_bytes: read(&self.unacknowledged_bytes),
        }
    }
}
