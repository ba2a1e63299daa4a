//! The packets that are not hot, through the protocol crate: this file alone imports it.
//!
//! The crate reads the layouts; the rules of MQTT 3.1.1 that it leaves to its caller are checked
//! here.

use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::Qos;
use mqtt_protocol_core::mqtt::packet::v3_1_1;
use mqtt_protocol_core::mqtt::result_code::{ConnectReturnCode, MqttError, SubackReturnCode};

/// A CONNECT packet. Not to be printed: it holds a password.
#[derive(Clone)]
pub(crate) struct Connect {
    /// May be empty when `clean_session`.
    pub(crate) client_id: String,
    pub(crate) clean_session: bool,
    /// Seconds; 0 means never.
    pub(crate) keep_alive: u16,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) will: Option<Will>,
}

/// The message that a client leaves behind.
#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// A SUBSCRIBE packet: filters with the quality of service that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Subscribe {
    pub(crate) packet_id: u16,
    pub(crate) filters: Vec<(String, u8)>,
}

/// An UNSUBSCRIBE packet.
#[derive(Debug, Clone)]
pub(crate) struct Unsubscribe {
    pub(crate) packet_id: u16,
    pub(crate) filters: Vec<String>,
}

/// Why a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PacketError {
    /// The layout is wrong.
    #[error("the {0} packet is malformed")]
    Malformed(&'static str),
    /// Not MQTT 3.1.1.
    #[error("the client speaks protocol level {level}, this endpoint speaks MQTT 3.1.1 (level 4)")]
    Version {
        /// The level that was asked for.
        level: u8,
    },
    /// A rule of the standard is broken.
    #[error("{0}")]
    Rule(&'static str),
}

/// Reads the body of a CONNECT.
pub(crate) fn connect(body: &[u8]) -> Result<Connect, PacketError> {
    const MALFORMED: PacketError = PacketError::Malformed("CONNECT");
    match body {
        [0, 4, b'M', b'Q', b'T', b'T', 4, flags, ..] => check_connect_flags(*flags)?,
        [0, 4, b'M', b'Q', b'T', b'T', level, ..]
        | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', level, ..] => {
            return Err(PacketError::Version { level: *level });
        }
        _ => return Err(MALFORMED),
    }
    let (connect, used) = v3_1_1::Connect::parse(body).map_err(|error| match error {
        MqttError::ProtocolError => PacketError::Rule("a password comes without a user name"),
        _ => MALFORMED,
    })?;
    if used != body.len() {
        return Err(MALFORMED);
    }
    if connect.client_id().contains('\0') {
        return Err(PacketError::Rule("the client id holds the null character"));
    }
    let will = connect.will_topic().map(|topic| Will {
        topic: topic.to_owned(),
        payload: Bytes::copy_from_slice(connect.will_payload().unwrap_or_default()),
        qos: level_of(connect.will_qos()),
        retain: connect.will_retain(),
    });
    Ok(Connect {
        client_id: connect.client_id().to_owned(),
        clean_session: connect.clean_session(),
        keep_alive: connect.keep_alive(),
        password: connect.password().map(<[u8]>::to_vec),
        will,
    })
}

/// Reads the body of a SUBSCRIBE.
pub(crate) fn subscribe(body: &[u8]) -> Result<Subscribe, PacketError> {
    let (packet, used) = v3_1_1::Subscribe::parse(body).map_err(|error| match error {
        MqttError::ProtocolError => PacketError::Rule("a SUBSCRIBE has no filter"),
        _ => PacketError::Malformed("SUBSCRIBE"),
    })?;
    check_request(packet.packet_id(), used == body.len(), "SUBSCRIBE")?;
    Ok(Subscribe {
        packet_id: packet.packet_id(),
        filters: packet
            .entries()
            .iter()
            .map(|entry| {
                let qos = level_of(entry.sub_opts().qos());
                (entry.topic_filter().to_owned(), qos)
            })
            .collect(),
    })
}

/// How many filters the body of a SUBSCRIBE or UNSUBSCRIBE has, without reading them; each is
/// followed by `options` bytes.
pub(crate) fn filters_in(body: &[u8], options: usize) -> usize {
    let mut count = 0;
    let mut at = 2;
    while let Some(&[high, low]) = body.get(at..at + 2) {
        at += 2 + usize::from(u16::from_be_bytes([high, low])) + options;
        count += 1;
    }
    count
}

