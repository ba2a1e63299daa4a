//! The packets of clients that are not hot, through the protocol crate: this file alone imports it.
//!
//! The crate reads the layouts of MQTT 3.1.1 and 5; the rules that it leaves to its caller are
//! checked here. Both versions end in the same types.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{Property, Qos, RetainHandling, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;

use super::frame::Version;
use super::property;

/// A session that never ends by itself.
pub(crate) const NEVER: u32 = u32::MAX;

/// A CONNECT packet. Not to be printed: it holds a password.
#[derive(Clone)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    /// May be empty: the endpoint makes one up.
    pub(crate) client_id: String,
    pub(crate) clean_start: bool,
    /// Seconds that the session outlives the connection, or [`NEVER`] for all.
    pub(crate) session_expiry: u32,
    /// Seconds; 0 means never.
    pub(crate) keep_alive: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) will: Option<Will>,
    /// Messages that the client takes unacknowledged.
    pub(crate) receive_maximum: u16,
    /// Bytes of the largest packet that the client takes.
    pub(crate) maximum_packet: usize,
    /// Topic aliases that the client takes.
    pub(crate) topic_aliases: u16,
    /// Whether it wants an exchange that this endpoint does not speak.
    pub(crate) extended_authentication: bool,
}

/// The message that a client leaves behind.
#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Seconds after the end of the connection.
    pub(crate) delay: u32,
    /// Seconds after which it is worth nothing.
    pub(crate) expiry: Option<u32>,
    /// What goes on to subscribers as it is.
    pub(crate) properties: Bytes,
}

/// A SUBSCRIBE packet.
#[derive(Debug, Clone)]
pub(crate) struct Subscribe {
    pub(crate) packet_id: u16,
    pub(crate) filters: Vec<(String, Options)>,
    pub(crate) identifier: Option<u32>,
}

/// What a client wants of a subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) qos: u8,
    /// Not the client's own messages.
    pub(crate) no_local: bool,
    /// The retain flag as it was published.
    pub(crate) retain_as_published: bool,
    pub(crate) retained: WhenRetained,
}

/// When a subscriber is sent the retained messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum WhenRetained {
    #[default]
    Always,
    /// Only when it did not have the subscription before.
    New,
    Never,
}

/// An UNSUBSCRIBE packet.
#[derive(Debug, Clone)]
pub(crate) struct Unsubscribe {
    pub(crate) packet_id: u16,
    pub(crate) filters: Vec<String>,
}

/// A DISCONNECT packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disconnect {
    /// The client wants its will to be sent although it says goodbye.
    pub(crate) with_will: bool,
    pub(crate) session_expiry: Option<u32>,
}

/// Why a packet is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PacketError {
    /// The layout is wrong.
    #[error("the {0} packet is malformed")]
    Malformed(&'static str),
    /// Neither MQTT 3.1.1 nor 5.
    #[error(
        "the client speaks protocol level {level}, this endpoint speaks MQTT 3.1.1 (level 4) and 5"
    )]
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
    let connect = match body {
        [0, 4, b'M', b'Q', b'T', b'T', 4, flags, ..] => {
            check_connect_flags(*flags)?;
            connect_v4(body)?
        }
        [0, 4, b'M', b'Q', b'T', b'T', 5, flags, ..] => {
            check_connect_flags(*flags)?;
            connect_v5(body)?
        }
        [0, 4, b'M', b'Q', b'T', b'T', level, ..]
        | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', level, ..] => {
            return Err(PacketError::Version { level: *level });
        }
        _ => return Err(MALFORMED),
    };
    let null = |text: &str| text.contains('\0');
    if null(&connect.client_id) || connect.user.as_deref().is_some_and(null) {
        return Err(PacketError::Rule(
            "the client id or the user name holds the null character",
        ));
    }
    Ok(connect)
}

