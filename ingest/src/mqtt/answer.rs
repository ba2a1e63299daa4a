//! The packets that the endpoint answers with, beside acknowledgements and PUBLISH, written by hand:
//! a few bytes each, in the layout of the client's version.
//!
//! **Source** MQTT 3.1.1 sections 3.2, 3.9, 3.11; MQTT 5 sections 3.2, 3.9, 3.11, 3.14.

use super::frame::Version;
use super::property::{self, put_length, put_text, put_u16, put_u32};

/// Reason codes of MQTT 5, as far as this endpoint says them.
pub(crate) mod reason {
    /// All is well.
    pub(crate) const SUCCESS: u8 = 0;
    /// There was no such subscription.
    pub(crate) const NO_SUBSCRIPTION: u8 = 0x11;
    /// No better word fits.
    pub(crate) const UNSPECIFIED: u8 = 0x80;
    /// A rule of the standard is broken.
    pub(crate) const PROTOCOL_ERROR: u8 = 0x82;
    /// Not this version.
    pub(crate) const VERSION: u8 = 0x84;
    /// The client id cannot be used.
    pub(crate) const CLIENT_ID: u8 = 0x85;
    /// User name or password is wrong.
    pub(crate) const CREDENTIALS: u8 = 0x86;
    /// The client must not do that.
    pub(crate) const NOT_AUTHORIZED: u8 = 0x87;
    /// Try again later.
    pub(crate) const UNAVAILABLE: u8 = 0x88;
    /// The endpoint ends.
    pub(crate) const SHUTTING_DOWN: u8 = 0x8b;
    /// That way of authentication is not spoken.
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x8c;
    /// The client was silent too long.
    pub(crate) const KEEP_ALIVE: u8 = 0x8d;
    /// Another connection came with the same client id.
    pub(crate) const TAKEN_OVER: u8 = 0x8e;
    /// The filter cannot be used.
    pub(crate) const TOPIC_FILTER: u8 = 0x8f;
    /// The topic name cannot be used.
    pub(crate) const TOPIC_NAME: u8 = 0x90;
    /// Nobody waits for that packet id.
    pub(crate) const PACKET_ID_NOT_FOUND: u8 = 0x92;
    /// More unacknowledged messages than were allowed.
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x93;
    /// No such topic alias.
    pub(crate) const TOPIC_ALIAS: u8 = 0x94;
    /// A packet is too large.
    pub(crate) const PACKET_TOO_LARGE: u8 = 0x95;
    /// A limit of the endpoint is reached.
    pub(crate) const QUOTA: u8 = 0x97;
}

/// What a CONNACK that accepts tells the client.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accepted {
    pub(crate) session_present: bool,
    /// Only where it differs from what was asked for.
    pub(crate) session_expiry: Option<u32>,
    pub(crate) assigned_client_id: Option<String>,
    pub(crate) server_keep_alive: Option<u16>,
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet: u32,
    pub(crate) topic_aliases: u16,
}

/// A CONNACK that accepts.
pub(crate) fn connack_accepted(version: Version, accepted: &Accepted) -> Vec<u8> {
    let present = u8::from(accepted.session_present);
    if version == Version::V4 {
        return vec![0x20, 2, present, 0];
    }
    let mut properties = Vec::with_capacity(32);
    if let Some(seconds) = accepted.session_expiry {
        put_u32(&mut properties, property::SESSION_EXPIRY, seconds);
    }
    put_u16(
        &mut properties,
        property::RECEIVE_MAXIMUM,
        accepted.receive_maximum,
    );
    put_u32(
        &mut properties,
        property::MAXIMUM_PACKET,
        accepted.maximum_packet,
    );
    if let Some(client_id) = &accepted.assigned_client_id {
        put_text(&mut properties, property::ASSIGNED_CLIENT_ID, client_id);
    }
    put_u16(
        &mut properties,
        property::TOPIC_ALIAS_MAXIMUM,
        accepted.topic_aliases,
    );
    if let Some(seconds) = accepted.server_keep_alive {
        put_u16(&mut properties, property::SERVER_KEEP_ALIVE, seconds);
    }
    let mut body = vec![present, reason::SUCCESS];
    put_length(&mut body, properties.len());
    body.extend_from_slice(&properties);
    packet(0x20, &body)
}

