//! What a client sends: whole reads become one delivery, cut from the receive buffer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use super::connection::Closed;
use super::outbox::{Inbound, Outbox};
use super::oversized::Oversized;
use super::router::Message;
use super::stats::{CloseReason, add};
use crate::mqtt::frame::{self, FrameError};
use crate::mqtt::topic::{self, TopicError};
use crate::source::{Delivery, Envelope, Receipt};

/// The least that is offered to one read of the socket.
const CHUNK_MIN: usize = 4 * 1024;
/// The most: about a thousand readings.
const CHUNK_MAX: usize = 256 * 1024;

/// The receiving side of one connection.
pub(super) struct Reader {
    pub(super) socket: OwnedReadHalf,
    pub(super) buffer: BytesMut,
    /// Seconds; 0 means never.
    pub(super) keep_alive: u16,
    pub(super) client: u64,
    pub(super) outbox: Arc<Outbox>,
    pub(super) shared: Arc<Shared>,
    /// Subscriptions with the quality of service granted.
    pub(super) filters: HashMap<String, u8>,
    /// Packet ids received at quality of service 2 and not yet released.
    pub(super) unreleased: HashSet<u16>,
    /// Publishes found in the buffer and not yet delivered.
    pub(super) batch: Vec<frame::Publish>,
    /// Bytes offered to the next read; follows what the client sends.
    pub(super) chunk: usize,
}

