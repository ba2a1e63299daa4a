//! What the system is asked to sync, and in which order, as `strace` sees it: the data, its folder,
//! the log's entry, its folder; and only then is the journal trimmed.

use std::process::Command;

use crate::clock::RealClock;
use crate::config::IngestConfig;
use crate::service::Ingest;
use crate::source::{Delivery, Envelope, Receipt};

use super::*;

/// Names the folder for the process that is watched.
const FOLDER: &str = "FIELDWRIGHT_SYNCS_FOLDER";

#[test]
fn everything_is_synced_before_the_journal_is_trimmed() {
    if let Ok(folder) = std::env::var(FOLDER) {
        return flush_once(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let watched = Command::new("strace")
        .args(["-f", "-y", "-s", "300", "-o"])
        .arg(&trace)
        .args([
            "-e",
            "trace=fsync,fdatasync,link,linkat,rename,renameat,renameat2,unlink,unlinkat",
        ])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "lake::tests::syncs::everything_is_synced_before_the_journal_is_trimmed",
        ])
        .env(FOLDER, &data)
        .output();
    let said = fs::read_to_string(&trace).unwrap_or_default();
    match watched {
        Ok(output) if output.status.success() && said.contains("sync") => {}
        Ok(output) if !said.contains("sync") => {
            let talk = String::from_utf8_lossy(&output.stderr);
            eprintln!("skipped: strace cannot watch here ({})", talk.trim());
            return;
        }
        Err(error) => {
            eprintln!("skipped: there is no strace here ({error})");
            return;
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stdout)),
    }
    // One step after the other, each the first one of its kind after the step before.
    let steps: [(&str, &str, &str); 8] = [
        ("the journal's record", "fdatasync(", ".wal>"),
        ("the data", "fsync(", "pump/0000000001-rows.parquet#"),
        ("its name", "link", "pump/0000000001-rows.parquet\""),
        ("its folder", "fsync(", "/lake/pump>"),
        (
            "the entry",
            "fsync(",
            "_delta_log/00000000000000000000.json#",
        ),
        ("its name", "link", "_delta_log/00000000000000000000.json\""),
        ("its folder", "fsync(", "/lake/pump/_delta_log>"),
        ("the trim of the journal", "unlink", ".wal\""),
    ];
    let mut lines = said.lines();
    for (what, call, path) in steps {
        let found = lines.any(|line| line.contains(call) && line.contains(path));
        assert!(found, "no sync of {what} where it should be:\n{said}");
    }
    // No record of the journal went before.
    let trims = said
        .lines()
        .filter(|line| line.contains("unlink") && line.contains(".wal\""));
    let folder = said.find("/lake/pump/_delta_log>").unwrap();
    for trim in trims {
        assert!(said.find(trim).unwrap() > folder, "{trim}");
    }
}

fn flush_once(folder: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = IngestConfig::default();
        let (ingest, _feed) = Ingest::start(config, folder, Arc::new(RealClock)).unwrap();
        let (done, confirmed) = tokio::sync::oneshot::channel();
        let envelope = Envelope {
            topic: Bytes::from_static(b"fieldwright/pump/P1"),
            payload: Bytes::from_static(b"{\"time\":1772434800000,\"metrics\":{\"a\":1}}").into(),
            received_at: DateTime::<Utc>::from_timestamp_millis(START).unwrap(),
        };
        let delivery = Delivery {
            envelopes: vec![envelope],
            receipt: Receipt::new(move || {
                let _ = done.send(());
            }),
        };
        ingest.intake().send(delivery).await.unwrap();
        confirmed.await.unwrap();
        ingest.flush().await.unwrap();
        ingest.shutdown().await.unwrap();
    });
}
