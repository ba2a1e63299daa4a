//! The durable path with its production settings, within this process.

use std::path::Path;
use std::sync::Arc;

use fieldwright_ingest::clock::{RealClock, SharedClock};
use fieldwright_ingest::mqtt::{Endpoint, EndpointConfig};
use fieldwright_ingest::{Ingest, IngestConfig};

use super::Failure;
use super::feeder::Fed;

/// A pipeline in a folder that goes with it.
pub struct Pipeline {
    /// The pipeline.
    pub ingest: Arc<Ingest>,
    /// Its clock.
    pub clock: SharedClock,
    follower: tokio::task::JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Pipeline {
    /// Starts one on the disk of a folder.
    pub fn start(disk: &Path) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("fieldwright-bench-")
            .tempdir_in(disk)
            .map_err(Failure::failed)?;
        let clock: SharedClock = Arc::new(RealClock);
        let (ingest, mut feed) = Ingest::start(IngestConfig::default(), dir.path(), clock.clone())
            .map_err(Failure::failed)?;
        Ok(Self {
            ingest: Arc::new(ingest),
            clock,
            // Somebody must read the feed, as detection does in a service.
            follower: tokio::spawn(async move { while feed.recv().await.is_some() {} }),
            dir,
        })
    }

    /// Our endpoint in front of it.
    pub async fn endpoint(&self) -> Result<Endpoint, Failure> {
        let config = EndpointConfig {
            rules: Some(IngestConfig::default().rules),
            folder: Some(self.dir.path().join("mqtt")),
            ..EndpointConfig::new(([127, 0, 0, 1], 0).into())
        };
        Endpoint::start(config, self.ingest.intake(), self.clock.clone())
            .await
            .map_err(Failure::failed)
    }

    /// Stops, after it has made sure that what was acknowledged is there.
    pub async fn stop(self, fed: Option<&Fed>) -> Result<(), Failure> {
        let stats = self.ingest.stats();
        eprintln!(
            "  {} messages, {} flushes, {} compactions, {} files, hot rows at the end {}",
            stats.accepted_messages, stats.flushes, stats.compactions, stats.files, stats.hot_rows
        );
        self.ingest.shutdown().await.map_err(Failure::failed)?;
        self.follower.abort();
        let stored = stats.accepted_messages;
        match fed {
            Some(fed) if fed.acknowledged != stored => Err(Failure::Failed(format!(
                "{} messages were acknowledged, but {stored} are stored ({:?} refused)",
                fed.acknowledged, stats.rejected
            ))),
            _ => Ok(()),
        }
    }
}
