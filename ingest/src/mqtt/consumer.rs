//! A consumer of any MQTT 3.1.1 broker, on persistent sessions.
//!
//! It acknowledges to the broker only what the pipeline has confirmed; what it did not
//! acknowledge, the broker sends again. Several connections share the load over `$share` topics;
//! each has its own session. What it publishes goes through a client of its own.

mod address;
mod connection;
mod error;
mod gaps;
mod inbox;
#[cfg(test)]
mod mosquitto_tests;
mod publisher;
mod stats;
#[cfg(test)]
mod tests;
mod tls;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::MqttOptions;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::clock::SharedClock;
use crate::commands::Publisher;
use crate::mqtt::queue::DeliveryQueue;

pub use error::ConsumerError;
pub use gaps::{GAPS_KEPT, Gap};
pub use stats::ConsumerStats;

use connection::Worker;
use gaps::Gaps;
use publisher::Publishing;
use stats::Counters;

/// Which broker is consumed, and how.
#[derive(Clone)]
pub struct ConsumerConfig {
    /// `mqtt://host[:port]` or `mqtts://host[:port]`, without user and password.
    pub url: String,
    /// Topic filters to subscribe to, at quality of service 1.
    pub topics: Vec<String>,
    /// Names the session at the broker: the same in every run, unlike that of any other client.
    /// With several connections it gets a number, `client_id-1` and so on.
    pub client_id: String,
    /// Connections; with more than one every topic must be `$share/GROUP/FILTER`.
    pub connections: usize,
    /// User and password, when the broker asks for them; never logged.
    pub credentials: Option<(String, String)>,
    /// A PEM file with the certificates to trust for `mqtts://`; the system's when none is given.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, when the broker asks for one.
    pub client_certificate: Option<ClientCertificate>,
    /// Remembers across runs which sessions the broker has, so that a loss is seen at the next
    /// start, too.
    pub sessions_file: Option<PathBuf>,
    /// The Sparkplug host whose state is told while all connections are up.
    pub sparkplug_host_id: Option<String>,
    /// What keeps it from growing without end.
    pub limits: ConsumerLimits,
}

/// Our own certificate and its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those between it and its authority.
    pub certificate_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

impl Default for ConsumerConfig {
    /// One connection without any secret; what to consume is not said.
    fn default() -> Self {
        Self {
            url: String::new(),
            topics: Vec::new(),
            client_id: String::new(),
            connections: 1,
            credentials: None,
            ca_file: None,
            client_certificate: None,
            sessions_file: None,
            sparkplug_host_id: None,
            limits: ConsumerLimits::default(),
        }
    }
}

impl std::fmt::Debug for ConsumerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerConfig")
            .field("url", &self.url)
            .field("topics", &self.topics)
            .field("client_id", &self.client_id)
            .field("connections", &self.connections)
            .field("credentials", &self.credentials.as_ref().map(|_| "***"))
            .field("ca_file", &self.ca_file)
            .field("client_certificate", &self.client_certificate)
            .field("sessions_file", &self.sessions_file)
            .field("sparkplug_host_id", &self.sparkplug_host_id)
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
            backoff_max: Duration::from_secs(1),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// A running consumer. Dropping it stops it at once, acknowledging nothing more.
#[derive(Debug)]
pub struct Consumer {
    connections: Vec<Arc<Counters>>,
    gaps: Arc<Gaps>,
    stop: watch::Sender<bool>,
    /// How many tasks run.
    running: Arc<watch::Sender<usize>>,
    working: Mutex<Vec<AbortHandle>>,
    second: Mutex<Second>,
}

/// The client that publishes.
#[derive(Debug)]
enum Second {
    /// What it will be made of when somebody asks.
    Unused(Box<Unused>),
    Running(Publisher),
}

/// What the second client is made of.
#[derive(Debug)]
struct Unused {
    options: MqttOptions,
    limits: ConsumerLimits,
    host_id: Option<String>,
    clock: SharedClock,
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
        let wanted = address::options(&config)?;
        let gaps = Gaps::open(config.sessions_file.clone())?;
        let (stop, _) = watch::channel(false);
        let intake = intake.into();
        let unused = Unused {
            options: wanted.publisher,
            limits: config.limits.clone(),
            host_id: config.sparkplug_host_id.clone(),
            clock: clock.clone(),
        };
        let tells_state = unused.host_id.is_some();
        let config = Arc::new(config);
        let mut consumer = Self {
            connections: Vec::new(),
            gaps: gaps.clone(),
            stop,
            running: Arc::new(watch::Sender::new(0)),
            working: Mutex::default(),
            second: Mutex::new(Second::Unused(Box::new(unused))),
        };
        for options in wanted.connections {
            let counters = Arc::new(Counters::default());
            consumer.connections.push(counters.clone());
            let worker = Worker::new(
                config.clone(),
                options,
                intake.clone(),
                clock.clone(),
                counters,
                gaps.clone(),
                consumer.stop.subscribe(),
            );
            consumer.spawn(worker.run());
        }
        if tells_state {
            drop(consumer.publisher());
        }
        Ok(consumer)
    }

    /// Publishes through a second client of the same broker, which is made when first asked for.
    ///
    /// Must be called within a tokio runtime.
    pub fn publisher(&self) -> Publisher {
        let mut second = self.second.lock().expect("no holder panics");
        if let Second::Running(publisher) = &*second {
            return publisher.clone();
        }
        let (publisher, messages) = Publisher::channel();
        let made = std::mem::replace(&mut *second, Second::Running(publisher.clone()));
        if let Second::Unused(unused) = made {
            let publishing = Publishing {
                options: unused.options,
                limits: unused.limits,
                messages,
                host_id: unused.host_id,
                receiving: self.connections.iter().map(|one| one.connected()).collect(),
                clock: unused.clock,
                stopped: self.stop.subscribe(),
            };
            self.spawn(publishing.run());
        }
        publisher
    }

    /// Whether every connection is up and every topic is subscribed to.
    pub fn is_connected(&self) -> bool {
        self.connections.iter().all(|one| one.is_connected())
    }

    /// The figures since the start, over all connections.
    pub fn stats(&self) -> ConsumerStats {
        let all = self.connections.iter().map(|one| one.snapshot());
        all.reduce(|sum, one| sum.plus(&one)).unwrap_or_default()
    }

    /// The newest times for which messages may be missing, oldest first; see [`GAPS_KEPT`].
    pub fn gaps(&self) -> Vec<Gap> {
        self.gaps.list()
    }

    /// Stops reading, waits for the outstanding receipts, acknowledges them and disconnects.
    ///
    /// The sessions stay at the broker; what was not acknowledged comes again.
    pub async fn shutdown(&self) {
        self.stop.send_replace(true);
        let mut running = self.running.subscribe();
        let _ = running.wait_for(|running| *running == 0).await;
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.running.send_modify(|running| *running += 1);
        let running = self.running.clone();
        let working = tokio::spawn(async move {
            work.await;
            running.send_modify(|running| *running -= 1);
        });
        self.working
            .lock()
            .expect("no holder panics")
            .push(working.abort_handle());
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        for working in self.working.lock().expect("no holder panics").iter() {
            working.abort();
        }
    }
}
