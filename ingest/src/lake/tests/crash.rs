//! A disk that stops in the middle of a flush or a compaction, at every step of it.

use std::io;
use std::sync::atomic::{AtomicI64, Ordering};

use super::compaction::{Numbers, commit_some};
use super::*;
use crate::disk::DiskFile;

/// A disk that does so many things more, and then nothing.
#[derive(Debug)]
struct Stopping {
    left: Arc<AtomicI64>,
}

#[derive(Debug)]
struct StoppingFile {
    file: Box<dyn DiskFile>,
    left: Arc<AtomicI64>,
}

fn step(left: &AtomicI64) -> io::Result<()> {
    match left.fetch_sub(1, Ordering::Relaxed) > 0 {
        true => Ok(()),
        false => Err(io::Error::other("the disk stopped")),
    }
}

impl Disk for Stopping {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        step(&self.left)?;
        let (file, left) = (LocalDisk.create(path)?, self.left.clone());
        Ok(Box::new(StoppingFile { file, left }))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        step(&self.left)?;
        LocalDisk.create_new(path)
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        step(&self.left)?;
        LocalDisk.append(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        step(&self.left)?;
        LocalDisk.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        step(&self.left)?;
        LocalDisk.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        step(&self.left)?;
        LocalDisk.remove(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        step(&self.left)?;
        LocalDisk.create_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        step(&self.left)?;
        LocalDisk.sync_folder(path)
    }
}

impl io::Write for StoppingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        step(&self.left)?;
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for StoppingFile {
    fn sync(&mut self) -> io::Result<()> {
        step(&self.left)?;
        self.file.sync()
    }
    fn sync_data(&mut self) -> io::Result<()> {
        step(&self.left)?;
        self.file.sync_data()
    }
    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        step(&self.left)?;
        self.file.set_len(bytes)
    }
    fn seek_to(&mut self, place: u64) -> io::Result<()> {
        self.file.seek_to(place)
    }
}

/// What is done with the disk that stops.
#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Flush,
    Compact,
}

/// Stops after every number of steps in turn, until it was not stopped.
fn check(doing: Doing) {
    let limits = CompactionLimits {
        rows: 64,
        files: 2,
        input_rows: 1000,
        rollups: false,
    };
    let mut steps = 0;
    loop {
        let folder = tempfile::tempdir().unwrap();
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let disk = Arc::new(Stopping { left: left.clone() });
        let lake = Lake::at(Place::folder(disk, folder.path()).unwrap()).unwrap();
        let mut world = World::new(&lake);
        let mut numbers = Numbers::new(3);
        let mut at = 3000;
        let mut flushed = readings::Readings::new();
        for _ in 0..3 {
            commit_some(&mut world, &mut numbers, &mut at);
            world.flush(&lake);
            flushed = world.readings();
        }
        let through = world.sequence;
        if doing == Doing::Flush {
            commit_some(&mut world, &mut numbers, &mut at);
        }
        left.store(steps, Ordering::Relaxed);
        let mut frozen = world.tables.freeze();
        let done = match doing {
            Doing::Flush => {
                let watermarks = world.catalog.watermarks();
                lake.flush(&mut frozen, world.sequence, &watermarks, &world.tables)
                    .is_ok()
            }
            Doing::Compact => {
                let name = "pump".into();
                let compacted =
                    lake.compact(&name, limits, true, i64::MIN, &world.tables, &|| true);
                compacted.is_ok_and(|done| done.is_some())
            }
        };
        let whole = left.load(Ordering::Relaxed) >= 0;
        // The process dies; what a start finds is one of the two states, as its number says.
        let again = open(folder.path());
        let tables = Tables::new(0, Arc::new(again.root()), again.tables());
        let found = readings::of(&tables.snapshots().load());
        let expected = match again.flushed_through()["pump"] > through {
            true => world.readings(),
            false => flushed,
        };
        assert_eq!(found, expected, "after {steps} steps");
        // In a copy: below, the process goes on with what a start would clean up.
        let copy = tempfile::tempdir().unwrap();
        crate::faults::copy_folder(folder.path(), copy.path());
        open(copy.path()).remove_leftovers().unwrap();
        assert_eq!(
            reread(copy.path()).1,
            expected,
            "cleaned after {steps} steps"
        );
        // The process does not die but tries again when the disk works.
        left.store(i64::MAX, Ordering::Relaxed);
        if doing == Doing::Flush && !done {
            let watermarks = world.catalog.watermarks();
            lake.flush(&mut frozen, world.sequence, &watermarks, &world.tables)
                .unwrap();
        }
        if doing == Doing::Compact && !done {
            let name = "pump".into();
            let compacted = lake.compact(&name, limits, true, i64::MIN, &world.tables, &|| true);
            assert!(compacted.is_ok());
        }
        assert_eq!(
            reread(folder.path()).1,
            world.readings(),
            "again after {steps} steps"
        );
        if whole {
            assert!(done && steps > 10, "{steps}");
            return;
        }
        steps += 1;
    }
}

#[test]
fn a_flush_that_stops_anywhere_is_no_flush_or_a_whole_one() {
    check(Doing::Flush);
}

#[test]
fn a_compaction_that_stops_anywhere_is_none_or_a_whole_one() {
    check(Doing::Compact);
}
