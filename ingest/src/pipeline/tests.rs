//! The whole pipeline against its promise.

mod compact;
mod drift;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use crate::clock::{ManualClock, process_sleep};
use crate::quarantine::ReplayError;
use crate::readings::{self, Readings};
use crate::source::{Delivery, Envelope, Receipt};
use crate::{Feed, Ingest, IngestConfig, read_folder};

const START: i64 = 1_772_434_800_000;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(START + 3_600_000).unwrap()
}

fn start(config: &IngestConfig, folder: &Path) -> (Ingest, Feed) {
    let clock = Arc::new(ManualClock::new(now()));
    Ingest::start(config.clone(), folder, clock).unwrap()
}

/// A config whose journal makes a segment per sync and whose flush happens only on demand.
fn config() -> IngestConfig {
    IngestConfig {
        journal_segment_bytes: 1,
        batch_ms: 0,
        ..IngestConfig::default()
    }
}

fn envelope(topic: &str, payload: String) -> Envelope {
    Envelope {
        topic: Bytes::copy_from_slice(topic.as_bytes()),
        payload: payload.into(),
        received_at: now(),
    }
}

fn reading(asset: &str, after: i64, metrics: &str) -> Envelope {
    let payload = format!("{{\"time\":{},\"metrics\":{{{metrics}}}}}", START + after);
    envelope(&format!("fieldwright/pump/{asset}"), payload)
}

/// Hands over messages; the answer comes when they are acknowledged.
async fn send(ingest: &Ingest, envelopes: Vec<Envelope>) -> oneshot::Receiver<()> {
    let (acknowledge, acknowledged) = oneshot::channel();
    let receipt = Receipt::new(move || {
        let _ = acknowledge.send(());
    });
    ingest
        .intake()
        .send(Delivery { envelopes, receipt })
        .await
        .unwrap();
    acknowledged
}

/// No test waits forever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(20), future)
        .await
        .expect("it happens in time")
}

async fn put(ingest: &Ingest, envelopes: Vec<Envelope>) {
    send(ingest, envelopes).await.await.unwrap();
}

fn shown(readings: &Readings) -> Vec<String> {
    let line = |((class, asset, time, metric), value): (&readings::Key, &readings::Value)| {
        format!("{class} {asset} {} {metric} {value}", time / 1000 - START)
    };
    readings.iter().map(line).collect()
}

fn seen(ingest: &Ingest) -> Vec<String> {
    shown(&readings::of(&ingest.snapshot()))
}

/// What `kill -9` would leave at this instant. The journal first: a copy of a living folder must
/// not find the trim of a flush whose entry in the log it missed.
fn as_killed(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for part in ["journal", "quarantine", "lake"] {
        copy_folder(&folder.join(part), &copy.path().join(part));
    }
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let entries = fs::read_dir(from).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    // A table's log before its files: what a compaction replaced is still there.
    paths.sort_by_key(|path| !path.ends_with("_delta_log"));
    for path in paths {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            // What was being written when the folder was listed has its name by now.
            drop(fs::copy(&path, &target));
        }
    }
}

#[tokio::test]
async fn an_acknowledged_reading_is_visible_and_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, mut feed) = start(&config(), folder.path());
    let mut expected = Vec::new();
    for number in 0..50 {
        put(
            &ingest,
            vec![reading("P1", number, &format!("\"a\":{number}"))],
        )
        .await;
        expected.push(format!("pump P1 {number} a {number}"));
        let mut visible = seen(&ingest);
        visible.sort();
        let mut wanted = expected.clone();
        wanted.sort();
        assert_eq!(visible, wanted);
        let committed = feed.recv().await.unwrap();
        assert_eq!(committed.parts[0].rows.batch.num_rows(), 1);
        if number % 20 == 7 {
            ingest.flush().await.unwrap();
        }
        if number % 10 == 0 {
            let copy = as_killed(folder.path());
            let (again, _feed) = start(&config(), copy.path());
            assert_eq!(seen(&again), seen(&ingest));
            assert_eq!(again.snapshot().sequence, ingest.snapshot().sequence);
        }
    }
    ingest.shutdown().await.unwrap();
    assert!(feed.recv().await.is_none());
    let after = read_folder(folder.path()).unwrap();
    assert_eq!(readings::of(&after).len(), 50);
    assert!(after.tables["pump"].hot.is_empty());
}

