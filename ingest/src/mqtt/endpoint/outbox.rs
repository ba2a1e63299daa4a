//! What waits to be written to one client, and what it waits for.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};

use super::EndpointLimits;
use super::router::Message;
use super::stats::{CloseReason, Counters, add};
use crate::mqtt::ack_line::{AckLine, ReceiptLost};
use crate::mqtt::frame;
use crate::source::Receipt;

/// Answers that may wait unwritten before the client's next request is read.
const ANSWER_BYTES: usize = 64 * 1024;
/// Bytes after which a turn of the writer ends.
const TURN_BYTES: usize = 256 * 1024;

/// Received messages that wait for one receipt.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// The acknowledgements, ready to be written.
    pub(crate) acks: Vec<u8>,
    /// How many messages they stand for.
    pub(crate) messages: usize,
    /// What goes to subscribers once it is durable.
    pub(crate) routes: Vec<Message>,
    /// The share of the endpoint's memory that goes back with the receipt.
    pub(crate) budget: Option<OwnedSemaphorePermit>,
}

/// A PUBLISH to one subscriber.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    packet: Bytes,
    /// Where the packet id goes; none at quality of service 0.
    id_at: Option<usize>,
}

impl Outgoing {
    /// Encodes a message; a copy, so that a slow subscriber does not keep receive buffers alive.
    pub(crate) fn new(message: &Message, qos: u8, retain: bool) -> Self {
        let mut packet = Vec::with_capacity(message.topic.len() + message.payload.len() + 9);
        let id_at = frame::put_publish(&mut packet, &message.topic, &message.payload, qos, retain);
        Self {
            packet: packet.into(),
            id_at,
        }
    }
}

/// What one turn of the writer found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// A receipt was dropped: nothing behind it may be acknowledged.
    pub(crate) lost: bool,
    /// No received message waits any more and none will come.
    pub(crate) settled: bool,
}

/// The sending side of one connection, shared by its reader, its writer and the router.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    wake: Arc<Notify>,
    room: Notify,
    closing: watch::Sender<Option<CloseReason>>,
    limits: Arc<EndpointLimits>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Inner {
    answers: Vec<u8>,
    line: AckLine<Inbound>,
    line_messages: usize,
    input_ended: bool,
    queue: VecDeque<Outgoing>,
    queue_bytes: usize,
    in_flight: HashSet<u16>,
    last_id: u16,
}

impl Outbox {
    pub(crate) fn new(limits: Arc<EndpointLimits>, counters: Arc<Counters>) -> Self {
        let wake = Arc::new(Notify::new());
        let line = AckLine::new(wake.clone(), counters.stale_receipts.clone());
        Self {
            inner: Mutex::new(Inner {
                answers: Vec::new(),
                line,
                line_messages: 0,
                input_ended: false,
                queue: VecDeque::new(),
                queue_bytes: 0,
                in_flight: HashSet::new(),
                last_id: 0,
            }),
            wake,
            room: Notify::new(),
            closing: watch::Sender::new(None),
            limits,
            counters,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection; the first reason stays.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.closing.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(reason);
            first
        });
        self.wake.notify_one();
    }

    /// Why the connection ends, when it does.
    pub(crate) fn closing(&self) -> Option<CloseReason> {
        *self.closing.borrow()
    }

    /// Waits until the connection is to end.
    pub(crate) async fn closed(&self) -> CloseReason {
        let mut closing = self.closing.subscribe();
        match closing.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(CloseReason::Shutdown),
            Err(_) => CloseReason::Shutdown,
        }
    }

    /// Waits until the writer has something to do.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Waits until `messages` more may wait for their receipt: this is what stops the reading.
    pub(crate) async fn room_for(&self, messages: usize) {
        while !self.has_room(messages) {
            self.room.notified().await;
        }
    }

    fn has_room(&self, messages: usize) -> bool {
        let inner = self.lock();
        let fits = inner.line_messages == 0
            || inner.line_messages + messages <= self.limits.unacknowledged_messages;
        fits && inner.answers.len() < ANSWER_BYTES
    }

    /// Adds an answer to a request.
    pub(crate) fn answer(&self, packet: &[u8]) {
        self.lock().answers.extend_from_slice(packet);
        self.wake.notify_one();
    }

    /// Enters received messages that are acknowledged and routed when the receipt is confirmed.
    pub(crate) fn expect(&self, inbound: Inbound) -> Receipt {
        let mut inner = self.lock();
        inner.line_messages += inbound.messages;
        inner.line.push(inbound)
    }

    /// Enters messages that need no receipt, in their turn behind those that do.
    pub(crate) fn expect_nothing(&self, inbound: Inbound) {
        let mut inner = self.lock();
        inner.line_messages += inbound.messages;
        inner.line.push_confirmed(inbound);
    }

    /// No received message will be entered any more.
    pub(crate) fn end_input(&self) {
        self.lock().input_ended = true;
        self.wake.notify_one();
    }

    /// Queues a message for the subscriber behind this outbox.
    pub(crate) fn offer(&self, outgoing: Outgoing) {
        if self.closing().is_some() {
            return;
        }
        let mut inner = self.lock();
        let bytes = inner.queue_bytes + outgoing.packet.len();
        if inner.queue.len() >= self.limits.outgoing_messages || bytes > self.limits.outgoing_bytes
        {
            drop(inner);
            match outgoing.id_at {
                None => add(&self.counters.dropped_queue_full, 1),
                // Dropping it silently would break the promise of quality of service 1.
                Some(_) => self.close(CloseReason::SlowSubscriber),
            }
            return;
        }
        inner.queue_bytes = bytes;
        inner.queue.push_back(outgoing);
        drop(inner);
        self.wake.notify_one();
    }

    /// The subscriber has acknowledged a message.
    pub(crate) fn acknowledged(&self, packet_id: u16) {
        let freed = self.lock().in_flight.remove(&packet_id);
        if freed {
            self.wake.notify_one();
        }
    }

    /// Takes what can be written now into `out`, and what is durable now into `routes`.
    pub(crate) fn take(&self, out: &mut Vec<u8>, routes: &mut Vec<Message>) -> Turn {
        let mut inner = self.lock();
        out.append(&mut inner.answers);
        let mut lost = false;
        while out.len() < TURN_BYTES {
            match inner.line.pop_confirmed() {
                Ok(Some(mut inbound)) => {
                    inner.line_messages -= inbound.messages;
                    add(&self.counters.acknowledgements_out, inbound.acks.len() / 4);
                    out.append(&mut inbound.acks);
                    routes.append(&mut inbound.routes);
                }
                Ok(None) => break,
                Err(ReceiptLost) => {
                    lost = true;
                    break;
                }
            }
        }
        while out.len() < TURN_BYTES && inner.put_next(out, self.limits.outgoing_in_flight) {
            add(&self.counters.messages_out, 1);
        }
        let settled = lost || (inner.input_ended && inner.line.is_empty());
        drop(inner);
        self.room.notify_one();
        Turn { lost, settled }
    }
}

