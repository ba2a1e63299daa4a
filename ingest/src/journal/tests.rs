//! The journal against torn tails, flipped bits, failed writes.

use std::path::Path;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::*;
use crate::batch::OpenBatch;
use crate::catalog::Catalog;
use crate::config::IngestConfig;
use crate::decode::Decoder;
use crate::faults::watched_disk::{Asked, WatchedDisk};
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
type Found = (Vec<(u64, usize)>, bool, Vec<frame::Damage>);

fn read(folder: &Path) -> Found {
    let (mut records, mut ruled, mut damages) = (Vec::new(), true, Vec::new());
    replay(folder, |item| match item {
        Item::Head(head) => ruled &= head.is_some(),
        Item::Record(record) => {
            let number = record.number;
            let envelopes = record.envelopes().unwrap();
            for (place, envelope) in envelopes.iter().enumerate() {
                let said = format!("payload {place} of {number}");
                assert_eq!(*envelope.payload, *said.as_bytes());
                assert_eq!(
                    envelope.received_at.timestamp_micros(),
                    1_772_434_800_000_000
                );
            }
            records.push((number, envelopes.len()));
        }
        Item::End(_, report) => damages.extend(report.damages),
    })
    .unwrap();
    (records, ruled, damages)
}

/// A segment of about 64 KB without its room, and where each of its records ends.
fn whole_segment() -> (Vec<u8>, Vec<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path(), 1 << 20);
    let mut ends = vec![];
    for sequence in 1.. {
        // Of all sizes from one message to some that fill several sectors.
        let messages = 1 + (sequence * 7 % 61) as usize;
        journal.append(&[batch(sequence, messages)]).unwrap();
        ends.push(journal.bytes() as usize);
        if journal.bytes() > 64 << 10 {
            break;
        }
    }
    journal.seal();
    (fs::read(only_segment(folder.path())).unwrap(), ends)
}

/// Numbers of the whole records of a segment's bytes, whether its rules are there, its damages.
fn read_bytes(bytes: Vec<u8>) -> (Vec<u64>, bool, Vec<frame::Damage>) {
    let (mut numbers, mut ruled) = (Vec::new(), false);
    let segment = Segment {
        path: PathBuf::from("in memory"),
        number: 1,
    };
    let take = |item| match item {
        Item::Head(head) => ruled = head.is_some(),
        Item::Record(record) => numbers.push(record.number),
        Item::End(..) => {}
    };
    let report = segment.read_bytes(&Bytes::from(bytes), take).unwrap();
    assert_eq!(report.last, numbers.last().copied().unwrap_or(0));
    (numbers, ruled, report.damages)
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
    journal.seal();
    let on_disk = fs::metadata(only_segment(folder.path())).unwrap().len();
    assert_eq!(journal.bytes(), on_disk);
}

#[test]
fn cut_at_every_byte_of_the_last_64_kilobytes() {
    let (whole, ends) = whole_segment();
    assert_eq!(whole.len(), *ends.last().unwrap());
    for cut in whole.len() - (64 << 10)..whole.len() {
        // As it is, and with the room that is there before a segment closes.
        for room in [0, 700 * usize::from(cut % 64 == 0)] {
            let mut bytes = whole[..cut].to_vec();
            bytes.resize(cut + room, 0);
            let (numbers, _, damages) = read_bytes(bytes);
            let kept = ends.iter().filter(|end| **end <= cut).count() as u64;
            assert!(numbers.iter().copied().eq(1..=kept), "cut at {cut}");
            assert!(damages.len() <= 1, "cut at {cut}");
            let said_torn = damages.iter().all(|damage| damage.torn);
            // With zeros behind it, what was cut inside a sector looks like damage.
            assert!(said_torn || room > 0, "cut at {cut}");
        }
    }
}

#[test]
fn each_of_10_000_flipped_bits_costs_one_record_and_is_reported() {
    let (whole, ends) = whole_segment();
    let records = ends.len() as u64;
    let mut random = 0x5EED_u64;
    for _ in 0..10_000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let bit = (random >> 33) as usize % (whole.len() * 8);
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let hit = ends.iter().filter(|end| **end <= bit / 8).count() as u64 + 1;
        let (numbers, ruled, damages) = read_bytes(damaged);
        // Either the header lost its rules, or the record that was hit is lost; never more.
        let expected = (1..=records).filter(|number| !ruled || *number != hit);
        assert!(numbers.iter().copied().eq(expected), "bit {bit}");
        assert_eq!(damages.len(), 1, "bit {bit}");
        assert!(!damages[0].torn, "bit {bit}");
    }
}