#[tokio::test]
async fn the_later_receipt_wins_and_the_same_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(&config(), folder.path());
    let expected = [
        "pump P1 1 a 11",
        "pump P1 1 b 12",
        "pump P1 2 a 4",
        "pump P2 1 a 7",
        "pump P2 2 a 8",
    ];
    put(
        &ingest,
        vec![
            reading("P1", 1, "\"a\":1,\"b\":2"),
            reading("P1", 2, "\"a\":3"),
        ],
    )
    .await;
    put(
        &ingest,
        vec![reading("P1", 2, "\"a\":3"), reading("P1", 2, "\"a\":4")],
    )
    .await;
    ingest.flush().await.unwrap();
    put(
        &ingest,
        vec![reading("P1", 1, "\"a\":10"), reading("P2", 2, "\"a\":8")],
    )
    .await;
    put(
        &ingest,
        vec![reading("P1", 1, "\"b\":12"), reading("P2", 1, "\"a\":7")],
    )
    .await;
    put(&ingest, vec![reading("P1", 1, "\"a\":11")]).await;
    assert_eq!(seen(&ingest), expected);
    let stats = ingest.stats();
    assert_eq!(
        (
            stats.accepted_messages,
            stats.late_rows,
            stats.repeated_rows
        ),
        (9, 6, 2)
    );
    let copy = as_killed(folder.path());
    let (again, _feed) = start(&config(), copy.path());
    assert_eq!(seen(&again), expected);
    again.shutdown().await.unwrap();
    assert_eq!(
        shown(&readings::of(&read_folder(copy.path()).unwrap())),
        expected
    );
    ingest.flush().await.unwrap();
    assert_eq!(seen(&ingest), expected);
}

#[tokio::test]
async fn a_storm_of_duplicates_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(&config(), folder.path());
    let all: Vec<_> = (0..200)
        .map(|n| reading("P1", n, &format!("\"a\":{n},\"b\":1")))
        .collect();
    put(&ingest, all.clone()).await;
    let before = seen(&ingest);
    for _ in 0..5 {
        put(&ingest, all.clone()).await;
        ingest.flush().await.unwrap();
    }
    assert_eq!(seen(&ingest), before);
    assert_eq!(before.len(), 400);
    ingest.shutdown().await.unwrap();
}

/// A small deterministic source of choices.
struct Choices(u64);

