//! One record: the messages of one batch, as they came.
//!
//! ```text
//! count u32, then per message: received_at i64 (µs) | topic bytes u32 | payload bytes u32 | topic | payload
//! ```
//! A payload that was cut has the highest bit of its length set, and its whole size (u64) stands
//! before the topic.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::source::{Envelope, Payload};

/// In the length of a payload: only its beginning is there.
const CUT: u32 = 1 << 31;

/// Appends the messages.
pub(super) fn encode(into: &mut Vec<u8>, envelopes: &[Envelope]) {
    let size = |length: usize| u32::try_from(length).expect("a packet is below 256 MiB");
    into.extend_from_slice(&size(envelopes.len()).to_le_bytes());
    for envelope in envelopes {
        let received_at = envelope.received_at.timestamp_micros();
        into.extend_from_slice(&received_at.to_le_bytes());
        into.extend_from_slice(&size(envelope.topic.len()).to_le_bytes());
        let cut = envelope.payload.is_cut();
        let payload = size(envelope.payload.len()) | if cut { CUT } else { 0 };
        into.extend_from_slice(&payload.to_le_bytes());
        if cut {
            into.extend_from_slice(&envelope.payload.size().to_le_bytes());
        }
        into.extend_from_slice(&envelope.topic);
        into.extend_from_slice(&envelope.payload);
    }
}

/// The messages; none if the bytes are not what `encode` writes. They share `bytes`.
pub(super) fn decode(mut bytes: Bytes) -> Option<Vec<Envelope>> {
    let count = u32::from_le_bytes(take(&mut bytes, 4)?[..].try_into().ok()?);
    let mut envelopes = Vec::with_capacity((count as usize).min(bytes.len() / 16));
    for _ in 0..count {
        let received_at = i64::from_le_bytes(take(&mut bytes, 8)?[..].try_into().ok()?);
        let topic = u32::from_le_bytes(take(&mut bytes, 4)?[..].try_into().ok()?);
        let payload = u32::from_le_bytes(take(&mut bytes, 4)?[..].try_into().ok()?);
        let whole = match payload & CUT {
            0 => None,
            _ => Some(u64::from_le_bytes(
                take(&mut bytes, 8)?[..].try_into().ok()?,
            )),
        };
        let topic = take(&mut bytes, topic as usize)?;
        let payload = take(&mut bytes, (payload & !CUT) as usize)?;
        envelopes.push(Envelope {
            received_at: DateTime::<Utc>::from_timestamp_micros(received_at)?,
            topic,
            payload: match whole {
                None => payload.into(),
                Some(size) => Payload::cut(payload, size),
            },
        });
    }
    bytes.is_empty().then_some(envelopes)
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}
