//! Last values against the oracle of all readings: live, after a kill, from files alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use bytes::Bytes;
use chrono::DateTime;
use tokio::sync::oneshot;

use super::checkpoint;
use crate::clock::ManualClock;
use crate::faults::as_killed;
use crate::readings;
use crate::source::{Delivery, Envelope, Receipt};
use crate::{Feed, Ingest, IngestConfig};

const START: i64 = 1_772_434_800_000;

fn start(folder: &Path) -> (Ingest, Feed) {
    let now = DateTime::from_timestamp_millis(START + 3_600_000).unwrap();
    let config = IngestConfig {
        journal_segment_bytes: 1,
        batch_ms: 0,
        ..IngestConfig::default()
    };
    Ingest::start(config, folder, Arc::new(ManualClock::new(now))).unwrap()
}

fn reading(class: &str, asset: &str, after: i64, metrics: &str) -> Envelope {
    let payload = format!("{{\"time\":{},\"metrics\":{{{metrics}}}}}", START + after);
    Envelope {
        topic: Bytes::from(format!("fieldwright/{class}/{asset}")),
        payload: payload.into(),
        received_at: DateTime::from_timestamp_millis(START + 3_600_000).unwrap(),
    }
}

async fn put(ingest: &Ingest, envelopes: Vec<Envelope>) {
    let (done, acknowledged) = oneshot::channel();
    let receipt = Receipt::new(move || {
        let _ = done.send(());
    });
    let delivery = Delivery { envelopes, receipt };
    ingest.intake().send(delivery).await.unwrap();
    acknowledged.await.unwrap();
}

type Last = BTreeMap<(String, String, String), (i64, u64)>;

/// What all readings say.
fn expected(ingest: &Ingest) -> Last {
    let mut last = Last::new();
    for ((class, asset, time, metric), value) in readings::of(&ingest.snapshot()) {
        let newest = last.entry((class, asset, metric)).or_default();
        *newest = (*newest).max((time, value.to_bits()));
        newest.1 = if newest.0 == time {
            value.to_bits()
        } else {
            newest.1
        };
    }
    last
}

fn seen(ingest: &Ingest) -> Last {
    let (_, last) = ingest.snapshots().load_with_last();
    let mut seen = Last::new();
    for class in last.classes() {
        for asset in 0..class.assets() as u32 {
            for value in class.values(asset) {
                let key = (
                    class.class().to_string(),
                    class.tag(asset).to_string(),
                    value.metric.to_string(),
                );
                seen.insert(key, (value.time, value.value.unwrap().to_bits()));
            }
        }
    }
    seen
}

/// A small seeded generator.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % most
    }
}

#[tokio::test]
async fn they_are_what_all_readings_say_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let (ingest, _feed) = start(folder.path());
    for round in 0..60 {
        let message = |random: &mut Random| {
            let metrics: Vec<String> = (0..=random.below(3))
                .map(|place| format!("\"m{}\":{}", place * 3 + random.below(3), random.below(4)))
                .collect();
            let class = ["pump", "fan"][random.below(2) as usize];
            let asset = format!("{class}-{}", random.below(5));
            reading(class, &asset, random.below(40) as i64, &metrics.join(","))
        };
        let count = 1 + random.below(12);
        put(&ingest, (0..count).map(|_| message(&mut random)).collect()).await;
        assert_eq!(seen(&ingest), expected(&ingest), "round {round}");
        if round % 7 == 3 {
            ingest.flush().await.unwrap();
        }
        if round % 6 == 5 {
            let copy = as_killed(folder.path());
            let (again, _feed) = start(copy.path());
            assert_eq!(seen(&again), expected(&ingest), "round {round}");
            again.shutdown().await.unwrap();
            // Without the checkpoint, and with a damaged one, the files say it.
            let path = copy.path().join(checkpoint::NAME);
            let mut bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            let (again, _feed) = start(copy.path());
            assert_eq!(seen(&again), expected(&ingest), "round {round}");
            drop(again);
            let place = random.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(checkpoint::read(copy.path()).is_err());
            let (again, _feed) = start(copy.path());
            assert_eq!(seen(&again), expected(&ingest), "round {round}");
        }
    }
    let stats = ingest.stats();
    assert!(stats.duplicate_samples > 0 && stats.conflicting_samples > 0);
}

#[tokio::test]
async fn a_checkpoint_older_than_the_files_is_brought_up_by_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(folder.path());
    put(&ingest, vec![reading("pump", "P1", 1, "\"a\":1,\"b\":1")]).await;
    ingest.flush().await.unwrap();
    let old = fs::read(folder.path().join(checkpoint::NAME)).unwrap();
    put(
        &ingest,
        vec![
            reading("pump", "P1", 2, "\"a\":2"),
            reading("pump", "P2", 3, "\"a\":3"),
        ],
    )
    .await;
    put(&ingest, vec![reading("pump", "P1", 1, "\"b\":7")]).await;
    // The instant between the files and the checkpoint: the journal is not trimmed yet.
    let journal = as_killed(folder.path());
    ingest.flush().await.unwrap();
    let copy = as_killed(folder.path());
    fs::write(copy.path().join(checkpoint::NAME), old).unwrap();
    fs::remove_dir_all(copy.path().join("journal")).unwrap();
    fs::rename(journal.path().join("journal"), copy.path().join("journal")).unwrap();
    let (again, _feed) = start(copy.path());
    assert_eq!(seen(&again), expected(&ingest));
    assert_eq!(again.snapshot().tables["pump"].hot.len(), 0, "no row twice");
}

