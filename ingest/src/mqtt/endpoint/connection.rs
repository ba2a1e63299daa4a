//! The life of one connection, from its CONNECT to its will.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::half_open::Place;
use super::outbox::Outbox;
use super::reader::Reader;
use super::router::Message;
use super::stats::{CloseReason, add};
use super::{Phase, Shared, writer};
use crate::clock::process_now;
use crate::mqtt::packet::{self, Connect, PacketError, Will};
use crate::mqtt::{frame, topic};

/// A connection that is over, and what there is to say about it.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) reason: CloseReason,
    /// A sentence for the log; empty when the reason says it all.
    pub(crate) detail: String,
}

impl Closed {
    pub(crate) fn new(reason: CloseReason, detail: impl std::fmt::Display) -> Self {
        Self {
            reason,
            detail: detail.to_string(),
        }
    }
}

impl From<CloseReason> for Closed {
    fn from(reason: CloseReason) -> Self {
        Self::new(reason, "")
    }
}

impl From<frame::FrameError> for Closed {
    fn from(error: frame::FrameError) -> Self {
        let reason = match error {
            frame::FrameError::TooLarge { .. } => CloseReason::PacketTooLarge,
            _ => CloseReason::ProtocolViolation,
        };
        Self::new(reason, error)
    }
}

impl From<PacketError> for Closed {
    fn from(error: PacketError) -> Self {
        Self::new(CloseReason::ProtocolViolation, error)
    }
}

/// Serves one socket until it ends.
pub(super) async fn serve(
    mut socket: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    mut half_open: Place,
) {
    // Acknowledgements are small and awaited: they must not wait for more.
    let _ = socket.set_nodelay(true);
    let mut phase = shared.phase.clone();
    let greeting = tokio::select! {
        biased;
        _ = phase.wait_for(|phase| *phase != Phase::Running) => return,
        () = half_open.evicted() => return,
        greeting = tokio::time::timeout(
            shared.limits.connect_timeout,
            greet(&mut socket, &shared),
        ) => greeting.unwrap_or_else(|_| Err(CloseReason::ConnectTimeout.into())),
    };
    drop(half_open);
    let (connect, rest) = match greeting {
        Ok(greeting) => greeting,
        Err(closed) => {
            shared.counters.closed(closed.reason);
            return log_closed(&shared, peer, "", &closed);
        }
    };
    let Ok(_place) = shared.connections.clone().try_acquire_owned() else {
        add(&shared.counters.connections_refused, 1);
        if let Some(left_out) = shared.log_rates.connections.admit(process_now()) {
            tracing::warn!(
                %peer,
                connections = shared.limits.connections,
                left_out,
                "MQTT connection turned away: the endpoint holds as many as it may"
            );
        }
        return;
    };
    add(&shared.counters.connections_total, 1);
    converse(socket, peer, connect, rest, shared.clone()).await;
}

/// Reads the CONNECT; answers only when it is refused.
async fn greet(socket: &mut TcpStream, shared: &Shared) -> Result<(Connect, BytesMut), Closed> {
    let limits = &shared.limits;
    let mut buffer = BytesMut::with_capacity(1024);
    let body = loop {
        if buffer.first().is_some_and(|first| *first != frame::CONNECT) {
            return Err(Closed::new(
                CloseReason::ProtocolViolation,
                stranger(&buffer),
            ));
        }
        if let Some(found) = frame::scan(&buffer, 0, limits.packet_bytes)? {
            let connect = buffer.split_to(found.body.end).freeze();
            break connect.slice(found.body);
        }
        match socket.read_buf(&mut buffer).await {
            Ok(0) => return Err(CloseReason::PeerClosed.into()),
            Ok(read) => add(&shared.counters.bytes_in, read),
            Err(error) => return Err(Closed::new(CloseReason::SocketFailed, error)),
        }
    };
    let (answer, detail) = match packet::connect(&body) {
        Ok(connect) if connect.client_id.is_empty() && !connect.clean_session => (
            packet::connack_client_id(),
            "an empty client id is only for clean sessions".to_owned(),
        ),
        Ok(connect) if connect.client_id.len() > limits.client_id_bytes => (
            packet::connack_client_id(),
            format!(
                "the client id of {} bytes is longer than the limit of {}",
                connect.client_id.len(),
                limits.client_id_bytes
            ),
        ),
        Ok(connect) if !may_enter(&connect, shared) => (
            packet::connack_password(),
            "the password is missing or wrong".to_owned(),
        ),
        Ok(connect) => {
            if let Some(will) = &connect.will {
                topic::check_name(
                    will.topic.as_bytes(),
                    limits.topic_bytes,
                    limits.topic_levels,
                )
                .map_err(|error| {
                    let detail = format!("the will's topic cannot be used: {error}");
                    Closed::new(CloseReason::ProtocolViolation, detail)
                })?;
            }
            return Ok((connect, buffer));
        }
        Err(error @ PacketError::Version { level }) => {
            (packet::connack_version(level), error.to_string())
        }
        Err(error) => return Err(error.into()),
    };
    let _ = socket.write_all(&answer).await;
    Err(Closed::new(CloseReason::Refused, detail))
}

