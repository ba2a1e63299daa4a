//! The compaction thread among several tables.

use super::*;

/// One damaged file: its table stays as it is, all others go on, and what they replaced goes.
#[tokio::test]
async fn a_table_that_cannot_be_compacted_keeps_no_other_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = IngestConfig {
        tombstone_seconds: 0,
        ..config()
    };
    let (ingest, _feed) = start(&config, folder.path());
    for after in 1..3 {
        let of = |class: &str| {
            let payload = format!("{{\"time\":{},\"metrics\":{{\"a\":1}}}}", START + after);
            envelope(&format!("fieldwright/{class}/of-{class}"), payload)
        };
        put(&ingest, vec![of("bad"), of("good")]).await;
        within(ingest.flush()).await.unwrap();
    }
    let files = |class: &str| {
        let snapshot = ingest.snapshot();
        let files = snapshot.tables[class].files.iter();
        files.map(|file| file.level).collect::<Vec<_>>()
    };
    assert_eq!((files("bad"), files("good")), (vec![0, 0], vec![0, 0]));
    let damaged = folder.path().join("lake/bad/0000000001-rows.parquet");
    let bytes = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, vec![0; bytes.len()]).unwrap();
    for _ in 0..2 {
        assert!(within(ingest.compact()).await.is_err());
        assert_eq!((files("bad"), files("good")), (vec![0, 0], vec![1]));
    }
    let replaced = folder.path().join("lake/good/0000000001-rows.parquet");
    assert!(!replaced.exists(), "cleared although another table failed");
    std::fs::write(&damaged, bytes).unwrap();
    within(ingest.compact()).await.unwrap();
    assert_eq!(files("bad"), [1]);
    ingest.shutdown().await.unwrap();
}
