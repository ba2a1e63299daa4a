//! `fieldwright bench ingest | latency`.

mod feeder;
mod ingest;
mod latency;
mod statistics;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Output};

/// Measure this machine. Ratios within one run, arms interleaved, medians.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo run --release -- bench ingest\n  \
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
    /// From the PUBLISH that completes an episode to the committed alarm and work order.
    Latency(latency::LatencyBench),
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
    /// Runs the benchmark and prints its figures.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        let figures = match self.command {
            Command::Ingest(command) => command.run().await?,
            Command::Latency(command) => command.run().await?,
        };
        for figure in figures {
            figure.print(output);
        }
        Ok(())
    }
}

impl Figure {
    fn print(&self, output: Output) {
        let ratio = self.baseline.map(|baseline| self.value / baseline);
        let mut json = json!({ "name": self.name, "value": self.value, "unit": self.unit });
        let mut text = format!("{:<24} {:>12.2} {}", self.name, self.value, self.unit);
        if let (Some(baseline), Some(ratio)) = (self.baseline, ratio) {
            json["baseline"] = baseline.into();
            json["ratio"] = ratio.into();
            text.push_str(&format!("   {ratio:.3} of {baseline:.0}"));
        }
        output.line(text, &json);
    }
}
