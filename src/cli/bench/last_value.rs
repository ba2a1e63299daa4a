//! `fieldwright bench last-value`: the last values of one asset and of all, over the PostgreSQL wire.

use std::path::{Path, PathBuf};

use clap::Args;
use fieldwright_ingest::clock::process_now;
use sqlx::{Connection as _, PgConnection};

use super::memory::publish_assets;
use super::service::Service;
use super::statistics::quantile;
use super::{Failure, Figure};

/// Milliseconds from the question to the last row.
#[derive(Debug, Args)]
pub struct LastValueBench {
    /// Assets, each with ten last values.
    #[arg(long, default_value_t = 100_000)]
    assets: usize,
    /// Questions for one asset.
    #[arg(long, default_value_t = 2_000)]
    ones: usize,
    /// Questions for all assets.
    #[arg(long, default_value_t = 200)]
    alls: usize,
    /// Folder for the data; the current one by default.
    #[arg(long, value_name = "DIR", default_value = ".")]
    disk: PathBuf,
}

impl LastValueBench {
    /// The folder whose disk is measured.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Publishes, then asks.
    pub async fn run(self) -> Result<Vec<Figure>, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("fieldwright-last-")
            .tempdir_in(&self.disk)
            .map_err(Failure::failed)?;
        // A row of an answer is an asset.
        let rows = self.assets.max(10_000).to_string();
        let service =
            Service::start(&dir.path().join("data"), &[("SQL__ROW_LIMIT", &rows)]).await?;
        let (address, assets) = (service.mqtt()?, self.assets);
        let published = tokio::task::spawn_blocking(move || publish_assets(address, assets)).await;
        published
            .map_err(Failure::failed)?
            .map_err(Failure::failed)?;
        let url = service.postgres()?;
        let mut door = PgConnection::connect(&url).await.map_err(Failure::failed)?;
        let mut ones = Vec::new();
        for number in 0..self.ones {
            let asset = number * 7_919 % self.assets;
            let sql =
                format!("SELECT time, metric_0 FROM bench_last WHERE asset = 'asset-{asset}'");
            ones.push(ask(&mut door, sql, 1).await?);
        }
        let mut alls = Vec::new();
        for _ in 0..self.alls {
            let sql = "SELECT asset, time, metric_0 FROM bench_last".to_owned();
            alls.push(ask(&mut door, sql, self.assets).await?);
        }
        service.kill()?;
        let figure = |name, values: &mut Vec<f64>, share| {
            quantile(values, share)
                .map(|value| Figure::plain(name, value, "ms"))
                .ok_or_else(|| Failure::Failed(format!("{name}: nothing was asked")))
        };
        Ok(vec![
            figure("last-value/one-p50", &mut ones, 0.5)?,
            figure("last-value/one-p99", &mut ones, 0.99)?,
            figure("last-value/all-p50", &mut alls, 0.5)?,
            figure("last-value/all-p99", &mut alls, 0.99)?,
        ])
    }
}

/// Milliseconds of one question, whose rows are counted.
async fn ask(door: &mut PgConnection, sql: String, expected: usize) -> Result<f64, Failure> {
    let began = process_now();
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .fetch_all(door)
        .await
        .map_err(Failure::failed)?;
    let elapsed = began.elapsed().as_secs_f64() * 1000.0;
    match rows.len() {
        rows if rows == expected => Ok(elapsed),
        rows => Err(Failure::Failed(format!(
            "{rows} rows came where {expected} were expected"
        ))),
    }
}