impl Choices {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

#[tokio::test]
async fn replay_equals_live_whatever_was_sent() {
    for seed in 1..=6_u64 {
        let mut choices = Choices(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let folder = tempfile::tempdir().unwrap();
        let (ingest, mut feed) = start(&config(), folder.path());
        tokio::spawn(async move { while feed.recv().await.is_some() {} });
        let mut expected: BTreeMap<(u64, i64, String), u64> = BTreeMap::new();
        let mut refused = 0;
        for round in 0..60 {
            let mut envelopes = Vec::new();
            for _ in 0..=choices.next(6) {
                if choices.next(10) == 0 {
                    refused += 1;
                    envelopes.push(envelope("fieldwright/pump/P1", format!("bad {refused}")));
                    continue;
                }
                let (asset, time) = (choices.next(3), choices.next(60) as i64);
                // New metrics keep coming: every column is new at some place in the journal.
                let metric = format!("m{}", choices.next(2 + round / 4));
                let value = choices.next(1000);
                envelopes.push(reading(
                    &format!("P{asset}"),
                    time,
                    &format!("\"{metric}\":{value}"),
                ));
                expected.insert((asset, time, metric), value);
            }
            put(&ingest, envelopes).await;
            if choices.next(12) == 0 {
                ingest.flush().await.unwrap();
            }
            if choices.next(12) == 0 {
                let copy = as_killed(folder.path());
                let folder_says = readings::of(&read_folder(copy.path()).unwrap());
                let (again, _feed) = start(&config(), copy.path());
                assert_eq!(seen(&again), seen(&ingest), "seed {seed}, round {round}");
                assert_eq!(
                    shown(&folder_says),
                    seen(&ingest),
                    "seed {seed}, round {round}"
                );
                let (was, is) = (ingest.snapshot(), again.snapshot());
                for (class, table) in &was.tables {
                    assert_eq!(is.tables[class].schema, table.schema, "seed {seed}");
                }
                let page = |of: &Ingest| of.quarantine().list(None, 1000).entries;
                assert_eq!(page(&again), page(&ingest), "seed {seed}, round {round}");
                again.shutdown().await.unwrap();
            }
        }
        let wanted: BTreeMap<_, _> = expected
            .iter()
            .map(|((asset, time, metric), value)| {
                let time = (START + time) * 1000;
                (
                    ("pump".to_owned(), format!("P{asset}"), time, metric.clone()),
                    (*value as f64).into(),
                )
            })
            .collect();
        assert_eq!(readings::of(&ingest.snapshot()), wanted, "seed {seed}");
        assert_eq!(ingest.stats().quarantine_entries, refused, "seed {seed}");
        ingest.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_message_refused_can_be_replayed_when_the_rules_allow_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut rules = config();
    let (ingest, _feed) = start(&rules, folder.path());
    let elsewhere = envelope(
        "plant/P9",
        format!("{{\"time\":{START},\"metrics\":{{\"a\":1}}}}"),
    );
    put(
        &ingest,
        vec![
            reading("P1", 1, "\"a\":1"),
            elsewhere,
            reading("P1", 2, "\"a\":NaN"),
        ],
    )
    .await;
    let entries = ingest.quarantine().list(None, 10).entries;
    let reasons: Vec<_> = entries.iter().map(|entry| entry.reason.name()).collect();
    assert_eq!(reasons, ["unknown_topic", "not_finite"]);
    let (unknown, nan) = (entries[0].id, entries[1].id);
    let refused = ingest.quarantine().replay(unknown).await.unwrap_err();
    assert!(
        matches!(refused, ReplayError::StillRefused { .. }),
        "{refused}"
    );
    ingest.shutdown().await.unwrap();
    assert!(matches!(
        ingest.quarantine().replay(nan).await,
        Err(ReplayError::Stopped(_))
    ));

    rules.rules.push(crate::MappingRule {
        topic: "plant/{asset}".into(),
        class: Some("fan".into()),
        rename: [("a".to_owned(), "speed".to_owned())].into(),
        units: [("speed".to_owned(), "rpm".into())].into(),
        ..crate::MappingRule::default()
    });
    let (ingest, _feed) = start(&rules, folder.path());
    ingest.quarantine().replay(unknown).await.unwrap();
    assert_eq!(seen(&ingest), ["fan P9 0 speed 1", "pump P1 1 a 1"]);
    let unit = ingest.snapshot().tables["fan"].schema.field(3).metadata()["unit"].clone();
    assert_eq!(unit, "rpm");
    assert!(matches!(
        ingest.quarantine().replay(unknown).await,
        Err(ReplayError::NotFound(_))
    ));
    assert_eq!(ingest.stats().quarantine_entries, 1);
    // Killed here, it must not come back, and its reading must be there once.
    let copy = as_killed(folder.path());
    let (again, _feed) = start(&rules, copy.path());
    assert_eq!(seen(&again), seen(&ingest));
    assert_eq!(again.stats().quarantine_entries, 1);
    again.shutdown().await.unwrap();
    let unit = read_folder(copy.path()).unwrap().tables["fan"]
        .schema
        .field(3)
        .metadata()
        .clone();
    assert_eq!(unit["unit"], "rpm");
}

#[tokio::test]
async fn a_journal_is_replayed_under_the_rules_it_was_written_under() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(&config(), folder.path());
    put(&ingest, vec![reading("P1", 1, "\"a\":1")]).await;
    let before = seen(&ingest);
    let copy = as_killed(folder.path());
    let mut renamed = config();
    renamed.rules[0].rename = [("a".to_owned(), "other".to_owned())].into();
    let (again, _feed) = start(&renamed, copy.path());
    assert_eq!(seen(&again), before);
    put(&again, vec![reading("P1", 2, "\"a\":2")]).await;
    assert_eq!(seen(&again), ["pump P1 1 a 1", "pump P1 2 other 2"]);
}

#[tokio::test]
async fn while_the_disk_refuses_nothing_is_acknowledged_and_queries_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(&config(), folder.path());
    put(&ingest, vec![reading("P1", 1, "\"a\":1")]).await;
    let (inside, away) = (folder.path().join("journal"), folder.path().join("away"));
    fs::rename(&inside, &away).unwrap();
    let mut waiting = send(&ingest, vec![reading("P1", 2, "\"a\":2")]).await;
    while ingest.stats().disk_trouble.is_none() {
        process_sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(waiting.try_recv().is_err());
    assert_eq!(seen(&ingest), ["pump P1 1 a 1"]);
    assert!(
        ingest
            .stats()
            .disk_trouble
            .unwrap()
            .contains("cannot be made")
    );
    fs::rename(&away, &inside).unwrap();
    waiting.await.unwrap();
    assert_eq!(seen(&ingest), ["pump P1 1 a 1", "pump P1 2 a 2"]);
    assert_eq!(ingest.stats().disk_trouble, None);
    ingest.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_flush_that_cannot_write_is_repeated_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(&config(), folder.path());
    let in_the_way = folder.path().join("lake/pump");
    fs::write(&in_the_way, b"").unwrap();
    put(&ingest, vec![reading("P1", 1, "\"a\":1")]).await;
    let ingest = Arc::new(ingest);
    let flushing = tokio::spawn({
        let ingest = ingest.clone();
        async move { ingest.flush().await }
    });
    while ingest.stats().disk_trouble.is_none() {
        process_sleep(std::time::Duration::from_millis(1)).await;
    }
    // Acknowledging goes on meanwhile.
    put(&ingest, vec![reading("P1", 2, "\"a\":2")]).await;
    assert_eq!(seen(&ingest), ["pump P1 1 a 1", "pump P1 2 a 2"]);
    fs::remove_file(&in_the_way).unwrap();
    flushing.await.unwrap().unwrap();
    assert_eq!(seen(&ingest), ["pump P1 1 a 1", "pump P1 2 a 2"]);
    let stats = ingest.stats();
    assert_eq!((stats.file_rows, stats.hot_rows, stats.flushes), (1, 1, 1));
    ingest.shutdown().await.unwrap();
}

#[tokio::test]
async fn closing_while_the_disk_refuses_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(&config(), folder.path());
    fs::rename(folder.path().join("journal"), folder.path().join("away")).unwrap();
    let waiting = send(&ingest, vec![reading("P1", 2, "\"a\":2")]).await;
    let said = ingest.shutdown().await.unwrap_err().to_string();
    assert!(said.contains("the disk refused"), "{said}");
    assert!(waiting.await.is_err());
}

#[tokio::test]
async fn shutdown_takes_what_was_handed_over_and_leaves_an_empty_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, feed) = start(&config(), folder.path());
    // A follower that went away does not hold anything up.
    drop(feed);
    let mut acknowledged = Vec::new();
    for number in 0..300 {
        acknowledged.push(send(&ingest, vec![reading("P1", number, "\"a\":1")]).await);
    }
    acknowledged.push(send(&ingest, vec![envelope("nowhere", "x".into())]).await);
    ingest.shutdown().await.unwrap();
    for receipt in acknowledged {
        receipt.await.unwrap();
    }
    assert_eq!(
        fs::read_dir(folder.path().join("journal")).unwrap().count(),
        0
    );
    let (again, _feed) = start(&config(), folder.path());
    assert_eq!(seen(&again).len(), 300);
    assert_eq!(again.stats().quarantine_entries, 1);
    assert_eq!(again.stats().replayed_messages, 0);
    assert_eq!(again.snapshot().sequence, ingest.snapshot().sequence);
    let late = Delivery {
        envelopes: vec![reading("P1", 1, "\"a\":1")],
        receipt: Receipt::none(),
    };
    assert!(ingest.intake().send(late).await.is_err());
}

