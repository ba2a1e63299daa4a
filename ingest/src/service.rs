//! The ingest pipeline as one thing: start it, hand it messages, look at it, stop it.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::clock::SharedClock;
use crate::config::{ConfigMistake, IngestConfig};
use crate::intake::Intake;
use crate::quarantine::Quarantine;
use crate::snapshot::{Committed, Snapshot};
use crate::stats::Stats;
use crate::tables::Snapshots;

/// Every commit in order, for those who follow the stream.
///
/// The follower reads until it ends, or drops it: a feed that nobody reads holds up the intake.
pub type Feed = mpsc::Receiver<Arc<Committed>>;

/// A running pipeline.
#[derive(Debug)]
pub struct Ingest {}

impl Ingest {
    /// Opens the data folder, replays its journal and starts the threads.
    pub fn start(
        _config: IngestConfig,
        _data_dir: &Path,
        _clock: SharedClock,
    ) -> Result<(Self, Feed), StartError> {
        todo!("lands within the hour")
    }
    /// The door for sources of messages; cheap to clone.
    pub fn intake(&self) -> Intake {
        todo!("lands within the hour")
    }
    /// The newest picture of all tables.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        todo!("lands within the hour")
    }
    /// A handle that loads the newest picture whenever asked; cheap to clone.
    pub fn snapshots(&self) -> Snapshots {
        todo!("lands within the hour")
    }
    /// The figures.
    pub fn stats(&self) -> Stats {
        todo!("lands within the hour")
    }
    /// The refused messages; cheap to clone.
    pub fn quarantine(&self) -> Quarantine {
        todo!("lands within the hour")
    }
    /// Brings everything submitted so far into files.
    pub async fn flush(&self) -> Result<(), Stopped> {
        todo!("lands within the hour")
    }
    /// Takes nothing more, flushes, stops the threads.
    pub async fn shutdown(&self) -> Result<(), Stopped> {
        todo!("lands within the hour")
    }
}

/// Why the pipeline does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has mistakes.
    #[error("the ingest configuration has {} mistakes", .0.len())]
    Config(Vec<ConfigMistake>),
}

/// The pipeline has stopped, or stopped before it could do this.
#[derive(Debug, thiserror::Error)]
#[error("the ingest pipeline has stopped")]
pub struct Stopped;
