//! What waits to be written to one connection, and what it waits for.
//!
//! A received message goes through two lines. First it waits for the pipeline's receipt; then it is
//! routed, and its acknowledgement waits for the session log where a subscriber's queue or a
//! retained message was written down for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, watch};

use super::EndpointLimits;
use super::message::Message;
use super::stats::{CloseReason, Counters, add};
use crate::mqtt::ack_line::{AckLine, ReceiptLost};
use crate::source::Receipt;

/// Answers that may wait unwritten before the client's next request is read.
const ANSWER_BYTES: usize = 64 * 1024;
/// Bytes after which a turn of the writer ends.
const TURN_BYTES: usize = 256 * 1024;

/// Received messages that wait for one receipt.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    /// The acknowledgements, ready to be written.
    pub(crate) acks: Vec<u8>,
    /// How many acknowledgements that are.
    pub(crate) acked: usize,
    /// How many of them end an exchange, so that the client may send more.
    pub(crate) ended: usize,
    /// How many messages wait.
    pub(crate) messages: usize,
    /// What goes to subscribers once it is durable.
    pub(crate) routes: Vec<Route>,
    /// Packet ids of quality of service 2 that go to no subscriber.
    pub(crate) arrived: Vec<u16>,
    /// The share of the endpoint's memory that goes back with the receipt.
    pub(crate) budget: Option<OwnedSemaphorePermit>,
}

/// One received message on its way to subscribers.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) message: Message,
    /// The packet id at quality of service 2, to be remembered together with the routing; else 0.
    pub(crate) arrived: u16,
}

impl Inbound {
    /// Whether its acknowledgements can go as soon as it is durable.
    fn is_plain(&self) -> bool {
        self.routes.is_empty() && self.arrived.is_empty()
    }
}

/// Something to be written once the session log has reached its ticket.
#[derive(Debug)]
struct Gated {
    ticket: u64,
    packet: Vec<u8>,
    acked: usize,
    ended: usize,
    messages: usize,
    _budget: Option<OwnedSemaphorePermit>,
}

/// The sending side of one connection, shared by its reader, its writer and its session.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    wake: Arc<Notify>,
    room: Notify,
    closing: watch::Sender<Option<CloseReason>>,
    /// Exchanges that the client has begun and that are not over; counted for MQTT 5 only.
    exchanges: AtomicUsize,
    limits: Arc<EndpointLimits>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Inner {
    answers: Vec<u8>,
    line: AckLine<Inbound>,
    gated: VecDeque<Gated>,
    /// Messages in both lines.
    line_messages: usize,
    input_ended: bool,
    lost: bool,
}