/// Reads the body of an UNSUBSCRIBE.
pub(crate) fn unsubscribe(body: &[u8]) -> Result<Unsubscribe, PacketError> {
    let (packet, used) = v3_1_1::Unsubscribe::parse(body).map_err(|error| match error {
        MqttError::ProtocolError => PacketError::Rule("an UNSUBSCRIBE has no filter"),
        _ => PacketError::Malformed("UNSUBSCRIBE"),
    })?;
    check_request(packet.packet_id(), used == body.len(), "UNSUBSCRIBE")?;
    Ok(Unsubscribe {
        packet_id: packet.packet_id(),
        filters: packet
            .entries()
            .iter()
            .map(|entry| entry.as_str().to_owned())
            .collect(),
    })
}

/// A CONNACK that accepts; this slice never has a session to go on with.
pub(crate) fn connack_accepted() -> Vec<u8> {
    connack(ConnectReturnCode::Accepted)
}

/// A CONNACK for a client of another protocol level, in that level's own layout.
pub(crate) fn connack_version(level: u8) -> Vec<u8> {
    match level {
        // MQTT 5: reason 0x84, unsupported protocol version, no properties.
        5 => vec![0x20, 3, 0, 0x84, 0],
        _ => connack(ConnectReturnCode::UnacceptableProtocolVersion),
    }
}

/// A CONNACK for a client id that is not accepted.
pub(crate) fn connack_client_id() -> Vec<u8> {
    connack(ConnectReturnCode::IdentifierRejected)
}

/// A CONNACK for a client without the right password.
pub(crate) fn connack_password() -> Vec<u8> {
    connack(ConnectReturnCode::BadUserNameOrPassword)
}

/// A SUBACK with one granted quality of service, or a refusal, per filter.
pub(crate) fn suback(packet_id: u16, granted: &[Option<u8>]) -> Vec<u8> {
    let codes = granted
        .iter()
        .map(|granted| match granted {
            Some(0) => SubackReturnCode::SuccessMaximumQos0,
            Some(_) => SubackReturnCode::SuccessMaximumQos1,
            None => SubackReturnCode::Failure,
        })
        .collect();
    v3_1_1::Suback::builder()
        .packet_id(packet_id)
        .return_codes(codes)
        .build()
        .expect("a SUBACK with an id and at least one code is complete")
        .to_continuous_buffer()
}

/// An UNSUBACK.
pub(crate) fn unsuback(packet_id: u16) -> Vec<u8> {
    v3_1_1::Unsuback::builder()
        .packet_id(packet_id)
        .build()
        .expect("an UNSUBACK with an id is complete")
        .to_continuous_buffer()
}

fn connack(code: ConnectReturnCode) -> Vec<u8> {
    v3_1_1::Connack::builder()
        .session_present(false)
        .return_code(code)
        .build()
        .expect("a CONNACK with both fields is complete")
        .to_continuous_buffer()
}

/// The rules about CONNECT's flags, MQTT 3.1.1 section 3.1.2.
fn check_connect_flags(flags: u8) -> Result<(), PacketError> {
    let (will, will_qos, will_retain) = (flags & 4 != 0, (flags >> 3) & 3, flags & 0x20 != 0);
    if flags & 1 != 0 {
        return Err(PacketError::Rule("CONNECT's reserved flag is set"));
    }
    if will_qos == 3 {
        return Err(PacketError::Rule("the will asks for quality of service 3"));
    }
    if !will && (will_qos != 0 || will_retain) {
        return Err(PacketError::Rule("will flags are set without a will"));
    }
    Ok(())
}

fn check_request(packet_id: u16, whole: bool, name: &'static str) -> Result<(), PacketError> {
    if packet_id == 0 {
        return Err(PacketError::Rule("a request has the packet id 0"));
    }
    if !whole {
        return Err(PacketError::Malformed(name));
    }
    Ok(())
}

