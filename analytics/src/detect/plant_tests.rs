//! A small plant of our own: 24 assets of the demo's classes, quiet for a day, and faults that grow.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use fieldwright_ingest::snapshot::{ASSET, TIME};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::config::tests::config;
use super::engine::{Engine, Finding, Found};
use super::verdict::{AssetVerdict, HealthState};
use super::*;

const SAMPLING: i64 = 30;
const HOUR: i64 = 3600;
const METRICS: [&str; 6] = [
    "flow_m3h",
    "pressure_bar",
    "vibration_mm_s",
    "bearing_temp_c",
    "motor_current_a",
    "speed_rpm",
];

/// One machine: load with a daily cycle, a wandering of its own and steps; weather; lag and noise.
struct Machine {
    rng: ChaCha8Rng,
    phase: f64,
    wander: f64,
    set_point: f64,
    bearing: f64,
    weather: f64,
}

/// What breaks.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Bearing,
    Impeller,
    Blocked,
}

/// What breaks, from when on, and how long it takes to be fully there. **Units**: seconds.
type Growing = (Fault, i64, i64);

/// Growth of a fault that has to be found soon.
const SOON: i64 = 90 * 60;

impl Machine {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let phase = 0.3 * normal(&mut rng);
        Self {
            rng,
            phase,
            wander: 0.0,
            set_point: 0.0,
            bearing: 55.0,
            weather: 0.0,
        }
    }

    fn read(&mut self, second: i64, fault: Option<Growing>) -> [f64; 6] {
        let day = TAU * second as f64 / 86_400.0;
        let decay = |constant: f64| (-(SAMPLING as f64) / constant).exp();
        let walk = |state: f64, constant: f64, size: f64, rng: &mut ChaCha8Rng| {
            let kept = decay(constant);
            kept * state + size * (1.0 - kept * kept).sqrt() * normal(rng)
        };
        self.wander = walk(self.wander, 3600.0, 0.04, &mut self.rng);
        self.weather = walk(self.weather, 7200.0, 1.0, &mut self.rng);
        if uniform(&mut self.rng) < SAMPLING as f64 / 10_800.0 {
            self.set_point =
                [-0.06, -0.03, 0.0, 0.03, 0.06][(5.0 * uniform(&mut self.rng)) as usize];
        }
        let cycle = 0.7 + 0.15 * (day - 1.6 + self.phase).sin() + 0.05 * (2.0 * day).sin();
        let load = (cycle + self.wander + self.set_point).clamp(0.2, 1.1);
        let ambient = 20.0 + 5.0 * (day - 2.2).sin() + self.weather;
        let grown =
            |onset: i64, growth: i64| ((second - onset) as f64 / growth as f64).clamp(0.0, 1.0);
        let (mut bearing, mut impeller, mut blocked) = (0.0, 0.0, 0.0);
        match fault {
            Some((Fault::Bearing, onset, growth)) => bearing = grown(onset, growth),
            Some((Fault::Impeller, onset, growth)) => impeller = grown(onset, growth),
            Some((Fault::Blocked, onset, growth)) => blocked = grown(onset, growth),
            None => {}
        }
        let turn = 0.6 + 0.4 * load;
        let heat = ambient + 18.0 * load + 18.0 * bearing;
        self.bearing = decay(1800.0) * self.bearing + (1.0 - decay(1800.0)) * heat;
        let mut noisy = |value: f64, size: f64| value + size * normal(&mut self.rng);
        [
            noisy(
                120.0 * turn * (1.0 - 0.25 * impeller) * (1.0 - 0.2 * blocked),
                1.0,
            ),
            noisy(
                6.0 * turn * turn * (1.0 - 0.2 * impeller) * (1.0 + 0.25 * blocked),
                0.05,
            ),
            noisy(1.2 + 1.2 * turn * turn + 2.5 * bearing, 0.12),
            noisy(self.bearing + 20.0, 0.2),
            noisy(18.0 * load.powf(1.2) + 4.0 + bearing, 0.2),
            noisy(1450.0 * turn, 3.0),
        ]
    }
}

fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32()) / 4_294_967_296.0
}

/// **Source**: Box and Muller 1958.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
    radius * (TAU * uniform(rng)).cos()
}

