//! The same messages again and again count once.

use super::{in_order_rows, put, reading, start, times};
use crate::IngestConfig;
use crate::readings;

#[tokio::test]
async fn messages_that_come_ten_times_count_once() {
    let messages = times("FIELDWRIGHT_REPLAY_MESSAGES", 20_000) as i64;
    let folder = tempfile::tempdir().unwrap();
    let config = IngestConfig {
        flush_rows: messages as usize * 3 / 2,
        ..IngestConfig::default()
    };
    let (ingest, _feed) = start(&config, folder.path());
    for round in 0..10 {
        for from in (0..messages).step_by(1_000) {
            let some = (from..messages.min(from + 1_000)).map(|number| {
                let asset = format!("P{}", number % 50);
                reading("pump", &asset, number / 50, &format!("\"a\":{number}"))
            });
            put(&ingest, some.collect()).await;
        }
        let rows = in_order_rows(&ingest.snapshot());
        assert_eq!(rows, messages as u64, "after round {round}");
    }
    let stats = ingest.stats();
    assert_eq!(stats.accepted_messages, messages as u64 * 10);
    assert_eq!(stats.late_rows, messages as u64 * 9);
    // The newest of each asset was there to compare with, each time.
    assert_eq!(
        (stats.duplicate_samples, stats.conflicting_samples),
        (50 * 9, 0)
    );
    ingest.flush().await.unwrap();
    ingest.compact().await.unwrap();
    let snapshot = ingest.snapshot();
    assert_eq!(in_order_rows(&snapshot), messages as u64);
    if messages <= 50_000 {
        let all = readings::of(&snapshot);
        assert_eq!(all.len(), messages as usize);
        let sum: f64 = all
            .values()
            .map(|value| f64::from_bits(value.to_bits()))
            .sum();
        assert_eq!(sum, (messages * (messages - 1) / 2) as f64);
    }
    ingest.shutdown().await.unwrap();
}
