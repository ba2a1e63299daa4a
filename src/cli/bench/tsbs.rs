//! `fieldwright bench tsbs`: the IoT use case of the Time Series Benchmark Suite.
//!
//! Rows go through the ingest path, as the lines that a Telegraf would send, in the order in which
//! they arrive (or sorted, to show that this changes no answer). Then the 13 queries run, each in
//! the form that uses all we have and, where that is a last value or a roll-up, also in the form
//! that reads the rows.

mod generate;
mod load;
mod queries;
mod rows;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use fieldwright_analytics::sql::{Answer, SqlEngine, SqlLimits};
use fieldwright_ingest::clock::{RealClock, process_now};
use serde_json::json;

use self::generate::Plan;
use self::queries::Query;
use self::rows::Table;
use super::super::output::with_causes;
use super::Failure;

/// The 13 queries of the TSBS IoT use case.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo run --release -- bench tsbs --data ../shared/data/tsbs_iot --out ours\n  \
    cargo run --release -- bench tsbs --trucks 100 --hours 2\n\n\
    tests/judges/tsbs_peers.py holds the figures and the answers against DuckDB and chDB."
)]
pub struct TsbsBench {
    /// Folder with readings.parquet and diagnostics.parquet, in the order of arrival; without it
    /// such data is made.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder for the answers, one <query>.csv each.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The order in which the rows are loaded.
    #[arg(long, value_enum, default_value_t = Order::Arrival)]
    order: Order,
    /// Runs of each query; the best counts.
    #[arg(long, default_value_t = 7)]
    repeat: usize,
    /// Threads of a query.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Folder on the disk that is to hold the data folder; the current one by default.
    #[arg(long, value_name = "DIR", default_value = ".")]
    disk: PathBuf,
    /// Keep the data folder, or use one that was kept: then nothing is loaded.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print the plans, too.
    #[arg(long)]
    explain: bool,
    /// Trucks of made data.
    #[arg(long, default_value_t = 400)]
    trucks: usize,
    /// Hours of made data.
    #[arg(long, default_value_t = 12)]
    hours: usize,
    /// Seed of made data.
    #[arg(long, default_value_t = 123)]
    seed: u64,
}

/// The order in which rows are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// As they stand in the files: late and repeated ones where they came.
    Arrival,
    /// By truck and time; of rows of one truck and time the later one alone.
    Sorted,
}

impl TsbsBench {
    /// The disk that is measured.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Loads, asks and prints one line of JSON per figure.
    pub async fn run(self) -> Result<(), Failure> {
        let kept = self.keep.clone();
        let temporary = tempfile::Builder::new()
            .prefix("fieldwright-tsbs-")
            .tempdir_in(&self.disk)
            .map_err(Failure::failed)?;
        let folder = kept.as_deref().unwrap_or(temporary.path());
        let loaded = match folder.join("lake").exists() {
            true => None,
            false => Some(self.tables()?),
        };
        let store = load::Store::open(folder)?;
        if let Some(tables) = loaded {
            self.load(&store, tables, folder).await?;
        }
        let engine = engine(&store, self.threads);
        let out = self.out.as_deref();
        for query in queries::all() {
            self.ask(&engine, "tsbs", &query.name, query.sql, out)
                .await?;
        }
        for query in queries::all() {
            let Query { name, scan, .. } = query;
            let out = out.map(|out| out.join("scan"));
            self.ask(&engine, "tsbs-scan", &name, scan, out.as_deref())
                .await?;
        }
        store.stop().await
    }

    fn tables(&self) -> Result<Vec<Table>, Failure> {
        match &self.data {
            Some(folder) => rows::read(folder),
            None => Ok(generate::tables(&Plan {
                trucks: self.trucks,
                hours: self.hours,
                seed: self.seed,
            })),
        }
    }

    async fn load(
        &self,
        store: &load::Store,
        tables: Vec<Table>,
        folder: &Path,
    ) -> Result<(), Failure> {
        let begun = process_now();
        let mut rows = 0;
        for table in tables {
            let table = match self.order {
                Order::Arrival => table,
                Order::Sorted => table.sorted(),
            };
            rows += table.len();
            store.load(&table).await?;
        }
        store.settle().await?;
        let seconds = begun.elapsed().as_secs_f64();
        eprintln!("{rows} rows loaded, flushed and compacted in {seconds:.1} s");
        for (class, rows, bytes) in store.sizes(folder)? {
            print(&json!({
                "name": format!("tsbs/bytes-per-row/{class}"),
                "value": round(bytes as f64 / rows as f64),
                "unit": "bytes/row",
                "rows": rows,
            }));
        }
        Ok(())
    }

    async fn ask(
        &self,
        engine: &SqlEngine,
        set: &str,
        name: &str,
        sql: &str,
        out: Option<&Path>,
    ) -> Result<(), Failure> {
        let failed = |error| Failure::Failed(format!("{set}/{name}: {}", with_causes(&error)));
        let mut best = f64::INFINITY;
        let mut answer: Option<Answer> = None;
        for _ in 0..self.repeat.max(1) {
            let begun = process_now();
            answer = Some(engine.query(sql).await.map_err(failed)?);
            best = best.min(begun.elapsed().as_secs_f64() * 1000.0);
        }
        let rows = answer.as_ref().map_or(0, Answer::rows);
        if let (Some(out), Some(answer)) = (out, &answer) {
            queries::write(&out.join(format!("{name}.csv")), answer)?;
        }
        print(&json!({
            "name": format!("{set}/{name}"), "value": round(best), "unit": "ms", "rows": rows,
        }));
        if self.explain {
            let plan = engine
                .query(&format!("EXPLAIN ANALYZE {sql}"))
                .await
                .map_err(failed)?;
            eprintln!("{}", queries::plan_text(&plan));
        }
        Ok(())
    }
}

fn engine(store: &load::Store, threads: usize) -> SqlEngine {
    let limits = SqlLimits {
        partitions: threads,
        memory_bytes: 1 << 30,
        ..SqlLimits::default()
    };
    SqlEngine::new(store.snapshots(), None, Arc::new(RealClock), limits)
}

fn print(line: &serde_json::Value) {
    super::super::Output::Json.line("", line);
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