#[tokio::test]
async fn a_follower_that_stalls_holds_nothing_up_and_learns_what_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let narrow = IngestConfig {
        feed_commits: 1,
        ..config()
    };
    let (ingest, mut feed) = start(&narrow, folder.path());
    let one = |number| vec![reading("P1", number, "\"a\":1")];
    let told = |committed: Arc<crate::snapshot::Committed>| {
        (committed.sequence, committed.skipped, committed.parts.len())
    };
    for number in 1..=5 {
        within(put(&ingest, one(number))).await;
    }
    assert_eq!(seen(&ingest).len(), 5);
    // The last acknowledgement comes before the feed is tried.
    while ingest.stats().feed_skipped < 4 {
        process_sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(told(feed.recv().await.unwrap()), (1, 0, 1));
    // Nothing more is committed: it is told all the same.
    assert_eq!(told(within(feed.recv()).await.unwrap()), (5, 4, 0));
    put(&ingest, one(6)).await;
    assert_eq!(told(feed.recv().await.unwrap()), (6, 0, 1));
    // Left behind again, with the news of it coming with rows, or before them.
    for number in 7..=9 {
        put(&ingest, one(number)).await;
    }
    assert_eq!(told(feed.recv().await.unwrap()), (7, 0, 1));
    put(&ingest, one(10)).await;
    let (mut skipped, mut last) = (0, 7);
    while last < 10 {
        let committed = within(feed.recv()).await.unwrap();
        skipped += committed.skipped;
        last = committed.sequence;
    }
    assert!(skipped >= 1);
    assert_eq!(skipped, ingest.stats().feed_skipped - 4);
    // Neither a full feed nor one without a reader holds up the end.
    put(&ingest, one(11)).await;
    put(&ingest, one(12)).await;
    within(ingest.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_delivery_larger_than_a_batch_is_acknowledged_once_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let small = IngestConfig {
        batch_rows: 7,
        ..config()
    };
    let (ingest, mut feed) = start(&small, folder.path());
    let all = (0..100)
        .map(|number| reading("P1", number, "\"a\":1"))
        .collect();
    put(&ingest, all).await;
    assert_eq!(seen(&ingest).len(), 100);
    // Nothing is a delivery too.
    put(&ingest, Vec::new()).await;
    put(&ingest, vec![reading("P1", 100, "\"a\":1")]).await;
    ingest.flush().await.unwrap();
    ingest.shutdown().await.unwrap();
    let (mut rows, mut last) = (0, 0);
    while let Some(committed) = feed.recv().await {
        assert!(committed.sequence > last && committed.parts[0].rows.batch.num_rows() <= 7);
        last = committed.sequence;
        rows += committed.parts[0].rows.batch.num_rows();
    }
    assert_eq!(
        (
            rows,
            readings::of(&read_folder(folder.path()).unwrap()).len()
        ),
        (101, 101)
    );
}

#[tokio::test]
async fn hot_rows_are_flushed_by_number_and_the_picture_never_misses_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let eager = IngestConfig {
        flush_rows: 50,
        max_hot_rows: 100,
        ..config()
    };
    let (ingest, mut feed) = start(&eager, folder.path());
    tokio::spawn(async move { while feed.recv().await.is_some() {} });
    let snapshots = ingest.snapshots();
    let watching = std::thread::spawn(move || {
        let mut last = 0;
        while last < 2000 {
            let snapshot = snapshots.load();
            let tables = snapshot.tables.values();
            let count: u64 = tables
                .map(|table| {
                    let hot = table.hot.iter().map(|rows| rows.batch.num_rows() as u64);
                    hot.sum::<u64>() + table.files.iter().map(|file| file.rows).sum::<u64>()
                })
                .sum();
            assert!(count >= last, "{count} rows after {last}");
            last = count;
        }
        last
    });
    for number in 0..200 {
        let ten = (0..10)
            .map(|place| reading("P1", number * 10 + place, "\"a\":1"))
            .collect();
        put(&ingest, ten).await;
        assert!(ingest.stats().hot_rows <= 200);
    }
    assert_eq!(
        tokio::task::spawn_blocking(|| watching.join().unwrap())
            .await
            .unwrap(),
        2000
    );
    assert!(ingest.stats().flushes >= 10);
    ingest.shutdown().await.unwrap();
    assert_eq!(
        readings::of(&read_folder(folder.path()).unwrap()).len(),
        2000
    );
}

