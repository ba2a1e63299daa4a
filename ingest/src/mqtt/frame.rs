//! The hot path of the wire: packet borders, PUBLISH and the acknowledgements, without a copy.
//!
//! These few layouts are decoded by hand because every reading passes through them; all other
//! packets are left to the protocol crate (`packet.rs`). The decision is record 0002.
//!
//! **Source** MQTT 3.1.1 sections 2.2, 3.3 to 3.7; MQTT 5 sections 2.1, 3.3 to 3.7.

use std::ops::Range;

use super::property;

/// Which layouts a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.
    V5,
}

/// First byte of a CONNECT packet.
pub(crate) const CONNECT: u8 = 0x10;
/// First byte of a PUBACK packet.
pub(crate) const PUBACK: u8 = 0x40;
/// First byte of a PUBREC packet.
pub(crate) const PUBREC: u8 = 0x50;
/// First byte of a PUBREL packet.
pub(crate) const PUBREL: u8 = 0x62;
/// First byte of a PUBCOMP packet.
pub(crate) const PUBCOMP: u8 = 0x70;
/// First byte of a SUBSCRIBE packet.
pub(crate) const SUBSCRIBE: u8 = 0x82;
/// First byte of an UNSUBSCRIBE packet.
pub(crate) const UNSUBSCRIBE: u8 = 0xa2;
/// First byte of a PINGREQ packet.
pub(crate) const PINGREQ: u8 = 0xc0;
/// First byte of a DISCONNECT packet.
pub(crate) const DISCONNECT: u8 = 0xe0;
/// A whole PINGRESP packet.
pub(crate) const PINGRESP_PACKET: [u8; 2] = [0xd0, 0];

/// Where one packet lies in the receive buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// First byte: packet type and flags.
    pub(crate) first: u8,
    /// Everything behind the fixed header.
    pub(crate) body: Range<usize>,
}

/// Where the parts of one PUBLISH lie in the receive buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    /// Empty where MQTT 5 names the topic by an alias.
    pub(crate) topic: Range<usize>,
    /// Behind their length; empty in MQTT 3.1.1.
    pub(crate) properties: Range<usize>,
    pub(crate) payload: Range<usize>,
    /// 0, 1 or 2.
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// 0 when the quality of service is 0.
    pub(crate) packet_id: u16,
}

/// Why the bytes cannot be MQTT that this endpoint accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The remaining length has more than four bytes.
    #[error("the packet's length is not a legal number")]
    Length,
    /// Larger than the limit; told by the header alone.
    #[error("a packet of {size} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Bytes of the fixed header.
        header: usize,
        /// Bytes of the whole packet.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A field does not fit, or holds a forbidden value.
    #[error("{0}")]
    Malformed(&'static str),
}

/// Finds the packet that begins at `at`; `None` while it is not complete.
///
/// **Errors** when the length is not legal or beyond `limit`: known before the body is read.
#[inline]
pub(crate) fn scan(buffer: &[u8], at: usize, limit: usize) -> Result<Option<Frame>, FrameError> {
    let bytes = &buffer[at..];
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let mut length = 0usize;
    for index in 1..=4 {
        let Some(&byte) = bytes.get(index) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << (7 * (index - 1));
        if byte & 0x80 == 0 {
            let start = index + 1;
            let size = start + length;
            if size > limit {
                return Err(FrameError::TooLarge {
                    header: start,
                    size,
                    limit,
                });
            }
            if bytes.len() < size {
                return Ok(None);
            }
            return Ok(Some(Frame {
                first,
                body: at + start..at + size,
            }));
        }
    }
    Err(FrameError::Length)
}

/// **Units** bytes of the packet that begins here, once its header is there and legal.
pub(crate) fn announced(buffer: &[u8]) -> Option<usize> {
    match scan(buffer, 0, 0) {
        Err(FrameError::TooLarge { size, .. }) => Some(size),
        _ => None,
    }
}

/// Whether a packet that begins so is a PUBLISH.
#[inline]
pub(crate) fn is_publish(first: u8) -> bool {
    first >> 4 == 3
}

