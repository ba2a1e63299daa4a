//! The power fails at any change of any file: nothing acknowledged is lost, every table is
//! readable, nothing stands twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::forgetful_disk::ForgetfulDisk;
use super::{Acknowledged, Random, now, put, reading, times, within};
use crate::clock::{ManualClock, process_sleep};
use crate::readings;
use crate::source::Envelope;
use crate::{Ingest, IngestConfig, recover};

/// How often the power fails in one world.
const LOSSES: u64 = 2;
/// Changes of files after which it fails at the latest.
const CHANGES: u64 = 400;

/// Every message that was ever sent, by its number.
#[derive(Default)]
struct World {
    sent: Vec<Envelope>,
    /// Numbers of messages that are to be refused.
    refused: Vec<u64>,
    /// One in how many messages is to be refused.
    refused_one_in: u64,
    acknowledged: Acknowledged,
}

fn config(random: &mut Random) -> IngestConfig {
    IngestConfig {
        batch_ms: 0,
        batch_rows: 1 + random.below(4) as usize,
        flush_rows: 8 + random.below(40) as usize,
        compact_files: 2,
        tombstone_seconds: 0,
        journal_segment_bytes: [1, 2_000, 20_000][random.below(3) as usize],
        ..IngestConfig::default()
    }
}

impl World {
    /// One more message: an asset that is known or new, in order or late, now and then refused.
    fn message(&mut self, random: &mut Random) -> (u64, Envelope) {
        let number = self.sent.len() as u64;
        let class = ["pump", "fan"][random.below(2) as usize];
        let asset = format!("{class}-{}", random.below(4));
        // Every message has an instant of its own, so its value is there once or not at all.
        let after = number as i64 * 10 - if random.one_in(5) { 205 } else { 0 };
        let metric = random.below(3);
        let mut envelope = reading(class, &asset, after, &format!("\"m{metric}\":{number}"));
        if random.one_in(self.refused_one_in) {
            envelope.payload = format!("not a reading, number {number}").into();
            self.refused.push(number);
        }
        self.sent.push(envelope.clone());
        (number, envelope)
    }

    /// Sends until the power fails, or for a while.
    async fn send(&mut self, random: &mut Random, ingest: &Ingest, disk: &ForgetfulDisk) {
        // What was not acknowledged comes again, and some of what was.
        let known: std::collections::BTreeSet<u64> =
            self.acknowledged.numbers().into_iter().collect();
        let mut again: Vec<(u64, Envelope)> = (0..self.sent.len() as u64)
            .filter(|number| !known.contains(number) || random.one_in(20))
            .map(|number| (number, self.sent[number as usize].clone()))
            .collect();
        for _ in 0..40 {
            let mut messages: Vec<_> = again.drain(..again.len().min(5)).collect();
            messages.extend((0..random.below(4)).map(|_| self.message(random)));
            let (numbers, envelopes) = messages.into_iter().unzip();
            let delivery = self.acknowledged.delivery(envelopes, numbers);
            if ingest.intake().send(delivery).await.is_err() || disk.has_stopped() {
                return;
            }
            if random.one_in(3) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// One process: it starts, takes messages, and ends at once, now and then with a flush and a
    /// compaction under way.
    async fn run(
        &mut self,
        random: &mut Random,
        disk: &ForgetfulDisk,
        config: &IngestConfig,
        folder: &Path,
    ) {
        let Some(ingest) = start(disk, config, folder) else {
            return;
        };
        self.send(random, &ingest, disk).await;
        if random.one_in(2) && !disk.has_stopped() {
            let flush = ingest.flush();
            drop(tokio::time::timeout(Duration::from_millis(20), flush).await);
        }
        disk.stop();
        drop(ingest.shutdown().await);
    }

    fn check(&self, ingest: &Ingest, seed: u64) {
        // Reads every file; panics when one cannot be read or a key stands twice.
        let found = readings::of(&ingest.snapshot());
        let mut stored: BTreeMap<u64, u64> = BTreeMap::new();
        for value in found.values() {
            *stored
                .entry(f64::from_bits(value.to_bits()) as u64)
                .or_default() += 1;
        }
        let quarantined: Vec<String> = ingest
            .quarantine()
            .list(None, 10_000)
            .entries
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.payload).into_owned())
            .collect();
        for number in self.acknowledged.numbers() {
            if self.refused.contains(&number) {
                let payload = format!("not a reading, number {number}");
                assert!(quarantined.contains(&payload), "seed {seed}: {payload}");
            } else {
                let times = stored.get(&number);
                assert_eq!(times, Some(&1), "seed {seed}: message {number}");
            }
        }
        for (number, times) in &stored {
            assert!(
                *number < self.sent.len() as u64,
                "seed {seed}: {number} was never sent"
            );
            assert_eq!(*times, 1, "seed {seed}: message {number}");
        }
        self.check_last_values(ingest, &found, seed);
    }