#[tokio::test]
async fn limits_refuse_the_new_and_keep_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let tight = IngestConfig {
        max_tables: 1,
        max_assets: 2,
        max_metrics_per_table: 2,
        max_payload_bytes: 200,
        ..config()
    };
    let (ingest, _feed) = start(&tight, folder.path());
    let fan = envelope(
        "fieldwright/fan/F1",
        reading("", 1, "\"a\":1")
            .payload
            .escape_ascii()
            .to_string()
            .replace('\\', ""),
    );
    let long = format!("\"{}\":1", "x".repeat(250));
    put(
        &ingest,
        vec![
            reading("P1", 1, "\"a\":1,\"b\":1"),
            reading("P2", 1, "\"a\":1"),
            fan,
            reading("P3", 1, "\"a\":1"),
            reading("P1", 2, "\"c\":1"),
            reading("P1", 3, &long),
            reading("P1", 4, "\"b\":4"),
        ],
    )
    .await;
    let entries = ingest.quarantine().list(None, 10).entries;
    let reasons: Vec<_> = entries.iter().map(|entry| entry.reason.name()).collect();
    assert_eq!(
        reasons,
        [
            "too_many_tables",
            "too_many_assets",
            "too_many_columns",
            "payload_too_large"
        ]
    );
    assert_eq!(
        seen(&ingest),
        [
            "pump P1 1 a 1",
            "pump P1 1 b 1",
            "pump P1 4 b 4",
            "pump P2 1 a 1"
        ]
    );
    assert_eq!(ingest.stats().rejected.values().sum::<u64>(), 4);
}

