//! The power fails at any change of the endpoint's session log: what was synced is there, and what
//! belongs together is there together or not at all.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::forgetful_disk::ForgetfulDisk;
use super::{Random, times, within};
use crate::clock::process_sleep;
use crate::disk::LocalDisk;
use crate::mqtt::endpoint::log::record::{self, Record};
use crate::mqtt::endpoint::log::{Log, LogOwner};
use crate::mqtt::endpoint::message::Message;

/// Changes of files after which the power fails at the latest.
const CHANGES: u64 = 120;

/// What the endpoint would hold in memory: pairs of messages that wait for one client.
#[derive(Debug, Default)]
struct Model {
    waiting: BTreeSet<u64>,
    next: u64,
}

fn opened() -> Record {
    Record::Opened {
        session: 1,
        expiry: 60,
        user: None,
        client_id: "c".into(),
    }
}

fn queued(entry: u64) -> Record {
    let message = Message {
        topic: Bytes::from_static(b"t"),
        payload: Bytes::from(vec![7; 600]),
        properties: Bytes::new(),
        qos: 1,
        retain: false,
        expires_at: None,
    };
    Record::Queued {
        session: 1,
        entry,
        packet_id: entry as u16,
        qos: 1,
        retain: false,
        identifiers: vec![],
        message,
    }
}

/// One life: pairs are queued and done with until the power fails. Returns which pairs (by their
/// first entry) were synced, and which of all were begun to be done with.
async fn live(
    random: &mut Random,
    log: &Log,
    model: &Arc<Mutex<Model>>,
    disk: &ForgetfulDisk,
) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let mut tickets: Vec<(u64, u64)> = Vec::new();
    let mut done = BTreeSet::new();
    log.note(&[opened()]);
    for _ in 0..60 {
        if disk.has_stopped() {
            break;
        }
        match random.below(8) {
            0 => {
                let (log, model) = (log.clone(), model.clone());
                let dump = move || {
                    log.snapshot(|put| {
                        let model = model.lock().unwrap();
                        let mut records = Vec::new();
                        record::put(&mut records, &opened());
                        for entry in &model.waiting {
                            record::put(&mut records, &queued(*entry));
                        }
                        put(&records);
                    })
                };
                // While the disk refuses it waits; what counts is what it leaves.
                let snapshotting = tokio::task::spawn_blocking(dump);
                if random.one_in(2) {
                    let _ =
                        tokio::time::timeout(std::time::Duration::from_millis(50), snapshotting)
                            .await;
                }
            }
            1 | 2 => {
                let first = model.lock().unwrap().waiting.first().copied();
                if let Some(first) = first {
                    done.insert(first);
                    let mut batch = log.begin();
                    for entry in [first, first + 1] {
                        batch.put(&Record::Done { session: 1, entry });
                        model.lock().unwrap().waiting.remove(&entry);
                    }
                }
            }
            _ => {
                let mut batch = log.begin();
                let mut model = model.lock().unwrap();
                let first = model.next + 1;
                model.next += 2;
                for entry in [first, first + 1] {
                    batch.put(&queued(entry));
                    model.waiting.insert(entry);
                }
                tickets.push((first, batch.end()));
            }
        }
        if random.one_in(3) {
            let newest = tickets.last().map_or(0, |(_, ticket)| *ticket);
            let patience = std::time::Duration::from_millis(20);
            let _ = tokio::time::timeout(patience, log.reached(newest)).await;
        }
    }
    disk.stop();
    let synced = log.synced();
    let reached = tickets.iter().filter(|(_, ticket)| *ticket <= synced);
    (reached.map(|(first, _)| *first).collect(), done)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_log_keeps_what_was_synced_whole() {
    let first = times("FIELDWRIGHT_FAULT_FIRST", 0);
    for seed in first..first + times("FIELDWRIGHT_FAULT_SEEDS", 60) {
        let mut random = Random::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let disk = ForgetfulDisk::new(dir.path(), 2 + random.below(CHANGES));
        let folder = dir.path().join("mqtt");
        let model = Arc::new(Mutex::new(Model::default()));
        let Ok((log, _)) = Log::open(Arc::new(disk.clone()), &folder) else {
            continue;
        };
        let owner = LogOwner(log.clone());
        let (synced, done) = live(&mut random, &log, &model, &disk).await;
        drop(owner);
        let after = tempfile::tempdir().unwrap();
        disk.after_power_loss(&mut random, after.path());
        let (log, found) = Log::open(LocalDisk::shared(), &after.path().join("mqtt")).unwrap();
        drop(LogOwner(log));
        let waiting: BTreeSet<u64> = found
            .sessions
            .get(&1)
            .map(|session| session.queue.keys().copied().collect())
            .unwrap_or_default();
        for first in &synced {
            let lost = !waiting.contains(first) && !done.contains(first);
            assert!(!lost, "seed {seed}: {first} was synced and is gone");
        }
        for entry in &waiting {
            let first = entry - (entry - 1) % 2;
            let both = waiting.contains(&first) && waiting.contains(&(first + 1));
            assert!(both, "seed {seed}: half of {first} is there");
        }
    }
}

/// The process is killed before its log is synced: the next one builds on what it finds, so the
/// power cannot take it away any more.
#[tokio::test]
async fn what_a_start_finds_in_the_session_log_is_durable() {
    let mut unsynced = 0;
    for changes in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("mqtt");
        let disk = ForgetfulDisk::new(dir.path(), u64::MAX);
        let open = || Log::open(Arc::new(disk.clone()), &folder).unwrap();
        let (log, _) = open();
        let owner = LogOwner(log.clone());
        disk.go_on(changes);
        let ticket = log.note(&[opened()]);
        while !disk.has_stopped() && log.synced() < ticket {
            process_sleep(Duration::from_millis(1)).await;
        }
        let synced = log.synced() >= ticket;
        disk.stop();
        drop(owner);
        process_sleep(Duration::from_millis(5)).await;
        disk.go_on(u64::MAX);
        let (log, found) = open();
        let owner = LogOwner(log.clone());
        if found.sessions.contains_key(&1) {
            unsynced += usize::from(!synced);
            let ticket = log.note(&[queued(1)]);
            within(log.reached(ticket)).await;
            disk.stop();
            for seed in 0..8 {
                let after = tempfile::tempdir().unwrap();
                disk.after_power_loss(&mut Random::new(seed), after.path());
                let folder = after.path().join("mqtt");
                let (log, found) = Log::open(LocalDisk::shared(), &folder).unwrap();
                drop(LogOwner(log));
                let queue = found.sessions.get(&1).map(|session| session.queue.len());
                assert_eq!(queue, Some(1), "after {changes}, {seed}");
            }
        }
        drop(owner);
        if synced {
            assert!(unsynced > 0, "nothing was found that was not synced");
            return;
        }
    }
    panic!("it was never synced");
}
