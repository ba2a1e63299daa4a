//! An entry of the log whose put failed, and which is there all the same, or is somebody else's.

use super::*;
use crate::faults::watched_disk::{Asked, WatchedDisk};

const LIMITS: CompactionLimits = CompactionLimits {
    rows: 64,
    files: 1,
    input_rows: 1000,
    rollups: false,
};

/// Rows in memory and in files, each place of a row counted.
fn rows(world: &World) -> u64 {
    let snapshot = world.tables.snapshots().load();
    let table = &snapshot.tables["pump"];
    let hot = table.hot.iter().map(|rows| rows.batch.num_rows() as u64);
    hot.sum::<u64>() + table.files.iter().map(|file| file.rows).sum::<u64>()
}

fn compact(lake: &Lake, world: &World) -> bool {
    let name = "pump".into();
    let compacted = lake.compact(&name, LIMITS, true, i64::MIN, &world.tables, &|| true);
    compacted.is_ok_and(|done| done.is_some())
}

/// The name of the entry is there and its folder cannot be synced.
#[test]
fn an_entry_that_can_be_read_counts_once_its_name_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let disk = WatchedDisk::default();
    let place = Place::folder(Arc::new(disk.clone()), folder.path()).unwrap();
    let lake = Lake::at(place).unwrap();
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1")]);
    world.flush(&lake);
    world.commit(&[("P1", 2, "\"a\":2")]);
    let before = world.readings();
    let mut frozen = world.tables.freeze();
    let watermarks = world.catalog.watermarks();
    let mut flush = || lake.flush(&mut frozen, 2, &watermarks, &world.tables);
    disk.refuse(|asked, path| asked == Asked::SyncFolder && path.ends_with("_delta_log"));
    assert!(flush().is_err());
    let entry = "pump/_delta_log/00000000000000000001.json";
    assert!(folder.path().join(entry).exists(), "it can be read");
    // Nobody else makes it visible: its rows are in memory still.
    disk.allow();
    let old = Retention {
        days: 1,
        ..Retention::default()
    };
    let much_later = DateTime::<Utc>::from_timestamp_millis(START + 900 * 86_400_000).unwrap();
    for _ in 0..2 {
        assert!(!compact(&lake, &world));
        lake.retain(&old, much_later, &world.tables).unwrap();
        assert_eq!((rows(&world), world.readings()), (2, before.clone()));
    }
    // It is no answer that it can be read: the journal would be trimmed for it.
    disk.refuse(|asked, path| asked == Asked::SyncFolder && path.ends_with("_delta_log"));
    assert!(flush().is_err());
    disk.allow();
    disk.done();
    flush().unwrap();
    let log = folder
        .path()
        .canonicalize()
        .unwrap()
        .join("pump/_delta_log");
    assert!(disk.done().contains(&(Asked::SyncFolder, log)));
    assert_eq!((rows(&world), world.readings()), (2, before.clone()));
    assert!(compact(&lake, &world));
    assert_eq!((rows(&world), world.readings()), (2, before.clone()));
    assert_eq!(reread(folder.path()).1, before);
}

/// A compaction whose entry was in doubt: what it replaced goes in the end.
#[test]
fn what_a_compaction_in_doubt_replaced_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = WatchedDisk::default();
    let place = Place::folder(Arc::new(disk.clone()), folder.path()).unwrap();
    let lake = Lake::at(place).unwrap();
    let mut world = World::new(&lake);
    for time in 1..3 {
        world.commit(&[("P1", time, "\"a\":1")]);
        world.flush(&lake);
    }
    let before = world.readings();
    disk.refuse(|asked, path| asked == Asked::SyncFolder && path.ends_with("_delta_log"));
    assert!(!compact(&lake, &world));
    disk.allow();
    world.commit(&[("P1", 3, "\"a\":1")]);
    world.flush(&lake);
    assert_eq!(rows(&world), 3);
    assert!(lake.clear(i64::MAX).unwrap() >= 2);
    assert_eq!(parquet_files(folder.path()).len(), 2);
    assert!(world.readings().len() == before.len() + 1);
    assert_eq!(reread(folder.path()).1, world.readings());
}

/// The second of two services that write to one lake: it is refused again and again, and nothing
/// of it counts as flushed, whatever the first one's numbers are.
#[test]
fn somebody_elses_entry_is_never_taken_for_ours() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(folder.path());
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1")]);
    world.flush(&lake);
    let second = open(folder.path());
    let mut others = World::new(&second);
    others.sequence = 1;
    others.commit(&[("P9", 1, "\"a\":9")]);
    let mine = others.readings();
    for time in 2..5 {
        world.commit(&[("P1", time, "\"a\":1")]);
        world.flush(&lake);
    }
    let mut frozen = others.tables.freeze();
    let watermarks = others.catalog.watermarks();
    for _ in 0..3 {
        let refused = second.flush(&mut frozen, others.sequence, &watermarks, &others.tables);
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("one lake has one writer"), "{said}");
        assert!(!compact(&second, &others));
        assert_eq!((frozen.len(), others.readings()), (1, mine.clone()));
    }
    assert_eq!(reread(folder.path()).1, world.readings());
}
