//! What one connection has received and not yet acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rumqttc::Publish;
use tokio::sync::Notify;

use super::ConsumerLimits;
use super::stats::{Counters, add};
use crate::clock::SharedClock;
use crate::mqtt::ack_line::{AckLine, ReceiptLost};
use crate::source::{Delivery, Envelope, Receipt};

/// Messages that wait for one receipt.
#[derive(Debug)]
struct Owed {
    /// The connection that they came by.
    epoch: u64,
    packet_ids: Vec<u16>,
    messages: usize,
    bytes: usize,
}

/// A received message that is not yet on its way to the pipeline.
#[derive(Debug)]
struct Received {
    envelope: Envelope,
    /// 0 when nobody waits for an acknowledgement.
    packet_id: u16,
}

impl Received {
    fn bytes(&self) -> usize {
        self.envelope.topic.len() + self.envelope.payload.len()
    }
}

/// What the pipeline holds of one epoch: deliveries whose receipts are neither confirmed nor lost.
#[derive(Debug, Default)]
struct Held {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

/// One delivery within [`Held`]; it leaves when dropped.
struct Holding {
    held: Arc<Held>,
    messages: usize,
    bytes: usize,
    wake: Arc<Notify>,
}

impl Holding {
    fn new(held: &Arc<Held>, wake: &Arc<Notify>, messages: usize, bytes: usize) -> Self {
        held.messages.fetch_add(messages, Ordering::Relaxed);
        held.bytes.fetch_add(bytes, Ordering::Relaxed);
        Self {
            held: held.clone(),
            messages,
            bytes,
            wake: wake.clone(),
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held
            .messages
            .fetch_sub(self.messages, Ordering::Relaxed);
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.wake.notify_one();
    }
}

/// Received messages on their way to the pipeline and back.
#[derive(Debug)]
pub(super) struct Inbox {
    epoch: u64,
    received: VecDeque<Received>,
    line: AckLine<Owed>,
    /// Messages and bytes received and not yet acknowledged.
    outstanding: (usize, usize),
    /// What the pipeline holds of this epoch.
    held: Arc<Held>,
    /// What it still holds of ended ones: nobody waits for it, but it is memory all the same. A
    /// pipeline that stands still would otherwise take everything again with every reconnect.
    held_before: Vec<Arc<Held>>,
    wake: Arc<Notify>,
    limits: ConsumerLimits,
    clock: SharedClock,
    counters: Arc<Counters>,
}

impl Inbox {
    /// An empty inbox before the first connection; `wake` is notified with every receipt.
    pub(super) fn new(
        limits: ConsumerLimits,
        clock: SharedClock,
        counters: Arc<Counters>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            epoch: 0,
            received: VecDeque::new(),
            line: AckLine::new(wake.clone(), counters.stale_receipts.clone()),
            outstanding: (0, 0),
            held: Arc::default(),
            held_before: Vec::new(),
            wake,
            limits,
            clock,
            counters,
        }
    }

    /// The number of the connection whose messages it takes.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Starts the epoch of a new connection.
    pub(super) fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.counters
            .connections
            .store(self.epoch, Ordering::Relaxed);
    }

    /// Ends the epoch: nothing of it will be acknowledged.
    ///
    /// What was received is stored all the same: a broker that forgot it in a crash will not send
    /// it again, and one that did not may, for the same reading counts once.
    pub(super) fn end_epoch(&mut self) {
        // A new line: receipts of the old one find nothing to acknowledge any more.
        self.line = AckLine::new(self.wake.clone(), self.counters.stale_receipts.clone());
        self.held_before.push(std::mem::take(&mut self.held));
        self.held_before
            .retain(|held| held.messages.load(Ordering::Relaxed) > 0);
        self.outstanding = (0, 0);
        for received in &mut self.received {
            received.packet_id = 0;
            self.outstanding.0 += 1;
            self.outstanding.1 += received.bytes();
        }
        self.count();
    }

    /// Takes a message from the wire.
    pub(super) fn take(&mut self, publish: Publish) {
        let received = Received {
            envelope: Envelope {
                topic: Bytes::from(publish.topic),
                payload: publish.payload.into(),
                received_at: self.clock.now(),
            },
            packet_id: publish.pkid,
        };
        add(&self.counters.messages_in, 1);
        add(&self.counters.bytes_in, received.bytes());
        self.outstanding.0 += 1;
        self.outstanding.1 += received.bytes();
        self.received.push_back(received);
        self.count();
    }

    /// Whether more may be read: this is what stops the reading, and with it the broker.
    pub(super) fn has_room(&self) -> bool {
        let (messages, bytes) = self.in_memory();
        messages < self.limits.unacknowledged_messages.max(1)
            && (messages == 0 || bytes < self.limits.unacknowledged_bytes)
    }

    /// Messages and bytes of this epoch, and of ended ones in the pipeline.
    fn in_memory(&self) -> (usize, usize) {
        let mut all = self.outstanding;
        for held in &self.held_before {
            all.0 += held.messages.load(Ordering::Relaxed);
            all.1 += held.bytes.load(Ordering::Relaxed);
        }
        all
    }

    /// Whether a message waits to be handed over.
    pub(super) fn has_received(&self) -> bool {
        !self.received.is_empty()
    }

    /// Whether as many messages wait as one delivery may hold.
    pub(super) fn is_full(&self) -> bool {
        self.received.len() >= self.limits.delivery_messages
    }

    /// Whether everything is handed over and acknowledged.
    pub(super) fn is_settled(&self) -> bool {
        self.received.is_empty() && self.line.is_empty()
    }

    /// Makes the oldest received messages a delivery, and enters what is owed for it.
    pub(super) fn next_delivery(&mut self) -> Delivery {
        let most = self.limits.delivery_messages.max(1);
        let count = self.received.len().min(most);
        let mut owed = Owed {
            epoch: self.epoch,
            packet_ids: Vec::with_capacity(count),
            messages: count,
            bytes: 0,
        };
        let mut envelopes = Vec::with_capacity(count);
        for received in self.received.drain(..count) {
            owed.bytes += received.bytes();
            if received.packet_id != 0 {
                owed.packet_ids.push(received.packet_id);
            }
            envelopes.push(received.envelope);
        }
        let holding = Holding::new(&self.held, &self.wake, owed.messages, owed.bytes);
        let receipt = self.line.push(owed);
        Delivery {
            envelopes,
            receipt: Receipt::new(move || {
                receipt.confirm();
                drop(holding);
            }),
        }
    }

    /// The packet ids of everything that is confirmed, in receive order.
    ///
    /// **Errors** when the next in order will never be confirmed.
    pub(super) fn confirmed(&mut self) -> Result<Vec<u16>, ReceiptLost> {
        let mut packet_ids = Vec::new();
        while let Some(owed) = self.line.pop_confirmed()? {
            self.outstanding.0 -= owed.messages;
            self.outstanding.1 -= owed.bytes;
            if owed.epoch == self.epoch {
                packet_ids.extend(owed.packet_ids);
            } else {
                // The line is new with every connection, so this cannot happen; were it to, these
                // ids would name other messages.
                add(&self.counters.stale_receipts, 1);
            }
        }
        self.count();
        Ok(packet_ids)
    }

    fn count(&self) {
        self.counters
            .unacknowledged
            .store(self.outstanding.0 as u64, Ordering::Relaxed);
        self.counters
            .unacknowledged_bytes
            .store(self.in_memory().1 as u64, Ordering::Relaxed);
    }
}