fn reading_of(class: &str, asset: &str, after: i64) -> Envelope {
    let payload = reading(asset, after, "\"a\":1").payload;
    Envelope {
        topic: format!("fieldwright/{class}/{asset}").into(),
        payload,
        received_at: now(),
    }
}

#[tokio::test]
async fn a_tag_belongs_to_the_class_that_was_seen_first() {
    let folder = tempfile::tempdir().unwrap();
    let tight = IngestConfig {
        max_tables: 2,
        max_assets: 2,
        ..config()
    };
    let (ingest, _feed) = start(&tight, folder.path());
    put(
        &ingest,
        vec![
            reading_of("pump", "P1", 1),
            reading_of("pmup", "P1", 1),
            reading_of("fan", "F1", 1),
            // Before the limits: neither table nor asset has room any more.
            reading_of("pmup", "P1", 2),
            reading_of("pump", "F1", 2),
            reading_of("Fan", "F1", 2),
        ],
    )
    .await;
    let expected = ["fan F1 1 a 1", "fan F1 2 a 1", "pump P1 1 a 1"];
    assert_eq!(seen(&ingest), expected);
    assert_eq!(ingest.stats().rejected["asset_of_another_class"], 3);
    let entries = ingest.quarantine().list(None, 10).entries;
    let said = entries[0].reason.to_string();
    for part in [
        "\"P1\"",
        "\"pump\"",
        "\"pmup\"",
        "correct the class in the topic",
    ] {
        assert!(said.contains(part), "{said}");
    }
    // From the journal alone, from the manifest with the journal, and from the manifest alone.
    for flushed in [false, true] {
        let copy = as_killed(folder.path());
        let (again, _feed) = start(&tight, copy.path());
        assert_eq!(seen(&again), expected, "flushed: {flushed}");
        assert_eq!(again.quarantine().list(None, 10).entries, entries);
        put(&again, vec![reading_of("pmup", "P1", 9)]).await;
        assert_eq!(seen(&again), expected, "flushed: {flushed}");
        assert_eq!(again.stats().rejected["asset_of_another_class"], 1);
        ingest.flush().await.unwrap();
    }
}

