//! Devices change what they send, the service is killed in the middle: what comes back is what
//! stood before, and no row is lost.

use super::{Random, as_killed, put, reading, start, times};
use crate::IngestConfig;
use crate::readings;
use crate::source::Envelope;

/// A message of a world whose metrics come, go and change their type.
fn message(random: &mut Random, number: i64) -> Envelope {
    let mut names: Vec<String> = Vec::new();
    for _ in 0..=random.below(3) {
        // The later, the more metrics there are.
        let name = format!("m{}", random.below(2 + number as u64 / 20));
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let metrics: Vec<String> = names
        .iter()
        .map(|name| {
            let value = match random.below(8) {
                0 => format!("\"word {}\"", random.below(3)),
                1 => "true".to_owned(),
                2 => format!("{}.5", random.below(100)),
                3 => "1e300".to_owned(),
                _ => random.below(100).to_string(),
            };
            format!("\"{name}\":{value}")
        })
        .collect();
    let class = ["pump", "fan"][random.below(2) as usize];
    let asset = format!("{class}-{}", random.below(3));
    let after = number * 10 - if random.one_in(6) { 400 } else { 0 };
    reading(class, &asset, after, &metrics.join(","))
}

#[tokio::test]
async fn replay_equals_live_while_types_and_columns_change() {
    for seed in 3..3 + times("FIELDWRIGHT_DRIFT_SEEDS", 1) {
        drift(seed).await;
    }
}

async fn drift(seed: u64) {
    let mut random = Random::new(seed);
    for segment in [1, 4_000] {
        let folder = tempfile::tempdir().unwrap();
        let config = IngestConfig {
            batch_ms: 0,
            journal_segment_bytes: segment,
            compact_files: 2,
            ..IngestConfig::default()
        };
        let (mut ingest, mut _feed) = start(&config, folder.path());
        let mut at = folder;
        let mut rows = 0;
        for round in 0..24_i64 {
            let some: Vec<_> = (0..8)
                .map(|place| message(&mut random, round * 8 + place))
                .collect();
            put(&ingest, some).await;
            if random.one_in(4) {
                ingest.flush().await.unwrap();
            }
            let live = ingest.snapshot();
            let (readings_before, last) =
                (readings::of(&live), ingest.snapshots().load_with_last().1);
            assert!(readings_before.len() >= rows, "no reading goes");
            rows = readings_before.len();
            assert_eq!(ingest.stats().rejected.values().sum::<u64>(), 0);
            if random.one_in(3) {
                let copy = as_killed(at.path());
                let (again, feed) = start(&config, copy.path());
                let replayed = again.snapshot();
                let found = readings::of(&replayed);
                let differ = |(key, value): &(&readings::Key, &readings::Value)| {
                    found.get(*key) != Some(*value)
                };
                let first = readings_before.iter().find(differ);
                assert!(first.is_none(), "seed {seed}, round {round}: {first:?}");
                assert_eq!(
                    found.len(),
                    readings_before.len(),
                    "seed {seed}, round {round}"
                );
                for (class, table) in &live.tables {
                    let other = &replayed.tables[class];
                    assert_eq!(other.schema, table.schema, "seed {seed}, round {round}");
                }
                let again_last = again.snapshots().load_with_last().1;
                for class in last.classes() {
                    let other = again_last.class(class.class()).unwrap();
                    for asset in 0..class.assets() as u32 {
                        let found = other.find(class.tag(asset)).unwrap();
                        let by_name = |mut values: Vec<crate::last_values::LastValue>| {
                            values.sort_by(|one, two| one.metric.cmp(&two.metric));
                            values
                        };
                        let (one, two) = (class.values(asset), other.values(found));
                        assert_eq!(by_name(one), by_name(two), "seed {seed}, round {round}");
                    }
                }
                // It goes on with what came back.
                if random.one_in(2) {
                    drop(ingest.shutdown().await);
                    (ingest, _feed, at) = (again, feed, copy);
                }
            }
        }
        ingest.shutdown().await.unwrap();
    }
}
