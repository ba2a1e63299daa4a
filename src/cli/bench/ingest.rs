//! `fieldwright bench ingest`: what durability costs.
//!
//! One feeder, several ways to drain it, interleaved. Durable means what it means in production:
//! decoded, validated, synced to the journal, visible to SQL, then acknowledged, with flushes and
//! commits to the lake running beside it.

mod drains;
mod peers;

use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use fieldwright_ingest::clock::wall_now;

use super::feeder::{Fed, Feed};
use super::lines::Lines;
use super::statistics::median;
use super::{Failure, Figure};

/// Messages that may wait at a broker: it answers at once and keeps them in memory.
const BROKER_WINDOW: usize = 4_000;

/// Messages per second of each arm.
#[derive(Debug, Args)]
pub struct IngestBench {
    /// Seconds of one run of one arm.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Runs of each arm; the median counts.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// The ways to drain the feeder; the drop loops come with those that are held against them.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Arm::Consumer, Arm::Mosquitto, Arm::Sqlite, Arm::Endpoint])]
    arms: Vec<Arm>,
    /// Python with paho-mqtt for the peer.
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// Folder with paho_sqlite.py.
    #[arg(long, value_name = "DIR", default_value = "tests/judges")]
    judges: PathBuf,
    /// Folder on the disk that is to be measured; the current one by default.
    #[arg(long, value_name = "DIR", default_value = ".")]
    disk: PathBuf,
}

/// A way to drain the feeder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arm {
    /// Our endpoint with the feeder as its client.
    Endpoint,
    /// Our consumer with the feeder as its broker.
    Consumer,
    /// Our consumer behind one Mosquitto.
    Mosquitto,
    /// paho-mqtt into SQLite, the peer.
    Sqlite,
}

/// Messages a second of each run.
#[derive(Debug, Default)]
struct Rates {
    dropped: Vec<f64>,
    endpoint: Vec<f64>,
    consumer: Vec<f64>,
    mosquitto_dropped: Vec<f64>,
    mosquitto: Vec<f64>,
    sqlite: Vec<f64>,
}

impl IngestBench {
    /// The folder whose disk is measured.
    pub fn disk(&self) -> &std::path::Path {
        &self.disk
    }

    /// Runs the arms in turn; the endpoint's line comes last.
    pub async fn run(self) -> Result<Vec<Figure>, Failure> {
        let start = wall_now() - TimeDelta::days(20);
        let start = start.timestamp() * 1_000_000_000;
        let lines = tokio::task::spawn_blocking(move || Lines::new(start));
        let lines = lines.await.map_err(Failure::failed)?;
        eprintln!(
            "{} s a run, {} bytes a message, one line of ten numbers and four texts, QoS 1",
            self.seconds,
            lines.packet_bytes()
        );
        let mut rates = Rates::default();
        for round in 1..=self.rounds.max(1) {
            eprintln!("round {round}");
            self.round(&lines, &mut rates).await?;
        }
        Ok(rates.figures())
    }

    async fn round(&self, lines: &Lines, rates: &mut Rates) -> Result<(), Failure> {
        let lasting = Duration::from_secs_f64(self.seconds);
        let feed = || Feed::flat_out(lines.clone(), lasting);
        let through_broker = || Feed {
            window: BROKER_WINDOW,
            ..feed()
        };
        let has = |arm| self.arms.contains(&arm);
        rates
            .dropped
            .push(told("drop loop", drains::dropped(feed()).await?));
        if has(Arm::Consumer) {
            let fed = drains::consumer(feed(), &self.disk).await?;
            rates.consumer.push(told("consumer", fed));
        }
        if has(Arm::Mosquitto) {
            if let Some(broker) = peers::Mosquitto::start(&self.disk).await? {
                let fed = drains::dropped_behind(&broker, through_broker()).await?;
                rates
                    .mosquitto_dropped
                    .push(told("drop loop behind mosquitto", fed));
            }
            if let Some(broker) = peers::Mosquitto::start(&self.disk).await? {
                let fed = drains::consumer_behind(&broker, through_broker(), &self.disk).await?;
                rates.mosquitto.push(told("consumer behind mosquitto", fed));
            }
        }
        if has(Arm::Sqlite) {
            let peer = peers::sqlite(&self.python, &self.judges, &self.disk, feed()).await?;
            rates
                .sqlite
                .extend(peer.map(|fed| told("paho-mqtt into SQLite", fed)));
        }
        if has(Arm::Endpoint) {
            let fed = drains::endpoint(feed(), &self.disk).await?;
            rates.endpoint.push(told("endpoint", fed));
        }
        Ok(())
    }
}

fn told(what: &str, fed: Fed) -> f64 {
    eprintln!("  {what}: {:.0} messages/s", fed.rate());
    fed.rate()
}

impl Rates {
    fn figures(self) -> Vec<Figure> {
        let middle = |mut rates: Vec<f64>| median(&mut rates);
        let dropped = middle(self.dropped);
        let (endpoint, sqlite) = (middle(self.endpoint), middle(self.sqlite));
        let behind = middle(self.mosquitto_dropped);
        let figure = |name, value: Option<f64>, baseline| {
            value.map(|value| Figure::ratio(name, value, "messages/s", baseline))
        };
        let peer = sqlite.and(figure("ingest/sqlite-peer", endpoint, sqlite));
        let figures = [
            figure("ingest/rumqttc-drop", dropped, None),
            figure("ingest/consumer", middle(self.consumer), dropped),
            figure("ingest/mosquitto-drop", behind, None),
            figure("ingest/mosquitto", middle(self.mosquitto), behind),
            peer,
            figure("ingest/endpoint", endpoint, dropped),
        ];
        figures.into_iter().flatten().collect()
    }
}
