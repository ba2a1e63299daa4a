//! What is learned from the stream and from the store is the same, whatever comes late.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use fieldwright_condition::Model;
use fieldwright_condition::window::Window;
use fieldwright_ingest::snapshot::{
    ASSET, HotBatch, LakeRoot, RECEIVED_AT, SEQUENCE, TIME, TableSnapshot,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::super::config::tests::config;
use super::super::super::history::read_spans;
use super::super::super::training::TrainingJob;
use super::super::{Arrived, Found, Unsaved};
use super::*;

/// **Units**: microseconds.
const SECOND: i64 = 1_000_000;
const TAG: &str = "R-1";

/// A row as it arrives: event time in seconds, and what it says of two metrics.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    second: i64,
    values: [Option<f64>; 2],
}

/// What is stored, and the engine that follows.
struct World {
    engine: Engine,
    table: TableSnapshot,
    newest: i64,
    sequence: u64,
    /// The model from the stream, and the one from the store at the same moment.
    models: Option<(Model, Model)>,
    revised: usize,
    findings: usize,
    /// Whether the stream began with the reading that the store has first: values are kept relative
    /// to it, so otherwise sums differ in their last bits.
    same_origin: bool,
}

fn class() -> Arc<str> {
    "rig".into()
}

impl World {
    fn new(own: &str) -> Self {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Arc::new(Schema::new(vec![
            Field::new(ASSET, DataType::Utf8, false),
            Field::new(TIME, time.clone(), false),
            Field::new(RECEIVED_AT, time, false),
            Field::new("a", DataType::Float64, true),
            Field::new("b", DataType::Float64, true),
        ]));
        let text = format!("[classes.rig]\nlearning = '30m'\nmin_duration = '3m'\n{own}");
        Self {
            engine: Engine::new(Arc::new(config(&text).unwrap())),
            table: TableSnapshot {
                class: class(),
                schema: Arc::clone(&schema),
                physical: schema,
                hot: Vec::new(),
                files: Vec::new(),
                late_hot: Vec::new(),
                late_files: Vec::new(),
            },
            newest: i64::MIN,
            sequence: 0,
            models: None,
            revised: 0,
            findings: 0,
            same_origin: true,
        }
    }

    /// What ingest does: rows that are not newer than all before are late.
    fn commit(&mut self, arrivals: &[Arrival]) {
        self.sequence += 1;
        let (mut in_order, mut late) = (Vec::new(), Vec::new());
        for arrival in arrivals {
            if arrival.second > self.newest {
                self.newest = arrival.second;
                in_order.push(*arrival);
            } else {
                late.push(*arrival);
            }
        }
        let in_order = (!in_order.is_empty()).then(|| batch(&in_order, None));
        let late = (!late.is_empty()).then(|| batch(&late, Some(self.sequence)));
        self.table.hot.extend(in_order.as_ref().map(hot));
        self.table.late_hot.extend(late.as_ref().map(hot));
        let arrived = Arrived {
            in_order: in_order.iter().collect(),
            late: late.iter().collect(),
            stored: false,
        };
        let mut found = Vec::new();
        self.engine.take(&class(), &arrived, &mut found);
        self.keep(found);
        self.revise();
    }

    /// What the follower does with findings.
    fn keep(&mut self, found: Vec<super::super::Finding>) {
        for finding in found {
            let Found::Train(mut job) = finding.found else {
                self.findings += 1;
                continue;
            };
            let rows = self.stored(job.from, i64::MAX);
            if self.engine.take_revised(TAG, "rig") {
                let stream = job.windows.clone();
                let waiting = job.cut_as_streamed(&rows, &stream).unwrap_or_default();
                self.engine.revise_waiting(TAG, "rig", waiting);
            }
            let model = job.run().unwrap();
            // From the store alone, as a person asks for it.
            let span = self.stored(job.from, job.through);
            let settings = Arc::clone(&job.settings);
            let again = TrainingJob::from_rows(class(), TAG.into(), settings, &span, job.through);
            self.models = Some((model.clone(), again.run().unwrap()));
            let mut more = Vec::new();
            self.engine.install(model, &mut more);
            self.keep(more);
        }
    }

