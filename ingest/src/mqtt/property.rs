//! The properties of MQTT 5 that pass through the hot path: read without a copy, written by hand.
//!
//! **Source** MQTT 5 sections 1.5, 2.2.2 and 3.3.2.3.

const PAYLOAD_FORMAT: u8 = 0x01;
const MESSAGE_EXPIRY: u8 = 0x02;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;
const TOPIC_ALIAS: u8 = 0x23;
const USER_PROPERTY: u8 = 0x26;

/// Subscription identifier, written to subscribers.
pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
/// Session expiry interval, seconds.
pub(crate) const SESSION_EXPIRY: u8 = 0x11;
/// The client id that the endpoint made.
pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
/// The keep-alive that the endpoint wants, seconds.
pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
/// Messages that may be unacknowledged.
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
/// Topic aliases that may be used.
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
/// Bytes of the largest packet.
pub(crate) const MAXIMUM_PACKET: u8 = 0x27;

/// What the endpoint itself needs of a PUBLISH's properties.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PublishProperties {
    pub(crate) alias: Option<u16>,
    /// **Units** seconds.
    pub(crate) expiry: Option<u32>,
    /// Bytes that go on to subscribers as they are.
    pub(crate) passed: usize,
}

/// Why properties are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PropertyError {
    /// The layout is wrong.
    #[error("the properties of a PUBLISH are malformed")]
    Malformed,
    /// Not a property of a PUBLISH that a client sends, or twice.
    #[error("a PUBLISH has a property that it must not have, or one twice")]
    Forbidden,
    /// The alias 0.
    #[error("a PUBLISH has the topic alias 0")]
    Alias,
}

