//! The quarantine's bound, its file and its memory of what was there.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::*;
use crate::batch::{Batch, Counts};

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
