//! The journal against torn tails, flipped bits, failed writes.

use std::path::Path;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::*;
use crate::batch::OpenBatch;
use crate::catalog::Catalog;
use crate::config::IngestConfig;
use crate::decode::Decoder;
use crate::source::Envelope;

fn batch(sequence: u64, messages: usize) -> Batch {
    let mut decoder = Decoder::new(IngestConfig::default().decode_rules()).unwrap();
    let mut catalog = Catalog::default();
    let mut open = OpenBatch::new(sequence);
    for number in 0..messages {
        let envelope = Envelope {
            topic: Bytes::from(format!("fieldwright/pump/P{number}")),
            payload: format!("payload {number} of {sequence}").into(),
            received_at: DateTime::<Utc>::from_timestamp_micros(1_772_434_800_000_000).unwrap(),
        };
        open.push(&mut decoder, &mut catalog, envelope);
    }
    open.close(&catalog)
}

fn journal(folder: &Path, segment_bytes: u64) -> Journal {
    let rules = IngestConfig::default().decode_rules();
    Journal::new(folder.to_owned(), &rules, segment_bytes, 1, Vec::new())
}

/// Every whole record (number, messages), whether the rules were there, and the damages.
fn read(folder: &Path) -> (Vec<(u64, usize)>, bool, Vec<frame::Damage>) {
    let (mut records, mut ruled, mut damages) = (Vec::new(), true, Vec::new());
    for segment in segments(folder).unwrap() {
        let report = segment
            .read(|rules, number, envelopes| {
                ruled &= rules.is_some();
                for (place, envelope) in envelopes.iter().enumerate() {
                    let said = format!("payload {place} of {number}");
                    assert_eq!(*envelope.payload, *said.as_bytes());
                    assert_eq!(
                        envelope.received_at.timestamp_micros(),
                        1_772_434_800_000_000
                    );
                }
                records.push((number, envelopes.len()));
            })
            .unwrap();
        damages.extend(report.damages);
    }
    (records, ruled, damages)
}

fn only_segment(folder: &Path) -> PathBuf {
    let mut found = segments(folder).unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0).path
}

#[test]
fn what_is_appended_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path(), 1 << 20);
    journal.append(&[batch(1, 3)]).unwrap();
    journal
        .append(&[batch(2, 1), batch(3, 0), batch(4, 2)])
        .unwrap();
    // A batch without messages has no record.
    assert_eq!(
        read(folder.path()),
        (vec![(1, 3), (2, 1), (4, 2)], true, vec![])
    );
    let on_disk = fs::metadata(only_segment(folder.path())).unwrap().len();
    assert_eq!(journal.bytes(), on_disk);
}

#[test]
fn cut_at_every_byte_of_the_tail() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path(), 1 << 20);
    let mut ends = vec![];
    for sequence in 1..=3 {
        journal.append(&[batch(sequence, 4)]).unwrap();
        ends.push(journal.bytes() as usize);
    }
    let path = only_segment(folder.path());
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (records, _, damages) = read(folder.path());
        let kept = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(records.len(), kept, "cut at {cut}");
        assert!(damages.len() <= 1, "cut at {cut}");
        assert!(damages.iter().all(|damage| damage.torn), "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_costs_one_record_and_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path(), 1 << 20);
    for sequence in 1..=5 {
        journal.append(&[batch(sequence, 2)]).unwrap();
    }
    let path = only_segment(folder.path());
    let whole = fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &damaged).unwrap();
        let (records, ruled, damages) = read(folder.path());
        // Either the header lost its rules, or one record is lost; never both, never more.
        assert_eq!(records.len() + usize::from(ruled), 5, "bit {bit}");
        assert_eq!(damages.len(), 1, "bit {bit}");
        assert!(!damages[0].torn, "bit {bit}");
    }
}

#[test]
fn another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    journal(folder.path(), 1 << 20)
        .append(&[batch(1, 1)])
        .unwrap();
    let path = only_segment(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let check = header_check(&bytes[8..16], &bytes[20..20 + length]);
    bytes[16..20].copy_from_slice(&check.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let refused = segments(folder.path()).unwrap()[0]
        .read(|_, _, _| {})
        .unwrap_err();
    assert!(refused.to_string().contains("has format 2"), "{refused}");
}

#[test]
fn segments_close_when_full_and_go_when_their_rows_are_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path(), 1);
    for sequence in 1..=4 {
        journal.append(&[batch(sequence, 1)]).unwrap();
    }
    assert_eq!(segments(folder.path()).unwrap().len(), 4);
    let trimmer = journal.trimmer();
    trimmer.trim(2);
    assert_eq!(read(folder.path()).0, [(3, 1), (4, 1)]);
    // The open segment stays until it is sealed.
    trimmer.trim(4);
    assert_eq!(read(folder.path()).0, [(4, 1)]);
    journal.seal();
    trimmer.trim(4);
    assert_eq!(segments(folder.path()).unwrap().len(), 0);
    assert_eq!(journal.bytes(), 0);
    journal.append(&[batch(5, 1)]).unwrap();
    assert_eq!(read(folder.path()).0, [(5, 1)]);
}

#[test]
fn a_failed_append_is_repeated_in_a_new_segment() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("journal");
    let away = folder.path().join("away");
    fs::create_dir(&inside).unwrap();
    let mut journal = journal(&inside, 1);
    journal.append(&[batch(1, 1)]).unwrap();
    fs::rename(&inside, &away).unwrap();
    let failed = journal.append(&[batch(2, 1)]).unwrap_err();
    assert!(matches!(failed, JournalError::Create { .. }), "{failed}");
    fs::rename(&away, &inside).unwrap();
    journal.append(&[batch(2, 1)]).unwrap();
    assert_eq!(read(&inside).0, [(1, 1), (2, 1)]);
}

#[test]
fn a_damaged_segment_is_kept_under_another_name() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..12 {
        let path = folder.path().join(format!("{number:010}.wal"));
        fs::write(&path, b"nothing").unwrap();
        let sealed = Sealed {
            path,
            last: 1,
            bytes: 7,
            damaged: true,
        };
        let trimmer = Trimmer {
            disk: LocalDisk::shared(),
            sealed: Arc::new(Mutex::new(vec![sealed])),
        };
        trimmer.trim(1);
        drop_old_damaged(folder.path()).unwrap();
    }
    let mut left: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left.len(), DAMAGED_KEPT);
    assert_eq!(left[0], "0000000004.damaged");
}
