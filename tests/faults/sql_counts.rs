//! SQL counts while rows become files and files become other files: never short, never double.
//!
//! `FIELDWRIGHT_SQL_COUNTS` says how many (300 by default, 10000 for the full test).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fieldwright_analytics::sql::{SqlEngine, SqlLimits};
use fieldwright_ingest::clock::RealClock;
use fieldwright_ingest::source::{Delivery, Envelope, Receipt};
use fieldwright_ingest::{Ingest, IngestConfig};

use super::times;

#[test]
fn counts_are_exact_during_flushes_and_compactions() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(count(times("FIELDWRIGHT_SQL_COUNTS", 300)));
}

/// Flushes, with compactions between them, during which it counts at least.
const FLUSHES: u64 = 6;

async fn count(counts: u64) {
    let folder = tempfile::tempdir().unwrap();
    let config = IngestConfig {
        flush_rows: 200,
        compact_files: 2,
        tombstone_seconds: 0,
        ..IngestConfig::default()
    };
    let clock = Arc::new(RealClock);
    let (ingest, _feed) = Ingest::start(config, folder.path(), clock.clone()).unwrap();
    let ingest = Arc::new(ingest);
    let engine = SqlEngine::new(ingest.snapshots(), None, clock, SqlLimits::default());
    let (sent, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let done = Arc::new(AtomicBool::new(false));
    // The table grows with the counts, so that ten thousand of them stay a matter of minutes.
    let turns = Arc::new(tokio::sync::Semaphore::new(100));
    let writer = {
        let turns = turns.clone();
        let (ingest, done) = (ingest.clone(), done.clone());
        let (sent, acknowledged) = (sent.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let mut number = 0;
            while !done.load(Ordering::SeqCst) {
                turns.acquire().await.unwrap().forget();
                number += 10;
                sent.store(number, Ordering::SeqCst);
                put(&ingest, number - 10..number).await;
                acknowledged.store(number, Ordering::SeqCst);
                if number % 500 == 0 {
                    ingest.compact().await.unwrap();
                }
            }
        })
    };
    let (mut last, mut number) = (0, 0);
    while number < counts || ingest.stats().flushes < FLUSHES {
        // Of the table, of the long form, of one metric's last values with the table.
        let least = acknowledged.load(Ordering::SeqCst);
        let sql = match number % 3 {
            0 => "SELECT count(*), count(DISTINCT a) FROM pump",
            1 => "SELECT count(*), count(DISTINCT value) FROM readings WHERE metric = 'a'",
            _ => {
                "SELECT count(*), max(a) + 1 FROM pump \
                 WHERE a <= (SELECT max(value) FROM last_values)"
            }
        };
        if least == 0 {
            tokio::task::yield_now().await;
            continue;
        }
        number += 1;
        turns.add_permits(2);
        let answer = engine.query(sql).await.unwrap();
        let most = sent.load(Ordering::SeqCst);
        let row = &answer.to_json_rows()["rows"][0];
        let (all, distinct) = (row[0].as_f64().unwrap(), row[1].as_f64().unwrap());
        assert_eq!(all, distinct, "{sql}");
        let least = least.max(last);
        assert!(
            all as u64 >= least && all as u64 <= most,
            "{sql}: {all} rows, {least} acknowledged, {most} sent"
        );
        last = all as u64;
    }
    done.store(true, Ordering::SeqCst);
    turns.add_permits(1);
    writer.await.unwrap();
    let flushes = ingest.stats().flushes;
    eprintln!("{number} counts during {flushes} flushes");
    ingest.shutdown().await.unwrap();
}

async fn put(ingest: &Ingest, numbers: std::ops::Range<u64>) {
    let now = chrono::Utc::now();
    let envelope = |number: u64| Envelope {
        topic: format!("fieldwright/pump/P{}", number % 7).into(),
        payload: format!(
            "{{\"time\":{},\"metrics\":{{\"a\":{number}}}}}",
            1_772_434_800_000 + number
        )
        .into(),
        received_at: now,
    };
    let (done, acknowledged) = tokio::sync::oneshot::channel();
    let receipt = Receipt::new(move || {
        let _ = done.send(());
    });
    let envelopes = numbers.map(envelope).collect();
    let delivery = Delivery { envelopes, receipt };
    ingest.intake().send(delivery).await.unwrap();
    acknowledged.await.unwrap();
}
