//! `fieldwright bench memory`: resident memory that assets and idle connections add.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use fieldwright_ingest::clock::{process_now, process_sleep, wall_now};

use super::feeder::{connect, publish_all};
use super::service::Service;
use super::{Failure, Figure};

/// Metrics of each asset.
const METRICS: usize = 10;
/// Rows leave memory soon, so that what stays is what an asset takes.
const SOON_IN_FILES: [(&str, &str); 1] = [("INGEST__FLUSH_SECONDS", "1")];
/// Memory is looked at when nothing has happened for so long.
const REST: Duration = Duration::from_secs(5);

/// Megabytes that are added.
#[derive(Debug, Args)]
pub struct MemoryBench {
    /// Assets, each with ten last values.
    #[arg(long, default_value_t = 100_000)]
    assets: usize,
    /// Idle connections. Both processes need so many open files (`ulimit -n`).
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Folder for the data; the current one by default.
    #[arg(long, value_name = "DIR", default_value = ".")]
    disk: PathBuf,
}

impl MemoryBench {
    /// The folder whose disk is measured.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Each on a service of its own.
    pub async fn run(self) -> Result<Vec<Figure>, Failure> {
        let assets = self.of_assets().await?;
        let connections = self.of_connections().await?;
        let megabytes = |name, bytes: u64| Figure::plain(name, bytes as f64 / 1e6, "MB");
        Ok(vec![
            megabytes("memory/assets", assets),
            megabytes("memory/connections", connections),
        ])
    }

    async fn of_assets(&self) -> Result<u64, Failure> {
        let (dir, data) = self.folder()?;
        let service = Service::start(&data, &SOON_IN_FILES).await?;
        // The class, its table and one flush are there before.
        self.publish(&service, 1).await?;
        self.until_in_files(&service, 1).await?;
        let before = service.resident()?;
        self.publish(&service, self.assets).await?;
        self.until_in_files(&service, self.assets).await?;
        let after = service.resident()?;
        eprintln!(
            "{} assets: {before} bytes resident, then {after}",
            self.assets
        );
        service.kill()?;
        drop(dir);
        Ok(after.saturating_sub(before))
    }

    async fn of_connections(&self) -> Result<u64, Failure> {
        let (dir, data) = self.folder()?;
        let service = Service::start(&data, &SOON_IN_FILES).await?;
        process_sleep(REST).await;
        let (before, address, count) = (service.resident()?, service.mqtt()?, self.connections);
        let connecting = tokio::task::spawn_blocking(move || {
            let one = |number| connect(address, &format!("idle-{number}"));
            (0..count).map(one).collect::<std::io::Result<Vec<_>>>()
        });
        let connections = connecting.await.map_err(Failure::failed)?;
        let connections = connections.map_err(Failure::failed)?;
        process_sleep(REST).await;
        let after = service.resident()?;
        eprintln!("{count} connections: {before} bytes resident, then {after}");
        drop(connections);
        service.kill()?;
        drop(dir);
        Ok(after.saturating_sub(before))
    }

    fn folder(&self) -> Result<(tempfile::TempDir, PathBuf), Failure> {
        let dir = tempfile::Builder::new()
            .prefix("fieldwright-memory-")
            .tempdir_in(&self.disk)
            .map_err(Failure::failed)?;
        let data = dir.path().join("data");
        Ok((dir, data))
    }

    async fn publish(&self, service: &Service, assets: usize) -> Result<(), Failure> {
        let address = service.mqtt()?;
        let published = tokio::task::spawn_blocking(move || publish_assets(address, assets)).await;
        published.map_err(Failure::failed)?.map_err(Failure::failed)
    }

    /// Waits until the assets are known and nothing has changed for a while.
    async fn until_in_files(&self, service: &Service, assets: usize) -> Result<(), Failure> {
        let sql = "SELECT count(DISTINCT asset) FROM last_values";
        let began = process_now();
        while service.rows(sql).await?[0][0].as_u64() != Some(assets as u64) {
            if began.elapsed() > Duration::from_secs(60) {
                return Err(Failure::Failed(format!(
                    "{assets} assets are not all there"
                )));
            }
            process_sleep(Duration::from_millis(200)).await;
        }
        process_sleep(REST).await;
        Ok(())
    }
}

/// One message with ten metrics of each asset.
pub fn publish_assets(address: std::net::SocketAddr, assets: usize) -> std::io::Result<()> {
    let time = wall_now().timestamp_millis();
    let messages = (0..assets).map(|asset| {
        let metrics = (0..METRICS).map(|metric| {
            let value = (asset * 7 + metric * 13) % 1000;
            format!("\"metric_{metric}\":{}.{:02}", value / 10, value % 100)
        });
        let metrics = metrics.collect::<Vec<_>>().join(",");
        (
            format!("fieldwright/bench/asset-{asset}"),
            format!("{{\"time\":{time},\"metrics\":{{{metrics}}}}}"),
        )
    });
    publish_all(connect(address, "assets")?, messages)?;
    Ok(())
}
