//! Our own MQTT endpoint: an acknowledgement means that the message is on disk.
//!
//! It speaks MQTT 3.1.1 and 5 over TCP and TLS. It is a front door for devices, not a general
//! broker: every message is routed to its subscribers, one whose topic a mapping rule matches goes
//! to the pipeline as well. What outlives a connection (sessions, what waits for their clients,
//! retained messages) outlives the process, too, when there is a folder for it.

mod access;
mod connection;
mod greeting;
mod half_open;
mod limits;
pub(crate) mod log;
mod log_rate;
pub(crate) mod message;
mod outbox;
mod oversized;
mod publishing;
mod rate;
mod reader;
mod retained;
mod route_cache;
mod router;
mod session;
mod sessions;
mod stats;
mod subscribe;
mod subscriptions;
#[cfg(test)]
mod tests;
mod topics;
mod transport;
mod unmapped;
mod upkeep;
mod writer;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::clock::{SharedClock, process_now, process_sleep};
use crate::commands::Publisher;
use crate::config::MappingRule;
use crate::disk::LocalDisk;
use crate::mqtt::queue::DeliveryQueue;
use crate::topic::{Mapping, PatternError};

pub use access::{HashError, User, UserError, hash_password};
pub use limits::EndpointLimits;
pub use log::LogError;
pub use stats::{CloseReason, EndpointStats};
pub use transport::{TlsConfig, TlsError};

use access::Access;
use half_open::HalfOpen;
use log::recover::Recovered;
use log::{Log, LogOwner};
use log_rate::LogRates;
use retained::Retained;
use router::Router;
use session::Common;
use sessions::Sessions;
use stats::{Counters, add};

/// Bytes of a PUBLISH beside its topic and payload, at most, properties of MQTT 5 apart.
const PUBLISH_OVERHEAD: usize = 10;

/// How an endpoint is set up.
#[derive(Clone)]
pub struct EndpointConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS on an address of its own.
    pub tls: Option<TlsConfig>,
    /// What every client must send as its password, with any user name, while there are no users;
    /// never logged.
    pub password: Option<String>,
    /// Who may come in, and what they may do.
    pub users: Vec<User>,
    /// Filters that nobody may subscribe to.
    pub refused_filters: Vec<String>,
    /// Which topics become readings; `None`: all. Messages on other topics go to their subscribers
    /// only.
    pub rules: Option<Vec<MappingRule>>,
    /// Where sessions and retained messages are kept; without it they end with the process.
    pub folder: Option<PathBuf>,
    /// What keeps it from growing without end.
    pub limits: EndpointLimits,
}

impl EndpointConfig {
    /// A listener on `listen` with everything else left at its default.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls: None,
            password: None,
            users: Vec::new(),
            refused_filters: Vec::new(),
            rules: None,
            folder: None,
            limits: EndpointLimits::default(),
        }
    }
}

