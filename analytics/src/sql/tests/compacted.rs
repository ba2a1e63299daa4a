//! A real ingest against a naive model: random readings, late ones, corrections, texts and
//! qualities, with flushes and compactions between them. No answer depends on where the rows are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use fieldwright_ingest::clock::ManualClock;
use fieldwright_ingest::source::{Delivery, Envelope, Receipt};
use fieldwright_ingest::{Ingest, IngestConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::super::{SqlEngine, SqlLimits};
use super::rows;

const ASSETS: [&str; 3] = ["P1", "P2", "P3"];
/// Milliseconds.
const START: i64 = 1_772_434_800_000;
const STEP: i64 = 30_000;

const RULE: &str = r#"
topic = "fieldwright/{class}/{asset}"
json = { metrics = "/metrics", time = "/time", quality = "/quality" }
"#;

/// Asset, milliseconds, metric → value, text, quality: what arrived last.
type Model = BTreeMap<(&'static str, i64, &'static str), [Value; 3]>;

struct Plant {
    ingest: Ingest,
    engine: SqlEngine,
    model: Model,
    newest: [i64; ASSETS.len()],
}

impl Plant {
    fn start(folder: &Path, cache_bytes: usize) -> Self {
        let now = DateTime::from_timestamp_millis(START + 400 * STEP).unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let config = IngestConfig {
            compact_files: 2,
            tombstone_seconds: 0,
            rules: vec![toml::from_str(RULE).unwrap()],
            ..IngestConfig::default()
        };
        let (ingest, _feed) = Ingest::start(config, folder, clock.clone()).unwrap();
        let limits = SqlLimits {
            cache_bytes,
            ..SqlLimits::default()
        };
        Self {
            engine: SqlEngine::new(ingest.snapshots(), None, clock, limits),
            ingest,
            model: Model::new(),
            newest: [0; ASSETS.len()],
        }
    }

    /// A message, in order or late, as a device would send it.
    fn message(&mut self, rng: &mut ChaCha8Rng) -> Envelope {
        let number = rng.random_range(0..ASSETS.len());
        let (asset, newest) = (ASSETS[number], &mut self.newest[number]);
        let step = match rng.random_bool(0.3) {
            true => rng.random_range(0..=*newest),
            false => {
                *newest += rng.random_range(1..3);
                *newest
            }
        };
        let time = START + step * STEP;
        let quality = ["good", "good", "uncertain", "bad"][rng.random_range(0..4)];
        let mut metrics = serde_json::Map::new();
        for metric in ["v", "w"] {
            let tenths = f64::from(rng.random_range(0..50)) / 10.0;
            let said = match rng.random_range(0..10) {
                0..2 => continue,
                2 if metric == "v" => json!("off"),
                // What no decimal of the table holds.
                3 => json!(tenths / 3.0),
                4 if quality == "bad" => Value::Null,
                _ => json!(tenths),
            };
            let (value, text) = match said.is_string() {
                true => (Value::Null, said.clone()),
                false => (said.clone(), Value::Null),
            };
            let stored = [value, text, json!(quality)];
            self.model.insert((asset, time, metric), stored);
            metrics.insert(metric.to_owned(), said);
        }
        if metrics.is_empty() {
            metrics.insert("w".to_owned(), json!(0.5));
            let stored = [json!(0.5), Value::Null, json!(quality)];
            self.model.insert((asset, time, "w"), stored);
        }
        let payload = json!({"time": time, "metrics": metrics, "quality": quality});
        Envelope {
            topic: format!("fieldwright/pump/{asset}").into_bytes().into(),
            payload: payload.to_string().into(),
            received_at: DateTime::from_timestamp_millis(START + 400 * STEP).unwrap(),
        }
    }

    async fn put(&mut self, rng: &mut ChaCha8Rng) {
        let count = rng.random_range(1..30);
        let envelopes = (0..count).map(|_| self.message(rng)).collect();
        let (done, acknowledged) = tokio::sync::oneshot::channel();
        let receipt = Receipt::new(move || {
            let _ = done.send(());
        });
        let delivery = Delivery { envelopes, receipt };
        self.ingest.intake().send(delivery).await.unwrap();
        acknowledged.await.unwrap();
    }

    async fn check(&self, after: &str) {
        let readings = self.model.iter().map(|((asset, time, metric), said)| {
            let time = DateTime::from_timestamp_millis(*time).unwrap();
            let time = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            let [value, text, quality] = said;
            json!([asset, time, metric, value, text, quality]).to_string()
        });
        let sql = "SELECT asset, time, metric, value, text, quality FROM readings \
                   ORDER BY asset, time, metric";
        let expected: Vec<String> = readings.collect();
        assert_eq!(rows(&self.engine, sql).await, expected, "after {after}");
        // One column alone, which the others of its reading decide.
        let of_w = self.model.iter().filter(|((.., metric), _)| *metric == "w");
        let sum: f64 = of_w.filter_map(|(_, said)| said[0].as_f64()).sum();
        let found = rows(&self.engine, "SELECT coalesce(sum(w), 0.0) FROM pump").await;
        let found: Vec<f64> = serde_json::from_str(&found[0]).unwrap();
        assert!(
            (found[0] - sum).abs() < 1e-6,
            "{found:?} {sum} after {after}"
        );
    }
}

#[tokio::test]
async fn answers_do_not_depend_on_flushes_and_compactions() {
    for seed in 0..4 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let folder = tempfile::tempdir().unwrap();
        let mut plant = Plant::start(folder.path(), [0, 1 << 20][seed as usize % 2]);
        for _ in 0..30 {
            plant.put(&mut rng).await;
            let after = match rng.random_range(0..5) {
                0 | 1 => {
                    plant.ingest.flush().await.unwrap();
                    "a flush"
                }
                2 => {
                    plant.ingest.compact().await.unwrap();
                    "a compaction"
                }
                _ => "a message",
            };
            plant.check(after).await;
        }
        plant.ingest.flush().await.unwrap();
        plant.ingest.compact().await.unwrap();
        plant.check("the last compaction").await;
        assert_eq!(plant.ingest.stats().rejected.values().sum::<u64>(), 0);
        plant.ingest.shutdown().await.unwrap();
    }
}