/// Readings of several assets, interleaved as they come from the wire.
fn batch(rows: &[(String, i64, [f64; 6])]) -> RecordBatch {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new(ASSET, DataType::Utf8, false),
        Field::new(TIME, time, false),
    ];
    let tags = StringArray::from_iter_values(rows.iter().map(|(tag, _, _)| tag));
    let times: Vec<i64> = rows
        .iter()
        .map(|(_, second, _)| second * 1_000_000)
        .collect();
    let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
    let mut columns: Vec<ArrayRef> = vec![Arc::new(tags), Arc::new(times)];
    for (at, metric) in METRICS.iter().enumerate() {
        fields.push(Field::new(*metric, DataType::Float64, true));
        columns.push(Arc::new(Float64Array::from_iter(
            rows.iter().map(|row| Some(row.2[at])),
        )));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// A plant and the engine that watches it.
struct Plant {
    machines: BTreeMap<String, Machine>,
    engine: Engine,
    second: i64,
    raised: Vec<(String, i64)>,
    returned: Vec<(String, i64)>,
}

impl Plant {
    fn new(assets: u64, seed: u64) -> Self {
        let machine = |n: u64| (format!("P-{n:02}"), Machine::new(1000 * seed + n));
        Self {
            machines: (0..assets).map(machine).collect(),
            engine: Engine::new(Arc::new(config("").unwrap())),
            second: 1_760_000_400,
            raised: Vec::new(),
            returned: Vec::new(),
        }
    }

    /// Runs for a while; the fault is of the asset that it names.
    fn run(&mut self, seconds: i64, fault: Option<(&str, Growing)>) {
        let until = self.second + seconds;
        while self.second < until {
            let mut rows = Vec::new();
            for _ in 0..120 {
                for (tag, machine) in &mut self.machines {
                    let own = fault
                        .filter(|(of, _)| of == tag)
                        .map(|(_, growing)| growing);
                    rows.push((tag.clone(), self.second, machine.read(self.second, own)));
                }
                self.second += SAMPLING;
            }
            let mut findings = Vec::new();
            self.engine
                .ingest(&"pump".into(), &batch(&rows), &mut findings);
            self.keep(findings);
        }
    }

    fn keep(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            match finding.found {
                Found::Train(job) => {
                    let mut more = Vec::new();
                    self.engine.install(job.run().unwrap(), &mut more);
                    self.keep(more);
                }
                Found::Raise(found) => {
                    assert!(finding.progress.is_some());
                    self.raised.push((found.asset, found.raised_at.timestamp()));
                }
                Found::Return { asset, at, .. } => self.returned.push((asset, at.timestamp())),
                Found::Worse(_) | Found::TrainClass { .. } | Found::Refer { .. } => {}
            }
        }
    }

    fn health(&self, asset: &str) -> HealthState {
        self.engine
            .health(asset, evidence::instant(self.second * 1_000_000))
            .state
    }
}

#[test]
fn a_day_of_24_assets_raises_nothing() {
    let mut plant = Plant::new(24, 1);
    plant.run(36 * HOUR, None);
    assert_eq!(plant.health("P-00"), HealthState::Learning);
    plant.run(24 * HOUR + 600, None);
    assert_eq!(plant.raised, []);
    assert_eq!(plant.engine.assets(), (0, 24));
    assert_eq!(plant.health("P-00"), HealthState::Normal);
    assert!(
        plant.engine.counts().scores > 24 * 12 * 23,
        "{:?}",
        plant.engine.counts()
    );
}

#[test]
fn a_growing_fault_is_found_within_the_hour_and_returns_after_its_repair() {
    for (seed, fault) in [
        (2, Fault::Bearing),
        (3, Fault::Impeller),
        (4, Fault::Blocked),
    ] {
        let mut plant = Plant::new(3, seed);
        plant.run(40 * HOUR, None);
        let onset = plant.second;
        plant.run(3 * HOUR, Some(("P-01", (fault, onset, SOON))));
        let [(asset, raised)] = &plant.raised[..] else {
            panic!("{fault:?}: one alarm, not {:?}", plant.raised)
        };
        let delay = raised - onset;
        assert_eq!(asset, "P-01", "{fault:?}");
        assert!((0..=HOUR).contains(&delay), "{fault:?}: {delay} s");
        assert_eq!(plant.health("P-01"), HealthState::Alarm);
        assert_eq!(plant.health("P-02"), HealthState::Normal);

        let repaired = evidence::instant(plant.second * 1_000_000);
        let verdict = |plant: &Plant| plant.engine.verdict("P-01", repaired).unwrap();
        assert_eq!(verdict(&plant), AssetVerdict::NoTelemetry);
        plant.run(3 * HOUR, None);
        assert!(
            matches!(verdict(&plant), AssetVerdict::InBand { .. }),
            "{fault:?}"
        );
        assert_eq!(
            (plant.raised.len(), plant.returned.len()),
            (1, 1),
            "{fault:?}"
        );
    }
}