#[tokio::test]
async fn a_picture_is_of_one_instant_and_does_not_change() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(folder.path());
    put(
        &ingest,
        (0..200)
            .map(|n| reading("pump", &format!("P{n}"), 1, "\"a\":1"))
            .collect(),
    )
    .await;
    let (snapshot, last) = ingest.snapshots().load_with_last();
    let before = format!("{last:?}");
    put(
        &ingest,
        (0..200)
            .map(|n| reading("pump", &format!("P{n}"), 2, "\"a\":2"))
            .collect(),
    )
    .await;
    assert_eq!(format!("{last:?}"), before);
    assert_eq!(snapshot.tables["pump"].hot.len(), 1);
    let (newer, last) = ingest.snapshots().load_with_last();
    assert_eq!(newer.sequence, snapshot.sequence + 1);
    let pump = last.class("pump").unwrap();
    assert_eq!(pump.values(pump.find("P77").unwrap())[0].value, Some(2.0));
    assert_eq!(last.find("P77").count(), 1);
    assert_eq!(last.find("P777").count(), 0);
}

#[tokio::test]
async fn wide_and_long_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(folder.path());
    put(
        &ingest,
        vec![
            reading("pump", "P1", 1, "\"a\":1,\"b\":2"),
            reading("pump", "P2", 2, "\"b\":3"),
            reading("pump", "P1", 3, "\"b\":4"),
        ],
    )
    .await;
    let (_, last) = ingest.snapshots().load_with_last();
    let pump = last.class("pump").unwrap();
    let columns = |names: &[&str], schema: &arrow::datatypes::Schema| -> Vec<usize> {
        names
            .iter()
            .map(|name| schema.index_of(name).unwrap())
            .collect()
    };
    let wide = pump
        .wide(&[1, 0], &columns(&["b", "asset", "a"], pump.schema()))
        .unwrap();
    let said = pretty_format_batches(&[wide]).unwrap().to_string();
    assert_eq!(
        said.lines().skip(3).take(2).collect::<Vec<_>>(),
        ["| 3.0 | P2    |     |", "| 4.0 | P1    | 1.0 |",],
        "{said}"
    );
    let long = super::long_schema();
    let long = pump
        .long(
            &[0, 1],
            &columns(&["metric", "asset", "value", "quality", "time"], &long),
        )
        .unwrap();
    let said = pretty_format_batches(&[long]).unwrap().to_string();
    assert_eq!(
        said.lines().skip(3).take(3).collect::<Vec<_>>(),
        [
            "| a      | P1    | 1.0   | good    | 2026-03-02T07:00:00.001Z |",
            "| b      | P1    | 4.0   | good    | 2026-03-02T07:00:00.003Z |",
            "| b      | P2    | 3.0   | good    | 2026-03-02T07:00:00.002Z |",
        ],
        "{said}"
    );
    assert_eq!(pump.wide(&[0, 1], &[]).unwrap().num_rows(), 2);
    assert_eq!(pump.long(&[0], &[]).unwrap().num_rows(), 2);
}

/// Bytes of memory an asset, the allocator's own taken as 16 a piece.
async fn bytes_per_asset(assets: usize, metrics_of: impl Fn(usize) -> String) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = start(folder.path());
    for time in 1..=2 {
        for from in (0..assets).step_by(5_000) {
            let some = (from..assets.min(from + 5_000)).map(|number| {
                let asset = format!("asset-{number:06}");
                reading("pump", &asset, time, &metrics_of(number))
            });
            put(&ingest, some.collect()).await;
        }
    }
    let (_, last) = ingest.snapshots().load_with_last();
    let pump = last.class("pump").unwrap();
    assert_eq!(pump.assets(), assets);
    let pieces = 16 * 3;
    let cells = pump.chunks.iter().flat_map(|chunk| chunk.iter());
    let lists: usize = cells.map(|cells| cells.heap_bytes() + pieces).sum();
    let chunks = pump.chunks.iter().map(|chunk| chunk.capacity());
    let chunks: usize = chunks.sum::<usize>() * size_of::<super::AssetCells>();
    (lists + chunks) / assets + pump.assets.bytes() / assets
}

#[tokio::test]
async fn ten_values_of_an_asset_take_some_300_bytes_however_many_metrics_its_class_has() {
    let ten = |of: usize| {
        let metric = |place: usize| format!("\"m{}\":{}", (of * 7 + place) % 2_000, place);
        (0..10).map(metric).collect::<Vec<_>>().join(",")
    };
    let same = bytes_per_asset(20_000, |_| ten(0)).await;
    let sparse = bytes_per_asset(4_000, ten).await;
    eprintln!("{same} bytes an asset of ten metrics, {sparse} where the class has 2,000");
    assert!(same < 400, "{same}");
    assert!(sparse < 400, "{sparse}");
}
