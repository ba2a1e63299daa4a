//! What the machine itself does: the figures that stand beside every other one.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use fieldwright_ingest::clock::process_now;

use super::Failure;
use super::statistics::quantile;

/// Bytes of one append.
const APPEND: usize = 64 * 1024;
/// Bytes of the file that is read.
const READ: usize = 256 * 1024 * 1024;

/// Figures of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// An append of 64 KiB with its fdatasync. **Units**: milliseconds.
    pub sync_p50_ms: f64,
    /// The same, the slowest of a hundred.
    pub sync_p99_ms: f64,
    /// A file read once from the page cache. **Units**: megabytes a second.
    pub read_mb_s: f64,
}

impl Machine {
    /// Measures for about the time given, on the disk of `folder`.
    pub fn measure(folder: &Path, lasting: Duration) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("fieldwright-machine-")
            .tempdir_in(folder)
            .map_err(Failure::failed)?;
        let mut syncs = syncs(&folder.path().join("appended"), lasting).map_err(Failure::failed)?;
        let read_mb_s = read(&folder.path().join("read")).map_err(Failure::failed)?;
        Ok(Self {
            sync_p50_ms: quantile(&mut syncs, 0.5).unwrap_or_default(),
            sync_p99_ms: quantile(&mut syncs, 0.99).unwrap_or_default(),
            read_mb_s,
        })
    }
}

/// Milliseconds of each append of a loop.
pub fn syncs(path: &Path, lasting: Duration) -> std::io::Result<Vec<f64>> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = vec![0x5A; APPEND];
    let began = process_now();
    let mut syncs = Vec::new();
    while began.elapsed() < lasting || syncs.is_empty() {
        let at = process_now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        syncs.push(at.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(syncs)
}

fn read(path: &Path) -> std::io::Result<f64> {
    let mut file = File::create(path)?;
    let bytes = vec![0x5A; 1024 * 1024];
    for _ in 0..READ / bytes.len() {
        file.write_all(&bytes)?;
    }
    file.sync_data()?;
    Ok(READ as f64 / 1e6 / read_once(path)?.as_secs_f64())
}

/// How long it takes to read a file from its beginning to its end.
pub fn read_once(path: &Path) -> std::io::Result<Duration> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; 1024 * 1024];
    let began = process_now();
    while file.read(&mut bytes)? > 0 {}
    Ok(began.elapsed())
}