impl Reader {
    /// Reads until the connection is over.
    pub(super) async fn run(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.consume().await {
                return closed;
            }
            self.outbox.room_for(1).await;
            match self.read().await {
                Ok(()) => {}
                Err(closed) => return closed,
            }
        }
    }

    /// Delivers the will of a client that is gone.
    pub(super) async fn deliver_will(&mut self, message: Message) -> Result<(), Closed> {
        let envelope = Envelope {
            topic: message.topic.clone(),
            payload: message.payload.clone().into(),
            received_at: self.shared.clock.now(),
        };
        let bytes = envelope.topic.len() + envelope.payload.len();
        let inbound = Inbound {
            acks: Vec::new(),
            messages: 1,
            routes: vec![message],
            budget: self.budget(bytes).await?,
        };
        self.send(vec![envelope], inbound, true).await
    }

    /// Waits for more bytes and appends them to the buffer.
    pub(super) async fn read(&mut self) -> Result<(), Closed> {
        let chunk = self.chunk.clamp(CHUNK_MIN, CHUNK_MAX);
        // What is left of a block is used up before the next one is taken: a block lives until the
        // pipeline is done with every message in it.
        if self.buffer.capacity() - self.buffer.len() < chunk / 4 {
            self.buffer.reserve(chunk);
        }
        let reading = self.socket.read_buf(&mut self.buffer);
        let read = if self.keep_alive == 0 {
            reading.await
        } else {
            let patience = Duration::from_millis(u64::from(self.keep_alive) * 1_500);
            match tokio::time::timeout(patience, reading).await {
                Ok(read) => read,
                Err(_) => return Err(CloseReason::KeepAlive.into()),
            }
        };
        let read = read.map_err(|error| Closed::new(CloseReason::SocketFailed, error))?;
        if read == 0 {
            return Err(CloseReason::PeerClosed.into());
        }
        add(&self.shared.counters.bytes_in, read);
        self.chunk = read * 2;
        Ok(())
    }

    /// Handles every complete packet in the buffer.
    ///
    /// What came before a violation counts: it is delivered first.
    async fn consume(&mut self) -> Result<(), Closed> {
        let mut at = 0;
        let outcome = loop {
            match self.next(&mut at) {
                Ok(Next::Incomplete) => break Ok(()),
                Ok(Next::Full) => {
                    self.deliver(at).await?;
                    at = 0;
                }
                Ok(Next::Request(request)) => {
                    self.deliver(request.start).await?;
                    at = 0;
                    let packet = self.buffer.split_to(request.end - request.start).freeze();
                    self.answer(request.first, &packet[request.body - request.start..])
                        .await?;
                }
                Ok(Next::Oversized(oversized)) => {
                    self.deliver(at).await?;
                    at = 0;
                    self.take_oversized(oversized).await?;
                }
                Err(closed) => break Err(closed),
            }
        };
        self.deliver(at).await?;
        outcome
    }

    /// Goes through the buffer from `at` until something other than a PUBLISH needs attention.
    fn next(&mut self, at: &mut usize) -> Result<Next, Closed> {
        let limits = &self.shared.limits;
        loop {
            let found = match frame::scan(&self.buffer, *at, limits.packet_bytes) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(Next::Incomplete),
                Err(FrameError::TooLarge { header, size, .. })
                    if frame::is_publish(self.buffer[*at]) =>
                {
                    return Ok(Next::Oversized(Oversized { header, size }));
                }
                Err(error) => return Err(error.into()),
            };
            let (start, end) = (*at, found.body.end);
            match found.first {
                first if frame::is_publish(first) => {
                    let publish = frame::publish(&self.buffer, &found)?;
                    self.check_topic(&self.buffer[publish.topic.clone()])?;
                    self.batch.push(publish);
                }
                frame::PUBACK => {
                    let packet_id = frame::packet_id(&self.buffer, &found)?;
                    self.outbox.acknowledged(packet_id);
                }
                frame::PINGREQ if found.body.is_empty() => {
                    self.outbox.answer(&frame::PINGRESP_PACKET);
                }
                first => {
                    return Ok(Next::Request(Request {
                        first,
                        start,
                        body: found.body.start,
                        end,
                    }));
                }
            }
            *at = end;
            let most = limits
                .delivery_messages
                .min(limits.unacknowledged_messages.max(1));
            if self.batch.len() >= most {
                return Ok(Next::Full);
            }
        }
    }

    pub(super) fn check_topic(&self, name: &[u8]) -> Result<(), Closed> {
        let limits = &self.shared.limits;
        topic::check_name(name, limits.topic_bytes, limits.topic_levels).map_err(bad_topic)
    }

    /// Hands the publishes in the first `end` bytes of the buffer to the pipeline.
    async fn deliver(&mut self, end: usize) -> Result<(), Closed> {
        let block = self.buffer.split_to(end).freeze();
        if self.batch.is_empty() {
            return Ok(());
        }
        self.outbox.room_for(self.batch.len()).await;
        let budget = self.budget(end).await?;
        let (envelopes, inbound, promised) = self.cut(&block, budget);
        self.send(envelopes, inbound, promised).await
    }

    /// Cuts the batch out of its block; `promised` when somebody waits for an acknowledgement.
    fn cut(
        &mut self,
        block: &Bytes,
        budget: Option<OwnedSemaphorePermit>,
    ) -> (Vec<Envelope>, Inbound, bool) {
        let received_at = self.shared.clock.now();
        let has_subscribers = self.shared.router.has_subscribers();
        let mut envelopes = Vec::with_capacity(self.batch.len());
        let mut inbound = Inbound {
            acks: Vec::with_capacity(self.batch.len() * 4),
            messages: self.batch.len(),
            routes: Vec::new(),
            budget,
        };
        for publish in self.batch.drain(..) {
            if !owe(&publish, &mut self.unreleased, &mut inbound.acks) {
                continue;
            }
            let topic = block.slice(publish.topic);
            let payload = block.slice(publish.payload);
            if has_subscribers || publish.retain {
                inbound.routes.push(Message {
                    topic: topic.clone(),
                    payload: payload.clone(),
                    qos: publish.qos,
                    retain: publish.retain,
                });
            }
            envelopes.push(Envelope {
                topic,
                payload: payload.into(),
                received_at,
            });
        }
        let promised = !inbound.acks.is_empty();
        (envelopes, inbound, promised)
    }

    /// Sends one delivery and enters what is owed for it; nothing is owed before it is sent.
    pub(super) async fn send(
        &mut self,
        envelopes: Vec<Envelope>,
        mut inbound: Inbound,
        promised: bool,
    ) -> Result<(), Closed> {
        if envelopes.is_empty() {
            self.outbox.expect_nothing(inbound);
            return Ok(());
        }
        let Ok(place) = self.shared.intake.place().await else {
            return Err(CloseReason::PipelineStopped.into());
        };
        add(&self.shared.counters.messages_in, envelopes.len());
        let receipt = if promised {
            self.outbox.expect(inbound)
        } else {
            let budget = inbound.budget.take();
            if !inbound.routes.is_empty() {
                self.outbox.expect_nothing(inbound);
            }
            Receipt::new(move || drop(budget))
        };
        place.send(Delivery { envelopes, receipt });
        Ok(())
    }

    /// Takes a share of the memory for messages that wait for their receipt.
    pub(super) async fn budget(
        &self,
        bytes: usize,
    ) -> Result<Option<OwnedSemaphorePermit>, Closed> {
        let most = super::budget_permits(self.shared.limits.unacknowledged_bytes);
        let permits = bytes.div_ceil(1024).min(most) as u32;
        match self.shared.budget.clone().acquire_many_owned(permits).await {
            Ok(budget) => Ok(Some(budget)),
            Err(_) => Err(CloseReason::PipelineStopped.into()),
        }
    }

    /// Answers a request; what came before it has been delivered.
    async fn answer(&mut self, first: u8, body: &[u8]) -> Result<(), Closed> {
        match first {
            frame::SUBSCRIBE => self.subscribe(body).await,
            frame::UNSUBSCRIBE => self.unsubscribe(body),
            frame::PUBREL => match *body {
                [high, low] if (high, low) != (0, 0) => {
                    let packet_id = u16::from_be_bytes([high, low]);
                    self.unreleased.remove(&packet_id);
                    let mut answer = Vec::with_capacity(4);
                    frame::put_ack(&mut answer, frame::PUBCOMP, packet_id);
                    self.outbox.answer(&answer);
                    Ok(())
                }
                _ => Err(violation("a PUBREL is malformed")),
            },
            frame::DISCONNECT if body.is_empty() => Err(CloseReason::Disconnected.into()),
            frame::CONNECT => Err(violation("a second CONNECT came on one connection")),
            other => Err(violation(format!(
                "a client must not send a packet that begins with {other:#04x}"
            ))),
        }
    }
}

