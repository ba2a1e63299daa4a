//! A PUBLISH over the limit: its beginning goes to the pipeline, the rest is read and dropped.
//!
//! Closing the connection instead would not help: a client of MQTT 3.1.1 cannot be told the limit,
//! repeats what is not acknowledged, and nothing behind it would ever arrive. The pipeline
//! quarantines it, whatever its topic, then it is acknowledged. Subscribers do not get it, because
//! nobody has the whole of it.

use bytes::{Buf, Bytes};

use super::connection::Closed;
use super::outbox::Inbound;
use super::reader::{Reader, bad_topic, owe};
use super::stats::CloseReason;
use super::topics::Verdict;
use crate::mqtt::frame::{self, Frame, Publish, Version};
use crate::mqtt::topic::TopicError;
use crate::source::{Envelope, PAYLOAD_KEPT, Payload};

/// A PUBLISH over the limit, at the beginning of the buffer or about to be.
pub(super) struct Oversized {
    /// Bytes of its fixed header.
    pub(super) header: usize,
    /// Bytes of all of it, bounded by the protocol to 256 MiB.
    pub(super) size: usize,
}

impl Reader {
    /// Takes the PUBLISH that begins the buffer.
    pub(super) async fn take_oversized(&mut self, packet: Oversized) -> Result<(), Closed> {
        let publish = self.read_head(&packet).await?;
        let start = publish.payload.start;
        let kept = start..publish.payload.end.min(start + PAYLOAD_KEPT);
        // Copied, so that they do not hold the receive buffer through which the rest runs.
        let beginning = Bytes::copy_from_slice(&self.buffer[kept]);
        let topic = Bytes::copy_from_slice(&self.buffer[publish.topic.clone()]);
        self.skip(packet.size).await?;
        let envelope = Envelope {
            topic,
            payload: Payload::cut(beginning, (packet.size - start) as u64),
            received_at: self.shared.clock.now(),
        };
        self.outbox.room_for(1).await;
        let bytes = envelope.topic.len() + envelope.payload.len();
        let mut inbound = Inbound {
            acks: Vec::with_capacity(4),
            messages: 1,
            budget: self.budget(bytes).await?,
            ..Inbound::default()
        };
        let is_new = owe(&publish, &self.session, &mut inbound);
        if is_new && publish.qos == 2 {
            inbound.arrived.push(publish.packet_id);
        }
        let envelopes = if is_new { vec![envelope] } else { Vec::new() };
        self.send(envelopes, inbound).await
    }

    /// Reads the header and as much of the payload as is kept.
    async fn read_head(&mut self, packet: &Oversized) -> Result<Publish, Closed> {
        let most = self.shared.limits.topic_bytes;
        // Topic with its length, packet id, the beginning of the payload.
        let enough = packet.header + 2 + most + 2 + PAYLOAD_KEPT;
        let end = packet.size.min(enough);
        while self.buffer.len() < end {
            self.read().await?;
        }
        let body = packet.header..end;
        if let [high, low, ..] = self.buffer[body.clone()]
            && usize::from(u16::from_be_bytes([high, low])) > most
        {
            return Err(bad_topic(TopicError::TooLong));
        }
        let first = self.buffer[0];
        let publish = frame::publish(&self.buffer, &Frame { first, body }, Version::V4)?;
        let name = &self.buffer[publish.topic.clone()];
        if self.topics.judge(name).map_err(bad_topic)? == Verdict::Denied {
            return Err(Closed::new(
                CloseReason::NotAuthorized,
                "the client must not publish to the topic of a packet over the limit",
            ));
        }
        Ok(publish)
    }

    /// Reads and drops: no more than one read of the socket is in memory.
    async fn skip(&mut self, bytes: usize) -> Result<(), Closed> {
        let mut left = bytes;
        loop {
            let here = left.min(self.buffer.len());
            self.buffer.advance(here);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            self.read().await?;
        }
    }
}
