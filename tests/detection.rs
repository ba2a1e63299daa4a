//! What the benches measure is what `serve` does: recordings that are replayed over MQTT get the
//! same scores and flags as the benches' feed gives them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fieldwright_condition::bench::Feed;
use fieldwright_condition::settings::Kinds;
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};

use crate::service::Service;

/// Readings of a recording: 400 to learn from, and as many later ones as the service remembers
/// scores of two detectors.
const ROWS: usize = 640;
const LEARNED: usize = 400;
const METRICS: [&str; 4] = ["flow", "pressure", "vibration", "temperature"];

/// A recording with a step in two metrics; the same in every run.
fn recording(seed: u64) -> Vec<[f64; 4]> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..ROWS)
        .map(|row| {
            let load = (row as f64 / 40.0).sin();
            let ill = if (500..580).contains(&row) { 1.0 } else { 0.0 };
            [
                30.0 + load + 0.2 * noise(),
                5.0 - 0.3 * load + 0.05 * noise() - ill,
                2.0 + 0.1 * noise() + 2.0 * ill,
                60.0 + 0.5 * load + 0.1 * noise(),
            ]
        })
        .collect()
}

/// Microseconds of event time of a row.
fn time(row: usize) -> i64 {
    1_700_000_000_000_000 + i64::try_from(row).unwrap() * 1_000_000
}

/// By row and detector: ratio and whether it is out of band and in alarm, from the feed of the
/// benches.
fn by_the_feed(rows: &[[f64; 4]]) -> Vec<(i64, String, f64, bool, bool)> {
    let settings = Arc::new(Kinds::shipped().kind("machine").unwrap());
    let names = METRICS.map(str::to_owned).to_vec();
    let mut feed = Feed::fresh("rig".to_owned(), names, &settings);
    let mut said = Vec::new();
    for (row, values) in rows.iter().enumerate() {
        let Some((_, judgement)) = feed.take(time(row), values) else {
            continue;
        };
        let watch = feed.monitor().watch().unwrap();
        for (name, verdict) in watch.names().zip(&judgement.verdicts) {
            if let Some(verdict) = verdict {
                let (out, alarm) = (verdict.out_of_band, verdict.alarm);
                said.push((time(row), name.to_owned(), verdict.ratio, out, alarm));
            }
        }
    }
    said
}

fn publish(service: &Service, tag: &str, rows: &[[f64; 4]]) {
    let address = service.mqtt();
    let address = address.strip_prefix("mqtt://").unwrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    let options = MqttOptions::new(tag, host, port.parse().unwrap());
    let (client, mut connection) = Client::new(options, ROWS + 10);
    for (row, values) in rows.iter().enumerate() {
        let metrics: serde_json::Map<String, Value> = METRICS
            .iter()
            .zip(values)
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let payload = json!({ "time": time(row) / 1000, "metrics": metrics }).to_string();
        client
            .publish(
                format!("fieldwright/rig/{tag}"),
                QoS::AtLeastOnce,
                false,
                payload,
            )
            .unwrap();
    }
    let mut acknowledged = 0;
    for event in connection.iter() {
        if let Event::Incoming(Packet::PubAck(_)) = event.unwrap() {
            acknowledged += 1;
        }
        if acknowledged == rows.len() {
            return;
        }
    }
}

#[test]
fn recordings_replayed_over_mqtt_get_the_flags_of_the_benches() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("rig.toml");
    std::fs::write(&config, "[detect.classes.rig]\nkind = \"machine\"\n").unwrap();
    let service = Service::start(dir.path(), &["--config", config.to_str().unwrap()]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = reqwest::Client::new();
    for seed in 1..=3 {
        let (tag, rows) = (format!("rig-{seed}"), recording(seed));
        let asset = json!({ "tag": tag, "class": "rig" }).to_string();
        let url = format!("{}/api/v1/assets", service.http());
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("idempotency-key", &tag)
            .body(asset);
        let status = runtime.block_on(async { request.send().await.unwrap().status() });
        assert!(status.is_success(), "{status}");
        publish(&service, &tag, &rows);
        let expected = by_the_feed(&rows);
        assert!(
            expected.iter().any(|(_, _, _, _, alarm)| *alarm),
            "the recording has something to find"
        );
        assert!(expected.len() > ROWS - LEARNED, "{}", expected.len());
        let url = format!("{}/api/v1/assets/{tag}/scores?limit=500", service.http());
        let started = Instant::now();
        let mut found: Vec<Value> = Vec::new();
        while found.len() < expected.len() && started.elapsed() < Duration::from_secs(60) {
            std::thread::park_timeout(Duration::from_millis(100));
            let text = runtime.block_on(async {
                let answer = client.get(&url).send().await.unwrap();
                answer.text().await.unwrap()
            });
            let page: Value = serde_json::from_str(&text).unwrap();
            found = page["items"].as_array().cloned().unwrap_or_default();
        }
        assert_eq!(found.len(), expected.len(), "{tag}");
        for (found, (at, detector, ratio, out, alarm)) in found.iter().zip(&expected) {
            let when: chrono::DateTime<chrono::Utc> =
                found["time"].as_str().unwrap().parse().unwrap();
            // The end of a window that ends with a reading is just after it.
            assert_eq!(when.timestamp_millis(), at / 1000, "{found}");
            assert_eq!(found["detector"], **detector, "{found}");
            assert_eq!(found["out_of_band"], *out, "{found}");
            assert_eq!(found["alarm"], *alarm, "{found}");
            let apart = found["ratio"].as_f64().unwrap() - ratio;
            assert!(apart.abs() <= 1e-5 * ratio.max(1.0), "{found} {ratio}");
        }
    }
    service.stop();
}