    fn stored(&self, from: i64, to: i64) -> Vec<RecordBatch> {
        let spans = BTreeMap::from([(TAG, (from, to))]);
        let mut found = read_spans(&LakeRoot::default(), &self.table, &spans).unwrap();
        found.remove(TAG).unwrap_or_default()
    }

    /// What the follower does with windows that are to be revised, and whether they are those of
    /// the store read in order from the beginning.
    fn revise(&mut self) {
        for due in self.engine.due_revisions(1_000, 0) {
            let rows = self.stored(due.span.0, due.span.1);
            let windows = self.engine.cut_again(&due, &rows);
            let all = self.in_order(&due);
            let expected: Vec<Window> = all
                .into_iter()
                .filter(|window| due.ends.contains(&window.end))
                .collect();
            assert!(!windows.is_empty());
            if self.same_origin {
                assert_eq!(windows, expected);
            }
            let shape = |windows: &[Window]| -> Vec<(i64, u32)> {
                windows.iter().map(|one| (one.end, one.rows)).collect()
            };
            assert_eq!(shape(&windows), shape(&expected));
            self.revised += windows.len();
            self.engine.revise(&due, &rows);
        }
    }

    /// All windows, cut from the store from its first row on.
    fn in_order(&mut self, due: &Due) -> Vec<Window> {
        let rows = self.stored(i64::MIN, i64::MAX);
        let tracks = self.engine.classes.get_mut("rig").unwrap();
        let mut monitor = fieldwright_condition::Monitor::new(Arc::clone(&tracks.settings));
        let mut windows = Vec::new();
        for batch in &rows {
            let columns = Columns::of(batch, |name| tracks.metric(name)).unwrap();
            let slices = columns.by_metric(tracks.metrics.len());
            for row in 0..batch.num_rows() {
                let value =
                    |metric: usize| slices[metric].as_ref().map_or(f64::NAN, |s| s.value(row));
                let keep = |window| windows.push(window);
                monitor.cut(columns.time(row), slices.len(), value, keep);
            }
        }
        monitor.close_through(*due.ends.last().unwrap(), |window| windows.push(window));
        windows
    }
}

fn hot(batch: &RecordBatch) -> Arc<HotBatch> {
    Arc::new(HotBatch {
        batch: batch.clone(),
        min_time: i64::MIN,
        max_time: i64::MAX,
    })
}

fn batch(rows: &[Arrival], late: Option<u64>) -> RecordBatch {
    let times = rows.iter().map(|row| row.second * SECOND);
    let times: ArrayRef =
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"));
    let tags = StringArray::from_iter_values(rows.iter().map(|_| TAG));
    let column = |place: usize| -> ArrayRef {
        let values = rows.iter().map(|row| row.values[place]);
        Arc::new(values.collect::<Float64Array>())
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        (ASSET, Arc::new(tags)),
        (TIME, Arc::clone(&times)),
        (RECEIVED_AT, times),
    ];
    if let Some(number) = late {
        columns.push((
            SEQUENCE,
            Arc::new(UInt64Array::from(vec![number; rows.len()])),
        ));
    }
    columns.extend([("a", column(0)), ("b", column(1))]);
    RecordBatch::try_from_iter(columns).unwrap()
}