impl std::fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("listen", &self.listen)
            .field("tls", &self.tls)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("users", &self.users)
            .field("refused_filters", &self.refused_filters)
            .field("rules", &self.rules)
            .field("folder", &self.folder)
            .field("limits", &self.limits)
            .finish()
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
    /// The users cannot be used.
    #[error(transparent)]
    Users(#[from] UserError),
    /// TLS cannot be offered.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Sessions and retained messages cannot be kept.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A mapping rule cannot be compiled.
    #[error("a mapping rule's topic is not a pattern")]
    Rules(#[from] PatternError),
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
    access: Access,
    limits: Arc<EndpointLimits>,
    counters: Arc<Counters>,
    router: Arc<Router>,
    sessions: Sessions,
    log: Log,
    refused_filters: Vec<String>,
    mapping: Option<Arc<Mapping>>,
    intake: DeliveryQueue,
    clock: SharedClock,
    connections: Arc<Semaphore>,
    half_open: Arc<HalfOpen>,
    log_rates: LogRates,
    /// One permit per KiB of received messages that wait for their receipt.
    budget: Arc<Semaphore>,
    /// Memory for large CONNECT packets, in KiB.
    large_connects: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
}

/// A listening endpoint. Dropping it closes every connection at once.
pub struct Endpoint {
    local_addr: SocketAddr,
    tls_addr: Option<SocketAddr>,
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    publisher: Publisher,
    tasks: Vec<JoinHandle<()>>,
    _log: LogOwner,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("local_addr", &self.local_addr)
            .field("tls_addr", &self.tls_addr)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Listens, and hands what it receives to `intake`: the pipeline's, or a plain channel.
    ///
    /// **Errors**: see [`EndpointError`].
    pub async fn start(
        config: EndpointConfig,
        intake: impl Into<DeliveryQueue>,
        clock: SharedClock,
    ) -> Result<Self, EndpointError> {
        let access = Access::new(&config.users, config.password.clone())?;
        let acceptor = config.tls.as_ref().map(transport::acceptor).transpose()?;
        let mapping = config.rules.as_deref().map(Mapping::compile).transpose()?;
        let (listener, local_addr) = bind(config.listen).await?;
        let tls_listener = match (&config.tls, acceptor) {
            (Some(tls), Some(acceptor)) => Some((bind(tls.listen).await?, acceptor)),
            _ => None,
        };
        let (log, recovered) = open_log(config.folder.clone()).await?;
        let owner = LogOwner(log.clone());
        let (phase, phase_receiver) = watch::channel(Phase::Running);
        let shared = Arc::new(shared(
            config,
            access,
            mapping,
            intake.into(),
            clock,
            (log, recovered),
            phase_receiver,
        ));
        let (publisher, commands) = Publisher::channel();
        let mut tasks = vec![
            tokio::spawn(accept(listener, None, shared.clone())),
            tokio::spawn(upkeep::run(shared.clone())),
            tokio::spawn(publishing::publish_commands(shared.clone(), commands)),
        ];
        let mut tls_addr = None;
        if let Some(((listener, address), acceptor)) = tls_listener {
            tls_addr = Some(address);
            tasks.push(tokio::spawn(accept(
                listener,
                Some(acceptor),
                shared.clone(),
            )));
        }
        Ok(Self {
            local_addr,
            tls_addr,
            shared,
            phase,
            publisher,
            tasks,
            _log: owner,
        })
    }

    /// The address that it really took.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The address that it really took for TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_addr
    }

    /// Sends messages of the service to whoever subscribed to them.
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// The figures since the start.
    pub fn stats(&self) -> EndpointStats {
        EndpointStats {
            sessions: self.shared.sessions.len() as u64,
            session_log_in_trouble: self.shared.log.is_in_trouble(),
            ..self.shared.counters.snapshot()
        }
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
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), EndpointError> {
    let failed = |source| EndpointError::Bind { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

async fn open_log(folder: Option<PathBuf>) -> Result<(Log, Recovered), LogError> {
    let Some(folder) = folder else {
        return Ok((Log::none(), Recovered::default()));
    };
    let opening = tokio::task::spawn_blocking(move || Log::open(LocalDisk::shared(), &folder));
    opening.await.expect("opening the log does not panic")
}

fn shared(
    config: EndpointConfig,
    access: Access,
    mapping: Option<Mapping>,
    intake: DeliveryQueue,
    clock: SharedClock,
    (log, recovered): (Log, Recovered),
    phase: watch::Receiver<Phase>,
) -> Shared {
    let mut limits = config.limits;
    limits.settle(intake.max_payload_bytes() + limits.topic_bytes + PUBLISH_OVERHEAD);
    let limits = Arc::new(limits);
    let counters = Arc::new(Counters::default());
    let common = Arc::new(Common {
        limits: limits.clone(),
        counters: counters.clone(),
        log: log.clone(),
        queued_bytes: Default::default(),
        subscribed_bytes: Default::default(),
    });
    let retained = Retained::recovered(recovered.retained, message::wall_ms());
    let router = Arc::new(Router::new(common.clone(), retained));
    let sessions = Sessions::new(router.clone(), common, recovered.last_session);
    for (number, mut found) in recovered.sessions {
        if !upkeep::still_allowed(&mut found, &access) {
            log.note(&[log::record::Record::Gone { session: number }]);
            continue;
        }
        sessions.restore(number, found);
    }
    Shared {
        access,
        router,
        sessions,
        log,
        refused_filters: config.refused_filters,
        mapping: mapping.map(Arc::new),
        connections: Arc::new(Semaphore::new(limits.connections)),
        half_open: Arc::new(HalfOpen::new(limits.half_open)),
        log_rates: LogRates::default(),
        budget: Arc::new(Semaphore::new(budget_permits(limits.unacknowledged_bytes))),
        large_connects: Arc::new(Semaphore::new(budget_permits(limits.all_connect_bytes))),
        limits,
        counters,
        intake,
        clock,
        phase,
    }
}

/// Permits of the memory budget: KiB, as many as a semaphore can hold.
fn budget_permits(bytes: usize) -> usize {
    (bytes / 1024).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize))
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
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
                let (shared, tls) = (shared.clone(), tls.clone());
                tokio::spawn(connection::serve(socket, peer, shared, place, tls));
            }
            Err(error) => {
                // Out of file descriptors, mostly: others may close soon.
                tracing::error!(%error, "could not accept an MQTT connection; trying again");
                process_sleep(std::time::Duration::from_millis(100)).await;
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