impl Outbox {
    pub(crate) fn new(limits: Arc<EndpointLimits>, counters: Arc<Counters>) -> Self {
        let wake = Arc::new(Notify::new());
        let line = AckLine::new(wake.clone(), counters.stale_receipts.clone());
        Self {
            inner: Mutex::new(Inner {
                answers: Vec::new(),
                line,
                gated: VecDeque::new(),
                line_messages: 0,
                input_ended: false,
                lost: false,
            }),
            wake,
            room: Notify::new(),
            closing: watch::Sender::new(None),
            exchanges: AtomicUsize::new(0),
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

    /// Tells the writer that there is something to do.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
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

    /// Adds an answer that waits for the session log, and for those that wait before it.
    ///
    /// `ended` exchanges of the client are over with it.
    pub(crate) fn answer_when(&self, ticket: u64, packet: Vec<u8>, ended: usize) {
        let mut inner = self.lock();
        if ticket == 0 && inner.gated.is_empty() {
            inner.answers.extend_from_slice(&packet);
            self.end_exchanges(ended);
        } else {
            inner.line_messages += 1;
            inner.gated.push_back(Gated {
                ticket,
                packet,
                acked: 0,
                ended,
                messages: 1,
                _budget: None,
            });
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// The client begins exchanges; how many are under way.
    pub(crate) fn begin_exchanges(&self, count: usize) {
        self.exchanges.fetch_add(count, Ordering::Relaxed);
    }

    /// Exchanges that the client has begun and that are not over.
    pub(crate) fn exchanges(&self) -> usize {
        self.exchanges.load(Ordering::Relaxed)
    }

    fn end_exchanges(&self, count: usize) {
        if count > 0 {
            let less = |under_way: usize| Some(under_way.saturating_sub(count));
            let _ = self
                .exchanges
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
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

    /// Takes what can be written now into `out`, and what is durable and must be routed first into
    /// `work`; false when a receipt was dropped, so that nothing behind it may be acknowledged.
    pub(crate) fn take(&self, out: &mut Vec<u8>, work: &mut Vec<Inbound>) -> bool {
        let mut inner = self.lock();
        out.append(&mut inner.answers);
        let mut ended = 0;
        while out.len() < TURN_BYTES && work.len() < 64 {
            match inner.line.pop_confirmed() {
                Ok(Some(mut inbound)) => {
                    if work.is_empty() && inner.gated.is_empty() && inbound.is_plain() {
                        inner.line_messages -= inbound.messages;
                        add(&self.counters.acknowledgements_out, inbound.acked);
                        ended += inbound.ended;
                        out.append(&mut inbound.acks);
                    } else {
                        work.push(inbound);
                    }
                }
                Ok(None) => break,
                Err(ReceiptLost) => {
                    inner.lost = true;
                    break;
                }
            }
        }
        let lost = inner.lost;
        drop(inner);
        self.end_exchanges(ended);
        self.room.notify_one();
        !lost
    }

    /// Enters the acknowledgements of what was routed; they wait for the session log.
    pub(crate) fn gate(&self, ticket: u64, inbound: Inbound) {
        self.lock().gated.push_back(Gated {
            ticket,
            packet: inbound.acks,
            acked: inbound.acked,
            ended: inbound.ended,
            messages: inbound.messages,
            _budget: inbound.budget,
        });
    }

    /// Writes what the session log has reached into `out`; the ticket that the next one waits for.
    pub(crate) fn release(&self, out: &mut Vec<u8>, synced: u64) -> Option<u64> {
        let mut inner = self.lock();
        let mut ended = 0;
        while let Some(next) = inner.gated.pop_front_if(|next| next.ticket <= synced) {
            out.extend_from_slice(&next.packet);
            inner.line_messages -= next.messages;
            add(&self.counters.acknowledgements_out, next.acked);
            ended += next.ended;
        }
        let waits_for = inner.gated.front().map(|next| next.ticket);
        drop(inner);
        self.end_exchanges(ended);
        self.room.notify_one();
        waits_for
    }

    /// Whether no received message waits any more and none will come.
    pub(crate) fn is_settled(&self) -> bool {
        let inner = self.lock();
        inner.lost || (inner.input_ended && inner.line.is_empty() && inner.gated.is_empty())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn outbox() -> Arc<Outbox> {
        Arc::new(Outbox::new(Arc::default(), Arc::default()))
    }

    fn inbound(ack: u8, routed: bool) -> Inbound {
        let route = || Route {
            message: super::super::message::message("t", "p", 1),
            arrived: 0,
        };
        Inbound {
            acks: vec![ack],
            acked: 1,
            messages: 1,
            routes: routed.then(route).into_iter().collect(),
            ..Inbound::default()
        }
    }

    #[test]
    fn acknowledgements_keep_their_order_through_both_lines() {
        let outbox = outbox();
        let (mut out, mut work) = (Vec::new(), Vec::new());
        for (ack, routed) in [(1, false), (2, true), (3, false)] {
            outbox.expect(inbound(ack, routed)).confirm();
        }
        assert!(outbox.take(&mut out, &mut work));
        assert_eq!(out, [1], "the third is behind one that is to be routed");
        assert_eq!(work.len(), 2);
        for (inbound, ticket) in work.drain(..).zip([7, 0]) {
            outbox.gate(ticket, inbound);
        }
        outbox.answer_when(0, vec![4], 0);
        outbox.expect(inbound(5, false)).confirm();
        assert!(outbox.take(&mut out, &mut work));
        for inbound in work.drain(..) {
            outbox.gate(0, inbound);
        }
        assert_eq!(outbox.release(&mut out, 6), Some(7));
        assert_eq!(out, [1]);
        assert_eq!(outbox.release(&mut out, 7), None);
        assert_eq!(out, [1, 2, 3, 4, 5]);
        outbox.end_input();
        assert!(outbox.is_settled());
        assert_eq!(outbox.lock().line_messages, 0);
    }

    #[test]
    fn a_lost_receipt_ends_the_line() {
        let outbox = outbox();
        drop(outbox.expect(inbound(1, false)));
        assert!(!outbox.take(&mut Vec::new(), &mut Vec::new()));
        assert!(outbox.is_settled());
    }

    #[test]
    fn the_first_reason_to_close_stays() {
        let outbox = outbox();
        outbox.close(CloseReason::SlowSubscriber);
        outbox.close(CloseReason::KeepAlive);
        assert_eq!(outbox.closing(), Some(CloseReason::SlowSubscriber));
    }
}
