//! A consumer of any MQTT 3.1.1 broker, on a persistent session.
//!
//! It acknowledges to the broker only what the pipeline has confirmed; what it did not
//! acknowledge, the broker sends again.

mod address;
mod connection;
mod inbox;
mod stats;
#[cfg(test)]
mod tests;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::clock::SharedClock;
use crate::mqtt::queue::DeliveryQueue;

pub use stats::ConsumerStats;

use connection::Worker;
use stats::Counters;

/// Which broker is consumed, and how.
#[derive(Clone)]
pub struct ConsumerConfig {
    /// `mqtt://host[:port]` or `mqtts://host[:port]`, without user and password.
    pub url: String,
    /// Topic filters to subscribe to, at quality of service 1.
    pub topics: Vec<String>,
    /// Names the session at the broker: the same in every run, unlike that of any other client.
    pub client_id: String,
    /// User and password, when the broker asks for them; never logged.
    pub credentials: Option<(String, String)>,
    /// A PEM file with the certificates to trust for `mqtts://`; the system's when none is given.
    pub ca_file: Option<PathBuf>,
    /// What keeps it from growing without end.
    pub limits: ConsumerLimits,
}

impl std::fmt::Debug for ConsumerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerConfig")
            .field("url", &self.url)
            .field("topics", &self.topics)
            .field("client_id", &self.client_id)
            .field("credentials", &self.credentials.as_ref().map(|_| "***"))
            .field("ca_file", &self.ca_file)
            .field("limits", &self.limits)
            .finish()
    }
}

/// Everything in the consumer that could grow, and its patience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerLimits {
    /// Messages of one delivery to the pipeline.
    pub delivery_messages: usize,
    /// Messages received and not yet acknowledged; then nothing more is read.
    pub unacknowledged_messages: usize,
    /// **Units** bytes received and not yet acknowledged.
    pub unacknowledged_bytes: usize,
    /// Interval of the pings that find a dead broker; whole seconds.
    pub keep_alive: Duration,
    /// Time for connecting, and for writing; whole seconds.
    pub network_timeout: Duration,
    /// The first pause before connecting again; it doubles with every failure.
    pub backoff_min: Duration,
    /// The longest pause before connecting again.
    pub backoff_max: Duration,
    /// Time that a shutdown waits for outstanding receipts.
    pub shutdown_timeout: Duration,
}

impl Default for ConsumerLimits {
    fn default() -> Self {
        Self {
            delivery_messages: 1_000,
            unacknowledged_messages: 50_000,
            unacknowledged_bytes: 128 << 20,
            keep_alive: Duration::from_secs(10),
            network_timeout: Duration::from_secs(5),
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a consumer did not start: always a wrong configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The address of the broker cannot be used.
    #[error("the broker's address {url:?} cannot be used: {problem}")]
    Url {
        /// What was given, without user and password.
        url: String,
        /// What is wrong and what to write instead.
        problem: &'static str,
    },
    /// A session needs a name.
    #[error("a consumer needs a client id: it names its session at the broker")]
    NoClientId,
    /// Nothing to subscribe to.
    #[error("a consumer needs at least one topic to subscribe to")]
    NoTopics,
    /// A filter is not legal MQTT.
    #[error("the topic filter {filter:?} is not legal")]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// The rule that it breaks.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file of trusted certificates cannot be used.
    #[error("could not read certificates from {path:?}: it must be a PEM file of CA certificates")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system offers no certificates.
    #[error("the system has no CA certificates to trust: name a PEM file for mqtts://")]
    NoSystemCertificates,
    /// The TLS library refused its settings.
    #[error("could not set up TLS")]
    Tls(#[source] rustls::Error),
}

/// A running consumer. Dropping it stops it at once, acknowledging nothing more.
#[derive(Debug)]
pub struct Consumer {
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    /// Its sender is dropped when the work has ended.
    ended: watch::Receiver<()>,
    working: AbortHandle,
}

impl Consumer {
    /// Starts to connect, and goes on trying; hands what it receives to `intake`.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// **Errors** when the configuration cannot work. A broker that is away is no error.
    pub fn start(
        config: ConsumerConfig,
        intake: impl Into<DeliveryQueue>,
        clock: SharedClock,
    ) -> Result<Self, ConsumerError> {
        let options = address::options(&config)?;
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = watch::channel(false);
        let worker = Worker::new(
            config,
            options,
            intake.into(),
            clock,
            counters.clone(),
            stopped,
        );
        let (ending, ended) = watch::channel(());
        let working = tokio::spawn(async move {
            worker.run().await;
            drop(ending);
        });
        Ok(Self {
            counters,
            stop,
            ended,
            working: working.abort_handle(),
        })
    }

    /// Whether the broker is connected and every topic is subscribed to.
    pub fn is_connected(&self) -> bool {
        self.counters.is_connected()
    }

    /// The figures since the start.
    pub fn stats(&self) -> ConsumerStats {
        self.counters.snapshot()
    }

    /// Stops reading, waits for the outstanding receipts, acknowledges them and disconnects.
    ///
    /// The session stays at the broker; what was not acknowledged comes again.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.working.abort();
    }
}