fn connect_v4(body: &[u8]) -> Result<Connect, PacketError> {
    let (connect, used) = v3_1_1::Connect::parse(body).map_err(|error| match error {
        MqttError::ProtocolError => PacketError::Rule("a password comes without a user name"),
        _ => PacketError::Malformed("CONNECT"),
    })?;
    check_whole(used, body, "CONNECT")?;
    let will = connect.will_topic().map(|topic| Will {
        topic: topic.to_owned(),
        payload: Bytes::copy_from_slice(connect.will_payload().unwrap_or_default()),
        qos: level_of(connect.will_qos()),
        retain: connect.will_retain(),
        delay: 0,
        expiry: None,
        properties: Bytes::new(),
    });
    Ok(Connect {
        version: Version::V4,
        client_id: connect.client_id().to_owned(),
        clean_start: connect.clean_session(),
        session_expiry: if connect.clean_session() { 0 } else { NEVER },
        keep_alive: connect.keep_alive(),
        user: connect.user_name().map(str::to_owned),
        password: connect.password().map(<[u8]>::to_vec),
        will,
        receive_maximum: u16::MAX,
        maximum_packet: usize::MAX,
        topic_aliases: 0,
        extended_authentication: false,
    })
}

fn connect_v5(body: &[u8]) -> Result<Connect, PacketError> {
    let (packet, used) = v5_0::Connect::parse(body).map_err(|error| match error {
        MqttError::ProtocolError => {
            PacketError::Rule("CONNECT has a property that it must not have, or one twice")
        }
        _ => PacketError::Malformed("CONNECT"),
    })?;
    check_whole(used, body, "CONNECT")?;
    let mut connect = Connect {
        version: Version::V5,
        client_id: packet.client_id().to_owned(),
        clean_start: packet.clean_start(),
        session_expiry: 0,
        keep_alive: packet.keep_alive(),
        user: packet.user_name().map(str::to_owned),
        password: packet.password().map(<[u8]>::to_vec),
        will: None,
        receive_maximum: u16::MAX,
        maximum_packet: usize::MAX,
        topic_aliases: 0,
        extended_authentication: false,
    };
    for property in packet.props() {
        match property {
            Property::SessionExpiryInterval(seconds) => connect.session_expiry = seconds.val(),
            Property::ReceiveMaximum(most) => connect.receive_maximum = most.val(),
            Property::MaximumPacketSize(most) => connect.maximum_packet = most.val() as usize,
            Property::TopicAliasMaximum(most) => connect.topic_aliases = most.val(),
            Property::AuthenticationMethod(_) => connect.extended_authentication = true,
            _ => {}
        }
    }
    if connect.receive_maximum == 0 || connect.maximum_packet == 0 {
        return Err(PacketError::Rule(
            "CONNECT limits packets or messages to none at all",
        ));
    }
    if let Some(topic) = packet.will_topic() {
        let payload = Bytes::copy_from_slice(packet.will_payload().unwrap_or_default());
        let mut will = Will {
            topic: topic.to_owned(),
            payload,
            qos: level_of(packet.will_qos()),
            retain: packet.will_retain(),
            delay: 0,
            expiry: None,
            properties: Bytes::new(),
        };
        let mut passed: Vec<u8> = Vec::new();
        for property in packet.will_props() {
            match property {
                Property::WillDelayInterval(seconds) => will.delay = seconds.val(),
                other => passed.extend(other.to_continuous_buffer()),
            }
        }
        let found = property::of_publish(&passed)
            .map_err(|_| PacketError::Rule("the will's properties are malformed"))?;
        will.expiry = found.expiry;
        will.properties = property::passed_on(&passed, found.passed).into();
        connect.will = Some(will);
    }
    Ok(connect)
}

/// Reads the body of a SUBSCRIBE.
pub(crate) fn subscribe(body: &[u8], version: Version) -> Result<Subscribe, PacketError> {
    let refused = |error| match error {
        MqttError::ProtocolError => {
            PacketError::Rule("a SUBSCRIBE has no filter, or a property that it must not have")
        }
        _ => PacketError::Malformed("SUBSCRIBE"),
    };
    let mut identifier = None;
    let (packet_id, entries, used) = match version {
        Version::V4 => {
            let (packet, used) = v3_1_1::Subscribe::parse(body).map_err(refused)?;
            let known = |entry: &SubEntry| entry.sub_opts().to_buffer()[0] <= 2;
            if !packet.entries().iter().all(known) {
                return Err(PacketError::Malformed("SUBSCRIBE"));
            }
            (packet.packet_id(), packet.entries().clone(), used)
        }
        Version::V5 => {
            let (packet, used) = v5_0::Subscribe::parse(body).map_err(refused)?;
            for property in packet.props() {
                if let Property::SubscriptionIdentifier(number) = property {
                    identifier = Some(number.val());
                }
            }
            (packet.packet_id(), packet.entries().clone(), used)
        }
    };
    check_request(packet_id, used == body.len(), "SUBSCRIBE")?;
    if identifier == Some(0) {
        return Err(PacketError::Rule("a SUBSCRIBE has the identifier 0"));
    }
    let filters: Vec<(String, Options)> = entries
        .iter()
        .map(|entry| (entry.topic_filter().to_owned(), options(entry)))
        .collect();
    if filters
        .iter()
        .any(|(filter, options)| options.no_local && filter.starts_with("$share/"))
    {
        return Err(PacketError::Rule(
            "a shared subscription must not leave out the client's own messages",
        ));
    }
    Ok(Subscribe {
        packet_id,
        filters,
        identifier,
    })
}