impl Inner {
    /// Writes the next queued message, when the window allows it.
    fn put_next(&mut self, out: &mut Vec<u8>, window: usize) -> bool {
        let Some(next) = self.queue.front() else {
            return false;
        };
        if next.id_at.is_some() && self.in_flight.len() >= window {
            return false;
        }
        let Some(next) = self.queue.pop_front() else {
            return false;
        };
        self.queue_bytes -= next.packet.len();
        let start = out.len();
        out.extend_from_slice(&next.packet);
        if let Some(at) = next.id_at {
            let id = self.free_id();
            self.in_flight.insert(id);
            out[start + at..start + at + 2].copy_from_slice(&id.to_be_bytes());
        }
        true
    }

    /// The next packet id that is not in flight; the window is smaller than the id space.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn outbox() -> Arc<Outbox> {
        with(EndpointLimits::default())
    }

    fn with(limits: EndpointLimits) -> Arc<Outbox> {
        Arc::new(Outbox::new(Arc::new(limits), Arc::default()))
    }

    fn message(qos: u8) -> Outgoing {
        let message = Message {
            topic: Bytes::from_static(b"t"),
            payload: Bytes::from_static(b"p"),
            qos,
            retain: false,
        };
        Outgoing::new(&message, qos, false)
    }

    fn take(outbox: &Outbox) -> Vec<u8> {
        let (mut out, mut routes) = (Vec::new(), Vec::new());
        outbox.take(&mut out, &mut routes);
        out
    }

    #[test]
    fn the_window_holds_back_what_is_not_acknowledged() {
        let outbox = with(EndpointLimits {
            outgoing_in_flight: 2,
            ..EndpointLimits::default()
        });
        for _ in 0..3 {
            outbox.offer(message(1));
        }
        let publish = |id: u8| vec![0x32, 6, 0, 1, b't', 0, id, b'p'];
        assert_eq!(take(&outbox), [publish(1), publish(2)].concat());
        assert!(take(&outbox).is_empty());
        outbox.acknowledged(9);
        assert!(take(&outbox).is_empty());
        outbox.acknowledged(1);
        assert_eq!(take(&outbox), publish(3));
    }

    #[test]
    fn a_full_queue_drops_quality_0_and_closes_on_quality_1() {
        let outbox = with(EndpointLimits {
            outgoing_messages: 1,
            ..EndpointLimits::default()
        });
        outbox.offer(message(0));
        outbox.offer(message(0));
        assert_eq!(outbox.counters.snapshot().dropped_queue_full, 1);
        assert_eq!(outbox.closing(), None);
        outbox.offer(message(1));
        assert_eq!(outbox.closing(), Some(CloseReason::SlowSubscriber));
        outbox.close(CloseReason::KeepAlive);
        assert_eq!(outbox.closing(), Some(CloseReason::SlowSubscriber));
    }

    #[test]
    fn packet_ids_go_around_and_skip_those_in_flight() {
        let outbox = outbox();
        let mut inner = outbox.lock();
        inner.last_id = u16::MAX - 1;
        inner.in_flight.insert(1);
        assert_eq!(inner.free_id(), u16::MAX);
        assert_eq!(inner.free_id(), 2);
    }
}
