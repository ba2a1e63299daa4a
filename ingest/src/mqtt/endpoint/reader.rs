//! What a client sends: whole reads become one delivery, cut from the receive buffer.

mod publish;
mod request;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use super::access::Rights;
use super::connection::Closed;
use super::outbox::{Inbound, Outbox};
use super::oversized::Oversized;
use super::rate::Rate;
use super::session::Session;
use super::stats::{CloseReason, add};
use super::topics::Topics;
use super::transport::ReadSide;
use crate::clock::{process_now, process_sleep};
use crate::mqtt::frame::{self, FrameError, Version};
use crate::mqtt::packet::Disconnect;
use crate::mqtt::topic::TopicError;
use crate::source::{Delivery, Envelope, Receipt};

use publish::Item;
pub(super) use publish::owe;

/// The least that is offered to one read of the socket.
const CHUNK_MIN: usize = 4 * 1024;
/// The most: about a thousand readings.
const CHUNK_MAX: usize = 256 * 1024;

/// The receiving side of one connection.
pub(super) struct Reader {
    pub(super) socket: ReadSide,
    pub(super) buffer: BytesMut,
    pub(super) version: Version,
    /// Seconds; 0 means never.
    pub(super) keep_alive: u16,
    /// Whether the client asked for a session that outlives this connection.
    pub(super) wants_session: bool,
    pub(super) session: Arc<Session>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) shared: Arc<Shared>,
    pub(super) rights: Arc<Rights>,
    pub(super) topics: Topics,
    /// Topic aliases that the client has given.
    pub(super) aliases: HashMap<u16, Bytes>,
    pub(super) rate: Rate,
    /// What the client said when it left.
    pub(super) goodbye: Option<Disconnect>,
    /// Publishes found in the buffer and not yet delivered.
    pub(super) batch: Vec<Item>,
    /// Exchanges that begin with them.
    pub(super) begun: usize,
    /// Messages and bytes since the rate was looked at.
    pub(super) since: (usize, usize),
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
            self.slow_down().await;
            match self.read().await {
                Ok(()) => {}
                Err(closed) => return closed,
            }
        }
    }

    /// What is left when nothing more is to be understood.
    pub(super) fn into_socket(self) -> ReadSide {
        self.socket
    }

    /// Waits when the client is faster than it may be.
    async fn slow_down(&mut self) {
        let (messages, bytes) = std::mem::take(&mut self.since);
        if self.rate.is_limited() {
            let wait = self.rate.take(messages, bytes, process_now());
            if !wait.is_zero() {
                process_sleep(wait).await;
            }
        }
    }

    /// Waits for more bytes and appends them to the buffer.
    pub(super) async fn read(&mut self) -> Result<(), Closed> {
        let chunk = self.chunk.clamp(CHUNK_MIN, CHUNK_MAX);
        if self.buffer.is_empty() && chunk == CHUNK_MIN {
            // Thousands of quiet connections: none holds a buffer while it waits.
            self.buffer = BytesMut::new();
        }
        let reading = async {
            if self.buffer.is_empty() {
                self.socket.readable().await;
            }
            // What is left of a block is used up before the next one is taken: a block lives until
            // the pipeline is done with every message in it.
            if self.buffer.capacity() - self.buffer.len() < chunk / 4 {
                self.buffer.reserve(chunk);
            }
            self.socket.read_buf(&mut self.buffer).await
        };
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
        self.since.1 += read;
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
        let limits = self.shared.limits.clone();
        let most = limits
            .delivery_messages
            .min(limits.unacknowledged_messages.max(1));
        loop {
            let found = match frame::scan(&self.buffer, *at, limits.packet_bytes) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(Next::Incomplete),
                // A client of MQTT 5 was told how much is too much.
                Err(FrameError::TooLarge { header, size, .. })
                    if frame::is_publish(self.buffer[*at]) && self.version == Version::V4 =>
                {
                    return Ok(Next::Oversized(Oversized { header, size }));
                }
                Err(error) => return Err(error.into()),
            };
            let (start, end) = (*at, found.body.end);
            match found.first {
                first if frame::is_publish(first) => {
                    let publish = frame::publish(&self.buffer, &found, self.version)?;
                    self.take_publish(publish)?;
                }
                frame::PUBACK | frame::PUBREC | frame::PUBCOMP => {
                    let (packet_id, reason) =
                        frame::acknowledgement(&self.buffer, &found, self.version)?;
                    self.acknowledged(found.first, packet_id, reason);
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
            if self.batch.len() >= most {
                return Ok(Next::Full);
            }
        }
    }

    /// Hands the publishes in the first `end` bytes of the buffer to the pipeline.
    async fn deliver(&mut self, end: usize) -> Result<(), Closed> {
        let block = self.buffer.split_to(end).freeze();
        if self.batch.is_empty() {
            return Ok(());
        }
        self.since.0 += self.batch.len();
        self.outbox.room_for(self.batch.len()).await;
        let budget = self.budget(end).await?;
        let (envelopes, inbound) = self.cut(&block, budget);
        self.send(envelopes, inbound).await
    }

    /// Sends one delivery and enters what is owed for it; nothing is owed before it is sent.
    pub(super) async fn send(
        &mut self,
        envelopes: Vec<Envelope>,
        mut inbound: Inbound,
    ) -> Result<(), Closed> {
        let owes = inbound.acked > 0 || !inbound.arrived.is_empty();
        if envelopes.is_empty() {
            if owes || !inbound.routes.is_empty() {
                self.outbox.expect_nothing(inbound);
            }
            return Ok(());
        }
        let Ok(place) = self.shared.intake.place().await else {
            return Err(CloseReason::PipelineStopped.into());
        };
        add(&self.shared.counters.messages_in, envelopes.len());
        let receipt = if owes {
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