/// An hour and a half of readings every five seconds or so, in the order in which they arrive.
/// `trouble` of a hundred come late, twice, in halves, or wrong and then corrected.
fn arrivals(seed: u64, trouble: u32) -> Vec<Arrival> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut arrivals: Vec<(i64, Arrival)> = Vec::new();
    let mut second = 1_000_000 + generator.random_range(0..60);
    for number in 0..1_000_i64 {
        second += generator.random_range(3..8);
        let load = (second as f64 / 400.0).sin();
        let mut noise = || generator.random::<f64>() - 0.5;
        let right = [
            10.0 + load + 0.2 * noise(),
            50.0 - 3.0 * load + 0.5 * noise(),
        ];
        let row = |values: [Option<f64>; 2]| Arrival { second, values };
        let [a, b] = right.map(Some);
        let later = number + generator.random_range(1..120);
        // The first reading says where an asset begins.
        if number == 0 || generator.random_range(0..100) >= trouble {
            arrivals.push((number, row([a, b])));
            continue;
        }
        match generator.random_range(0..5) {
            4 => arrivals.extend([(number, row([None, b])), (number, row([a, None]))]),
            0 => arrivals.push((later, row([a, b]))),
            1 => arrivals.extend([(number, row([a, b])), (later, row([a, b]))]),
            2 => arrivals.extend([(number, row([a, None])), (later, row([None, b]))]),
            _ => {
                let wrong = right.map(|value| Some(value + generator.random::<f64>()));
                arrivals.extend([(number, row(wrong)), (later, row([a, b]))]);
            }
        }
    }
    arrivals.sort_by_key(|(arrives, _)| *arrives);
    arrivals.into_iter().map(|(_, arrival)| arrival).collect()
}

#[track_caller]
fn check(own: &str, seeds: std::ops::Range<u64>, trouble: u32) {
    for seed in seeds {
        let mut world = World::new(own);
        let mut generator = ChaCha8Rng::seed_from_u64(seed + 1_000);
        let arrivals = arrivals(seed, trouble);
        let mut rest = &arrivals[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(generator.random_range(1..40).min(rest.len()));
            world.commit(now);
            rest = later;
        }
        let (stream, store) = world.models.as_ref().unwrap();
        let texts = [stream, store].map(|model| serde_json::to_string(model).unwrap());
        assert_eq!(texts[0], texts[1], "seed {seed}: what was learned");
        assert_eq!(world.findings, 0, "seed {seed}: findings");
        let counts = world.engine.counts();
        if trouble == 0 {
            assert_eq!((world.revised, counts.late), (0, 0));
        } else {
            assert!(world.revised > 20, "seed {seed}: {} revised", world.revised);
            assert!(counts.revised > 10, "seed {seed}: {counts:?}");
        }
        let Unsaved { all, .. } = world.engine.take_progress(10);
        assert!(all);
    }
}

#[test]
fn a_model_from_the_stream_is_that_from_the_store_to_the_last_byte() {
    let steps = "window = '1m'\nstep = '1m'\ndetectors.pca.with = { drift_lag = '5m', limit_factor = 40.0 }";
    check(steps, 0..4, 0);
    check(steps, 0..12, 25);
}

#[test]
fn so_it_is_with_overlapping_windows_and_more_features() {
    let overlapping = "window = '3m'\nstep = '1m'\nfeatures = ['mean', 'log_std', 'max', 'slope']\n\
                       detectors.pca.with = { drift_lag = '5m', limit_factor = 200.0 }";
    check(overlapping, 20..26, 25);
}

#[test]
fn so_it_is_at_every_reading() {
    let readings = "judge = 'reading'\nwindow = '30s'\nstep = '5s'\nmin_samples = 1\n\
                    detectors.pca.with = { drift_lag = '5m', limit_factor = 100.0 }";
    check(readings, 40..44, 15);
}

