//! The lake: what a crash or a damaged disk may leave, and what a file looks like.

mod compaction;
mod crash;
mod doubt;
mod outside;
mod places;
mod size;
mod syncs;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use arrow::array::{StringArray, TimestampMicrosecondArray};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::*;
use crate::batch::{Batch, OpenBatch};
use crate::config::IngestConfig;
use crate::decode::Decoder;
use crate::readings;
use crate::snapshot::{HotBatch, TableSnapshot};
use crate::source::Envelope;
use crate::tables::Tables;

const START: i64 = 1_772_434_800_000;

struct World {
    decoder: Decoder,
    catalog: Catalog,
    tables: Tables,
    sequence: u64,
}

impl World {
    fn new(lake: &Lake) -> Self {
        Self::at(lake.root())
    }

    fn at(root: LakeRoot) -> Self {
        Self {
            decoder: Decoder::new(IngestConfig::default().decode_rules()).unwrap(),
            catalog: Catalog::default(),
            tables: Tables::new(0, Arc::new(root), Vec::new()),
            sequence: 0,
        }
    }

    /// One commit of (asset, milliseconds after the start, metrics).
    fn commit(&mut self, rows: &[(&str, i64, &str)]) -> Batch {
        self.sequence += 1;
        let mut open = OpenBatch::new(self.sequence);
        for (asset, after, metrics) in rows {
            let envelope = Envelope {
                topic: Bytes::from(format!("fieldwright/pump/{asset}")),
                payload: format!("{{\"time\":{},\"metrics\":{{{metrics}}}}}", START + after).into(),
                received_at: DateTime::<Utc>::from_timestamp_millis(START + 100 * 86_400_000)
                    .unwrap(),
            };
            open.push(&mut self.decoder, &mut self.catalog, envelope);
        }
        let batch = open.close(&self.catalog);
        assert!(batch.rejects.is_empty());
        self.tables.apply(std::slice::from_ref(&batch));
        batch
    }

    fn flush(&mut self, lake: &Lake) {
        let mut frozen = self.tables.freeze();
        let watermarks = self.catalog.watermarks();
        lake.flush(&mut frozen, self.sequence, &watermarks, &self.tables)
            .unwrap();
        assert!(frozen.is_empty());
    }

    fn readings(&self) -> readings::Readings {
        readings::of(&self.tables.snapshots().load())
    }
}

fn open(folder: &Path) -> Lake {
    Lake::open_folder(folder).unwrap()
}

fn reread(folder: &Path) -> (Lake, readings::Readings) {
    let lake = open(folder);
    let tables = Tables::new(lake.newest_record(), Arc::new(lake.root()), lake.tables());
    let readings = readings::of(&tables.snapshots().load());
    (lake, readings)
}

/// The Parquet files below a folder, without those that only a start reads.
fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("_progress") {
            found.extend(parquet_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
    found
}

#[test]
fn files_are_sorted_with_statistics_and_schema_grows() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(folder.path());
    let mut world = World::new(&lake);
    world.commit(&[("P2", 2, "\"a\":1"), ("P1", 3, "\"a\":2")]);
    world.commit(&[("P2", 5, "\"b\":3"), ("P1", 4, "\"a\":4,\"b\":5")]);
    world.commit(&[
        ("P2", 1, "\"a\":6"),
        ("P2", 2, "\"a\":7"),
        ("P1", 3, "\"c\":8"),
    ]);
    let before = world.readings();
    world.flush(&lake);
    assert_eq!(world.readings(), before);
    let (again, after) = reread(folder.path());
    assert_eq!(after, before);
    let table = &again.tables()[0];
    let names: Vec<_> = table
        .schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(names, ["asset", "time", "received_at", "a", "b", "c"]);
    let file = &table.files[0];
    assert_eq!(
        (file.rows, file.min_time, file.max_time),
        (4, (START + 2) * 1000, (START + 5) * 1000)
    );
    let batch = &readings::read(&again.root(), &snapshot_table(table), file)[0];
    let assets: &StringArray = batch.column(0).as_any().downcast_ref().unwrap();
    let times: &TimestampMicrosecondArray = batch.column(1).as_any().downcast_ref().unwrap();
    let order: Vec<_> = (0..4)
        .map(|row| (assets.value(row), times.value(row) / 1000 - START))
        .collect();
    assert_eq!(order, [("P1", 3), ("P1", 4), ("P2", 2), ("P2", 5)]);
    let opened = SerializedFileReader::new(again.root().open(file).unwrap()).unwrap();
    let group = opened.metadata().row_group(0);
    assert!(
        group
            .columns()
            .iter()
            .all(|column| column.statistics().is_some())
    );
    assert_eq!(group.sorting_columns().unwrap().len(), 2);
    assert_eq!(table.late_files[0].rows, 3);
    // The watermarks are there again: an old time is late, a new one is not.
    let watermarks = again.catalog().unwrap().watermarks();
    let expected = BTreeMap::from([
        ("P1".into(), (START + 4) * 1000),
        ("P2".into(), (START + 5) * 1000),
    ]);
    assert_eq!(watermarks["pump"], expected);
}

