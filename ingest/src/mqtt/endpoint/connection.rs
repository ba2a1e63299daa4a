//! The life of one connection, from its CONNECT to its will.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::greeting::{self, Welcome};
use super::half_open::Place;
use super::outbox::Outbox;
use super::publishing::publish_will;
use super::rate::Rate;
use super::reader::Reader;
use super::session::Sender;
use super::sessions::{AttachError, Attached, Wanted};
use super::stats::{CloseReason, add};
use super::topics::Topics;
use super::transport::ReadSide;
use super::writer::Writer;
use super::{Phase, Shared};
use crate::clock::process_now;
use crate::mqtt::answer::{self, Accepted, reason};
use crate::mqtt::frame::{self, Version};
use crate::mqtt::packet::{Connect, PacketError, Will};

/// Time in which a client must read why its connection ends, and close it.
const LINGER: Duration = Duration::from_secs(2);
/// **Units** bytes that are read and dropped meanwhile.
const LINGER_BYTES: usize = 4 << 20;

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
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    mut half_open: Place,
    tls: Option<TlsAcceptor>,
) {
    // Acknowledgements are small and awaited: they must not wait for more.
    let _ = stream.set_nodelay(true);
    let mut phase = shared.phase.clone();
    // In a box: what it takes to greet is not kept for the life of the connection.
    let greeting = Box::pin(greeting::welcome(stream, peer, &shared, tls));
    let greeted = tokio::select! {
        biased;
        _ = phase.wait_for(|phase| *phase != Phase::Running) => return,
        () = half_open.evicted() => return,
        greeted = greeting => greeted,
    };
    drop(half_open);
    let welcome = match greeted {
        Ok(welcome) => welcome,
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
    let joining = Box::pin(join(welcome, peer, &shared));
    let Some(joined) = joining.await else { return };
    add(&shared.counters.connections_total, 1);
    Box::pin(converse(joined, peer, shared.clone())).await;
}

/// A connection that has its session.
struct Joined {
    reader: Reader,
    writer: Writer,
    will: Option<Box<Will>>,
}

/// Joins a client with its session and answers its CONNECT.
async fn join(welcome: Welcome, peer: SocketAddr, shared: &Arc<Shared>) -> Option<Joined> {
    let Welcome {
        mut socket,
        connect,
        rest,
        user,
        rights,
        assigned,
    } = welcome;
    let limits = &shared.limits;
    let outbox = Arc::new(Outbox::new(limits.clone(), shared.counters.clone()));
    let expiry = connect.session_expiry.min(limits.session_expiry_s);
    let wanted = Wanted {
        client_id: &connect.client_id,
        user: user.as_deref(),
        clean_start: connect.clean_start,
        expiry,
    };
    let attached = match attach(shared, &wanted, &outbox).await {
        Ok(attached) => attached,
        Err(error) => {
            let code = match error {
                AttachError::OtherUser => reason::NOT_AUTHORIZED,
                AttachError::Full => reason::QUOTA,
                AttachError::Busy => reason::UNAVAILABLE,
            };
            let closed = greeting::refuse(&mut socket, connect.version, code, error).await;
            shared.counters.closed(closed.reason);
            log_closed(shared, peer, &connect.client_id, &closed);
            return None;
        }
    };
    if let Some(will) = attached.will {
        let shared = shared.clone();
        tokio::spawn(async move { publish_will(&shared, *will).await });
    }
    let session = attached.session;
    let keep_alive = keep_alive(&connect, limits.keep_alive_s);
    let accepted = Accepted {
        session_present: attached.present,
        session_expiry: (expiry != connect.session_expiry).then_some(expiry),
        assigned_client_id: assigned.then(|| connect.client_id.clone()),
        server_keep_alive: (keep_alive != connect.keep_alive).then_some(keep_alive),
        receive_maximum: limits.receive_maximum,
        maximum_packet: u32::try_from(limits.packet_bytes).unwrap_or(u32::MAX),
        topic_aliases: limits.topic_aliases,
    };
    outbox.answer(&answer::connack_accepted(connect.version, &accepted));
    let rights = Arc::new(rights);
    let (read_side, write_side) = socket.into_sides();
    let window = limits
        .outgoing_in_flight
        .min(connect.receive_maximum.into());
    let aliases = connect.topic_aliases.min(limits.topic_aliases);
    let sender = Sender::new(connect.version, window, connect.maximum_packet, aliases);
    let writer = Writer {
        socket: write_side,
        outbox: outbox.clone(),
        session: session.clone(),
        sender,
        shared: shared.clone(),
    };
    let reader = Reader {
        socket: read_side,
        buffer: rest,
        version: connect.version,
        keep_alive,
        wants_session: connect.session_expiry > 0,
        topics: Topics::new(shared.mapping.clone(), rights.clone(), limits.clone()),
        rights,
        session,
        outbox,
        shared: shared.clone(),
        aliases: Default::default(),
        rate: Rate::new(
            limits.messages_per_second,
            limits.bytes_per_second,
            process_now(),
        ),
        goodbye: None,
        batch: Vec::new(),
        begun: 0,
        since: (0, 0),
        chunk: 0,
    };
    tracing::debug!(
        client_id = connect.client_id,
        keep_alive_s = keep_alive,
        session_present = attached.present,
        "MQTT client connected"
    );
    Some(Joined {
        reader,
        writer,
        will: connect.will.map(Box::new),
    })
}

/// Gets the session and makes what was changed for it durable.
async fn attach(
    shared: &Shared,
    wanted: &Wanted<'_>,
    outbox: &Arc<Outbox>,
) -> Result<Attached, AttachError> {
    let attached = shared.sessions.attach(wanted, outbox).await?;
    let durable = shared.log.reached(attached.ticket);
    if tokio::time::timeout(shared.limits.takeover_timeout, durable)
        .await
        .is_err()
    {
        shared.sessions.detach(&attached.session, None, None);
        return Err(AttachError::Busy);
    }
    Ok(attached)
}

/// The keep-alive in force: only MQTT 5 can be told another one than it asked for.
fn keep_alive(connect: &Connect, longest: u16) -> u16 {
    let asked = connect.keep_alive;
    let too_long = longest > 0 && (asked == 0 || asked > longest);
    if too_long && connect.version == Version::V5 {
        longest
    } else {
        asked
    }
}

/// From the CONNACK to the end, and on until everything that was received is settled.
async fn converse(joined: Joined, peer: SocketAddr, shared: Arc<Shared>) {
    let Joined {
        mut reader,
        writer,
        will,
    } = joined;
    let session = reader.session.clone();
    let outbox = reader.outbox.clone();
    let version = reader.version;
    shared.counters.connections.fetch_add(1, Ordering::Relaxed);
    let writing = tokio::spawn(writer.run());
    let mut phase = shared.phase.clone();
    let closed = tokio::select! {
        biased;
        _ = phase.wait_for(|phase| *phase != Phase::Running) => CloseReason::Shutdown.into(),
        reason = outbox.closed() => Closed::from(reason),
        closed = reader.run() => closed,
    };
    let goodbye = reader.goodbye;
    let socket = reader.into_socket();
    outbox.close(closed.reason);
    shared.counters.connections.fetch_sub(1, Ordering::Relaxed);
    shared.counters.closed(closed.reason);
    log_closed(&shared, peer, &session.client_id, &closed);
    outbox.end_input();
    if writing.await.is_err() {
        tracing::error!(
            client_id = session.client_id,
            "the writer of an MQTT connection panicked"
        );
    }
    let quiet =
        goodbye.is_some_and(|goodbye| !goodbye.with_will) || closed.reason == CloseReason::Shutdown;
    let new_expiry = goodbye.and_then(|goodbye| goodbye.session_expiry);
    let will = will.filter(|_| !quiet);
    if let Some(will) = shared.sessions.detach(&session, new_expiry, will) {
        drop(session);
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
            () = publish_will(&shared, *will) => {}
        }
    }
    if version == Version::V5 && closed.reason.code().is_some() {
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
            () = linger(socket) => {}
        }
    }
}

/// Reads and drops what still comes: were the socket closed with bytes unread, the system would
/// tell the client of that and not of the reason that was written before.
async fn linger(mut socket: ReadSide) {
    let mut dropped = BytesMut::with_capacity(16 * 1024);
    let mut left = LINGER_BYTES;
    let reading = async {
        while left > 0 {
            dropped.clear();
            match socket.read_buf(&mut dropped).await {
                Ok(read) if read > 0 => left = left.saturating_sub(read),
                _ => return,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, reading).await;
}

pub(super) fn log_closed(shared: &Shared, peer: SocketAddr, client_id: &str, closed: &Closed) {
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