/// Versions before this rule stored one tag under two classes.
#[tokio::test]
async fn a_folder_that_has_one_tag_under_two_classes_opens_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    fs::create_dir_all(&journal).unwrap();
    let mut rules = config().decode_rules();
    rules.one_class_per_asset = false;
    let mut old = crate::journal::Journal::new(journal.clone(), &rules, 1, 1, Vec::new());
    let mut decoder = crate::decode::Decoder::new(rules).unwrap();
    let mut catalog = crate::catalog::Catalog::default();
    let mut batch = crate::batch::OpenBatch::new(1);
    for class in ["pump", "fan"] {
        batch.push(&mut decoder, &mut catalog, reading_of(class, "P1", 1));
    }
    old.append(&[batch.close(&catalog)]).unwrap();
    // The header of that time has no such field.
    let segment = fs::read_dir(&journal).unwrap().next().unwrap().unwrap();
    let text = String::from_utf8_lossy(&fs::read(segment.path()).unwrap()).into_owned();
    assert!(text.contains("\"one_class_per_asset\":false"), "{text}");
    let without = serde_json::to_string(&config().decode_rules())
        .unwrap()
        .replace(",\"one_class_per_asset\":true", "");
    let read: crate::config::DecodeRules = serde_json::from_str(&without).unwrap();
    assert!(!read.one_class_per_asset);

    let (ingest, _feed) = start(&config(), folder.path());
    assert_eq!(seen(&ingest), ["fan P1 1 a 1", "pump P1 1 a 1"]);
    ingest.flush().await.unwrap();
    put(
        &ingest,
        vec![reading_of("fan", "P1", 2), reading_of("pump", "P1", 2)],
    )
    .await;
    put(&ingest, vec![reading_of("rig", "P1", 2)]).await;
    assert_eq!(ingest.stats().rejected["asset_of_another_class"], 1);
    let expected = [
        "fan P1 1 a 1",
        "fan P1 2 a 1",
        "pump P1 1 a 1",
        "pump P1 2 a 1",
    ];
    assert_eq!(seen(&ingest), expected);
    let copy = as_killed(folder.path());
    let (again, _feed) = start(&config(), copy.path());
    assert_eq!(seen(&again), expected);
}

#[tokio::test]
async fn an_oversized_payload_is_quarantined_with_its_real_size_and_acknowledged() {
    use crate::mqtt::{Endpoint, EndpointConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let folder = tempfile::tempdir().unwrap();
    // More than a packet may have by default: what can be read must not be cut.
    let wide = IngestConfig {
        max_payload_bytes: 2 << 20,
        ..config()
    };
    let (ingest, _feed) = start(&wide, folder.path());
    let listen = EndpointConfig::new(([127, 0, 0, 1], 0).into());
    let clock = Arc::new(ManualClock::new(now()));
    let endpoint = Endpoint::start(listen, ingest.intake(), clock)
        .await
        .unwrap();
    let mut client = tokio::net::TcpStream::connect(endpoint.local_addr())
        .await
        .unwrap();
    let connect = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c";
    client.write_all(connect).await.unwrap();
    let mut expected = vec![0x20, 2, 0, 0];
    for (id, topic, size) in [
        (1, "fieldwright/pump/P1", (2 << 20) - 1),
        (2, "fieldwright/pump/P1", 2 << 20),
        (3, "fieldwright/pump/P1", (2 << 20) + 1),
        (4, "fieldwright/pump/P1", 9 << 20),
        (5, "elsewhere", 9 << 20),
        (6, "fieldwright/pump/P1", 100),
    ] {
        let mut payload = reading("", i64::from(id), "\"a\":1").payload.to_vec();
        payload.resize(size, b' ');
        let body = 2 + topic.len() + 2 + size;
        let seven = |place: usize| (body >> (7 * place)) as u8 & 0x7f;
        let mut packet = vec![
            0x32,
            seven(0) | 0x80,
            seven(1) | 0x80,
            seven(2) | 0x80,
            seven(3),
        ];
        packet.extend([0, topic.len() as u8]);
        packet.extend_from_slice(topic.as_bytes());
        packet.extend([0, id]);
        packet.extend_from_slice(&payload);
        within(client.write_all(&packet)).await.unwrap();
        expected.extend([0x40, 2, 0, id]);
    }
    let mut answers = vec![0; expected.len()];
    within(client.read_exact(&mut answers)).await.unwrap();
    assert_eq!(answers, expected);
    assert_eq!(
        seen(&ingest),
        ["pump P1 1 a 1", "pump P1 2 a 1", "pump P1 6 a 1"]
    );
    let entries = ingest.quarantine().list(None, 10).entries;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry.reason.name(),
                entry.payload_bytes,
                entry.payload.len(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("payload_too_large", (2 << 20) + 1, 4096),
            ("payload_too_large", 9 << 20, 4096),
            ("unknown_topic", 9 << 20, 4096),
        ]
    );
    let said = entries[1].reason.to_string();
    assert!(said.contains("9437184 bytes"), "{said}");
    let refused = ingest.quarantine().replay(entries[2].id).await.unwrap_err();
    assert!(matches!(refused, ReplayError::Cut(_)), "{refused}");
    // The journal alone says the same: without the quarantine's own file.
    let copy = as_killed(folder.path());
    fs::remove_dir_all(copy.path().join("quarantine")).unwrap();
    let (again, _feed) = start(&wide, copy.path());
    assert_eq!(again.quarantine().list(None, 10).entries, entries);
    assert_eq!(seen(&again), seen(&ingest));
    assert_eq!(again.stats().journal_damages, 0);
}

