//! What strangers send takes bounded memory and shuts nobody out.

use std::fs;

use chrono::DateTime;

use super::*;

/// **Units** bytes.
const MOST_GROWTH: usize = 64 << 20;

fn message(topic: &str, payload: String) -> Envelope {
    Envelope {
        topic: topic.to_owned().into(),
        payload: payload.into(),
        received_at: DateTime::from_timestamp(1_772_434_800, 0).unwrap(),
    }
}

/// Resident memory. **Units** bytes.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1);
    pages.map_or(0, |pages| pages.parse::<usize>().unwrap()) * 4096
}

#[test]
fn ever_new_names_take_bounded_memory() {
    let config = IngestConfig {
        max_assets: 1_000,
        max_tables: 8,
        max_metrics_per_table: 100,
        topic_cache: 500,
        ..IngestConfig::default()
    };
    let mut trial = Trial::new(&config).unwrap();
    let honest = |trial: &mut Trial| {
        let line = "pump,asset=P1 flow=1 1772434800000000000".to_owned();
        let json = r#"{"time":1772434800000,"metrics":{"level":1}}"#.to_owned();
        let both = [
            message("influx/x", line),
            message("fieldwright/tank/T1", json),
        ];
        assert_eq!(trial.take(both).refusals, []);
    };
    honest(&mut trial);
    let before = resident();
    let long = "x".repeat(100);
    let mut refused = 0;
    for round in 0..400_u64 {
        let batch = (0..40).map(|place| {
            let n = round * 40 + place;
            match n % 5 {
                0 => message("influx/x", format!("pump,asset=A{n} m{n}{long}=1")),
                1 => message(
                    "influx/x",
                    format!("class{n},asset=P1,t{n}=v{n}{long} flow=1"),
                ),
                2 => message(
                    "influx/x",
                    format!("pump,asset=P1,site=s{n}{long} flow={n}"),
                ),
                3 => message(
                    &format!("fieldwright/tank/T{n}{long}"),
                    format!("{{\"time\":1772434800000,\"metrics\":{{\"m{n}\":\"{long}{n}\"}}}}"),
                ),
                _ => message(
                    "influx/x",
                    format!("pump,asset=P1 text=\"{long}{n}\",flow=\"{n}\""),
                ),
            }
        });
        refused += trial.take(batch.collect::<Vec<_>>()).refusals.len();
    }
    let growth = resident().saturating_sub(before);
    assert!(growth < MOST_GROWTH, "{growth} bytes more");
    assert!(trial.assets() <= 1_000);
    assert!(refused > 5_000, "{refused} refused");
    honest(&mut trial);
}