    fn check_last_values(&self, ingest: &Ingest, found: &readings::Readings, seed: u64) {
        let mut expected: BTreeMap<(&str, &str), (i64, u64)> = BTreeMap::new();
        for ((_, asset, time, metric), value) in found {
            let newest = expected.entry((asset, metric)).or_insert((i64::MIN, 0));
            *newest = (*newest).max((*time, value.to_bits()));
        }
        let (_, last) = ingest.snapshots().load_with_last();
        let mut count = 0;
        for class in last.classes() {
            for asset in 0..class.assets() as u32 {
                for value in class.values(asset) {
                    let key = (&**class.tag(asset), &*value.metric);
                    let told = (value.time, value.value.unwrap().to_bits());
                    assert_eq!(expected.get(&key), Some(&told), "seed {seed}: {key:?}");
                    count += 1;
                }
            }
        }
        assert_eq!(count, expected.len(), "seed {seed}");
    }
}

/// Starts on what is there; none when the power failed meanwhile.
fn start(disk: &ForgetfulDisk, config: &IngestConfig, folder: &Path) -> Option<Ingest> {
    let clock = Arc::new(ManualClock::new(now()));
    match Ingest::start_on(Arc::new(disk.clone()), config.clone(), folder, clock) {
        Ok((ingest, _feed)) => Some(ingest),
        Err(error) => {
            assert!(disk.has_stopped(), "{error:?}");
            None
        }
    }
}

async fn live(seed: u64) -> usize {
    let mut random = Random::new(seed);
    let config = config(&mut random);
    let mut world = World {
        refused_one_in: [2, 12, 12][random.below(3) as usize],
        ..World::default()
    };
    let mut folder = TempDir::new().unwrap();
    for _ in 0..LOSSES {
        let disk = ForgetfulDisk::new(folder.path(), random.below(CHANGES));
        if random.one_in(2) {
            // Killed before: the next process finds what the system still holds, synced or not.
            world.run(&mut random, &disk, &config, folder.path()).await;
            disk.go_on(random.below(CHANGES));
        }
        world.run(&mut random, &disk, &config, folder.path()).await;
        let after = TempDir::new().unwrap();
        disk.after_power_loss(&mut random, after.path());
        folder = after;
        // What is there must be whole before anything else is done with it.
        let disk = ForgetfulDisk::new(folder.path(), u64::MAX);
        let ingest = start(&disk, &config, folder.path()).expect("there is power");
        world.check(&ingest, seed);
        disk.stop();
        drop(ingest.shutdown().await);
        let after = TempDir::new().unwrap();
        disk.after_power_loss(&mut random, after.path());
        folder = after;
    }
    world.acknowledged.numbers().len()
}

#[test]
fn nothing_acknowledged_is_lost_and_every_table_is_readable() {
    let seeds = times("FIELDWRIGHT_FAULT_SEEDS", 60);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // One world alone is looked at by its seed.
    let first = times("FIELDWRIGHT_FAULT_FIRST", 0);
    let all = first..first + seeds;
    let acknowledged: usize = all.map(|seed| runtime.block_on(live(seed))).sum();
    eprintln!("{seeds} seeds, {acknowledged} messages acknowledged, none lost");
    assert!(
        acknowledged as u64 > seeds * 5,
        "hardly anything was acknowledged"
    );
}

