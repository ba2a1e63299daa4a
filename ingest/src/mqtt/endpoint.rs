//! Our own MQTT 3.1.1 endpoint: an acknowledgement means that the message is on disk.
//!
//! First slice: TCP without TLS, clean sessions (a session never outlives its connection),
//! quality of service 0, 1 and 2 in, 0 and 1 out, wills and retained messages in memory.

mod connection;
mod half_open;
mod log_rate;
mod outbox;
mod oversized;
mod reader;
mod retained;
mod route_cache;
mod router;
mod stats;
mod subscribe;
mod subscriptions;
#[cfg(test)]
mod tests;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::clock::{SharedClock, process_now, process_sleep};
use crate::mqtt::queue::DeliveryQueue;

pub use stats::{CloseReason, EndpointStats};

use half_open::HalfOpen;
use log_rate::LogRates;
use router::Router;
use stats::{Counters, add};

/// Bytes of a PUBLISH beside its topic and payload, at most.
const PUBLISH_OVERHEAD: usize = 9;

/// How an endpoint is set up.
#[derive(Clone)]
pub struct EndpointConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What every client must send as its password, with any user name; never logged.
    pub password: Option<String>,
    /// What keeps it from growing without end.
    pub limits: EndpointLimits,
}

impl std::fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("listen", &self.listen)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("limits", &self.limits)
            .finish()
    }
}

/// Everything in the endpoint that could grow, and where it stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Connections past their CONNECT.
    pub connections: usize,
    /// Sockets that have not yet sent their CONNECT; then the oldest is closed for a newcomer.
    pub half_open: usize,
    /// Time to send a complete CONNECT.
    pub connect_timeout: Duration,
    /// **Units** bytes of one packet; raised to what the pipeline's largest payload takes.
    ///
    /// Of a larger PUBLISH only the beginning is kept, for the quarantine; the rest is read and
    /// dropped. Any other larger packet closes the connection unread.
    pub packet_bytes: usize,
    /// **Units** bytes.
    pub client_id_bytes: usize,
    /// **Units** bytes of a topic name or filter.
    pub topic_bytes: usize,
    /// Levels of a topic name or filter.
    pub topic_levels: usize,
    /// Subscriptions of one client, and filters in one packet.
    pub subscriptions: usize,
    /// Messages of one delivery to the pipeline.
    pub delivery_messages: usize,
    /// Messages of one connection that wait for their receipt; then its socket is not read.
    pub unacknowledged_messages: usize,
    /// **Units** bytes of all connections that wait for their receipt.
    pub unacknowledged_bytes: usize,
    /// Messages that wait for one subscriber.
    pub outgoing_messages: usize,
    /// **Units** bytes that wait for one subscriber.
    pub outgoing_bytes: usize,
    /// Messages sent to one subscriber and not yet acknowledged by it; at most 65,000.
    pub outgoing_in_flight: usize,
    /// Retained messages of all topics.
    pub retained_messages: usize,
    /// **Units** bytes of all retained messages.
    pub retained_bytes: usize,
    /// Time in which a client must take what is written to it.
    pub write_timeout: Duration,
    /// Time that a shutdown waits for outstanding receipts.
    pub shutdown_timeout: Duration,
}

impl Default for EndpointLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            half_open: 1_000,
            connect_timeout: Duration::from_secs(10),
            packet_bytes: 1 << 20,
            client_id_bytes: 256,
            topic_bytes: 1_024,
            topic_levels: 32,
            subscriptions: 1_000,
            delivery_messages: 1_000,
            unacknowledged_messages: 20_000,
            unacknowledged_bytes: 256 << 20,
            outgoing_messages: 20_000,
            outgoing_bytes: 16 << 20,
            outgoing_in_flight: 1_000,
            retained_messages: 10_000,
            retained_bytes: 64 << 20,
            write_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// Why an endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address cannot be listened on.
    #[error(
        "could not listen for MQTT on {listen}: choose another address with --mqtt, \
         or stop the process that holds this one"
    )]
    Bind {
        /// The address that was asked for.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What the life of the endpoint has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Nothing more is read; outstanding receipts are waited for.
    Draining,
    /// Nothing more is waited for.
    Aborted,
}