/// What stands next in the buffer.
enum Next {
    /// No complete packet.
    Incomplete,
    /// As many publishes as one delivery may hold.
    Full,
    Request(Request),
    /// A PUBLISH over the limit, of which only a part may be in the buffer.
    Oversized(Oversized),
}

/// A packet that is answered in its turn; positions in the buffer.
struct Request {
    first: u8,
    start: usize,
    body: usize,
    end: usize,
}

/// Adds the acknowledgement that a publish asks for. False when the message came before.
pub(super) fn owe(
    publish: &frame::Publish,
    unreleased: &mut HashSet<u16>,
    acks: &mut Vec<u8>,
) -> bool {
    match publish.qos {
        0 => true,
        1 => {
            frame::put_ack(acks, frame::PUBACK, publish.packet_id);
            true
        }
        _ => {
            frame::put_ack(acks, frame::PUBREC, publish.packet_id);
            unreleased.insert(publish.packet_id)
        }
    }
}

pub(super) fn violation(detail: impl std::fmt::Display) -> Closed {
    Closed::new(CloseReason::ProtocolViolation, detail)
}

pub(super) fn bad_topic(error: TopicError) -> Closed {
    let reason = match error {
        TopicError::TooLong => CloseReason::TopicTooLong,
        _ => CloseReason::ProtocolViolation,
    };
    Closed::new(
        reason,
        format!("the topic of a PUBLISH cannot be used: {error}"),
    )
}