fn options(entry: &SubEntry) -> Options {
    let options = entry.sub_opts();
    Options {
        qos: level_of(options.qos()),
        no_local: options.nl(),
        retain_as_published: options.rap(),
        retained: match options.rh() {
            RetainHandling::SendRetained => WhenRetained::Always,
            RetainHandling::SendRetainedIfNotExists => WhenRetained::New,
            RetainHandling::DoNotSendRetained => WhenRetained::Never,
        },
    }
}

/// How many filters the body of a SUBSCRIBE or UNSUBSCRIBE has, without reading them; each is
/// followed by `options` bytes.
pub(crate) fn filters_in(body: &[u8], options: usize, version: Version) -> usize {
    let mut count = 0;
    let mut at = 2;
    if version == Version::V5 {
        match property::length(body.get(2..).unwrap_or_default()) {
            Some((length, used)) => at += length + used,
            None => return 0,
        }
    }
    while let Some(&[high, low]) = body.get(at..at + 2) {
        at += 2 + usize::from(u16::from_be_bytes([high, low])) + options;
        count += 1;
    }
    count
}

/// Reads the body of an UNSUBSCRIBE.
pub(crate) fn unsubscribe(body: &[u8], version: Version) -> Result<Unsubscribe, PacketError> {
    let refused = |error| match error {
        MqttError::ProtocolError => PacketError::Rule("an UNSUBSCRIBE has no filter"),
        _ => PacketError::Malformed("UNSUBSCRIBE"),
    };
    let (packet_id, filters, used) = match version {
        Version::V4 => {
            let (packet, used) = v3_1_1::Unsubscribe::parse(body).map_err(refused)?;
            (packet.packet_id(), packet.entries().clone(), used)
        }
        Version::V5 => {
            let (packet, used) = v5_0::Unsubscribe::parse(body).map_err(refused)?;
            (packet.packet_id(), packet.entries().clone(), used)
        }
    };
    check_request(packet_id, used == body.len(), "UNSUBSCRIBE")?;
    Ok(Unsubscribe {
        packet_id,
        filters: filters
            .iter()
            .map(|filter| filter.as_str().to_owned())
            .collect(),
    })
}

/// Reads the body of a DISCONNECT.
pub(crate) fn disconnect(body: &[u8], version: Version) -> Result<Disconnect, PacketError> {
    const MALFORMED: PacketError = PacketError::Malformed("DISCONNECT");
    let mut disconnect = Disconnect {
        with_will: false,
        session_expiry: None,
    };
    if body.is_empty() {
        return Ok(disconnect);
    }
    if version == Version::V4 {
        return Err(MALFORMED);
    }
    let (packet, used) = v5_0::Disconnect::parse(body).map_err(|_| MALFORMED)?;
    check_whole(used, body, "DISCONNECT")?;
    disconnect.with_will = body[0] != 0;
    for property in packet.props().iter().flatten() {
        if let Property::SessionExpiryInterval(seconds) = property {
            disconnect.session_expiry = Some(seconds.val());
        }
    }
    Ok(disconnect)
}

/// The rules about CONNECT's flags, MQTT 3.1.1 section 3.1.2 and MQTT 5 section 3.1.2.
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

fn check_whole(used: usize, body: &[u8], name: &'static str) -> Result<(), PacketError> {
    if used == body.len() {
        return Ok(());
    }
    Err(PacketError::Malformed(name))
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