/// What every connection needs.
struct Shared {
    password: Option<String>,
    limits: Arc<EndpointLimits>,
    counters: Arc<Counters>,
    router: Router,
    intake: DeliveryQueue,
    clock: SharedClock,
    connections: Arc<Semaphore>,
    half_open: Arc<HalfOpen>,
    log_rates: LogRates,
    /// One permit per KiB of received messages that wait for their receipt.
    budget: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
}

/// A listening endpoint. Dropping it closes every connection at once.
pub struct Endpoint {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    accepting: JoinHandle<()>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Listens, and hands what it receives to `intake`: the pipeline's, or a plain channel.
    ///
    /// **Errors** when the address cannot be listened on.
    pub async fn start(
        config: EndpointConfig,
        intake: impl Into<DeliveryQueue>,
        clock: SharedClock,
    ) -> Result<Self, EndpointError> {
        let listen = config.listen;
        let bind = |source| EndpointError::Bind { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(bind)?;
        let local_addr = listener.local_addr().map_err(bind)?;
        let mut limits = config.limits;
        limits.outgoing_in_flight = limits.outgoing_in_flight.clamp(1, 65_000);
        limits.delivery_messages = limits.delivery_messages.max(1);
        let intake = intake.into();
        // Nothing that the pipeline would read may be cut.
        let readable = intake.max_payload_bytes() + limits.topic_bytes + PUBLISH_OVERHEAD;
        limits.packet_bytes = limits.packet_bytes.max(readable);
        let limits = Arc::new(limits);
        let counters = Arc::new(Counters::default());
        let (phase, phase_receiver) = watch::channel(Phase::Running);
        let shared = Arc::new(Shared {
            password: config.password,
            router: Router::new(limits.clone(), counters.clone()),
            connections: Arc::new(Semaphore::new(limits.connections)),
            half_open: Arc::new(HalfOpen::new(limits.half_open)),
            log_rates: LogRates::default(),
            budget: Arc::new(Semaphore::new(budget_permits(limits.unacknowledged_bytes))),
            limits,
            counters,
            intake,
            clock,
            phase: phase_receiver,
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self {
            local_addr,
            shared,
            phase,
            accepting,
        })
    }

    /// The address that it really took.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The figures since the start.
    pub fn stats(&self) -> EndpointStats {
        self.shared.counters.snapshot()
    }

    /// Stops reading, waits for the outstanding receipts, acknowledges them and closes.
    ///
    /// What is not durable within the shutdown limit is not acknowledged; its client sends it
    /// again. Wills are not sent.
    pub async fn shutdown(&self) {
        self.phase.send_replace(Phase::Draining);
        let everyone = self.shared.limits.connections as u32;
        let drained = tokio::time::timeout(
            self.shared.limits.shutdown_timeout,
            self.shared.connections.acquire_many(everyone),
        )
        .await;
        if drained.is_err() {
            tracing::warn!(
                waited_s = self.shared.limits.shutdown_timeout.as_secs(),
                "MQTT endpoint: not every message was durable before the shutdown limit; \
                 what was not acknowledged will be sent again by its client"
            );
        }
        self.phase.send_replace(Phase::Aborted);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Aborted);
        self.accepting.abort();
    }
}

/// Permits of the memory budget: KiB, as many as a semaphore can hold.
fn budget_permits(bytes: usize) -> usize {
    (bytes / 1024).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut phase = shared.phase.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase != Phase::Running) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let (place, crowded) = shared.half_open.enter();
                if crowded {
                    make_room(&shared);
                }
                tokio::spawn(connection::serve(socket, peer, shared.clone(), place));
            }
            Err(error) => {
                // Out of file descriptors, mostly: others may close soon.
                tracing::error!(%error, "could not accept an MQTT connection; trying again");
                process_sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Tells that the oldest half-open connection was closed for a newcomer.
fn make_room(shared: &Shared) {
    add(&shared.counters.connections_refused, 1);
    if let Some(left_out) = shared.log_rates.half_open.admit(process_now()) {
        tracing::warn!(
            half_open = shared.limits.half_open,
            left_out,
            "MQTT connection closed before its CONNECT: too many have not yet sent theirs, \
             the oldest makes room"
        );
    }
}
