//! `fieldwright bench ingest | decode | latency | last-value | concurrent | restart | memory | tsbs`.

mod alarm_latency;
mod concurrent;
mod decode;
mod feeder;
mod ingest;
mod last_value;
mod latency;
mod lines;
mod machine;
mod memory;
mod pipeline;
mod restart;
mod service;
mod statistics;
mod threshold_latency;
mod tsbs;

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use self::machine::Machine;
use super::{Failure, Output};

/// The machine's own figures take so long.
const MACHINE: Duration = Duration::from_secs(2);

/// Measure this machine. Ratios within one run, arms interleaved, medians.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo run --release -- bench ingest\n  \
    cargo run --release -- bench ingest --seconds 5 --rounds 1 --arms endpoint\n  \
    cargo run --release -- bench latency\n\n\
    Only a release build is worth measuring. Absolute figures of a shared machine are noise;\n\
    the ratio to the baseline of the same run is the figure to quote.")]
pub struct Bench {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Messages per second: durable, acknowledged, queryable, against a loop that drops them.
    Ingest(ingest::IngestBench),
    /// Messages per second that one thread decodes, without network and disk.
    Decode(decode::DecodeBench),
    /// From a PUBLISH to its durable PUBACK, to SQL, to the alarm and the work order.
    Latency(latency::LatencyBench),
    /// Last values of one asset and of all over the PostgreSQL wire.
    LastValue(last_value::LastValueBench),
    /// How much slower queries are beside half the full rate of readings.
    Concurrent(concurrent::ConcurrentBench),
    /// To the first correct answer after `kill -9` with a large journal.
    Restart(restart::RestartBench),
    /// Resident memory that assets and idle connections add.
    Memory(memory::MemoryBench),
    /// The 13 queries of the TSBS IoT use case over data that went through the ingest path.
    Tsbs(tsbs::TsbsBench),
}

/// One figure.
#[derive(Debug, Clone)]
pub struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    /// Value of the arm that this one is held against.
    baseline: Option<f64>,
}

impl Bench {
    /// Runs the benchmark and prints its figures, the machine's own beside each.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        let disk = self.command.disk().to_owned();
        let machine = tokio::task::spawn_blocking(move || Machine::measure(&disk, MACHINE));
        let machine = machine.await.map_err(Failure::failed)??;
        for figure in self.command.run().await? {
            figure.print(output, &machine);
        }
        Ok(())
    }
}

impl Command {
    fn disk(&self) -> &Path {
        match self {
            Self::Ingest(command) => command.disk(),
            Self::Decode(command) => command.disk(),
            Self::Latency(command) => command.disk(),
            Self::LastValue(command) => command.disk(),
            Self::Concurrent(command) => command.disk(),
            Self::Restart(command) => command.disk(),
            Self::Memory(command) => command.disk(),
            Self::Tsbs(command) => command.disk(),
        }
    }

    async fn run(self) -> Result<Vec<Figure>, Failure> {
        match self {
            Self::Ingest(command) => command.run().await,
            Self::Decode(command) => command.run().await,
            Self::Latency(command) => command.run().await,
            Self::LastValue(command) => command.run().await,
            Self::Concurrent(command) => command.run().await,
            Self::Restart(command) => command.run().await,
            Self::Memory(command) => command.run().await,
            // Its lines carry rows and are printed as they come.
            Self::Tsbs(command) => command.run().await.map(|()| Vec::new()),
        }
    }
}

impl Figure {
    /// A figure that stands for itself.
    pub fn plain(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self::ratio(name, value, unit, None)
    }

    /// A figure that is held against another one of the same run.
    pub fn ratio(
        name: &'static str,
        value: f64,
        unit: &'static str,
        baseline: Option<f64>,
    ) -> Self {
        Self {
            name,
            value,
            unit,
            baseline,
        }
    }

    fn print(&self, output: Output, machine: &Machine) {
        let ratio = self.baseline.map(|baseline| self.value / baseline);
        let mut json = json!({ "name": self.name, "value": self.value, "unit": self.unit });
        let mut text = format!("{:<24} {:>12.2} {}", self.name, self.value, self.unit);
        if let (Some(baseline), Some(ratio)) = (self.baseline, ratio) {
            json["baseline"] = baseline.into();
            json["ratio"] = ratio.into();
            text.push_str(&format!("   {ratio:.3} of {baseline:.2}"));
        }
        json["sync_p50_ms"] = machine.sync_p50_ms.into();
        json["sync_p99_ms"] = machine.sync_p99_ms.into();
        json["read_mb_s"] = machine.read_mb_s.into();
        output.line(text, &json);
    }
}
