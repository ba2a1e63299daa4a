//! What a disk, a power cut or a device may do, against the promise of the whole pipeline.
//!
//! Seeded; quick by default. `docs/development.md` says how to run the full versions.

mod clock_skew;
mod counts;
mod disk_full;
mod drift;
mod forgetful_disk;
mod power_loss;
mod replays;
mod session_log;
pub(crate) mod watched_disk;

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::clock::ManualClock;
use crate::source::{Delivery, Envelope, Receipt};
use crate::{Feed, Ingest, IngestConfig};

const START: i64 = 1_772_434_800_000;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(START + 3_600_000).unwrap()
}

fn start(config: &IngestConfig, folder: &Path) -> (Ingest, Feed) {
    let clock = Arc::new(ManualClock::new(now()));
    Ingest::start(config.clone(), folder, clock).unwrap()
}

/// How often a test repeats: by the environment, or a few times.
fn times(variable: &str, quick: u64) -> u64 {
    std::env::var(variable).map_or(quick, |text| text.parse().expect(variable))
}

fn reading(class: &str, asset: &str, after: i64, metrics: &str) -> Envelope {
    let payload = format!("{{\"time\":{},\"metrics\":{{{metrics}}}}}", START + after);
    Envelope {
        topic: Bytes::from(format!("fieldwright/{class}/{asset}")),
        payload: payload.into(),
        received_at: now(),
    }
}

/// What was acknowledged, by the numbers that the sender gave.
#[derive(Debug, Clone, Default)]
struct Acknowledged(Arc<Mutex<Vec<u64>>>);

impl Acknowledged {
    /// A delivery whose receipt notes `numbers`.
    fn delivery(&self, envelopes: Vec<Envelope>, numbers: Vec<u64>) -> Delivery {
        let noted = self.0.clone();
        Delivery {
            envelopes,
            receipt: Receipt::new(move || noted.lock().unwrap().extend(numbers)),
        }
    }

    fn numbers(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

/// No test waits forever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    let patience = std::time::Duration::from_secs(60);
    let answer = tokio::time::timeout(patience, future).await;
    answer.expect("it happens in time")
}

/// Hands over messages and waits until they are acknowledged.
async fn put(ingest: &Ingest, envelopes: Vec<Envelope>) {
    let (done, acknowledged) = tokio::sync::oneshot::channel();
    let receipt = Receipt::new(move || {
        let _ = done.send(());
    });
    let delivery = Delivery { envelopes, receipt };
    ingest.intake().send(delivery).await.unwrap();
    within(acknowledged).await.unwrap();
}

/// Rows whose key no other row has: those in order.
fn in_order_rows(snapshot: &crate::snapshot::Snapshot) -> u64 {
    let tables = snapshot.tables.values();
    let rows = tables.map(|table| {
        let hot = table.hot.iter().map(|rows| rows.batch.num_rows() as u64);
        hot.sum::<u64>() + table.files.iter().map(|file| file.rows).sum::<u64>()
    });
    rows.sum()
}

/// What `kill -9` would leave at this instant. The journal first: a copy of a living folder must
/// not find the trim of a flush whose log entry it missed.
pub(crate) fn as_killed(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for part in ["journal", "quarantine", "lake"] {
        copy_folder(&folder.join(part), &copy.path().join(part));
    }
    let checkpoint = crate::last_values::checkpoint::NAME;
    if folder.join(checkpoint).exists() {
        std::fs::copy(folder.join(checkpoint), copy.path().join(checkpoint)).unwrap();
    }
    copy
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let entries = std::fs::read_dir(from).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    // A table's log before its files: what a compaction replaced is still there.
    paths.sort_by_key(|path| !path.ends_with("_delta_log"));
    for path in paths {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            // What was being written when the folder was listed has its name by now.
            drop(std::fs::copy(&path, &target));
        }
    }
}

/// A small seeded generator.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5EED);
        random.below(2);
        random
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most.max(1)
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
