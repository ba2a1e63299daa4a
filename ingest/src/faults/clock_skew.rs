//! One device's wrong clock moves nobody else's rows.

use super::{Random, put, reading, start};
use crate::IngestConfig;
use crate::readings::{self, Readings};
use crate::source::Envelope;
use crate::stats::Stats;

const DAY: i64 = 86_400_000;

/// The rows, their order and the figures of all assets but one, with that one's clock wrong or
/// not there at all.
async fn world(skewed: Option<i64>) -> (Readings, Vec<String>, Stats) {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, mut feed) = start(&IngestConfig::default(), folder.path());
    let mut random = Random::new(11);
    let mut windows = Vec::new();
    for number in 0..200 {
        let after = number * 1_000 - random.below(3_000) as i64;
        let metrics = format!("\"a\":{number}");
        let asset = format!("P{}", random.below(4));
        let mut some: Vec<Envelope> = vec![reading("pump", &asset, after, &metrics)];
        some.extend(skewed.map(|skew| reading("pump", "wrong", after + skew, &metrics)));
        put(&ingest, some).await;
        if number % 50 == 25 {
            ingest.flush().await.unwrap();
        }
    }
    let others = |(key, _): &(readings::Key, readings::Value)| key.1 != "wrong";
    let found = readings::of(&ingest.snapshot()).into_iter().filter(others);
    let found = found.collect();
    let stats = ingest.stats();
    ingest.shutdown().await.unwrap();
    // What detectors are given, and whether as late: that is what windows close by.
    while let Some(committed) = feed.recv().await {
        for part in &committed.parts {
            let rows = &part.rows.batch;
            let assets = rows.column_by_name("asset").unwrap();
            let times = rows.column_by_name("time").unwrap();
            for row in 0..rows.num_rows() {
                let show = |column| arrow::util::display::array_value_to_string(column, row);
                let asset = show(assets).unwrap();
                if asset != "wrong" {
                    let time = show(times).unwrap();
                    windows.push(format!("{asset} {time} late: {}", part.late));
                }
            }
        }
    }
    (found, windows, stats)
}

#[tokio::test]
async fn a_device_a_day_ahead_or_behind_changes_nothing_for_the_others() {
    let (alone, windows, figures) = world(None).await;
    assert_eq!(alone.len(), 200);
    assert!(figures.late_rows > 0, "some are late by themselves");
    // A day ahead of its receipt is refused; within the lead it is taken; behind it is taken.
    for (skew, refused) in [
        (DAY, 200),
        (2 * DAY * 365, 200),
        (-DAY, 0),
        (-30 * 365 * DAY, 0),
    ] {
        let (found, same, stats) = world(Some(skew)).await;
        assert_eq!(found, alone, "{skew}");
        assert_eq!(same, windows, "{skew}");
        let told = stats.rejected.values().sum::<u64>();
        assert_eq!(told, refused, "{skew}: {:?}", stats.rejected);
    }
}