fn snapshot_table(filed: &FiledTable) -> TableSnapshot {
    TableSnapshot {
        class: filed.class.clone(),
        schema: filed.schema.clone(),
        physical: filed.physical.clone(),
        hot: Vec::new(),
        files: filed.files.clone(),
        late_hot: Vec::new(),
        late_files: filed.late_files.clone(),
    }
}

#[test]
fn a_flush_that_did_not_finish_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(folder.path());
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1")]);
    world.flush(&lake);
    let (_, before) = reread(folder.path());
    // The second flush dies after its files and before its entry.
    world.commit(&[("P1", 2, "\"a\":2")]);
    world.flush(&lake);
    let entry = folder
        .path()
        .join("pump/_delta_log/00000000000000000001.json");
    fs::remove_file(entry).unwrap();
    fs::write(
        folder.path().join("pump/0000000009-rows.parquet#4"),
        b"half",
    )
    .unwrap();
    fs::create_dir(folder.path().join("fan")).unwrap();
    fs::write(folder.path().join("fan/0000000001-rows.parquet"), b"first").unwrap();
    fs::write(folder.path().join("pump/notes.txt"), b"of a person").unwrap();
    let (lake, after) = reread(folder.path());
    assert_eq!(after, before);
    assert_eq!(lake.flushed_through()["pump"], 1);
    assert_eq!(lake.remove_leftovers().unwrap(), 3);
    assert_eq!(parquet_files(folder.path()).len(), 1);
    assert!(folder.path().join("pump/notes.txt").exists());
    assert_eq!(reread(folder.path()).1, before);
}

#[test]
fn a_failed_flush_changes_nothing_and_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(folder.path());
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1")]);
    // A file stands where the class folder should be made.
    let in_the_way = folder.path().join("pump");
    fs::write(&in_the_way, b"").unwrap();
    let mut frozen = world.tables.freeze();
    let watermarks = world.catalog.watermarks();
    let before = world.readings();
    let flush = |frozen: &mut Vec<Frozen>| lake.flush(frozen, 1, &watermarks, &world.tables);
    assert!(flush(&mut frozen).is_err());
    assert_eq!((frozen.len(), world.readings()), (1, before.clone()));
    fs::remove_file(&in_the_way).unwrap();
    flush(&mut frozen).unwrap();
    assert_eq!((frozen.len(), world.readings()), (0, before.clone()));
    assert_eq!(reread(folder.path()).1, before);
}

#[test]
fn rows_that_come_during_a_flush_stay() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(folder.path());
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1")]);
    let first = world.tables.freeze();
    let watermarks = world.catalog.watermarks();
    world.commit(&[("P1", 2, "\"a\":2")]);
    let second = world.tables.freeze();
    world.commit(&[("P1", 3, "\"a\":3"), ("P1", 1, "\"a\":9")]);
    let before = world.readings();
    for (mut frozen, through) in [(first, 1), (second, 2)] {
        lake.flush(&mut frozen, through, &watermarks, &world.tables)
            .unwrap();
        assert_eq!(world.readings(), before);
    }
    assert_eq!(before.len(), 3);
    assert_eq!(reread(folder.path()).1.len(), 2);
}

#[test]
fn a_lake_that_is_not_whole_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(folder.path());
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1")]);
    world.flush(&lake);
    let check = |path: &str, content: &[u8], said: &str| {
        let path = folder.path().join(path);
        let whole = fs::read(&path).ok();
        fs::write(&path, content).unwrap();
        let refusal = Lake::open_folder(folder.path()).unwrap_err().to_string();
        assert!(refusal.contains(said), "{refusal}");
        match whole {
            Some(whole) => fs::write(&path, whole).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    };
    let entry = "pump/_delta_log/00000000000000000000.json";
    let whole = fs::read_to_string(folder.path().join(entry)).unwrap();
    check(
        entry,
        &whole.as_bytes()[..whole.len() / 2],
        "the log of table pump",
    );
    check(entry, b"", "the log of table pump");
    let foreign = whole.replace("fieldwright", "stranger");
    check(entry, foreign.as_bytes(), "another program added");
    let rows = "pump/0000000001-rows.parquet";
    let bytes = fs::read(folder.path().join(rows)).unwrap();
    check(rows, &bytes[1..], rows);
    check("manifest.json", b"{}", "earlier version");
    fs::remove_file(folder.path().join(rows)).unwrap();
    assert!(Lake::open_folder(folder.path()).is_err());
}

#[test]
fn hot_batches_stay_few() {
    let mut world = World::at(LakeRoot::default());
    for number in 0..3000 {
        let batch = world.commit(&[("P1", number, "\"a\":1"), ("P1", number, "\"b\":2")]);
        assert_eq!(batch.parts.len(), 2);
        world.tables.tidy();
    }
    let snapshot = world.tables.snapshots().load();
    let table = &snapshot.tables["pump"];
    assert!(table.hot.len() < 24 && table.late_hot.len() < 24);
    let rows = |all: &[Arc<HotBatch>]| all.iter().map(|rows| rows.batch.num_rows()).sum::<usize>();
    assert_eq!((rows(&table.hot), rows(&table.late_hot)), (3000, 3000));
    assert_eq!(world.readings().len(), 6000);
}