/// A length in one to four bytes and how many it took; `None` when it is not there or not legal.
#[inline]
pub(crate) fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Bytes that a length takes.
pub(crate) fn length_size(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Appends a length; at most 268,435,455.
pub(crate) fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 127 {
        out.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    out.push(length as u8);
}

/// Appends a property of two bytes.
pub(crate) fn put_u16(out: &mut Vec<u8>, id: u8, value: u16) {
    out.push(id);
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a property of four bytes.
pub(crate) fn put_u32(out: &mut Vec<u8>, id: u8, value: u32) {
    out.push(id);
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a property of text; at most 65,535 bytes.
pub(crate) fn put_text(out: &mut Vec<u8>, id: u8, text: &str) {
    out.push(id);
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends the message expiry interval of a PUBLISH.
pub(crate) fn put_message_expiry(out: &mut Vec<u8>, seconds: u32) {
    put_u32(out, MESSAGE_EXPIRY, seconds);
}

/// Appends the topic alias of a PUBLISH.
pub(crate) fn put_topic_alias(out: &mut Vec<u8>, alias: u16) {
    put_u16(out, TOPIC_ALIAS, alias);
}

/// Reads and checks the properties of a PUBLISH from a client.
pub(crate) fn of_publish(bytes: &[u8]) -> Result<PublishProperties, PropertyError> {
    let mut found = PublishProperties::default();
    let mut seen = 0u64;
    let mut walk = Walk { bytes, at: 0 };
    while let Some((id, value)) = walk.next()? {
        if id != USER_PROPERTY {
            let bit = 1 << id;
            if seen & bit != 0 {
                return Err(PropertyError::Forbidden);
            }
            seen |= bit;
        }
        match id {
            TOPIC_ALIAS => {
                let alias = u16::from_be_bytes([value[0], value[1]]);
                if alias == 0 {
                    return Err(PropertyError::Alias);
                }
                found.alias = Some(alias);
                continue;
            }
            MESSAGE_EXPIRY => {
                found.expiry = Some(u32::from_be_bytes([value[0], value[1], value[2], value[3]]));
                continue;
            }
            PAYLOAD_FORMAT if value[0] > 1 => return Err(PropertyError::Forbidden),
            RESPONSE_TOPIC if value[2..].iter().any(|byte| matches!(byte, b'+' | b'#')) => {
                return Err(PropertyError::Forbidden);
            }
            _ => {}
        }
        found.passed += 1 + value.len();
    }
    Ok(found)
}

/// The part of checked properties that goes on to subscribers: neither alias nor expiry, which
/// are made anew for each.
pub(crate) fn passed_on(bytes: &[u8], expected: usize) -> Vec<u8> {
    let mut passed = Vec::with_capacity(expected);
    let mut walk = Walk { bytes, at: 0 };
    while let Ok(Some((id, value))) = walk.next() {
        if !matches!(id, TOPIC_ALIAS | MESSAGE_EXPIRY) {
            passed.push(id);
            passed.extend_from_slice(value);
        }
    }
    passed
}

/// Goes through the properties of a PUBLISH.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// The next property: its id and everything behind that.
    fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, PropertyError> {
        let Some(&id) = self.bytes.get(self.at) else {
            return Ok(None);
        };
        let value = &self.bytes[self.at + 1..];
        let size = match id {
            PAYLOAD_FORMAT => 1,
            TOPIC_ALIAS => 2,
            MESSAGE_EXPIRY => 4,
            CONTENT_TYPE | RESPONSE_TOPIC => text(value)?,
            CORRELATION_DATA => binary(value)?,
            USER_PROPERTY => {
                let key = text(value)?;
                key + text(&value[key..])?
            }
            _ => return Err(PropertyError::Forbidden),
        };
        let value = value.get(..size).ok_or(PropertyError::Malformed)?;
        self.at += 1 + size;
        Ok(Some((id, value)))
    }
}

/// Bytes of a text with its length in front.
fn text(bytes: &[u8]) -> Result<usize, PropertyError> {
    let size = binary(bytes)?;
    match std::str::from_utf8(&bytes[2..size]) {
        Ok(text) if !text.contains('\0') => Ok(size),
        _ => Err(PropertyError::Malformed),
    }
}

/// Bytes of binary data with its length in front.
fn binary(bytes: &[u8]) -> Result<usize, PropertyError> {
    match *bytes {
        [high, low, ..] => {
            let size = 2 + usize::from(u16::from_be_bytes([high, low]));
            (bytes.len() >= size)
                .then_some(size)
                .ok_or(PropertyError::Malformed)
        }
        _ => Err(PropertyError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_go_there_and_back() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            2_097_151,
            2_097_152,
            268_435_455,
        ] {
            let mut out = Vec::new();
            put_length(&mut out, value);
            assert_eq!(out.len(), length_size(value));
            out.push(9);
            assert_eq!(length(&out), Some((value, out.len() - 1)));
        }
        assert_eq!(length(&[]), None);
        assert_eq!(length(&[0x80]), None);
        assert_eq!(length(&[0x80, 0x80, 0x80, 0x80, 1]), None);
    }

    #[test]
    fn what_is_known_is_read_and_the_rest_goes_on() {
        let user = [0x26, 0, 1, b'k', 0, 2, b'v', b'w'];
        let bytes = [
            &user[..],
            &[0x23, 0, 5],
            &[0x03, 0, 1, b'c'],
            &[0x02, 0, 0, 1, 0],
            &[0x09, 0, 1, 0xff],
            &[0x01, 1],
            &[0x08, 0, 1, b'r'],
            &user,
        ]
        .concat();
        let found = of_publish(&bytes).unwrap();
        assert_eq!((found.alias, found.expiry), (Some(5), Some(256)));
        let passed = passed_on(&bytes, found.passed);
        assert_eq!(passed.len(), found.passed);
        let expected = [
            &user[..],
            &[0x03, 0, 1, b'c'],
            &[0x09, 0, 1, 0xff],
            &[0x01, 1],
            &[0x08, 0, 1, b'r'],
            &user,
        ]
        .concat();
        assert_eq!(passed, expected);
    }

    #[test]
    fn what_must_not_be_is_refused() {
        for (bytes, error) in [
            (&[0x23, 0, 0][..], PropertyError::Alias),
            (&[0x23, 0, 1, 0x23, 0, 1], PropertyError::Forbidden),
            (&[0x0b, 1], PropertyError::Forbidden),
            (&[0x01, 2], PropertyError::Forbidden),
            (&[0x08, 0, 1, b'#'], PropertyError::Forbidden),
            (&[0x7f], PropertyError::Forbidden),
            (&[0x01], PropertyError::Malformed),
            (&[0x02, 0, 0, 0], PropertyError::Malformed),
            (&[0x03, 0, 2, b'a'], PropertyError::Malformed),
            (&[0x03, 0, 1, 0xff], PropertyError::Malformed),
            (&[0x03, 0, 1, 0], PropertyError::Malformed),
            (&[0x26, 0, 1, b'k'], PropertyError::Malformed),
            (&[0x26, 0, 1, b'k', 0], PropertyError::Malformed),
        ] {
            assert_eq!(of_publish(bytes), Err(error), "{bytes:?}");
        }
    }
}
