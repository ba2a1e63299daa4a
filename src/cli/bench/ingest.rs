//! `fieldwright bench ingest`: what durability costs.
//!
//! One feeder, three ways to drain it, interleaved: a bare rumqttc loop that acknowledges by
//! itself and drops everything; our durable path as a consumer of the same feeder; our endpoint
//! with the feeder as its client. Durable means what it means in production: decoded, validated,
//! synced to the journal, visible to SQL, then acknowledged.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use fieldwright_ingest::clock::{RealClock, SharedClock, wall_now};
use fieldwright_ingest::mqtt::{
    Consumer, ConsumerConfig, Endpoint, EndpointConfig, EndpointLimits,
};
use fieldwright_ingest::{Feed, Ingest, IngestConfig};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use super::feeder::{Fed, METRICS, Messages, feed_as_broker, feed_as_client};
use super::statistics::median;
use super::{Failure, Figure};

/// Messages per second of each arm.
#[derive(Debug, Args)]
pub struct IngestBench {
    /// Messages in one run of one arm.
    #[arg(long, default_value_t = 400_000)]
    messages: u64,
    /// Runs of each arm; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Folder on the disk that is to be measured; the current one by default.
    #[arg(long, value_name = "DIR", default_value = ".")]
    disk: PathBuf,
}

impl IngestBench {
    /// Runs the arms in turn; the endpoint's line comes last.
    pub async fn run(self) -> Result<Vec<Figure>, Failure> {
        let (mut bare, mut consumer, mut endpoint) = (Vec::new(), Vec::new(), Vec::new());
        let mut message_bytes = 0;
        for round in 1..=self.rounds.max(1) {
            let messages = self.encode();
            message_bytes = messages.message_bytes();
            bare.push(rate(drain_bare(messages).await?));
            consumer.push(rate(drain_as_consumer(self.encode(), &self.disk).await?));
            endpoint.push(rate(drain_as_endpoint(self.encode(), &self.disk).await?));
            eprintln!(
                "round {round}: bare {:.0}, consumer {:.0}, endpoint {:.0} messages/s",
                bare[round - 1],
                consumer[round - 1],
                endpoint[round - 1]
            );
        }
        eprintln!(
            "{} messages a run, {message_bytes} bytes and {METRICS} metrics each, QoS 1",
            self.messages
        );
        let middle = |mut rates: Vec<f64>| median(&mut rates).unwrap_or_default();
        let baseline = middle(bare);
        let figure = |name, value, baseline| Figure {
            name,
            value,
            unit: "messages/s",
            baseline,
        };
        Ok(vec![
            figure("ingest/rumqttc-drop", baseline, None),
            figure("ingest/consumer", middle(consumer), Some(baseline)),
            figure("ingest/endpoint", middle(endpoint), Some(baseline)),
        ])
    }

    fn encode(&self) -> Messages {
        let start = wall_now() - TimeDelta::days(2);
        Messages::encode(self.messages, start.timestamp_millis())
    }
}

fn rate(fed: Fed) -> f64 {
    fed.acknowledged as f64 / fed.elapsed.as_secs_f64()
}

/// The baseline: receive, acknowledge by itself, drop.
async fn drain_bare(messages: Messages) -> Result<Fed, Failure> {
    let (listener, address) = listen()?;
    let feeding = std::thread::spawn(move || feed_as_broker(&listener, messages));
    let mut options = MqttOptions::new("bare", address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(60));
    let (client, mut events) = AsyncClient::new(options, 10);
    client
        .subscribe("fieldwright/#", QoS::AtLeastOnce)
        .await
        .map_err(Failure::failed)?;
    let mut received = 0u64;
    while !feeding.is_finished() {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(_))) => received += 1,
            Ok(_) => {}
            // The feeder closes when everything is acknowledged.
            Err(_) if received > 0 => break,
            Err(error) => return Err(Failure::failed(error)),
        }
    }
    fed(feeding)
}

async fn drain_as_consumer(messages: Messages, disk: &Path) -> Result<Fed, Failure> {
    let (listener, address) = listen()?;
    let feeding = std::thread::spawn(move || feed_as_broker(&listener, messages));
    let pipeline = Pipeline::start(disk)?;
    let config = ConsumerConfig {
        url: format!("mqtt://{address}"),
        topics: vec!["fieldwright/#".into()],
        client_id: "bench".into(),
        ..ConsumerConfig::default()
    };
    let consumer = Consumer::start(config, pipeline.ingest.intake(), pipeline.clock.clone())
        .map_err(Failure::failed)?;
    let result = wait(feeding).await;
    consumer.shutdown().await;
    pipeline.stop(&result).await?;
    result
}

async fn drain_as_endpoint(messages: Messages, disk: &Path) -> Result<Fed, Failure> {
    let pipeline = Pipeline::start(disk)?;
    let config = EndpointConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        password: None,
        limits: EndpointLimits::default(),
    };
    let endpoint = Endpoint::start(config, pipeline.ingest.intake(), pipeline.clock.clone())
        .await
        .map_err(Failure::failed)?;
    let address = endpoint.local_addr();
    let feeding = std::thread::spawn(move || feed_as_client(address, messages));
    let result = wait(feeding).await;
    endpoint.shutdown().await;
    pipeline.stop(&result).await?;
    result
}

/// The durable path with its production settings, in a folder that goes with it.
struct Pipeline {
    ingest: Ingest,
    clock: SharedClock,
    follower: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Pipeline {
    fn start(disk: &Path) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("fieldwright-bench-")
            .tempdir_in(disk)
            .map_err(Failure::failed)?;
        let clock: SharedClock = Arc::new(RealClock);
        let (ingest, feed) = Ingest::start(IngestConfig::default(), dir.path(), clock.clone())
            .map_err(Failure::failed)?;
        Ok(Self {
            ingest,
            clock,
            follower: tokio::spawn(follow(feed)),
            _dir: dir,
        })
    }

    /// Stops, after it has made sure that what was acknowledged is there.
    async fn stop(self, fed: &Result<Fed, Failure>) -> Result<(), Failure> {
        let stored = self.ingest.stats().accepted_messages;
        self.ingest.shutdown().await.map_err(Failure::failed)?;
        self.follower.abort();
        match fed {
            Ok(fed) if fed.acknowledged != stored => Err(Failure::Failed(format!(
                "{} messages were acknowledged, but {stored} are stored",
                fed.acknowledged
            ))),
            _ => Ok(()),
        }
    }
}

/// Somebody must read the feed, as detection does in a service.
async fn follow(mut feed: Feed) {
    while feed.recv().await.is_some() {}
}

fn listen() -> Result<(TcpListener, std::net::SocketAddr), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::failed)?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    Ok((listener, address))
}

type Feeding = std::thread::JoinHandle<std::io::Result<Fed>>;

async fn wait(feeding: Feeding) -> Result<Fed, Failure> {
    let joined = tokio::task::spawn_blocking(move || fed(feeding)).await;
    joined.map_err(Failure::failed)?
}

fn fed(feeding: Feeding) -> Result<Fed, Failure> {
    let fed = feeding
        .join()
        .map_err(|_| Failure::Failed("the feeder panicked".into()))?;
    fed.map_err(Failure::failed)
}