/// Takes a PUBLISH apart; topic and properties are not yet checked.
#[inline]
pub(crate) fn publish(
    buffer: &[u8],
    frame: &Frame,
    version: Version,
) -> Result<Publish, FrameError> {
    let body = &buffer[frame.body.clone()];
    let qos = (frame.first >> 1) & 3;
    if qos == 3 {
        return Err(FrameError::Malformed(
            "a PUBLISH asks for quality of service 3",
        ));
    }
    if qos == 0 && frame.first & 8 != 0 {
        return Err(FrameError::Malformed(
            "a PUBLISH of quality of service 0 is marked as a duplicate",
        ));
    }
    const SHORT: FrameError = FrameError::Malformed("a PUBLISH ends inside its header");
    let [high, low, ..] = *body else {
        return Err(SHORT);
    };
    let topic_end = 2 + usize::from(u16::from_be_bytes([high, low]));
    let id_end = if qos == 0 { topic_end } else { topic_end + 2 };
    if body.len() < id_end {
        return Err(SHORT);
    }
    let packet_id = if qos == 0 {
        0
    } else {
        u16::from_be_bytes([body[topic_end], body[topic_end + 1]])
    };
    if qos != 0 && packet_id == 0 {
        return Err(FrameError::Malformed("a PUBLISH has the packet id 0"));
    }
    let properties = match version {
        Version::V4 => id_end..id_end,
        Version::V5 => {
            let (length, used) = property::length(&body[id_end..]).ok_or(SHORT)?;
            id_end + used..id_end + used + length
        }
    };
    if body.len() < properties.end {
        return Err(SHORT);
    }
    let start = frame.body.start;
    Ok(Publish {
        topic: start + 2..start + topic_end,
        payload: start + properties.end..frame.body.end,
        properties: start + properties.start..start + properties.end,
        qos,
        retain: frame.first & 1 != 0,
        packet_id,
    })
}

/// The packet id of an acknowledgement and its reason; 0 is success.
pub(crate) fn acknowledgement(
    buffer: &[u8],
    frame: &Frame,
    version: Version,
) -> Result<(u16, u8), FrameError> {
    const LENGTH: FrameError = FrameError::Malformed("an acknowledgement has the wrong length");
    let (packet_id, reason) = match (version, &buffer[frame.body.clone()]) {
        (_, [high, low]) => (u16::from_be_bytes([*high, *low]), 0),
        (Version::V5, [high, low, reason]) => (u16::from_be_bytes([*high, *low]), *reason),
        (Version::V5, [high, low, reason, properties @ ..]) => {
            let (length, used) = property::length(properties).ok_or(LENGTH)?;
            if used + length != properties.len() {
                return Err(LENGTH);
            }
            (u16::from_be_bytes([*high, *low]), *reason)
        }
        _ => return Err(LENGTH),
    };
    if packet_id == 0 {
        return Err(FrameError::Malformed(
            "an acknowledgement has the packet id 0",
        ));
    }
    Ok((packet_id, reason))
}

/// Appends an acknowledgement of the kind `first`.
#[inline]
pub(crate) fn put_ack(out: &mut Vec<u8>, first: u8, packet_id: u16) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[first, 2, high, low]);
}

/// Appends an acknowledgement with a reason, which only MQTT 5 can say.
pub(crate) fn put_ack_reason(out: &mut Vec<u8>, first: u8, packet_id: u16, reason: u8) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[first, 3, high, low, reason]);
}

/// What stands before the payload of a PUBLISH.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublishHead<'a> {
    pub(crate) topic: &'a [u8],
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) duplicate: bool,
    /// Left out at quality of service 0.
    pub(crate) packet_id: u16,
    /// `None` in MQTT 3.1.1.
    pub(crate) properties: Option<&'a [u8]>,
}

impl PublishHead<'_> {
    /// Bytes behind the fixed header, for a payload of `payload` bytes.
    fn remaining(&self, payload: usize) -> usize {
        let properties = self
            .properties
            .map_or(0, |some| some.len() + property::length_size(some.len()));
        2 + self.topic.len() + if self.qos == 0 { 0 } else { 2 } + properties + payload
    }

    /// Bytes of the whole packet.
    pub(crate) fn size(&self, payload: usize) -> usize {
        let remaining = self.remaining(payload);
        1 + property::length_size(remaining) + remaining
    }
}

