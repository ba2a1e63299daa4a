//! What the endpoint counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::mqtt::answer::reason;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum CloseReason {
    /// The client said goodbye.
    Disconnected,
    /// The client closed the socket without a goodbye.
    PeerClosed,
    /// The socket failed.
    SocketFailed,
    /// No complete CONNECT came in time.
    ConnectTimeout,
    /// TLS did not come about: no certificate that is trusted, or no TLS at all.
    TlsFailed,
    /// The client was silent for one and a half times its keep-alive.
    KeepAlive,
    /// The client broke a rule of MQTT, or spoke no MQTT at all.
    ProtocolViolation,
    /// The client asked for another protocol version, with an unusable client id, or without the
    /// right password.
    Refused,
    /// The client published where it must not, and its version knows no other way to be told.
    NotAuthorized,
    /// The client sent more unacknowledged messages than it was told.
    ReceiveMaximum,
    /// The client used a topic alias that stands for nothing.
    TopicAlias,
    /// A packet was larger than the limit.
    PacketTooLarge,
    /// A topic was longer or deeper than the limit.
    TopicTooLong,
    /// Another connection came with the same client id.
    TakenOver,
    /// The client subscribed at quality of service 1 and did not keep up.
    SlowSubscriber,
    /// The client did not read what was written to it.
    WriteTimeout,
    /// The pipeline could not make a message durable; the client sends it again.
    NotDurable,
    /// The pipeline does not take messages any more.
    PipelineStopped,
    /// The endpoint shuts down.
    Shutdown,
}

impl CloseReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 19] = [
        Self::Disconnected,
        Self::PeerClosed,
        Self::SocketFailed,
        Self::ConnectTimeout,
        Self::TlsFailed,
        Self::KeepAlive,
        Self::ProtocolViolation,
        Self::Refused,
        Self::NotAuthorized,
        Self::ReceiveMaximum,
        Self::TopicAlias,
        Self::PacketTooLarge,
        Self::TopicTooLong,
        Self::TakenOver,
        Self::SlowSubscriber,
        Self::WriteTimeout,
        Self::NotDurable,
        Self::PipelineStopped,
        Self::Shutdown,
    ];

    /// A name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::PeerClosed => "peer_closed",
            Self::SocketFailed => "socket_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsFailed => "tls_failed",
            Self::KeepAlive => "keep_alive",
            Self::ProtocolViolation => "protocol_violation",
            Self::Refused => "refused",
            Self::NotAuthorized => "not_authorized",
            Self::ReceiveMaximum => "receive_maximum",
            Self::TopicAlias => "topic_alias",
            Self::PacketTooLarge => "packet_too_large",
            Self::TopicTooLong => "topic_too_long",
            Self::TakenOver => "taken_over",
            Self::SlowSubscriber => "slow_subscriber",
            Self::WriteTimeout => "write_timeout",
            Self::NotDurable => "not_durable",
            Self::PipelineStopped => "pipeline_stopped",
            Self::Shutdown => "shutdown",
        }
    }

    /// What a client of MQTT 5 is told; nothing when it ended the connection itself.
    pub(crate) fn code(self) -> Option<u8> {
        Some(match self {
            Self::Disconnected
            | Self::PeerClosed
            | Self::SocketFailed
            | Self::ConnectTimeout
            | Self::TlsFailed
            | Self::Refused
            | Self::WriteTimeout => return None,
            Self::KeepAlive => reason::KEEP_ALIVE,
            Self::ProtocolViolation => reason::PROTOCOL_ERROR,
            Self::NotAuthorized => reason::NOT_AUTHORIZED,
            Self::ReceiveMaximum => reason::RECEIVE_MAXIMUM,
            Self::TopicAlias => reason::TOPIC_ALIAS,
            Self::PacketTooLarge => reason::PACKET_TOO_LARGE,
            Self::TopicTooLong => reason::TOPIC_NAME,
            Self::TakenOver => reason::TAKEN_OVER,
            Self::SlowSubscriber => reason::QUOTA,
            Self::NotDurable | Self::PipelineStopped => reason::UNSPECIFIED,
            Self::Shutdown => reason::SHUTTING_DOWN,
        })
    }
}

/// Figures of an endpoint since it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStats {
    /// Connections that are open and past their CONNECT.
    pub connections: u64,
    /// Connections ever accepted past their CONNECT.
    pub connections_total: u64,
    /// Sockets turned away because of the limit on connections, or closed before their CONNECT
    /// because of the one on half-open ones.
    pub connections_refused: u64,
    /// Sessions, connected or not.
    pub sessions: u64,
    /// Messages received and handed to the pipeline.
    pub messages_in: u64,
    /// Messages that no mapping rule matches: they went to their subscribers only.
    pub unmapped_messages: u64,
    /// Messages refused because their client must not publish them.
    pub denied_publishes: u64,
    /// **Units** bytes read from sockets.
    pub bytes_in: u64,
    /// Acknowledgements sent for received messages (PUBACK and PUBREC).
    pub acknowledgements_out: u64,
    /// Messages sent to subscribers.
    pub messages_out: u64,
    /// **Units** bytes written to sockets.
    pub bytes_out: u64,
    /// Messages not queued because a subscriber's queue was full: at quality of service 0, or for a
    /// session that outlives its connection.
    pub dropped_queue_full: u64,
    /// Messages not sent to a subscriber because their life was over or the subscriber takes no
    /// packet so large.
    pub dropped_undeliverable: u64,
    /// Retained messages not kept because of the limits.
    pub dropped_retained: u64,
    /// Receipts that came after their connection had ended; nothing was acknowledged by them.
    pub stale_receipts: u64,
    /// Whether the disk refuses the session log at the moment.
    pub session_log_in_trouble: bool,
    /// Ended connections by reason, in the order of [`CloseReason::ALL`].
    pub closed: Vec<(CloseReason, u64)>,
}

impl EndpointStats {
    /// How many connections ended for `reason`.
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize].1
    }
}

/// The live counters behind [`EndpointStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_total: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) messages_in: AtomicU64,
    pub(crate) unmapped_messages: AtomicU64,
    pub(crate) denied_publishes: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) acknowledgements_out: AtomicU64,
    pub(crate) messages_out: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) dropped_queue_full: AtomicU64,
    pub(crate) dropped_undeliverable: AtomicU64,
    pub(crate) dropped_retained: AtomicU64,
    pub(crate) stale_receipts: std::sync::Arc<AtomicU64>,
    closed: [AtomicU64; CloseReason::ALL.len()],
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(amount as u64, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn closed(&self, reason: CloseReason) {
        add(&self.closed[reason as usize], 1);
    }

    pub(crate) fn snapshot(&self) -> EndpointStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EndpointStats {
            connections: read(&self.connections),
            connections_total: read(&self.connections_total),
            connections_refused: read(&self.connections_refused),
            sessions: 0,
            messages_in: read(&self.messages_in),
            unmapped_messages: read(&self.unmapped_messages),
            denied_publishes: read(&self.denied_publishes),
            bytes_in: read(&self.bytes_in),
            acknowledgements_out: read(&self.acknowledgements_out),
            messages_out: read(&self.messages_out),
            bytes_out: read(&self.bytes_out),
            dropped_queue_full: read(&self.dropped_queue_full),
            dropped_undeliverable: read(&self.dropped_undeliverable),
            dropped_retained: read(&self.dropped_retained),
            stale_receipts: read(&self.stale_receipts),
            session_log_in_trouble: false,
            closed: CloseReason::ALL
                .iter()
                .map(|reason| (*reason, read(&self.closed[*reason as usize])))
                .collect(),
        }
    }
}
