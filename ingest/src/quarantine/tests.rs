//! The quarantine's bound, its file and its memory of what was there.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::batch::{Batch, Counts};
use crate::disk::{Disk, DiskFile, LocalDisk};

const WIDE: Bounds = Bounds {
    entries: 100,
    bytes: 1 << 20,
    payload_bytes: 1000,
};

fn refused(sequence: u64, payloads: &[&str]) -> Batch {
    let envelopes: Vec<Envelope> = payloads
        .iter()
        .map(|payload| Envelope {
            topic: Bytes::from_static(b"x/y"),
            payload: payload.to_string().into(),
            received_at: DateTime::<Utc>::from_timestamp_micros(1_772_434_800_000_000).unwrap(),
        })
        .collect();
    let rejects = (0..envelopes.len() as u32).map(|index| (index, Rejection::UnknownTopic));
    Batch {
        sessions: Default::default(),
        sequence,
        opened: None,
        rejects: rejects.collect(),
        envelopes,
        receipts: Vec::new(),
        parts: Vec::new(),
        counts: Counts::default(),
    }
}

fn ids(store: &Store) -> Vec<String> {
    store
        .list(None, 1000)
        .entries
        .iter()
        .map(|entry| entry.id.to_string())
        .collect()
}

fn open(folder: &Path, bounds: Bounds) -> Store {
    Store::open(crate::disk::LocalDisk::shared(), folder, bounds).unwrap()
}

#[test]
fn ids_are_read_as_they_are_shown() {
    let id = QuarantineId {
        sequence: 12,
        index: 3,
    };
    assert_eq!(id.to_string().parse(), Ok(id));
    for wrong in ["", "q", "q1", "12-3", "q1-x", "qq1-2"] {
        assert!(wrong.parse::<QuarantineId>().is_err(), "{wrong}");
    }
}

#[test]
fn entries_survive_and_come_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), WIDE);
    store.add(&refused(3, &["a", "b"]));
    store.add(&refused(4, &["c"]));
    let whole = store.list(None, 10).entries;
    drop(store);
    let store = open(folder.path(), WIDE);
    assert_eq!(store.list(None, 10).entries, whole);
    // A replay of the journal brings both again.
    store.add(&refused(3, &["a", "b"]));
    store.add(&refused(4, &["c"]));
    assert_eq!(ids(&store), ["q3-0", "q3-1", "q4-0"]);
    assert_eq!(
        store.totals(),
        QuarantineTotals {
            entries: 3,
            bytes: 12,
            dropped: 0
        }
    );
}

#[test]
fn a_removed_entry_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), WIDE);
    store.add(&refused(3, &["a", "b"]));
    store
        .remove(QuarantineId {
            sequence: 3,
            index: 1,
        })
        .unwrap();
    drop(store);
    let store = open(folder.path(), WIDE);
    store.add(&refused(3, &["a", "b"]));
    assert_eq!(ids(&store), ["q3-0"]);
}

#[test]
fn the_oldest_makes_room_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds { entries: 3, ..WIDE };
    let store = open(folder.path(), bounds);
    for sequence in 1..=10 {
        store.add(&refused(sequence, &["a"]));
    }
    drop(store);
    let store = open(folder.path(), bounds);
    assert_eq!(ids(&store), ["q8-0", "q9-0", "q10-0"]);
    assert_eq!(store.totals().dropped, 7);
    let tight = Bounds { bytes: 10, ..WIDE };
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), tight);
    store.add(&refused(1, &["12345", "12", "34"]));
    // Topic and payload count: 8, then 8 + 5, then 8 + 5 + 5 bytes.
    assert_eq!(ids(&store), ["q1-1", "q1-2"]);
}

#[test]
fn pages() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), WIDE);
    store.add(&refused(1, &["a", "b", "c", "d", "e"]));
    let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = store.list(after, 2);
        seen.extend(page.entries.iter().map(|entry| entry.id.index));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((seen, pages), (vec![0, 1, 2, 3, 4], 3));
}

#[test]
fn a_payload_too_large_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), WIDE);
    store.add(&refused(1, &[&"x".repeat(5000)]));
    let entry = store.list(None, 1).entries.remove(0);
    assert_eq!((entry.payload.len(), entry.payload_bytes), (4096, 5000));
}

#[test]
fn a_torn_change_is_cut_off_and_the_file_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("entries.log");
    let store = open(folder.path(), WIDE);
    store.add(&refused(1, &["a"]));
    let whole = std::fs::metadata(&path).unwrap().len();
    store.add(&refused(2, &["b"]));
    store.sync().unwrap();
    drop(store);
    let length = std::fs::metadata(&path).unwrap().len();
    for cut in whole..length {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(cut).unwrap();
        let store = open(folder.path(), WIDE);
        assert_eq!(ids(&store), ["q1-0"], "cut at {cut}");
        store.add(&refused(2, &["b"]));
        store.sync().unwrap();
        drop(store);
        assert_eq!(
            ids(&open(folder.path(), WIDE)),
            ["q1-0", "q2-0"],
            "cut at {cut}"
        );
        assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
    }
    // Damage in the middle costs the change it hits.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[30] ^= 1;
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all(&bytes)
        .unwrap();
    assert_eq!(ids(&open(folder.path(), WIDE)), ["q2-0"]);
}

