use std::path::Path;

use super::super::message::message;
use super::record::Record;
use super::*;
use crate::disk::LocalDisk;

fn open(folder: &Path) -> (Log, LogOwner, Recovered) {
    let (log, recovered) = Log::open(LocalDisk::shared(), folder).unwrap();
    (log.clone(), LogOwner(log), recovered)
}

fn opened(session: u64) -> Record {
    Record::Opened {
        session,
        expiry: 60,
        user: None,
        client_id: format!("c{session}"),
    }
}

fn queued(session: u64, entry: u64) -> Record {
    Record::Queued {
        session,
        entry,
        packet_id: entry as u16,
        qos: 1,
        retain: false,
        identifiers: vec![],
        message: message("t", "p", 1),
    }
}

/// Sessions, and what waits in each.
fn found(recovered: &Recovered) -> Vec<(u64, Vec<u64>)> {
    let sessions = recovered.sessions.iter();
    sessions
        .map(|(number, session)| (*number, session.queue.keys().copied().collect()))
        .collect()
}

fn log_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_is_synced_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mqtt");
    {
        let (log, _owner, recovered) = open(&folder);
        assert!(recovered.sessions.is_empty());
        let first = log.note(&[opened(1), queued(1, 1)]);
        let mut batch = log.begin();
        batch.put(&queued(1, 2));
        assert_eq!(batch.ticket(), first + 1);
        let second = batch.end();
        assert_eq!(log.begin().end(), 0, "an empty batch is none");
        log.reached(second).await;
        assert!(log.synced() >= second && !log.is_in_trouble());
    }
    {
        let (log, _owner, recovered) = open(&folder);
        assert_eq!(found(&recovered), [(1, vec![1, 2])]);
        assert_eq!(recovered.last_session, 1);
        let ticket = log.note(&[
            Record::Done {
                session: 1,
                entry: 1,
            },
            opened(2),
            Record::Gone { session: 2 },
        ]);
        log.reached(ticket).await;
    }
    let (_log, _owner, recovered) = open(&folder);
    assert_eq!(found(&recovered), [(1, vec![2])]);
    assert_eq!((recovered.last_session, recovered.damages), (2, 0));
}

#[tokio::test]
async fn without_a_folder_nothing_is_waited_for() {
    let log = Log::none();
    assert_eq!(log.note(&[opened(1)]), 0);
    log.reached(7).await;
    assert!(!log.is_kept() && !log.wants_snapshot());
}

/// The last frame of the file is cut at every byte: all before it is kept.
#[tokio::test]
async fn a_torn_end_costs_what_was_not_synced_and_a_flipped_bit_its_frame() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mqtt");
    let mut ends = Vec::new();
    {
        let (log, _owner, _) = open(&folder);
        let path = log_files(&folder).pop().unwrap();
        for entry in 0..4 {
            let records = match entry {
                0 => vec![opened(1)],
                _ => vec![queued(1, entry)],
            };
            let ticket = log.note(&records);
            log.reached(ticket).await;
            ends.push(std::fs::metadata(&path).unwrap().len() as usize);
        }
    }
    let path = log_files(&folder).pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let read = |bytes: &[u8]| {
        let copy = dir.path().join("copy");
        let _ = std::fs::remove_dir_all(&copy);
        std::fs::create_dir(&copy).unwrap();
        std::fs::write(copy.join(path.file_name().unwrap()), bytes).unwrap();
        recover::read(&Folder::open(LocalDisk::shared(), &copy).unwrap()).unwrap()
    };
    for cut in 0..whole.len() {
        let recovered = read(&whole[..cut]);
        let frames = ends.iter().filter(|end| **end <= cut).count();
        let entries: Vec<u64> = (1..frames.max(1) as u64).collect();
        let expected: Vec<_> = (frames > 0).then_some((1, entries)).into_iter().collect();
        assert_eq!(found(&recovered), expected, "cut at {cut}");
        assert_eq!(recovered.damages, 0, "cut at {cut}");
    }
    for bit in (ends[0] * 8..ends[3] * 8).step_by(7) {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let hit = ends.iter().filter(|end| **end <= bit / 8).count() as u64;
        let kept: Vec<u64> = (1..=3).filter(|entry| *entry != hit).collect();
        let recovered = read(&damaged);
        assert_eq!(found(&recovered), [(1, kept)], "bit {bit}");
        assert_eq!(recovered.damages, 1, "bit {bit}");
    }
}

/// Changes go on while a snapshot is written; read together they give the same state.
#[tokio::test]
async fn a_snapshot_replaces_older_files_and_may_be_newer_than_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mqtt");
    {
        let (log, _owner, _) = open(&folder);
        log.note(&[opened(1), queued(1, 1), queued(1, 2), opened(2)]);
        let during = log.clone();
        log.snapshot(|put| {
            // Seen by the snapshot and in the new log as well.
            during.note(&[queued(1, 3)]);
            let mut records = Vec::new();
            for record in [opened(1), queued(1, 2), queued(1, 3), opened(2)] {
                record::put(&mut records, &record);
            }
            put(&records);
            // Not seen any more.
            during.note(&[
                Record::Done {
                    session: 1,
                    entry: 3,
                },
                Record::Gone { session: 2 },
                queued(1, 4),
            ]);
        })
        .unwrap();
        let names: Vec<String> = log_files(&folder)
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["log-0000000002", "snapshot-0000000002"]);
        let ticket = log.note(&[queued(1, 5)]);
        log.reached(ticket).await;
    }
    let (_log, _owner, recovered) = open(&folder);
    assert_eq!(found(&recovered), [(1, vec![2, 4, 5])]);
}

/// A crash before the snapshot got its name, or one that is damaged: the older files are there.
#[tokio::test]
async fn a_snapshot_that_is_not_whole_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mqtt");
    {
        let (log, _owner, _) = open(&folder);
        let ticket = log.note(&[opened(1), queued(1, 1)]);
        log.reached(ticket).await;
    }
    let mut half = Vec::new();
    crate::frame::write(&mut half, 0, |into| record::put(into, &opened(7)));
    std::fs::write(folder.join("snapshot-0000000002"), &half).unwrap();
    std::fs::write(folder.join("unfinished-0000000003"), &half).unwrap();
    let (_log, _owner, recovered) = open(&folder);
    assert_eq!(found(&recovered), [(1, vec![1])]);
    assert_eq!(recovered.damages, 1, "and it is told");
}

#[tokio::test]
async fn while_the_disk_refuses_nothing_is_reached_and_afterwards_all_is() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mqtt");
    let (log, _owner, _) = open(&folder);
    // The next file cannot be made: its name is a folder.
    let blocker = folder.join("log-0000000002");
    std::fs::create_dir(&blocker).unwrap();
    let snapshotting = {
        let log = log.clone();
        tokio::task::spawn_blocking(move || log.snapshot(|_| {}))
    };
    while !log.is_in_trouble() {
        tokio::task::yield_now().await;
    }
    let ticket = log.note(&[opened(1)]);
    assert!(log.synced() < ticket);
    std::fs::remove_dir(&blocker).unwrap();
    log.reached(ticket).await;
    assert!(!log.is_in_trouble());
    snapshotting.await.unwrap().unwrap();
}