/// Appends a PUBLISH.
pub(crate) fn put_publish(out: &mut Vec<u8>, head: &PublishHead<'_>, payload: &[u8]) {
    let flags = (u8::from(head.duplicate) << 3) | (head.qos << 1) | u8::from(head.retain);
    out.push(0x30 | flags);
    property::put_length(out, head.remaining(payload.len()));
    out.extend_from_slice(&(head.topic.len() as u16).to_be_bytes());
    out.extend_from_slice(head.topic);
    if head.qos != 0 {
        out.extend_from_slice(&head.packet_id.to_be_bytes());
    }
    if let Some(properties) = head.properties {
        property::put_length(out, properties.len());
        out.extend_from_slice(properties);
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
        scan(bytes, 0, limit).map(|frame| frame.map(|frame| frame.body.end))
    }

    #[test]
    fn borders_are_found() {
        for (bytes, limit, expected) in [
            (&[][..], 9, Ok(None)),
            (&[0xc0], 9, Ok(None)),
            (&[0xc0, 0], 9, Ok(Some(2))),
            (&[0x40, 2, 0], 9, Ok(None)),
            (&[0x40, 2, 0, 1, 0xc0], 9, Ok(Some(4))),
            (&[0x30, 0x80], 9, Ok(None)),
            (
                &[0x30, 0xff, 0x7f],
                9,
                Err(FrameError::TooLarge {
                    header: 3,
                    size: 16_386,
                    limit: 9,
                }),
            ),
            (&[0x30, 0x80, 0x80, 0x80, 0x80], 9, Err(FrameError::Length)),
            (&[0x30, 0x80, 0x80, 0x80], 9, Ok(None)),
        ] {
            assert_eq!(check(bytes, limit), expected, "{bytes:?}");
            if let Err(FrameError::TooLarge { size, .. }) = expected {
                assert_eq!(announced(bytes), Some(size));
            }
        }
    }

    #[test]
    fn what_is_put_can_be_taken_apart() {
        for (topic, payload_len, qos, retain) in [
            ("a", 0, 0, false),
            ("fieldwright/pump/p1", 240, 1, false),
            ("a/b", 127, 1, true),
            ("a/b", 128, 2, false),
            ("a/b", 20_000, 1, false),
        ] {
            let payload = vec![7; payload_len];
            for (version, properties) in [
                (Version::V4, None),
                (Version::V5, Some(&[][..])),
                (Version::V5, Some(&[1, 1][..])),
            ] {
                let head = PublishHead {
                    topic: topic.as_bytes(),
                    qos,
                    retain,
                    duplicate: false,
                    packet_id: 513,
                    properties,
                };
                let mut out = vec![0xaa];
                put_publish(&mut out, &head, &payload);
                assert_eq!(out.len(), 1 + head.size(payload.len()));
                let frame = scan(&out, 1, 1 << 20).unwrap().unwrap();
                assert_eq!(frame.body.end, out.len());
                let publish = publish(&out, &frame, version).unwrap();
                assert_eq!(&out[publish.topic], topic.as_bytes());
                assert_eq!(&out[publish.payload], &payload[..]);
                assert_eq!(&out[publish.properties], properties.unwrap_or_default());
                assert_eq!((publish.qos, publish.retain), (qos, retain));
                assert_eq!(publish.packet_id, if qos == 0 { 0 } else { 513 });
            }
        }
    }

    #[test]
    fn acknowledgements_may_give_a_reason_in_mqtt_5() {
        let read = |body: &[u8], version| {
            let bytes = [&[PUBACK, body.len() as u8][..], body].concat();
            let frame = scan(&bytes, 0, 100).unwrap().unwrap();
            acknowledgement(&bytes, &frame, version).ok()
        };
        for (body, old, new) in [
            (&[0, 7][..], Some((7, 0)), Some((7, 0))),
            (&[0, 7, 0x87], None, Some((7, 0x87))),
            (&[0, 7, 0x10, 0], None, Some((7, 0x10))),
            (&[0, 7, 0, 2, 1, 1], None, Some((7, 0))),
            (&[0, 7, 0, 3, 1, 1], None, None),
            (&[0, 0], None, None),
            (&[0], None, None),
            (&[], None, None),
        ] {
            assert_eq!(read(body, Version::V4), old, "{body:?}");
            assert_eq!(read(body, Version::V5), new, "{body:?}");
        }
    }

    #[test]
    fn malformed_publishes_are_refused() {
        for bytes in [
            &[0x36, 5, 0, 1, b'a', 0, 1][..],
            &[0x30, 0],
            &[0x30, 1, 0],
            &[0x30, 3, 0, 9, b'a'],
            &[0x32, 3, 0, 1, b'a'],
            &[0x32, 5, 0, 1, b'a', 0, 0],
            &[0x38, 3, 0, 1, b'a'],
        ] {
            let frame = scan(bytes, 0, 100).unwrap().unwrap();
            assert!(
                matches!(
                    publish(bytes, &frame, Version::V4),
                    Err(FrameError::Malformed(_))
                ),
                "{bytes:?}"
            );
        }
        for bytes in [
            &[0x30, 3, 0, 1, b'a'][..],
            &[0x30, 4, 0, 1, b'a', 1],
            &[0x32, 6, 0, 1, b'a', 0, 1, 0x80],
        ] {
            let frame = scan(bytes, 0, 100).unwrap().unwrap();
            assert!(publish(bytes, &frame, Version::V5).is_err(), "{bytes:?}");
        }
    }
}
