//! Compaction against a naive model: whatever is merged, every reading stays what it was.

use arrow::array::{Array, AsArray};

use super::*;
use crate::lake::compaction::Compacted;

const LIMITS: CompactionLimits = CompactionLimits {
    rows: 64,
    files: 3,
    input_rows: 300,
    rollups: true,
};

/// Numbers that look random and repeat.
pub(super) struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

pub(super) fn compact(world: &World, lake: &Lake, force: bool) -> Option<Compacted> {
    compact_some(world, lake, LIMITS, force)
}

fn compact_some(
    world: &World,
    lake: &Lake,
    limits: CompactionLimits,
    force: bool,
) -> Option<Compacted> {
    match lake.compact(
        &"pump".into(),
        limits,
        force,
        i64::MIN,
        &world.tables,
        &|| true,
    ) {
        Ok(done) => done,
        Err(Ended::Failed(error)) => panic!("{error}"),
        Err(Ended::Canceled) => panic!("nobody canceled"),
    }
}

/// One commit of readings of which some are late, some repeat and some correct others.
pub(super) fn commit_some(world: &mut World, numbers: &mut Numbers, at: &mut i64) {
    let mut rows = Vec::new();
    for _ in 0..=numbers.below(20) {
        *at += numbers.below(30) as i64;
        let back = match numbers.below(8) {
            0 => numbers.below(3000) as i64,
            1 => numbers.below(40) as i64,
            _ => 0,
        };
        let asset = format!("P{}", numbers.below(5));
        let metric = ["a", "b", "c"][numbers.below(3) as usize];
        let value = match numbers.below(20) {
            0 => "0.333333333333".to_owned(),
            _ => format!("{}", numbers.below(50) as f64 / 10.0),
        };
        rows.push((asset, (*at - back).max(0), format!("\"{metric}\":{value}")));
    }
    let rows: Vec<_> = rows
        .iter()
        .map(|(asset, at, metric)| (asset.as_str(), *at, metric.as_str()))
        .collect();
    world.commit(&rows);
}

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
}

/// Compacted files are disjoint in time.
fn check_disjoint(lake: &Lake) {
    let table = &lake.tables()[0];
    let whole = table.files.iter().filter(|file| file.level > 0);
    let mut spans: Vec<_> = whole.map(|file| (file.min_time, file.max_time)).collect();
    spans.sort_unstable();
    assert!(
        spans.windows(2).all(|pair| pair[0].1 < pair[1].0),
        "{spans:?}"
    );
}