/// How a flush does not come to its end at once.
#[derive(Debug, Clone, Copy)]
enum Interrupted {
    /// The process is killed, the next one does the rest.
    Killed,
    /// The disk refuses for a while.
    Refused,
}

/// A flush that is interrupted after so many changes and made good; then the power fails, in
/// several ways. False when the flush was through before.
async fn interrupted(changes: u64, how: Interrupted) -> bool {
    const READINGS: usize = 3;
    let config = IngestConfig {
        batch_ms: 0,
        journal_segment_bytes: 1,
        ..IngestConfig::default()
    };
    let folder = TempDir::new().unwrap();
    let disk = ForgetfulDisk::new(folder.path(), u64::MAX);
    let mut ingest = start(&disk, &config, folder.path()).unwrap();
    for number in 0..READINGS as i64 {
        put(&ingest, vec![reading("pump", "P1", number, "\"a\":1")]).await;
    }
    disk.go_on(changes);
    {
        let mut flush = std::pin::pin!(ingest.flush());
        loop {
            let waited = tokio::time::timeout(Duration::from_millis(1), &mut flush).await;
            if waited.is_ok() || disk.has_stopped() {
                break;
            }
        }
    }
    let was_interrupted = disk.has_stopped();
    if matches!(how, Interrupted::Killed) {
        disk.stop();
        drop(ingest.shutdown().await);
    }
    disk.go_on(u64::MAX);
    if matches!(how, Interrupted::Killed) {
        ingest = start(&disk, &config, folder.path()).unwrap();
    }
    within(ingest.flush()).await.unwrap();
    disk.stop();
    drop(ingest.shutdown().await);
    for seed in 0..8 {
        let after = TempDir::new().unwrap();
        disk.after_power_loss(&mut Random::new(seed), after.path());
        let found = recover::read_folder(after.path()).map(|found| readings::of(&found).len());
        assert_eq!(
            found.ok(),
            Some(READINGS),
            "{how:?} after {changes}, {seed}"
        );
    }
    was_interrupted
}

/// What is there is not durable for that: a name that an earlier process gave, or that the disk
/// would not sync, is synced before the journal is trimmed of what it leads to.
#[tokio::test]
async fn what_was_left_unsynced_is_synced_before_the_journal_is_trimmed() {
    for how in [Interrupted::Killed, Interrupted::Refused] {
        let mut changes = 0;
        while interrupted(changes, how).await {
            changes += 1;
        }
        assert!(changes > 20, "{how:?}: a flush of {changes} changes");
    }
}

/// A record that was written and not synced when the process was killed: the next start shows it,
/// so the power cannot take it away any more.
#[tokio::test]
async fn what_a_start_shows_is_durable() {
    let config = IngestConfig {
        batch_ms: 0,
        ..IngestConfig::default()
    };
    let mut shown = 0;
    for changes in 0..60 {
        let folder = TempDir::new().unwrap();
        let disk = ForgetfulDisk::new(folder.path(), u64::MAX);
        let ingest = start(&disk, &config, folder.path()).unwrap();
        disk.go_on(changes);
        let acknowledged = Acknowledged::default();
        let message = reading("pump", "P1", 0, "\"a\":1");
        let delivery = acknowledged.delivery(vec![message], vec![0]);
        ingest.intake().send(delivery).await.unwrap();
        within(async {
            while acknowledged.numbers().is_empty() && !disk.has_stopped() {
                process_sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let was_acknowledged = !acknowledged.numbers().is_empty();
        disk.stop();
        drop(ingest.shutdown().await);
        disk.go_on(u64::MAX);
        let ingest = start(&disk, &config, folder.path()).unwrap();
        let seen = readings::of(&ingest.snapshot());
        disk.stop();
        drop(ingest.shutdown().await);
        for seed in 0..8 {
            let after = TempDir::new().unwrap();
            disk.after_power_loss(&mut Random::new(seed), after.path());
            let found = recover::read_folder(after.path()).unwrap();
            assert_eq!(readings::of(&found), seen, "after {changes}, {seed}");
        }
        shown += seen.len();
        if was_acknowledged {
            assert!(shown > 1, "no record was shown that was not synced");
            return;
        }
    }
    panic!("it was never acknowledged");
}