fn level_of(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect_body(flags: u8, rest: &[u8]) -> Vec<u8> {
        [&[0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0, 60], rest].concat()
    }

    #[test]
    fn legal_connects_are_read() {
        let plain = connect(&connect_body(0b10, &[0, 1, b'a'])).unwrap();
        assert_eq!(plain.client_id, "a");
        assert!(plain.clean_session && plain.will.is_none());
        assert_eq!(plain.keep_alive, 60);
        let full = connect(&connect_body(
            0b1110_1100,
            &[0, 1, b'a', 0, 1, b't', 0, 1, b'm', 0, 1, b'u', 0, 1, b'p'],
        ))
        .unwrap();
        let will = full.will.unwrap();
        assert_eq!((will.topic.as_str(), &will.payload[..]), ("t", &b"m"[..]));
        assert_eq!((will.qos, will.retain), (1, true));
        assert!(!full.clean_session);
        assert_eq!(full.password.as_deref(), Some(&b"p"[..]));
    }

    #[test]
    fn illegal_connects_are_refused() {
        for (what, body) in [
            ("empty", vec![]),
            ("not MQTT", b"GET / HTTP/1.1\r\n".to_vec()),
            ("reserved flag", connect_body(0b11, &[0, 1, b'a'])),
            (
                "will quality 3",
                connect_body(0b1_1110, &[0, 1, b'a', 0, 1, b't', 0, 1, b'm']),
            ),
            ("will flags alone", connect_body(0b1010, &[0, 1, b'a'])),
            (
                "password alone",
                connect_body(0b0100_0010, &[0, 1, b'a', 0, 1, b'p']),
            ),
            ("trailing bytes", connect_body(0b10, &[0, 1, b'a', 9])),
            ("short", connect_body(0b10, &[0, 9, b'a'])),
            ("null in id", connect_body(0b10, &[0, 1, 0])),
            ("id is not text", connect_body(0b10, &[0, 1, 0xff])),
        ] {
            assert!(connect(&body).is_err(), "{what}");
        }
        for level in [3u8, 5, 6] {
            let mut body = connect_body(0b10, &[0, 1, b'a']);
            body[6] = level;
            assert_eq!(connect(&body).err(), Some(PacketError::Version { level }));
        }
    }

    #[test]
    fn requests_are_checked() {
        let ok = subscribe(&[0, 7, 0, 1, b'a', 1, 0, 1, b'#', 2]).unwrap();
        assert_eq!(ok.packet_id, 7);
        assert_eq!(ok.filters, [("a".to_owned(), 1), ("#".to_owned(), 2)]);
        for body in [
            &[][..],
            &[0, 1],
            &[0, 0, 0, 1, b'a', 0],
            &[0, 1, 0, 1, b'a', 3],
            &[0, 1, 0, 1, b'a', 0x41],
            &[0, 1, 0, 1, b'a'],
            &[0, 1, 0, 9, b'a', 0],
        ] {
            assert!(subscribe(body).is_err(), "{body:?}");
        }
        assert_eq!(unsubscribe(&[0, 7, 0, 1, b'a']).unwrap().filters, ["a"]);
        for body in [&[][..], &[0, 1], &[0, 0, 0, 1, b'a'], &[0, 1, 0, 9, b'a']] {
            assert!(unsubscribe(body).is_err(), "{body:?}");
        }
    }

    /// No input may panic, whatever it holds.
    #[test]
    fn random_bytes_never_panic() {
        let mut seed = 0x2545_f491_4f6c_dd1du64;
        for round in 0..20_000 {
            let mut body = connect_body(0, &[]);
            let mut next = || {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed as u8
            };
            body[7] = next();
            let length = next() % 40;
            // Short lengths inside make many of them almost legal.
            body.extend((0..length).map(|at| if at % 3 == 0 { 0 } else { next() % 8 }));
            let _ = connect(&body);
            let _ = subscribe(&body[round % 8..]);
            let _ = unsubscribe(&body[round % 8..]);
        }
    }

    #[test]
    fn answers_have_their_layout() {
        assert_eq!(connack_accepted(), [0x20, 2, 0, 0]);
        assert_eq!(connack_version(3), [0x20, 2, 0, 1]);
        assert_eq!(connack_client_id(), [0x20, 2, 0, 2]);
        assert_eq!(connack_password(), [0x20, 2, 0, 4]);
        assert_eq!(
            suback(258, &[Some(0), Some(1), None]),
            [0x90, 5, 1, 2, 0, 1, 0x80]
        );
        assert_eq!(unsuback(3), [0xb0, 2, 0, 3]);
    }
}
