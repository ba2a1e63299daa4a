//! `fieldwright bench restart`: from the start after `kill -9` to the first correct answer, with a
//! journal of one gigabyte, held against reading that journal once.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use fieldwright_ingest::clock::{process_now, process_sleep, wall_now};
use serde_json::json;

use super::feeder::{Feed, feed_as_client};
use super::lines::{CLASS, Lines};
use super::machine::read_once;
use super::service::Service;
use super::{Failure, Figure};

/// Nothing goes to files: all is in the journal. Readings keep to it: seconds, rows, bytes.
const IN_THE_JOURNAL: [(&str, &str); 5] = [
    ("INGEST__FLUSH_SECONDS", "86400"),
    ("INGEST__FLUSH_ROWS", "100000000"),
    ("INGEST__MAX_HOT_ROWS", "100000000"),
    ("INGEST__FLUSH_BYTES", "17179869184"),
    ("INGEST__MAX_HOT_BYTES", "17179869184"),
];
/// The journal is looked at after so much feeding.
const SPELL: Duration = Duration::from_millis(500);

/// Seconds to the first correct answer.
#[derive(Debug, Args)]
pub struct RestartBench {
    /// Size of the journal.
    #[arg(long, value_name = "MB", default_value_t = 1_000)]
    journal: u64,
    /// Folder on the disk that is to be measured; the current one by default.
    #[arg(long, value_name = "DIR", default_value = ".")]
    disk: PathBuf,
}

impl RestartBench {
    /// The folder whose disk is measured.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Fills, kills, starts, asks.
    pub async fn run(self) -> Result<Vec<Figure>, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("fieldwright-restart-")
            .tempdir_in(&self.disk)
            .map_err(Failure::failed)?;
        let data = dir.path().join("data");
        let service = Service::start(&data, &IN_THE_JOURNAL).await?;
        let address = service.mqtt()?;
        let mut start = (wall_now() - TimeDelta::days(20)).timestamp() * 1_000_000_000;
        let mut sent = 0;
        while bytes(&data)? < self.journal * 1_000_000 {
            let feed = Feed::flat_out(Lines::new(start), SPELL);
            let feeding = tokio::task::spawn_blocking(move || feed_as_client(address, feed));
            let fed = feeding.await.map_err(Failure::failed)?;
            sent += fed.map_err(Failure::failed)?.acknowledged;
            // Each spell has a day of its own, so that no line comes twice.
            start += 86_400_000_000_000;
        }
        service.kill()?;
        let journal = bytes(&data)?;
        let mut reading = Duration::ZERO;
        for file in files(&data)? {
            reading += read_from_disk(&file).map_err(Failure::failed)?;
            forget(&file);
        }
        let began = process_now();
        let service = Service::start(&data, &IN_THE_JOURNAL).await?;
        let sql = format!("SELECT count(*) FROM {CLASS}");
        let counted = loop {
            match service.rows(&sql).await {
                Ok(rows) => break rows[0][0].clone(),
                Err(_) if began.elapsed() < Duration::from_secs(300) => {
                    process_sleep(Duration::from_millis(5)).await;
                }
                Err(error) => return Err(error),
            }
        };
        let elapsed = began.elapsed();
        if counted != json!(sent) {
            return Err(Failure::Failed(format!(
                "{sent} messages were acknowledged, but {counted} rows are there"
            )));
        }
        eprintln!(
            "{sent} messages in {:.0} MB of journal, read once in {:.2} s; {counted} rows after {:.2} s",
            journal as f64 / 1e6,
            reading.as_secs_f64(),
            elapsed.as_secs_f64()
        );
        let (value, baseline) = (elapsed.as_secs_f64(), reading.as_secs_f64());
        Ok(vec![Figure::ratio(
            "restart/first-answer",
            value,
            "s",
            Some(baseline),
        )])
    }
}

/// How long the disk takes to hand a file over, past the page cache where `dd` can do that.
fn read_from_disk(file: &Path) -> std::io::Result<Duration> {
    let mut from = OsString::from("if=");
    from.push(file);
    let began = process_now();
    let read = Command::new("dd")
        .arg(from)
        .args(["of=/dev/null", "bs=4M", "iflag=direct", "status=none"])
        .status();
    match read {
        Ok(status) if status.success() => Ok(began.elapsed()),
        _ => {
            eprintln!(
                "{} is read from the page cache: dd cannot read past it",
                file.display()
            );
            read_once(file)
        }
    }
}

/// Drops a file from the page cache, so that the start finds it where the reading found it.
fn forget(file: &Path) {
    let mut from = OsString::from("if=");
    from.push(file);
    let forgotten = Command::new("dd")
        .arg(from)
        .args(["iflag=nocache", "count=0", "status=none"])
        .status();
    if !forgotten.is_ok_and(|status| status.success()) {
        let file = file.display();
        eprintln!("{file} stays in the page cache: dd cannot drop it");
    }
}

fn files(data: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(data.join("journal")).map_err(Failure::failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<Result<_, _>>().map_err(Failure::failed)
}

fn bytes(data: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for file in files(data)? {
        bytes += std::fs::metadata(file).map_err(Failure::failed)?.len();
    }
    Ok(bytes)
}