#[test]
fn a_repair_that_has_not_helped_is_out_of_band() {
    let mut plant = Plant::new(2, 5);
    plant.run(40 * HOUR, None);
    let onset = plant.second;
    plant.run(3 * HOUR, Some(("P-01", (Fault::Impeller, onset, SOON))));
    let repaired = evidence::instant(plant.second * 1_000_000);
    plant.run(HOUR, Some(("P-01", (Fault::Impeller, onset, SOON))));
    let verdict = plant.engine.verdict("P-01", repaired);
    assert!(
        matches!(verdict, Some(AssetVerdict::OutOfBand { .. })),
        "{verdict:?}"
    );
    assert_eq!(plant.returned, []);
}

#[test]
fn a_slow_fault_is_not_learned_away() {
    // The bearing wears over ten days while the reference may follow with a half-life of two.
    let own = "[classes.pump]\nlearning = '36h'\nmin_duration = '10m'\n\
               detectors.pca.with = { drift_lag = '3h', limit_factor = 3.0, \
               adapt_half_life = '2d', adapt_bound = 4.0 }";
    let mut plant = Plant::new(1, 6);
    plant.engine = Engine::new(Arc::new(config(own).unwrap()));
    plant.run(40 * HOUR, None);
    let onset = plant.second;
    let days = |second: i64| (second - onset) as f64 / 86_400.0;
    while plant.raised.is_empty() && days(plant.second) < 14.0 {
        plant.run(
            HOUR,
            Some(("P-00", (Fault::Bearing, onset, 10 * 24 * HOUR))),
        );
    }
    let found = plant.raised.first().map(|(_, raised)| days(*raised));
    assert!(
        found.is_some_and(|days| (0.1..10.0).contains(&days)),
        "found after {found:?} days"
    );
}

#[test]
fn windows_of_dead_sensors_and_silence_are_not_faults() {
    let mut plant = Plant::new(1, 7);
    plant.run(40 * HOUR, None);
    // Two hours of silence, then a stuck flow meter and a missing pressure for two hours.
    plant.second += 2 * HOUR;
    let machine = plant.machines.get_mut("P-00").unwrap();
    let mut rows = Vec::new();
    for at in 0..240 {
        let second = plant.second + at * SAMPLING;
        let mut values = machine.read(second, None);
        values[0] = 77.0;
        values[1] = f64::NAN;
        rows.push(("P-00".to_owned(), second, values));
    }
    plant.second += 240 * SAMPLING;
    let before = plant.engine.counts();
    let mut findings = Vec::new();
    plant
        .engine
        .ingest(&"pump".into(), &batch(&rows), &mut findings);
    assert_eq!(findings, []);
    let after = plant.engine.counts();
    assert!(
        after.scores - before.scores >= 22,
        "they are still judged by the other sensors"
    );
}

#[test]
fn the_engine_keeps_up_with_the_wire() {
    // What the wire brings at most: many messages of ten metrics, assets in turn.
    let assets = 100;
    let rows = 20_000;
    let tags: Vec<String> = (0..assets).map(|n| format!("A-{n:03}")).collect();
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new(ASSET, DataType::Utf8, false),
        Field::new(TIME, time, false),
    ];
    let names = StringArray::from_iter_values((0..rows).map(|row| &tags[row % assets]));
    let times: Vec<i64> = (0..rows)
        .map(|row| (row / assets) as i64 * 30_000_000)
        .collect();
    let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
    let mut columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(times)];
    for metric in 0..10 {
        fields.push(Field::new(format!("m{metric}"), DataType::Float64, true));
        let values = (0..rows).map(|row| Some((row * (metric + 7) % 1000) as f64));
        columns.push(Arc::new(Float64Array::from_iter(values)));
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let mut engine = Engine::new(Arc::new(config("").unwrap()));
    let started = fieldwright_ingest::clock::process_now();
    let mut findings = Vec::new();
    engine.ingest(&"pump".into(), &batch, &mut findings);
    let seconds = started.elapsed().as_secs_f64();
    let rate = rows as f64 / seconds;
    println!("{rate:.0} messages of 10 metrics per second");
    assert_eq!(engine.counts().rows, rows as u64);
    // The goal is 100,000; a busy machine and an unoptimized build are forgiven.
    assert!(rate > 20_000.0, "{rate:.0} messages/s");
}