#[tokio::test]
async fn damage_in_the_journal_costs_the_record_it_hits_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(&config(), folder.path());
    for number in 1..=3 {
        put(&ingest, vec![reading("P1", number, "\"a\":1")]).await;
    }
    let copy = as_killed(folder.path());
    let second = copy.path().join("journal/0000000002.wal");
    let mut bytes = fs::read(&second).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&second, bytes).unwrap();
    let (again, _feed) = start(&config(), copy.path());
    assert_eq!(seen(&again), ["pump P1 1 a 1", "pump P1 3 a 1"]);
    assert_eq!(again.stats().journal_damages, 1);
    again.shutdown().await.unwrap();
    let kept: Vec<_> = fs::read_dir(copy.path().join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(kept, ["0000000002.damaged"]);
}

#[test]
fn a_folder_that_is_none_of_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = read_folder(folder.path()).unwrap_err().to_string();
    assert!(said.contains("no data folder"), "{said}");
    let config = IngestConfig {
        rules: Vec::new(),
        batch_rows: 0,
        ..IngestConfig::default()
    };
    let clock = Arc::new(ManualClock::new(now()));
    let said = Ingest::start(config, folder.path(), clock)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("batch_rows") && said.contains("rules is empty"),
        "{said}"
    );
}

#[tokio::test]
async fn hot_rows_are_bounded_in_bytes_too() {
    let folder = tempfile::tempdir().unwrap();
    let bounded = IngestConfig {
        flush_bytes: 100_000,
        max_hot_bytes: 200_000,
        ..config()
    };
    let (ingest, _feed) = start(&bounded, folder.path());
    for round in 0..5 {
        // One metric each: few rows, few values, many columns.
        let wide = (0..200).map(|metric| {
            let number = round * 200 + metric;
            reading("P1", number, &format!("\"m{metric}\":{number}"))
        });
        put(&ingest, wide.collect()).await;
    }
    assert!(ingest.stats().hot_bytes > 0 || ingest.stats().flushes > 0);
    ingest.flush().await.unwrap();
    let stats = ingest.stats();
    assert!(stats.flushes >= 2, "one of them came by itself");
    assert_eq!((stats.hot_rows, stats.hot_bytes), (0, 0));
    assert_eq!(stats.file_rows, 1_000);
    assert_eq!(seen(&ingest).len(), 1_000);
    put(&ingest, vec![reading("P1", 5_000, "\"m1\":1")]).await;
    let hot = ingest.stats().hot_bytes;
    assert!(hot > 0 && hot < 10_000, "{hot}");
    // What the journal brings back is counted as well.
    let copy = as_killed(folder.path());
    let (again, _feed) = start(&bounded, copy.path());
    assert_eq!(again.stats().hot_bytes, hot);
}
