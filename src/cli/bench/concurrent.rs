//! `fieldwright bench concurrent`: how much slower one thread of queries is while readings come in
//! at half the full rate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use fieldwright_analytics::sql::{SqlEngine, SqlLimits};
use fieldwright_ingest::clock::{RealClock, process_now, wall_now};

use super::feeder::{Fed, Feed, feed_as_client};
use super::lines::{CLASS, Lines};
use super::pipeline::Pipeline;
use super::statistics::median;
use super::{Failure, Figure};

/// The ratio of the medians.
#[derive(Debug, Args)]
pub struct ConcurrentBench {
    /// Seconds of each part: loading at the full rate, asking alone, asking while loading.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Folder on the disk that is to be measured; the current one by default.
    #[arg(long, value_name = "DIR", default_value = ".")]
    disk: PathBuf,
}

impl ConcurrentBench {
    /// The folder whose disk is measured.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Loads, asks, asks while loading.
    pub async fn run(self) -> Result<Vec<Figure>, Failure> {
        let lasting = Duration::from_secs_f64(self.seconds);
        let pipeline = Pipeline::start(&self.disk)?;
        let endpoint = pipeline.endpoint().await?;
        let address = endpoint.local_addr();
        let start = (wall_now() - TimeDelta::days(20)).timestamp() * 1_000_000_000;
        let feed = Feed::flat_out(Lines::new(start), lasting);
        let full = tokio::task::spawn_blocking(move || feed_as_client(address, feed)).await;
        let full: Fed = full.map_err(Failure::failed)?.map_err(Failure::failed)?;
        pipeline.ingest.compact().await.map_err(Failure::failed)?;

        let limits = SqlLimits {
            partitions: 1,
            ..SqlLimits::default()
        };
        let engine = SqlEngine::new(
            pipeline.ingest.snapshots(),
            None,
            Arc::new(RealClock),
            limits,
        );
        // A fixed set of rows, so that both parts ask the same.
        let until = wall_now() - TimeDelta::days(20) + TimeDelta::hours(1);
        let sql = format!(
            "SELECT asset, avg(velocity), max(fuel_consumption) FROM {CLASS} \
             WHERE time < TIMESTAMP '{}' GROUP BY asset",
            until.format("%Y-%m-%dT%H:%M:%SZ")
        );
        let mut alone = asked(&engine, &sql, lasting, || false).await?;
        let rate = full.rate() / 2.0;
        let later = start + 10 * 86_400_000_000_000;
        let feed = Feed {
            rate: Some(rate),
            ..Feed::flat_out(Lines::new(later), lasting)
        };
        let feeding = std::thread::spawn(move || feed_as_client(address, feed));
        let mut beside = asked(&engine, &sql, lasting, || feeding.is_finished()).await?;
        let fed = tokio::task::spawn_blocking(move || feeding.join()).await;
        let fed = fed.map_err(Failure::failed)?;
        let fed = fed.map_err(|_| Failure::Failed("the feeder panicked".into()))?;
        let fed = fed.map_err(Failure::failed)?;
        endpoint.shutdown().await;
        pipeline.stop(None).await?;
        eprintln!(
            "{} queries alone, {} beside {:.0} messages/s (full rate {:.0})",
            alone.len(),
            beside.len(),
            fed.rate(),
            full.rate()
        );
        let (alone, beside) = (median(&mut alone), median(&mut beside));
        let (Some(alone), Some(beside)) = (alone, beside) else {
            return Err(Failure::Failed(
                "no query ended in its time; take more --seconds".into(),
            ));
        };
        let figure = Figure::ratio("concurrent/query", beside, "ms", Some(alone));
        Ok(vec![figure])
    }
}

/// Milliseconds of each query, one after the other.
async fn asked(
    engine: &SqlEngine,
    sql: &str,
    lasting: Duration,
    is_over: impl Fn() -> bool,
) -> Result<Vec<f64>, Failure> {
    let began = process_now();
    let mut times = Vec::new();
    while began.elapsed() < lasting && !is_over() {
        let at = process_now();
        engine.query(sql).await.map_err(Failure::failed)?;
        times.push(at.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}
