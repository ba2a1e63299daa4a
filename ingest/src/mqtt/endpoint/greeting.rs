//! From the open socket to a client that may come in.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::access::{Denied, Rights};
use super::connection::Closed;
use super::stats::{CloseReason, add};
use super::transport::Socket;
use crate::mqtt::answer::{self, reason};
use crate::mqtt::frame::{self, Version};
use crate::mqtt::packet::{self, Connect, PacketError};
use crate::mqtt::topic;

/// Time that a client waits for its password to be checked when many come at once.
const ADMISSION: Duration = Duration::from_secs(60);
/// **Units** bytes of a CONNECT that takes no share of the memory for larger ones.
const SMALL_CONNECT: usize = 4 * 1024;

/// A client that may come in.
pub(super) struct Welcome {
    pub(super) socket: Socket,
    pub(super) connect: Connect,
    /// What came behind the CONNECT.
    pub(super) rest: BytesMut,
    pub(super) user: Option<String>,
    pub(super) rights: Rights,
    /// Whether the endpoint made the client id.
    pub(super) assigned: bool,
}

/// Speaks TLS where that is wanted, reads the CONNECT and checks who it is; answers only when it
/// is refused.
pub(super) async fn welcome(
    stream: TcpStream,
    peer: SocketAddr,
    shared: &Shared,
    tls: Option<TlsAcceptor>,
) -> Result<Welcome, Closed> {
    let opening = async {
        let mut socket = open(stream, tls).await?;
        let (connect, rest, share) = greet(&mut socket, shared).await?;
        Ok::<_, Closed>((socket, connect, rest, share))
    };
    let opened = tokio::time::timeout(shared.limits.connect_timeout, opening).await;
    // Its share is free again when it has been let in, or not.
    let (mut socket, mut connect, rest, _share) =
        opened.unwrap_or_else(|_| Err(CloseReason::ConnectTimeout.into()))?;
    let password = connect.password.take();
    let admission = shared
        .access
        .admit(connect.user.as_deref(), password.as_deref(), peer.ip());
    let admitted = match tokio::time::timeout(ADMISSION, admission).await {
        Ok(admitted) => admitted,
        Err(_) => {
            let why = "too many clients want their password checked at once";
            return Err(refuse(&mut socket, connect.version, reason::UNAVAILABLE, why).await);
        }
    };
    let user = match admitted {
        Ok(user) => user,
        Err(denied) => {
            let code = match denied {
                Denied::Credentials => reason::CREDENTIALS,
                Denied::NotLocal => reason::NOT_AUTHORIZED,
            };
            return Err(refuse(&mut socket, connect.version, code, denied).await);
        }
    };
    let assigned = connect.client_id.is_empty();
    if assigned {
        connect.client_id = shared.sessions.make_client_id();
    }
    let rights = shared.access.rights(user.as_deref(), &connect.client_id);
    if let Some(will) = &connect.will
        && !rights.may_publish(&will.topic)
    {
        let why = "the client must not publish to the topic of its will";
        return Err(refuse(&mut socket, connect.version, reason::NOT_AUTHORIZED, why).await);
    }
    Ok(Welcome {
        socket,
        connect,
        rest,
        user,
        rights,
        assigned,
    })
}

/// Answers a CONNECT with a refusal.
pub(super) async fn refuse(
    socket: &mut Socket,
    version: Version,
    code: u8,
    why: impl std::fmt::Display,
) -> Closed {
    let _ = socket
        .write_all(&answer::connack_refused(version, code))
        .await;
    socket.shutdown().await;
    Closed::new(CloseReason::Refused, why)
}

async fn open(stream: TcpStream, tls: Option<TlsAcceptor>) -> Result<Socket, Closed> {
    match tls {
        None => Ok(Socket::Plain(stream)),
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => Ok(Socket::Tls(Box::new(stream))),
            Err(error) => Err(Closed::new(CloseReason::TlsFailed, error)),
        },
    }
}

/// Reads the CONNECT.
async fn greet(
    socket: &mut Socket,
    shared: &Shared,
) -> Result<(Connect, BytesMut, Option<OwnedSemaphorePermit>), Closed> {
    let limits = &shared.limits;
    let most = limits.connect_bytes.min(limits.packet_bytes);
    let mut buffer = BytesMut::with_capacity(512);
    let mut share = None;
    let body = loop {
        if buffer.first().is_some_and(|first| *first != frame::CONNECT) {
            return Err(Closed::new(
                CloseReason::ProtocolViolation,
                stranger(&buffer),
            ));
        }
        if share.is_none() {
            share = large_share(&buffer, most, shared)?;
        }
        if let Some(found) = frame::scan(&buffer, 0, most)? {
            let connect = buffer.split_to(found.body.end).freeze();
            break connect.slice(found.body);
        }
        match socket.read_buf(&mut buffer).await {
            Ok(0) => return Err(CloseReason::PeerClosed.into()),
            Ok(read) => add(&shared.counters.bytes_in, read),
            Err(error) => return Err(Closed::new(CloseReason::SocketFailed, error)),
        }
    };
    let connect = match packet::connect(&body) {
        Ok(connect) => connect,
        Err(error @ PacketError::Version { level }) => {
            let version = if level > 4 { Version::V5 } else { Version::V4 };
            return Err(refuse(socket, version, reason::VERSION, error).await);
        }
        Err(error) => return Err(error.into()),
    };
    let version = connect.version;
    if connect.client_id.is_empty() && !connect.clean_start && version == Version::V4 {
        let why = "an empty client id is only for clean sessions";
        return Err(refuse(socket, version, reason::CLIENT_ID, why).await);
    }
    if connect.client_id.len() > limits.client_id_bytes {
        let why = format!(
            "the client id of {} bytes is longer than the limit of {}",
            connect.client_id.len(),
            limits.client_id_bytes
        );
        return Err(refuse(socket, version, reason::CLIENT_ID, why).await);
    }
    if connect.extended_authentication {
        let why = "extended authentication is not spoken here";
        return Err(refuse(socket, version, reason::AUTHENTICATION_METHOD, why).await);
    }
    if let Some(will) = &connect.will {
        let name = will.topic.as_bytes();
        topic::check_name(name, limits.topic_bytes, limits.topic_levels).map_err(|error| {
            let detail = format!("the will's topic cannot be used: {error}");
            Closed::new(CloseReason::ProtocolViolation, detail)
        })?;
    }
    Ok((connect, buffer, share))
}

/// The share of a large CONNECT in the memory for those who are not known yet; nobody waits for
/// one, so that sockets that send a part of theirs keep nobody with a small one out.
fn large_share(
    buffer: &[u8],
    most: usize,
    shared: &Shared,
) -> Result<Option<OwnedSemaphorePermit>, Closed> {
    let large = |bytes: &usize| (SMALL_CONNECT + 1..=most).contains(bytes);
    let Some(bytes) = frame::announced(buffer).filter(large) else {
        return Ok(None);
    };
    let permits = bytes.div_ceil(1024) as u32;
    match shared
        .large_connects
        .clone()
        .try_acquire_many_owned(permits)
    {
        Ok(share) => Ok(Some(share)),
        Err(_) => Err(Closed::new(
            CloseReason::Refused,
            "too many large CONNECT packets are on their way at once",
        )),
    }
}

/// A guess at what somebody speaks who does not speak MQTT.
fn stranger(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x16, ..] => "the client speaks TLS, this listener is plain TCP: use mqtt:// or mqtt.tls",
        [b'G', ..] | [b'P', ..] | [b'H', ..] => "the client speaks HTTP, not MQTT",
        _ => "the first packet is not a CONNECT",
    }
}
