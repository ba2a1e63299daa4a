//! What the tables of last values answer, and how little a look-up reads.

use std::sync::Arc;

use chrono::DateTime;
use fieldwright_ingest::clock::ManualClock;
use fieldwright_ingest::source::{Delivery, Envelope, Receipt};
use fieldwright_ingest::{Ingest, IngestConfig};
use serde_json::Value;
use tempfile::TempDir;

use super::{Assets, Pick};
use crate::sql::{SqlEngine, SqlLimits};

const START: i64 = 1_772_434_800_000;

struct World {
    engine: SqlEngine,
    ingest: Ingest,
    _folder: TempDir,
}

/// A service with these readings: class, asset, milliseconds, metrics.
async fn world(readings: &[(&str, &str, i64, &str)]) -> World {
    let folder = tempfile::tempdir().unwrap();
    let now = DateTime::from_timestamp_millis(START + 60_000).unwrap();
    let clock = Arc::new(ManualClock::new(now));
    let config = IngestConfig {
        rules: toml::from_str::<toml::Table>(RULES).unwrap()["rules"]
            .clone()
            .try_into()
            .unwrap(),
        ..IngestConfig::default()
    };
    let (ingest, _feed) = Ingest::start(config, folder.path(), clock.clone()).unwrap();
    let engine = SqlEngine::new(ingest.snapshots(), None, clock, SqlLimits::default());
    let world = World {
        engine,
        ingest,
        _folder: folder,
    };
    world.put(readings).await;
    world
}

const RULES: &str = r#"
[[rules]]
topic = "fieldwright/{class}/{asset}"
codec = "json"
units = { flow = "m3/h" }
"#;

impl World {
    async fn put(&self, readings: &[(&str, &str, i64, &str)]) {
        let envelope = |(class, asset, after, metrics): &(&str, &str, i64, &str)| {
            let time = START + after;
            Envelope {
                topic: format!("fieldwright/{class}/{asset}").into_bytes().into(),
                payload: format!("{{\"time\":{time},\"metrics\":{{{metrics}}}}}").into(),
                received_at: DateTime::from_timestamp_millis(START + 60_000).unwrap(),
            }
        };
        let (done, acknowledged) = tokio::sync::oneshot::channel();
        let receipt = Receipt::new(move || {
            let _ = done.send(());
        });
        let envelopes = readings.iter().map(envelope).collect();
        let delivery = Delivery { envelopes, receipt };
        self.ingest.intake().send(delivery).await.unwrap();
        acknowledged.await.unwrap();
    }

    async fn check(&self, sql: &str, expected: &[&str]) {
        let answer = self.engine.query(sql).await.unwrap();
        let Value::Array(rows) = answer.to_json_rows()["rows"].take() else {
            panic!("rows is an array");
        };
        let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        assert_eq!(rows, expected, "{sql}");
    }
}

#[tokio::test]
async fn the_long_table_and_the_wide_ones() {
    let world = world(&[
        ("pump", "P1", 1, "\"flow\":1,\"power\":10"),
        ("pump", "P2", 2, "\"flow\":2"),
        ("fan", "F1", 3, "\"power\":30"),
        ("pump", "P1", 4, "\"power\":40"),
        ("pump", "P1", 0, "\"flow\":99"),
    ])
    .await;
    world
        .check(
            "SELECT asset, class, metric, value, text, quality, unit, time, received_at \
             FROM last_values WHERE asset = 'P1' ORDER BY metric",
            &[
                r#"["P1","pump","flow",1.0,null,"good","m3/h","2026-03-02T07:00:00.001Z","2026-03-02T07:01:00Z"]"#,
                r#"["P1","pump","power",40.0,null,"good",null,"2026-03-02T07:00:00.004Z","2026-03-02T07:01:00Z"]"#,
            ],
        )
        .await;
    world
        .check(
            "SELECT asset, time, power, flow FROM pump_last ORDER BY asset",
            &[
                r#"["P1","2026-03-02T07:00:00.004Z",40.0,1.0]"#,
                r#"["P2","2026-03-02T07:00:00.002Z",null,2.0]"#,
            ],
        )
        .await;
    for (sql, count) in [
        ("SELECT count(*) FROM last_values", "[4]"),
        (
            "SELECT count(*) FROM last_values WHERE class = 'fan'",
            "[1]",
        ),
        (
            "SELECT count(*) FROM last_values WHERE class = 'mill'",
            "[0]",
        ),
        ("SELECT count(*) FROM pump_last", "[2]"),
        (
            "SELECT count(*) FROM pump_last WHERE asset IN ('P2', 'F1')",
            "[1]",
        ),
        (
            "SELECT count(*) FROM last_values WHERE asset LIKE 'P%'",
            "[3]",
        ),
        (
            "SELECT count(*) FROM last_values WHERE quality = 'good' AND value > 20",
            "[2]",
        ),
    ] {
        world.check(sql, &[count]).await;
    }
    world
        .check(
            "SELECT max(value) FROM last_values l JOIN pump_last p ON l.asset = p.asset \
             WHERE p.flow > 1",
            &["[2.0]"],
        )
        .await;
}

#[tokio::test]
async fn a_look_up_reads_one_asset_and_a_scan_uses_all_threads() {
    let assets: Vec<String> = (0..40_000).map(|number| format!("P{number}")).collect();
    let readings: Vec<_> = assets
        .iter()
        .map(|asset| ("pump", asset.as_str(), 1, "\"flow\":1,\"power\":2"))
        .collect();
    let world = world(&readings).await;
    let (_, last) = world.ingest.snapshots().load_with_last();
    let pump = last.class("pump").unwrap();
    let picked = |tags: Option<&[&str]>| -> Vec<Assets> {
        let tags = tags.map(|tags| tags.iter().map(|tag| (*tag).to_owned()).collect());
        let picks = Pick::of(pump, tags.as_ref(), 2).into_iter();
        picks.map(|pick| pick.assets).collect()
    };
    assert_eq!(picked(Some(&["P77"])), [Assets::Few(vec![77])]);
    assert_eq!(
        picked(Some(&["P9", "none", "P7"])),
        [Assets::Few(vec![7, 9])]
    );
    assert_eq!(picked(Some(&["none"])), []);
    let halves = [Assets::Range(0..20_000), Assets::Range(20_000..40_000)];
    assert_eq!(picked(None), halves);
    world
        .check(
            "SELECT count(*), sum(flow), sum(power) FROM pump_last",
            &["[40000,40000.0,80000.0]"],
        )
        .await;
    world
        .check(
            "SELECT count(*), sum(value) FROM last_values",
            &["[80000,120000.0]"],
        )
        .await;
    world
        .check(
            "SELECT count(*) FROM (SELECT asset FROM pump_last LIMIT 3)",
            &["[3]"],
        )
        .await;
}