/// Each asset's rows are read in order of event time, whatever was compacted beside what was flushed.
fn check_order(lake: &Lake, seed: u64) {
    let table = snapshot_table(&lake.tables()[0]);
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    for file in table.in_order() {
        for rows in readings::read(&lake.root(), &table, file) {
            let (assets, times) = sorting::keys(&rows).unwrap();
            for row in 0..rows.num_rows() {
                let (asset, time) = (assets.value(row), times.value(row));
                if let Some(before) = newest.insert(asset.to_owned(), time) {
                    assert!(
                        before < time,
                        "seed {seed}: {asset} at {time} after {before}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_compacted_in_parts_is_read_in_order() {
    // A compaction takes hardly more than one flush, so newer ones stay beside it.
    let limits = CompactionLimits {
        input_rows: 10,
        files: 2,
        ..LIMITS
    };
    for seed in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let lake = open(folder.path());
        let mut world = World::new(&lake);
        let mut numbers = Numbers::new(seed);
        let (mut at, mut stayed) = (3000, 0);
        for _ in 0..60 {
            match numbers.below(8) {
                0..=3 => commit_some(&mut world, &mut numbers, &mut at),
                4..=6 => world.flush(&lake),
                _ => {
                    compact_some(&world, &lake, limits, false);
                    let tables = lake.tables();
                    let files = tables.first().map_or(&[][..], |table| &table.files);
                    stayed += files.iter().filter(|file| file.level == 0).count();
                    if !files.is_empty() {
                        check_order(&lake, seed);
                        check_disjoint(&lake);
                    }
                }
            }
        }
        assert!(stayed > 0, "seed {seed}: nothing was ever left beside");
    }
}

#[test]
fn whatever_is_merged_every_reading_stays() {
    for seed in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let mut lake = open(folder.path());
        let mut world = World::new(&lake);
        let mut numbers = Numbers::new(seed);
        let mut at = 3000;
        let mut compactions = 0;
        for _ in 0..60 {
            match numbers.below(10) {
                0..=4 => commit_some(&mut world, &mut numbers, &mut at),
                5..=7 => world.flush(&lake),
                8 => {
                    let before = world.readings();
                    let force = numbers.below(2) == 0;
                    compactions += usize::from(compact(&world, &lake, force).is_some());
                    assert_eq!(world.readings(), before, "seed {seed}");
                    check_disjoint(&lake);
                    check_order(&lake, seed);
                }
                _ => {
                    // A start finds the same.
                    world.flush(&lake);
                    let before = world.readings();
                    lake = open(folder.path());
                    assert_eq!(lake.remove_leftovers().unwrap(), 0);
                    let root = Arc::new(lake.root());
                    world.tables = Tables::new(lake.newest_record(), root, lake.tables());
                    assert_eq!(world.readings(), before, "seed {seed}");
                }
            }
        }
        world.flush(&lake);
        while compact(&world, &lake, true).is_some() {
            compactions += 1;
        }
        let table = &lake.tables()[0];
        assert!(table.late_files.is_empty() && table.files.iter().all(|file| file.level == 1));
        check_disjoint(&lake);
        check_order(&lake, seed);
        assert_eq!(reread(folder.path()).1, world.readings(), "seed {seed}");
        assert!(compactions > 0);
        // What the new files replaced goes when nobody needs it.
        let named = table.files.len();
        assert!(parquet_files(&folder.path().join("pump")).len() >= named);
        let later = wall_now().timestamp_millis() + 1000;
        lake.clear(later).unwrap();
        open(folder.path()).clear(later).unwrap();
        let lake = open(folder.path());
        lake.remove_leftovers().unwrap();
        lake.clear(later).unwrap();
        assert_eq!(
            parquet_files(&folder.path().join("pump")).len(),
            named + checkpoints(&folder)
        );
        assert_eq!(reread(folder.path()).1, world.readings(), "seed {seed}");
    }
}

fn checkpoints(folder: &tempfile::TempDir) -> usize {
    let log = folder.path().join("pump/_delta_log");
    parquet_files(&log).len()
}

#[test]
fn duplicates_and_conflicts_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(folder.path());
    let mut world = World::new(&lake);
    world.commit(&[("P1", 1, "\"a\":1,\"b\":1"), ("P1", 9, "\"a\":1")]);
    world.commit(&[("P1", 1, "\"a\":1"), ("P1", 1, "\"b\":2")]);
    world.commit(&[("P1", 1, "\"b\":2"), ("P1", 5, "\"a\":7")]);
    world.flush(&lake);
    let before = world.readings();
    let done = compact(&world, &lake, true).unwrap();
    assert_eq!((done.met.duplicates, done.met.conflicts), (2, 1));
    assert_eq!((done.taken, done.written, done.rows), (2, 1, 3));
    assert_eq!(world.readings(), before);
    assert!(compact(&world, &lake, true).is_none());
}

#[test]
fn a_canceled_compaction_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(folder.path());
    let mut world = World::new(&lake);
    let mut numbers = Numbers::new(7);
    for _ in 0..20 {
        commit_some(&mut world, &mut numbers, &mut 3000);
        world.flush(&lake);
    }
    let before = (world.readings(), parquet_files(folder.path()).len());
    let asked = std::cell::Cell::new(0);
    let go_on = || asked.replace(asked.get() + 1) == 0;
    let ended = lake.compact(
        &"pump".into(),
        LIMITS,
        true,
        i64::MIN,
        &world.tables,
        &go_on,
    );
    assert!(matches!(ended, Err(Ended::Canceled)));
    assert_eq!(
        (world.readings(), parquet_files(folder.path()).len()),
        before
    );
}

#[test]
fn rows_that_are_too_old_go() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(folder.path());
    let mut world = World::new(&lake);
    let day = 86_400_000;
    for at in [0, 10 * day, 20 * day] {
        world.commit(&[("P1", at, "\"a\":1")]);
        world.flush(&lake);
    }
    let now = DateTime::<Utc>::from_timestamp_millis(START + 21 * day).unwrap();
    let check = |days, of_table: &[(&str, u32)], left| {
        let of_table = of_table
            .iter()
            .map(|(table, days)| ((*table).to_owned(), *days));
        let retention = Retention {
            days,
            of_table: of_table.collect(),
        };
        lake.retain(&retention, now, &world.tables).unwrap();
        assert_eq!(world.readings().len(), left);
        assert_eq!(reread(folder.path()).1.len(), left);
    };
    check(0, &[], 3);
    check(12, &[], 2);
    check(2, &[("pump", 0)], 2);
    check(0, &[("pump", 2)], 1);
}