/// Power fails while several changes are not synced: the first has a hole, the last is cut short.
/// Its head holds, and says that what is written next were its payload.
#[test]
fn nothing_is_written_behind_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("entries.log");
    let length = || std::fs::metadata(&path).unwrap().len() as usize;
    let store = open(folder.path(), WIDE);
    store.add(&refused(1, &["a"]));
    let hole = length() + 40;
    store.add(&refused(2, &["b"]));
    let third = length();
    store.add(&refused(3, &["c"]));
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    for cut in third..whole.len() {
        let mut damaged = whole[..cut].to_vec();
        damaged[hole] = 0;
        std::fs::write(&path, &damaged).unwrap();
        let store = open(folder.path(), WIDE);
        assert_eq!(ids(&store), ["q1-0"], "cut at {cut}");
        // The journal has both; then it is trimmed.
        store.add(&refused(2, &["b"]));
        store.add(&refused(3, &["c"]));
        store.sync().unwrap();
        drop(store);
        let found = ids(&open(folder.path(), WIDE));
        assert_eq!(found, ["q1-0", "q2-0", "q3-0"], "cut at {cut}");
    }
}

/// A disk that refuses in the middle of a write, and to cut off what it wrote, or to sync names.
#[derive(Debug, Clone, Default)]
struct Stubborn {
    writes: Arc<AtomicBool>,
    names: Arc<AtomicBool>,
}

#[derive(Debug)]
struct StubbornFile(Box<dyn DiskFile>, Stubborn);

impl Stubborn {
    fn check(refuses: &AtomicBool) -> io::Result<()> {
        match refuses.load(Ordering::SeqCst) {
            true => Err(io::Error::other("refused")),
            false => Ok(()),
        }
    }
}

impl Disk for Stubborn {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(StubbornFile(
            LocalDisk.create(path)?,
            self.clone(),
        )))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        LocalDisk.create_new(path)
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(StubbornFile(
            LocalDisk.append(path)?,
            self.clone(),
        )))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        LocalDisk.create_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        Self::check(&self.names)?;
        LocalDisk.sync_folder(path)
    }
}

impl Write for StubbornFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if Stubborn::check(&self.1.writes).is_err() && bytes.len() > 60 {
            self.0.write_all(&bytes[..60])?;
        }
        Stubborn::check(&self.1.writes)?;
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for StubbornFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        Stubborn::check(&self.1.writes)?;
        self.0.set_len(bytes)
    }
    fn seek_to(&mut self, place: u64) -> io::Result<()> {
        self.0.seek_to(place)
    }
}

#[test]
fn a_part_that_cannot_be_cut_off_swallows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Stubborn::default();
    let store = Store::open(Arc::new(disk.clone()), folder.path(), WIDE).unwrap();
    store.add(&refused(1, &["a"]));
    disk.writes.store(true, Ordering::SeqCst);
    store.add(&refused(2, &["b"]));
    disk.writes.store(false, Ordering::SeqCst);
    store.add(&refused(3, &["c"]));
    store.sync().unwrap();
    let found = ids(&open(folder.path(), WIDE));
    assert_eq!(found, ["q1-0", "q2-0", "q3-0"]);
}

/// The file was replaced, but its folder could not be synced: what follows goes into the new one.
#[test]
fn a_file_that_was_replaced_in_part_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Stubborn::default();
    let bounds = Bounds { entries: 1, ..WIDE };
    let store = Store::open(Arc::new(disk.clone()), folder.path(), bounds).unwrap();
    let path = folder.path().join("entries.log");
    let length = || std::fs::metadata(&path).unwrap().len();
    store.add(&refused(1, &["a"]));
    disk.names.store(true, Ordering::SeqCst);
    let (mut sequence, mut before) = (1, 0);
    while length() > before {
        before = length();
        sequence += 1;
        store.add(&refused(sequence, &["a"]));
    }
    assert!(before > 1 << 20, "it was written anew at {before} bytes");
    disk.names.store(false, Ordering::SeqCst);
    // A long one makes the old file's length a fair one.
    store.add(&refused(sequence + 1, &[&"x".repeat(900)]));
    store.sync().unwrap();
    let found = ids(&open(folder.path(), bounds));
    assert_eq!(found, [format!("q{}-0", sequence + 1)]);
}

#[test]
fn the_file_stays_in_proportion() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds {
        entries: 10,
        ..WIDE
    };
    let store = open(folder.path(), bounds);
    let long = "x".repeat(900);
    for sequence in 1..=4000 {
        store.add(&refused(sequence, &[&long]));
    }
    store.sync().unwrap();
    let bytes = std::fs::metadata(folder.path().join("entries.log"))
        .unwrap()
        .len();
    assert!(bytes < 1_200_000, "{bytes}");
    drop(store);
    let store = open(folder.path(), bounds);
    assert_eq!(store.totals().entries, 10);
    assert_eq!(store.totals().dropped, 3990);
    assert_eq!(
        store.last(),
        Some(QuarantineId {
            sequence: 4000,
            index: 0
        })
    );
}