#[test]
fn a_revision_changes_scores_and_no_alarm() {
    let own = "window = '1m'\nstep = '1m'\n\
               detectors.pca.with = { drift_lag = '5m', limit_factor = 6.0 }";
    let mut world = World::new(own);
    let all = arrivals(7, 0);
    for arrivals in all.chunks(12) {
        world.commit(arrivals);
    }
    let before = world.engine.scores(TAG).unwrap();
    assert!(before.iter().all(|score| score.revision == 0));
    // Ten minutes that were quite different, as it turns out; and what is too old to matter.
    let corrected: Vec<Arrival> = all[700..820]
        .iter()
        .map(|row| Arrival {
            values: [None, row.values[1].map(|value| value + 40.0)],
            ..*row
        })
        .collect();
    let old = Arrival {
        second: all[0].second - 10,
        ..all[0]
    };
    for row in corrected.iter().chain([&old]) {
        world.commit(&[*row]);
    }
    assert_eq!(world.findings, 0, "an alarm for what has passed");
    assert!(
        world.engine.counts().not_revised >= 1,
        "{:?}",
        world.engine.counts()
    );
    let after = world.engine.scores(TAG).unwrap();
    assert_eq!(before.len(), after.len());
    let revised: Vec<_> = after.iter().filter(|score| score.revision > 0).collect();
    assert!((9..=13).contains(&revised.len()), "{}", revised.len());
    assert!(
        revised[2..revised.len() - 2]
            .iter()
            .all(|score| score.ratio > 1.0)
    );
    assert!(
        revised
            .iter()
            .all(|score| !score.alarm && !score.out_of_band)
    );
    for (before, after) in before
        .iter()
        .zip(&after)
        .filter(|(_, after)| after.revision == 0)
    {
        assert_eq!(before, after);
    }
    // The readings that follow are judged as if nothing had been.
    let last = all.last().unwrap();
    for minute in 1..10 {
        let row = |n: i64| Arrival {
            second: last.second + 60 * minute + 6 * n,
            ..*last
        };
        world.commit(&(0..10).map(row).collect::<Vec<_>>());
    }
    assert_eq!(world.findings, 0);
}

#[test]
fn late_rows_beyond_the_bound_are_counted() {
    let own = "window = '1m'\nstep = '1m'\ndetectors.pca.with = { drift_lag = '5m', limit_factor = 40.0 }";
    let mut world = World::new(own);
    let all = arrivals(3, 0);
    for arrivals in all.chunks(12) {
        world.commit(arrivals);
    }
    // All in the open window, so that they have to wait.
    let newest = all.last().unwrap().second * SECOND;
    let late: Vec<RecordBatch> = (0..MAX_LATE_INSTANTS_OF_AN_ASSET + 9)
        .map(|n| {
            let batch = batch(&all[all.len() - 1..], Some(n as u64));
            let time = TimestampMicrosecondArray::from_iter_values([newest - n as i64]);
            let mut columns = batch.columns().to_vec();
            columns[1] = Arc::new(time.with_timezone("UTC"));
            RecordBatch::try_new(batch.schema(), columns).unwrap()
        })
        .collect();
    let before = world.engine.counts().not_revised;
    for batch in &late {
        world.engine.note_late(&class(), batch, false, |_| false);
    }
    assert_eq!(world.engine.counts().not_revised - before, 9);
}

#[test]
fn what_waits_for_an_asset_that_is_silent_or_gone_leaves_its_place() {
    let own = "window = '1m'\nstep = '1m'\nstale_after = '10m'\n\
               detectors.pca.with = { drift_lag = '5m', limit_factor = 40.0 }";
    let wait = || {
        let mut world = World::new(own);
        let all = arrivals(3, 0);
        for arrivals in all.chunks(12) {
            world.commit(arrivals);
        }
        // In the open window, so that it has to wait.
        let late = batch(&all[all.len() - 1..], Some(1));
        world.engine.note_late(&class(), &late, false, |_| false);
        assert_eq!(world.engine.late.count, 1);
        world
    };
    let minute = 60 * SECOND;
    let mut world = wait();
    let before = world.engine.counts().not_revised;
    for minutes in 0..=10 {
        assert_eq!(world.engine.due_revisions(10, minutes * minute), []);
    }
    assert_eq!(world.engine.late.count, 1, "not silent for long enough");
    assert_eq!(world.engine.due_revisions(10, 11 * minute), []);
    assert_eq!(world.engine.counts().not_revised - before, 1);
    assert_eq!(world.engine.late.count, 0);
    assert!(world.engine.late.instants.is_empty() && world.engine.late.newest.is_empty());

    let mut world = wait();
    let tracks = world.engine.classes.get_mut("rig").unwrap();
    tracks.track_mut(TAG).unwrap().owned = false;
    assert_eq!(world.engine.due_revisions(10, 0), []);
    assert_eq!(world.engine.late.count, 0);
}