/// From the CONNACK to the end, and on until everything that was received is settled.
async fn converse(
    socket: TcpStream,
    peer: SocketAddr,
    connect: Connect,
    rest: BytesMut,
    shared: Arc<Shared>,
) {
    let outbox = Arc::new(Outbox::new(shared.limits.clone(), shared.counters.clone()));
    outbox.answer(&packet::connack_accepted());
    let (client, client_id) = shared.router.enter(&connect.client_id, &outbox);
    tracing::debug!(
        client_id,
        keep_alive_s = connect.keep_alive,
        "MQTT client connected"
    );
    shared.counters.connections.fetch_add(1, Ordering::Relaxed);
    let (read_half, write_half) = socket.into_split();
    let writing = tokio::spawn(writer::write_out(
        write_half,
        outbox.clone(),
        shared.clone(),
    ));
    let mut reader = Reader {
        socket: read_half,
        buffer: rest,
        keep_alive: connect.keep_alive,
        client,
        outbox: outbox.clone(),
        shared: shared.clone(),
        filters: HashMap::new(),
        unreleased: std::collections::HashSet::new(),
        batch: Vec::new(),
        chunk: 0,
    };
    let mut phase = shared.phase.clone();
    let closed = tokio::select! {
        biased;
        _ = phase.wait_for(|phase| *phase != Phase::Running) => CloseReason::Shutdown.into(),
        reason = outbox.closed() => Closed::from(reason),
        closed = reader.run() => closed,
    };
    outbox.close(closed.reason);
    shared.counters.connections.fetch_sub(1, Ordering::Relaxed);
    shared.counters.closed(closed.reason);
    log_closed(&shared, peer, &client_id, &closed);
    shared.router.leave(
        client,
        &client_id,
        reader.filters.keys().map(String::as_str),
    );
    let goodbye = [CloseReason::Disconnected, CloseReason::Shutdown];
    if let Some(will) = connect.will
        && !goodbye.contains(&closed.reason)
    {
        leave_will(&mut reader, will).await;
    }
    outbox.end_input();
    if writing.await.is_err() {
        tracing::error!(client_id, "the writer of an MQTT connection panicked");
    }
}

/// Publishes what the client wanted to be said when it was gone.
async fn leave_will(reader: &mut Reader, will: Will) {
    let message = Message {
        topic: Bytes::from(will.topic),
        payload: will.payload,
        qos: will.qos,
        retain: will.retain,
    };
    let mut phase = reader.shared.phase.clone();
    tokio::select! {
        biased;
        _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
        _ = reader.deliver_will(message) => {}
    }
}

/// Whether the client knows the password, when there is one.
fn may_enter(connect: &Connect, shared: &Shared) -> bool {
    let Some(expected) = &shared.password else {
        return true;
    };
    let given = connect.password.as_deref().unwrap_or_default();
    // Every byte is looked at, so that the time taken tells nothing about the right ones.
    let differences = expected
        .bytes()
        .zip(given)
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    expected.len() == given.len() && differences == 0
}

/// A guess at what somebody speaks who does not speak MQTT.
fn stranger(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x16, ..] => "the client speaks TLS, this listener is plain TCP: use mqtt://",
        [b'G', ..] | [b'P', ..] | [b'H', ..] => "the client speaks HTTP, not MQTT",
        _ => "the first packet is not a CONNECT",
    }
}

fn log_closed(shared: &Shared, peer: SocketAddr, client_id: &str, closed: &Closed) {
    let (reason, detail) = (closed.reason.name(), closed.detail.as_str());
    match closed.reason {
        CloseReason::Disconnected | CloseReason::PeerClosed | CloseReason::Shutdown => {
            tracing::debug!(%peer, client_id, reason, detail, "MQTT connection ended");
        }
        _ => log_closed_early(shared, peer, client_id, closed),
    }
}

/// What a client can cause as often as it likes is told once a second.
fn log_closed_early(shared: &Shared, peer: SocketAddr, client_id: &str, closed: &Closed) {
    let (reason, detail) = (closed.reason.name(), closed.detail.as_str());
    let Some(left_out) = shared.log_rates.closed(closed.reason).admit(process_now()) else {
        return;
    };
    match closed.reason {
        CloseReason::TakenOver => {
            tracing::info!(
                %peer, client_id, left_out,
                "MQTT connection ended: another one came with the same client id"
            );
        }
        _ => tracing::warn!(
            %peer, client_id, reason, detail, left_out,
            "MQTT connection closed"
        ),
    }
}