#[test]
fn many_flipped_bits_never_panic_and_cost_the_records_they_hit() {
    let (whole, ends) = whole_segment();
    let mut random = 0xB17_u64;
    for _ in 0..300 {
        let (mut damaged, mut hit) = (whole.clone(), std::collections::BTreeSet::new());
        for _ in 0..20 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let bit = (random >> 33) as usize % (whole.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            hit.insert(ends.iter().filter(|end| **end <= bit / 8).count() as u64 + 1);
        }
        let (numbers, _, damages) = read_bytes(damaged);
        let unhit = (1..=ends.len() as u64).filter(|number| !hit.contains(number));
        for number in unhit {
            assert!(numbers.contains(&number), "record {number} was not hit");
        }
        assert!(!damages.is_empty() && damages.len() <= 20);
    }
}

#[test]
fn small_appends_overwrite_zeros_and_a_closed_segment_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = journal(folder.path(), 64 << 20);
    journal.append(&[batch(1, 3)]).unwrap();
    let path = only_segment(folder.path());
    let length = || fs::metadata(&path).unwrap().len();
    let with_room = length();
    assert_eq!(with_room, journal.bytes() + ROOM);
    for sequence in 2..=20 {
        journal.append(&[batch(sequence, 3)]).unwrap();
        assert_eq!(length(), with_room, "no append changes the size");
    }
    let (records, _, damages) = read(folder.path());
    assert_eq!((records.len(), damages), (20, vec![]));
    // The first record that has no room makes more.
    let sequence = 21 + ROOM / 1_000_000;
    journal.append(&[batch(sequence, 10_000)]).unwrap();
    journal.append(&[batch(sequence + 1, 30_000)]).unwrap();
    assert!(length() >= journal.bytes());
    journal.seal();
    assert_eq!(length(), journal.bytes());
    assert_eq!(read(folder.path()).0.len(), 22);
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
    let refused = replay(folder.path(), |_| {}).unwrap_err();
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
        drop_old_damaged(&LocalDisk, folder.path()).unwrap();
    }
    let mut left: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left.len(), DAMAGED_KEPT);
    assert_eq!(left[0], "0000000004.damaged");
}

/// What a full disk leaves behind, however often it is tried.
#[test]
fn a_disk_that_refuses_every_append_is_not_filled_with_heads() {
    let folder = tempfile::tempdir().unwrap();
    let disk = WatchedDisk::default();
    let mut journal = journal(folder.path(), 1 << 20).on(Arc::new(disk.clone()));
    disk.refuse(|asked, _| asked == Asked::SyncData);
    for _ in 0..5 {
        assert!(journal.append(&[batch(1, 3)]).is_err());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    disk.allow();
    journal.append(&[batch(1, 3)]).unwrap();
    disk.refuse(|asked, _| asked == Asked::SyncData);
    for _ in 0..5 {
        assert!(journal.append(&[batch(2, 1)]).is_err());
    }
    disk.allow();
    journal.append(&[batch(2, 1)]).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    assert_eq!(read(folder.path()), (vec![(1, 3), (2, 1)], true, vec![]));
}

/// Zeros are written ahead to save time; where they do not fit, the record does all the same.
#[test]
fn the_last_space_is_for_records() {
    let folder = tempfile::tempdir().unwrap();
    let disk = WatchedDisk::default();
    let mut journal = journal(folder.path(), 8 << 20).on(Arc::new(disk.clone()));
    let writes = std::sync::atomic::AtomicU64::new(0);
    // The head, the record, a part of the zeros; then records alone.
    disk.refuse(move |asked, _| {
        let write = || writes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        asked == Asked::Write && matches!(write(), 3 | 5 | 7)
    });
    for sequence in 1..4 {
        journal.append(&[batch(sequence, 2)]).unwrap();
    }
    let file = folder.path().join("0000000001.wal");
    assert_eq!(fs::metadata(file).unwrap().len(), journal.bytes());
    let records = vec![(1, 2), (2, 2), (3, 2)];
    assert_eq!(read(folder.path()), (records, true, vec![]));
}