#[test]
fn a_score_of_a_former_model_is_not_revised() {
    let own = "window = '1m'\nstep = '1m'\n\
               detectors.pca.with = { drift_lag = '5m', limit_factor = 40.0 }";
    let mut world = World::new(own);
    let all = arrivals(5, 0);
    let (first, rest) = all.split_at(900);
    for arrivals in first.chunks(12) {
        world.commit(arrivals);
    }
    let mut other = world.models.clone().unwrap().0;
    other.version = "another".to_owned();
    world.engine.install(other, &mut Vec::new());
    for arrivals in rest.chunks(12) {
        world.commit(arrivals);
    }
    let before = world.engine.counts().not_revised;
    world.commit(&first[800..860]);
    let scores = world.engine.scores(TAG).unwrap();
    assert!(scores.iter().any(|score| score.model == "another"));
    assert!(scores.iter().all(|score| score.revision == 0));
    assert!(world.engine.counts().not_revised > before);
}

#[test]
fn metrics_sent_apart_are_one_reading() {
    let own = "window = '1m'\nstep = '1m'\nfeatures = ['mean', 'log_std', 'max', 'slope']\n\
               detectors.pca.with = { drift_lag = '5m', limit_factor = 40.0 }";
    for chunk in [1, 2, 7] {
        let (mut whole, mut apart) = (World::new(own), World::new(own));
        let all = arrivals(9, 0);
        for arrivals in all.chunks(12) {
            whole.commit(arrivals);
        }
        let parts: Vec<Arrival> = all
            .iter()
            .flat_map(|arrival| {
                let [a, b] = arrival.values;
                [[a, None], [None, b]].map(|values| Arrival { values, ..*arrival })
            })
            .collect();
        for arrivals in parts.chunks(chunk) {
            apart.commit(arrivals);
        }
        assert_eq!(
            apart.models.as_ref().unwrap(),
            whole.models.as_ref().unwrap()
        );
        assert_eq!(apart.engine.scores(TAG), whole.engine.scores(TAG));
        let counts = apart.engine.counts();
        assert_eq!((counts.late, counts.revised, counts.not_revised), (0, 0, 0));
        assert_eq!(counts.scores, whole.engine.counts().scores);
    }
}

#[test]
fn metrics_sent_apart_and_judged_at_every_reading_are_learned_as_they_are_judged() {
    let own = "judge = 'reading'\nwindow = '30s'\nstep = '5s'\nmin_samples = 1\n\
               detectors.pca.with = { drift_lag = '5m', limit_factor = 100.0 }";
    let mut world = World::new(own);
    world.same_origin = false;
    for arrival in arrivals(9, 0) {
        let [a, b] = arrival.values;
        for values in [[a, None], [None, b]] {
            world.commit(&[Arrival { values, ..arrival }]);
        }
    }
    let (model, _) = world.models.as_ref().unwrap();
    assert!(model.features.iter().all(|feature| feature.metric == "a"));
    assert!(world.engine.counts().scores > 200, "nothing is judged");
}

#[test]
fn readings_that_are_mostly_late_are_learned_as_live_windows_have_them() {
    let own = "window = '1m'\nstep = '1m'\nmin_samples = 1\n\
               detectors.pca.with = { drift_lag = '5m', limit_factor = 40.0 }";
    let mut world = World::new(own);
    world.same_origin = false;
    // The last of five is sent first.
    for arrivals in arrivals(9, 0).chunks(5) {
        for arrival in arrivals.iter().rev() {
            world.commit(&[*arrival]);
        }
    }
    let (model, _) = world.models.as_ref().unwrap();
    assert!(model.usual_rows < 4.0, "{}", model.usual_rows);
    assert!(world.engine.counts().scores > 20, "nothing is judged");
}
