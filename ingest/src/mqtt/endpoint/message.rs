//! A message on its way to subscribers.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::wall_now;

/// A message on its way to subscribers. Topic and payload share the receive buffer until it is
/// kept somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// A checked topic name.
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
    /// Properties of MQTT 5 that go on as they are; neither topic alias nor expiry.
    pub(crate) properties: Bytes,
    /// 0, 1 or 2.
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Milliseconds since 1970, by the wall.
    pub(crate) expires_at: Option<u64>,
}

impl Message {
    /// A copy that does not keep a receive buffer alive.
    pub(crate) fn compact(&self) -> Arc<Self> {
        Arc::new(Self {
            topic: Bytes::copy_from_slice(&self.topic),
            payload: Bytes::copy_from_slice(&self.payload),
            ..self.clone()
        })
    }

    /// **Units** bytes that it takes where it is kept.
    pub(crate) fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len()
    }

    /// Seconds that are left of its life: `Err` when it is over, `Ok(None)` when it has no end.
    pub(crate) fn left(&self, now: u64) -> Result<Option<u32>, Expired> {
        match self.expires_at {
            None => Ok(None),
            Some(at) if at <= now => Err(Expired),
            Some(at) => Ok(Some(
                (at - now).div_ceil(1_000).min(u64::from(u32::MAX)) as u32
            )),
        }
    }
}

/// The message is worth nothing any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expired;

/// Milliseconds since 1970 by the wall: what expires must do so across a restart, too.
pub(crate) fn wall_ms() -> u64 {
    wall_now().timestamp_millis().max(0) as u64
}

/// The instant that is `seconds` from now.
pub(crate) fn expiry(seconds: u32) -> u64 {
    wall_ms() + u64::from(seconds) * 1_000
}

#[cfg(test)]
pub(crate) fn message(topic: &'static str, payload: &'static str, qos: u8) -> Message {
    Message {
        topic: Bytes::from_static(topic.as_bytes()),
        payload: Bytes::from_static(payload.as_bytes()),
        properties: Bytes::new(),
        qos,
        retain: false,
        expires_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_its_life_is_rounded_up() {
        let mut message = message("t", "p", 0);
        assert_eq!(message.left(u64::MAX), Ok(None));
        message.expires_at = Some(10_000);
        for (now, left) in [
            (0, Ok(Some(10))),
            (1, Ok(Some(10))),
            (9_999, Ok(Some(1))),
            (10_000, Err(Expired)),
        ] {
            assert_eq!(message.left(now), left, "{now}");
        }
    }
}