/// What the roll-up of one kind should be, from the readings themselves.
fn reckoned(readings: &readings::Readings, bucket: i64) -> BTreeMap<String, String> {
    let mut expected: BTreeMap<(String, i64, String), Vec<f64>> = BTreeMap::new();
    for ((_, asset, time, metric), value) in readings {
        let readings::Value::Number(value) = value else {
            continue;
        };
        let begin = time - time.rem_euclid(bucket);
        let key = (asset.clone(), begin, metric.clone());
        expected.entry(key).or_default().push(*value);
    }
    let shown = expected
        .into_iter()
        .map(|((asset, begin, metric), values)| {
            let all = || values.iter().copied();
            let (min, max) = (
                all().fold(f64::MAX, f64::min),
                all().fold(f64::MIN, f64::max),
            );
            let mean = all().sum::<f64>() / values.len() as f64;
            let last = values[values.len() - 1];
            let count = values.len();
            (
                format!("{asset} {begin} {metric}"),
                format!("{count} {min} {max} {mean:.9} {last}"),
            )
        });
    shown.collect()
}

/// What the roll-up says.
fn rolled_up(lake: &Lake, name: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let rollups = lake.rollups();
    let filed = rollups.iter().find(|filed| *filed.class == *name).unwrap();
    for file in &filed.files {
        for rows in readings::read(&lake.root(), &snapshot_table(filed), file) {
            let (assets, times) = sorting::keys(&rows).unwrap();
            for metric in ["a", "b", "c"] {
                let column = |what: &str| rows.column_by_name(&format!("{metric}__{what}"));
                let Some(counts) = column("count") else {
                    continue;
                };
                let counts = counts.as_primitive::<arrow::datatypes::Int64Type>();
                let number = |what: &str, row| {
                    let column = column(what).unwrap();
                    column
                        .as_primitive::<arrow::datatypes::Float64Type>()
                        .value(row)
                };
                for row in (0..rows.num_rows()).filter(|row| counts.is_valid(*row)) {
                    let key = format!("{} {} {metric}", assets.value(row), times.value(row));
                    let said = format!(
                        "{} {} {} {:.9} {}",
                        counts.value(row),
                        number("min", row),
                        number("max", row),
                        number("mean", row),
                        number("last", row)
                    );
                    assert!(found.insert(key, said).is_none());
                }
            }
        }
    }
    found
}

#[test]
fn roll_ups_are_exact_under_late_data() {
    for seed in 20..23 {
        let folder = tempfile::tempdir().unwrap();
        let lake = open(folder.path());
        let mut world = World::new(&lake);
        let mut numbers = Numbers::new(seed);
        let mut at = 3000;
        for round in 0..40 {
            commit_some(&mut world, &mut numbers, &mut at);
            at += 400_000 * (numbers.below(30) as i64);
            if numbers.below(3) == 0 {
                let asset = format!("P{}", numbers.below(5));
                let back = at - (numbers.below(40_000_000) as i64).min(at);
                world.commit(&[(&asset, back, "\"b\":77.5")]);
            }
            world.flush(&lake);
            if round % 4 == 3 {
                compact(&world, &lake, true);
            }
        }
        while compact(&world, &lake, true).is_some() {}
        for (name, bucket) in [("pump_1m", 60_000_000), ("pump_1h", 3_600_000_000)] {
            let expected = reckoned(&world.readings(), bucket);
            assert_eq!(rolled_up(&lake, name), expected, "seed {seed}, {name}");
            assert!(expected.len() > 20);
            assert_eq!(rolled_up(&open(folder.path()), name), expected);
        }
        let snapshot = world.tables.snapshots().load();
        assert_eq!(snapshot.rollups.len(), 2);
    }
}
