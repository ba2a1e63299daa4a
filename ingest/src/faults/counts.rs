//! Counts while rows become files and files become other files: never short, never double.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{in_order_rows, put, reading, start, times};
use crate::IngestConfig;

/// Flushes, with compactions between them, during which it counts at least.
const FLUSHES: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_rise_by_what_was_put_during_flushes_and_compactions() {
    let counts = times("FIELDWRIGHT_COUNTS", 10_000);
    let folder = tempfile::tempdir().unwrap();
    let config = IngestConfig {
        batch_ms: 0,
        flush_rows: 60,
        compact_files: 2,
        tombstone_seconds: 0,
        ..IngestConfig::default()
    };
    let (ingest, _feed) = start(&config, folder.path());
    let ingest = Arc::new(ingest);
    let done = Arc::new(AtomicBool::new(false));
    let enough = Arc::new(AtomicBool::new(false));
    let (sent, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counting = {
        let (snapshots, done) = (ingest.snapshots(), done.clone());
        let enough = enough.clone();
        let (sent, acknowledged) = (sent.clone(), acknowledged.clone());
        std::thread::spawn(move || {
            let (mut last, mut pictures, mut sequence) = (0, 0, 0);
            let mut counted = 0;
            while counted < counts || !enough.load(Ordering::SeqCst) {
                counted += 1;
                let least = acknowledged.load(Ordering::SeqCst);
                let (snapshot, values) = snapshots.load_with_last();
                let most = sent.load(Ordering::SeqCst);
                let count = in_order_rows(&snapshot);
                assert!(
                    count >= least.max(last),
                    "{count} rows of {least} acknowledged"
                );
                assert!(count <= most, "{count} rows of {most} sent");
                // Rows and last values are of one instant: the newest row is the last value.
                if let Some(pump) = values.class("pump") {
                    let newest = (0..pump.assets() as u32).filter_map(|asset| pump.newest(asset));
                    let newest = newest.max().unwrap() / 1000 - super::START;
                    assert_eq!(newest, count as i64, "a last value of another instant");
                }
                pictures += u64::from(snapshot.sequence != sequence);
                (last, sequence) = (count, snapshot.sequence);
                std::thread::yield_now();
            }
            done.store(true, Ordering::SeqCst);
            (counted, pictures)
        })
    };
    let mut number = 0;
    while !done.load(Ordering::SeqCst) {
        let some: Vec<_> = (0..7)
            .map(|_| {
                number += 1;
                reading("pump", &format!("P{}", number % 5), number, "\"a\":1")
            })
            .collect();
        sent.store(number as u64, Ordering::SeqCst);
        put(&ingest, some).await;
        acknowledged.store(number as u64, Ordering::SeqCst);
        if number % 140 == 0 {
            ingest.compact().await.unwrap();
        }
        enough.store(ingest.stats().flushes >= FLUSHES, Ordering::SeqCst);
    }
    let (counted, pictures) = tokio::task::spawn_blocking(|| counting.join().unwrap())
        .await
        .unwrap();
    let flushes = ingest.stats().flushes;
    eprintln!("{counted} counts of {pictures} pictures during {flushes} flushes");
    assert!(flushes >= FLUSHES && pictures >= FLUSHES);
    ingest.shutdown().await.unwrap();
}
