//! `kill -9` at random instants under load, with flushes and compactions under way: every reading
//! that an outside publisher saw acknowledged is in SQL once.
//!
//! `FIELDWRIGHT_CRASH_KILLS` says how often (8 by default, 200 for the full test).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldwright_simulators::ledger_publisher::{self, Ledger, LedgerConfig};
use fieldwright_simulators::{CancelSource, Endpoint};

use super::times;
use crate::crash::{Lcg, assert_each_once};
use crate::service::{Service, sql};

/// Small tables that are flushed and compacted all the time.
const CONFIG: &str = "[ingest]
flush_rows = 300
flush_seconds = 1
compact_files = 2
tombstone_seconds = 0
journal_segment_bytes = 65536
";
/// Readings a second; a build without optimisation takes some more.
const RATE: f64 = 1_000.0;

#[test]
fn killed_at_random_instants_under_load() {
    let kills = times("FIELDWRIGHT_CRASH_KILLS", 8);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let config = dir.path().join("fieldwright.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let flags = ["--config", config.to_str().unwrap()];
    let mut service = Service::start(&data, &flags);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (enough, is_enough) = CancelSource::new();
    let ledger = LedgerConfig {
        broker: Endpoint::mqtt_file(data.join("endpoints.json")),
        client_id: "ledger".into(),
        class: "ledger".into(),
        assets: (1..=20).map(|number| format!("ledger-{number}")).collect(),
        metric: "counter".into(),
        rate: RATE,
        count: None,
        window: 400,
        now: Arc::new(chrono::Utc::now),
        record: None,
    };
    let ledger = runtime.spawn(async move {
        let (_keep, never) = CancelSource::new();
        ledger_publisher::publish(ledger, is_enough, never)
            .await
            .unwrap()
    });
    let mut random = Lcg(0xFA17);
    let mut starts = Vec::new();
    for _ in 0..kills {
        std::thread::park_timeout(Duration::from_millis(50 + random.next() % 1_950));
        service.kill();
        let killed = Instant::now();
        service = Service::start(&data, &flags);
        starts.push(killed.elapsed());
    }
    std::thread::park_timeout(Duration::from_millis(500));
    enough.cancel();
    let ledger = runtime.block_on(ledger).unwrap();
    starts.sort();
    eprintln!(
        "{kills} kills; from the kill to listening again at most {:?}",
        starts.last()
    );

    assert_last_values(&service, &ledger);
    service.stop();
    assert_each_once(&data, &ledger);
    assert_nothing_twice(&data);
    assert_compacted(&data);
}

/// The newest acknowledged reading of each asset is its last value, or a later one is.
fn assert_last_values(service: &Service, ledger: &Ledger) {
    let rows = service.sql("SELECT asset, value FROM last_values WHERE class = 'ledger'");
    assert_eq!(rows.len(), 20);
    for row in rows {
        let of_asset = |entry: &&ledger_publisher::Entry| entry.asset == row["asset"];
        let newest = ledger.acknowledged.iter().filter(of_asset);
        let newest = newest.map(|entry| entry.value).fold(0.0, f64::max);
        let told = row["value"].as_f64().unwrap();
        assert!(
            told >= newest && told <= ledger.sent as f64,
            "{row}: {newest}"
        );
    }
}

fn assert_nothing_twice(data: &Path) {
    let twice = "SELECT asset, time FROM ledger GROUP BY asset, time HAVING count(*) > 1";
    assert_eq!(sql(data, twice), [] as [serde_json::Value; 0]);
}

/// The test was about compactions, too.
fn assert_compacted(data: &Path) {
    let log = std::fs::read_dir(data.join("lake/ledger/_delta_log")).unwrap();
    let entries = log.map(|entry| entry.unwrap().path());
    let removes = entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .filter(|path| {
            std::fs::read_to_string(path)
                .unwrap()
                .contains("\"remove\"")
        });
    assert!(removes.count() > 0, "no file was replaced by a compaction");
}
