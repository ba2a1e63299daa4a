//! The lake: what a crash or a damaged disk may leave, and what a file looks like.

use std::collections::BTreeMap;

use ::parquet::file::reader::{FileReader, SerializedFileReader};
use arrow::array::{StringArray, TimestampMicrosecondArray};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::*;
use crate::batch::{Batch, OpenBatch};
use crate::config::IngestConfig;
use crate::decode::Decoder;
use crate::readings;
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
        Self::at(lake.root().unwrap())
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
                received_at: DateTime::<Utc>::from_timestamp_millis(START + 1_000_000).unwrap(),
            };
            open.push(&mut self.decoder, &mut self.catalog, envelope);
        }
        let batch = open.close(&self.catalog);
        assert!(batch.rejects.is_empty());
        self.tables.apply(std::slice::from_ref(&batch));
        batch
    }

    fn flush(&mut self, lake: &mut Lake) {
        let frozen = self.tables.freeze();
        let filed = lake
            .flush(&frozen, self.sequence, &self.catalog.watermarks())
            .unwrap();
        self.tables.install(&frozen, filed);
    }

    fn readings(&self) -> readings::Readings {
        readings::of(&self.tables.snapshots().load())
    }
}

fn reread(folder: &Path) -> (Lake, readings::Readings) {
    let lake = Lake::read(folder).unwrap().unwrap();
    let root = Arc::new(lake.root().unwrap());
    let tables = Tables::new(lake.flushed_through(), root, lake.tables());
    let readings = readings::of(&tables.snapshots().load());
    (lake, readings)
}

#[test]
fn files_are_sorted_with_statistics_and_schema_grows() {
    let folder = tempfile::tempdir().unwrap();
    let mut lake = Lake::create(folder.path()).unwrap();
    let mut world = World::new(&lake);
    world.commit(&[("P2", 2, "\"a\":1"), ("P1", 3, "\"a\":2")]);
    world.commit(&[("P2", 5, "\"b\":3"), ("P1", 4, "\"a\":4,\"b\":5")]);
    world.commit(&[
        ("P2", 1, "\"a\":6"),
        ("P2", 2, "\"a\":7"),
        ("P1", 3, "\"c\":8"),
    ]);
    let before = world.readings();
    world.flush(&mut lake);
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
    let batch = &readings::read(&again.root().unwrap(), file)[0];
    let assets: &StringArray = batch.column(0).as_any().downcast_ref().unwrap();
    let times: &TimestampMicrosecondArray = batch.column(1).as_any().downcast_ref().unwrap();
    let order: Vec<_> = (0..4)
        .map(|row| (assets.value(row), times.value(row) / 1000 - START))
        .collect();
    assert_eq!(order, [("P1", 3), ("P1", 4), ("P2", 2), ("P2", 5)]);
    let opened = SerializedFileReader::new(again.root().unwrap().open(file).unwrap()).unwrap();
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
    let watermarks = again.catalog().watermarks();
    let expected = BTreeMap::from([
        ("P1".into(), (START + 4) * 1000),
        ("P2".into(), (START + 5) * 1000),
    ]);
    assert_eq!(watermarks["pump"], expected);
}

#[test]
fn a_flush_that_did_not_finish_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut lake = Lake::create(folder.path()).unwrap();
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1")]);
    world.flush(&mut lake);
    let manifest = fs::read(folder.path().join(manifest::NAME)).unwrap();
    let (_, before) = reread(folder.path());
    // The second flush dies after its files and before its manifest.
    world.commit(&[("P1", 2, "\"a\":2")]);
    world.flush(&mut lake);
    fs::write(folder.path().join(manifest::NAME), &manifest).unwrap();
    fs::write(folder.path().join("manifest.tmp"), b"{\"version\":").unwrap();
    let (lake, after) = reread(folder.path());
    assert_eq!(after, before);
    assert_eq!(lake.remove_leftovers().unwrap(), 2);
    assert_eq!(parquet_files(folder.path()).unwrap().len(), 1);
    assert_eq!(reread(folder.path()).1, before);
}

#[test]
fn a_failed_flush_changes_nothing_and_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let mut lake = Lake::create(folder.path()).unwrap();
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1")]);
    // A file stands where the class folder should be made.
    let in_the_way = folder.path().join("pump");
    fs::write(&in_the_way, b"").unwrap();
    let frozen = world.tables.freeze();
    let watermarks = world.catalog.watermarks();
    let before = world.readings();
    assert!(lake.flush(&frozen, 1, &watermarks).is_err());
    assert_eq!(world.readings(), before);
    assert_eq!(
        Lake::read(folder.path())
            .unwrap()
            .unwrap()
            .flushed_through(),
        0
    );
    fs::remove_file(&in_the_way).unwrap();
    let filed = lake.flush(&frozen, 1, &watermarks).unwrap();
    world.tables.install(&frozen, filed);
    assert_eq!(world.readings(), before);
    assert_eq!(reread(folder.path()).1, before);
}

#[test]
fn rows_that_come_during_a_flush_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut lake = Lake::create(folder.path()).unwrap();
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1")]);
    let first = world.tables.freeze();
    let watermarks = world.catalog.watermarks();
    world.commit(&[("P1", 2, "\"a\":2")]);
    let second = world.tables.freeze();
    world.commit(&[("P1", 3, "\"a\":3"), ("P1", 1, "\"a\":9")]);
    let before = world.readings();
    for (frozen, through) in [(first, 1), (second, 2)] {
        let filed = lake.flush(&frozen, through, &watermarks).unwrap();
        world.tables.install(&frozen, filed);
        assert_eq!(world.readings(), before);
    }
    assert_eq!(before.len(), 3);
    assert_eq!(reread(folder.path()).1.len(), 2);
}

#[test]
fn a_lake_that_is_not_whole_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut lake = Lake::create(folder.path()).unwrap();
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1")]);
    world.flush(&mut lake);
    let path = folder.path().join(manifest::NAME);
    let whole = fs::read_to_string(&path).unwrap();
    let check = |content: &str, said: &str| {
        fs::write(&path, content).unwrap();
        let refusal = Lake::read(folder.path()).unwrap_err().to_string();
        assert!(refusal.contains(said), "{refusal}");
    };
    for cut in 0..whole.len() {
        check(&whole[..cut], "damaged or half-written");
    }
    check(
        &whole.replace("\"version\":1", "\"version\":7"),
        "version 7",
    );
    let file = folder.path().join(lake.tables()[0].files[0].path.as_ref());
    fs::write(&path, &whole).unwrap();
    let rows = fs::read(&file).unwrap();
    fs::write(&file, &rows[1..]).unwrap();
    check(&whole, "0000000001-rows.parquet");
    fs::write(&file, &rows).unwrap();
    fs::remove_file(&path).unwrap();
    let refusal = Lake::read(folder.path()).unwrap_err().to_string();
    assert!(refusal.contains("no manifest.json"), "{refusal}");
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