/// A CONNACK that refuses with a reason of MQTT 5, or with what comes next to it in 3.1.1.
pub(crate) fn connack_refused(version: Version, code: u8) -> Vec<u8> {
    match version {
        Version::V5 => vec![0x20, 3, 0, code, 0],
        Version::V4 => {
            let code = match code {
                reason::VERSION => 1,
                reason::CLIENT_ID => 2,
                reason::CREDENTIALS => 4,
                reason::NOT_AUTHORIZED => 5,
                _ => 3,
            };
            vec![0x20, 2, 0, code]
        }
    }
}

/// A SUBACK with a granted quality of service or a reason for the refusal per filter.
pub(crate) fn suback(version: Version, packet_id: u16, codes: &[u8]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    let refused = |code: u8| match version {
        Version::V4 if code >= 0x80 => reason::UNSPECIFIED,
        _ => code,
    };
    body.extend(codes.iter().map(|code| refused(*code)));
    packet(0x90, &body)
}

/// An UNSUBACK; 3.1.1 has no codes in it.
pub(crate) fn unsuback(version: Version, packet_id: u16, codes: &[u8]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
        body.extend_from_slice(codes);
    }
    packet(0xb0, &body)
}

/// A DISCONNECT from the endpoint, which only MQTT 5 knows.
pub(crate) fn disconnect(code: u8) -> [u8; 4] {
    [0xe0, 2, code, 0]
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(5 + body.len());
    packet.push(first);
    put_length(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_their_layout() {
        use Version::{V4, V5};
        let accepted = Accepted {
            receive_maximum: 258,
            maximum_packet: 0x0100_0000,
            topic_aliases: 3,
            ..Accepted::default()
        };
        assert_eq!(connack_accepted(V4, &accepted), [0x20, 2, 0, 0]);
        assert_eq!(
            connack_accepted(V5, &accepted),
            [0x20, 14, 0, 0, 11, 0x21, 1, 2, 0x27, 1, 0, 0, 0, 0x22, 0, 3]
        );
        let present = Accepted {
            session_present: true,
            session_expiry: Some(7),
            assigned_client_id: Some("id".into()),
            server_keep_alive: Some(60),
            ..accepted
        };
        assert_eq!(connack_accepted(V4, &present), [0x20, 2, 1, 0]);
        assert_eq!(
            connack_accepted(V5, &present),
            [
                0x20, 27, 1, 0, 24, 0x11, 0, 0, 0, 7, 0x21, 1, 2, 0x27, 1, 0, 0, 0, 0x12, 0, 2,
                b'i', b'd', 0x22, 0, 3, 0x13, 0, 60
            ]
        );
        for (code, old) in [
            (reason::VERSION, 1),
            (reason::CLIENT_ID, 2),
            (reason::UNAVAILABLE, 3),
            (reason::QUOTA, 3),
            (reason::CREDENTIALS, 4),
            (reason::NOT_AUTHORIZED, 5),
        ] {
            assert_eq!(connack_refused(V4, code), [0x20, 2, 0, old]);
            assert_eq!(connack_refused(V5, code), [0x20, 3, 0, code, 0]);
        }
        assert_eq!(suback(V4, 258, &[0, 2, 0x87]), [0x90, 5, 1, 2, 0, 2, 0x80]);
        assert_eq!(suback(V5, 258, &[1, 0x87]), [0x90, 5, 1, 2, 0, 1, 0x87]);
        assert_eq!(unsuback(V4, 3, &[0]), [0xb0, 2, 0, 3]);
        assert_eq!(unsuback(V5, 3, &[0, 0x11]), [0xb0, 5, 0, 3, 0, 0, 0x11]);
    }
}
