//! Rows through the ingest path into a data folder of their own.

use std::path::Path;
use std::sync::Arc;

use fieldwright_ingest::clock::{RealClock, SharedClock, wall_now};
use fieldwright_ingest::source::{Delivery, Envelope, Receipt};
use fieldwright_ingest::{Ingest, IngestConfig, MappingRule, Snapshots};

use super::Failure;
use super::rows::Table;

/// Lines of one message, as a Telegraf would send them.
const LINES: usize = 500;
/// Messages that are handed over at once.
const MESSAGES: usize = 8;
const TOPIC: &str = "tsbs/lines";

const RULE: &str = r#"
topic = "tsbs/#"
codec = "line_protocol"
shared_assets = true
line_protocol = { asset_tag = ["name"], classes = { readings = "truck_readings", diagnostics = "truck_diagnostics" } }
"#;

/// A pipeline with its production settings and a mapping rule for the suite's lines.
#[derive(Debug)]
pub(super) struct Store {
    ingest: Arc<Ingest>,
    follower: tokio::task::JoinHandle<()>,
}

impl Store {
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let rule: MappingRule = toml::from_str(RULE).map_err(Failure::failed)?;
        let config = IngestConfig {
            rules: vec![rule],
            ..IngestConfig::default()
        };
        std::fs::create_dir_all(folder).map_err(Failure::failed)?;
        let clock: SharedClock = Arc::new(RealClock);
        let (ingest, mut feed) = Ingest::start(config, folder, clock).map_err(Failure::failed)?;
        Ok(Self {
            ingest: Arc::new(ingest),
            follower: tokio::spawn(async move { while feed.recv().await.is_some() {} }),
        })
    }

    /// Hands the rows over in their order.
    pub(super) async fn load(&self, table: &Table) -> Result<(), Failure> {
        let before = self.ingest.stats();
        let intake = self.ingest.intake();
        let (mut lines, mut written) = (String::new(), 0);
        let mut envelopes = Vec::new();
        for (place, row) in table.rows.iter().enumerate() {
            row.write_line(table, &mut lines);
            written += 1;
            let last = place + 1 == table.rows.len();
            if written == LINES || last {
                envelopes.push(Envelope {
                    topic: TOPIC.as_bytes().to_vec().into(),
                    payload: std::mem::take(&mut lines).into_bytes().into(),
                    received_at: wall_now(),
                });
                written = 0;
            }
            if envelopes.len() == MESSAGES || (last && !envelopes.is_empty()) {
                let delivery = Delivery {
                    envelopes: std::mem::take(&mut envelopes),
                    receipt: Receipt::none(),
                };
                intake.send(delivery).await.map_err(Failure::failed)?;
            }
        }
        self.ingest.flush().await.map_err(Failure::failed)?;
        let after = self.ingest.stats();
        let refused = after.rejected.values().sum::<u64>() - before.rejected.values().sum::<u64>();
        match refused {
            0 => Ok(()),
            refused => Err(Failure::Failed(format!(
                "{refused} messages of {} were refused",
                table.name
            ))),
        }
    }

    /// Brings everything into compacted files.
    pub(super) async fn settle(&self) -> Result<(), Failure> {
        self.ingest.flush().await.map_err(Failure::failed)?;
        self.ingest.compact().await.map_err(Failure::failed)
    }

    pub(super) fn snapshots(&self) -> Snapshots {
        self.ingest.snapshots()
    }

    /// Per class its rows and the bytes of its folder: files and log.
    pub(super) fn sizes(&self, folder: &Path) -> Result<Vec<(String, u64, u64)>, Failure> {
        let snapshot = self.ingest.snapshot();
        let sizes = snapshot.tables.iter().map(|(class, table)| {
            let rows = table.files.iter().map(|file| file.rows).sum();
            let files: u64 = table.files.iter().map(|file| file.bytes).sum();
            // The folders beside the files: the log and how far the class is flushed. Files that
            // the log no longer names stay some minutes for readers from outside and do not count.
            let folder = folder.join("lake").join(&**class);
            let beside = folder_bytes(&folder, false).map_err(Failure::failed)?;
            let bytes = files + beside;
            Ok((class.to_string(), rows, bytes))
        });
        sizes.collect()
    }

    pub(super) async fn stop(self) -> Result<(), Failure> {
        self.ingest.shutdown().await.map_err(Failure::failed)?;
        self.follower.abort();
        Ok(())
    }
}

/// What the folders in a folder take, with the files of the folder itself or without.
fn folder_bytes(folder: &Path, own: bool) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => folder_bytes(&entry.path(), true)?,
            false if own => entry.metadata()?.len(),
            false => 0,
        };
    }
    Ok(bytes)
}
