//! How many rows and readings a second the engine judges, with its lanes, for a mixed set of detectors:
//! `cargo run --release -p fieldwright-analytics --example engine -- [ROWS PER COMMIT]`.
//!
//! A row is what one asset says at one instant, a reading one metric of it. Batches have the shape in
//! which `serve` feeds them: rows of many assets of a class, one instant after the other.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use fieldwright_analytics::detect::DetectConfig;
use fieldwright_analytics::detect::engine::{Engine, Finding, Found};

/// Rows of each class that are timed.
const TIMED: usize = 60_000;

/// A class under load.
struct Class {
    name: &'static str,
    /// Its own settings.
    settings: &'static str,
    metrics: usize,
    assets: usize,
    /// From reading to reading of an asset. **Units**: seconds of event time.
    sampling: i64,
    /// Readings of an asset before it is timed.
    warm: i64,
    /// Rows that are timed.
    rows: usize,
}

/// What is shipped, as many rows of each.
const CLASSES: [Class; 6] = [
    Class {
        name: "plain",
        settings: "",
        metrics: 10,
        assets: 200,
        sampling: 30,
        warm: 0,
        rows: TIMED,
    },
    Class {
        name: "guarded",
        settings: "thresholds.hot = { metric = 'm0', above = 1e6, hysteresis = 1.0, min_duration = '1m', severity = 'high' }\n\
                   thresholds.low = { metric = 'm1', below = -1e6, hysteresis = 1.0, min_duration = '1m', severity = 'high' }",
        metrics: 10,
        assets: 200,
        sampling: 30,
        warm: 0,
        rows: TIMED,
    },
    Class {
        name: "slow",
        settings: "kind = 'slow_machine'\ndetectors.residuals.with = { inputs = ['m0', 'm1'] }",
        metrics: 10,
        assets: 200,
        sampling: 600,
        warm: 0,
        rows: TIMED,
    },
    Class {
        name: "rotating",
        settings: "kind = 'machine'",
        metrics: 8,
        assets: 50,
        sampling: 1,
        warm: 0,
        rows: TIMED,
    },
    Class {
        name: "process",
        settings: "kind = 'controlled'",
        metrics: 20,
        assets: 20,
        sampling: 180,
        warm: 0,
        rows: TIMED,
    },
    Class {
        name: "single",
        settings: "kind = 'univariate'",
        metrics: 1,
        assets: 50,
        sampling: 300,
        // Its neighbors are all there.
        warm: 2_100,
        rows: TIMED,
    },
];

/// A class in the engine: how far it has come.
struct Fleet<'a> {
    class: &'a Class,
    tag: Arc<str>,
    round: i64,
}

impl Fleet<'_> {
    /// The next rows: so many instants of all assets that there are about `rows`.
    fn batch(&mut self, rows: usize) -> RecordBatch {
        let assets = self.class.assets;
        let rounds = i64::try_from((rows / assets).max(1)).unwrap_or(1);
        let all =
            || (self.round..self.round + rounds).flat_map(|r| (0..assets).map(move |a| (r, a)));
        let times = all().map(|(round, _)| round * self.class.sampling * 1_000_000);
        let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
        let name = self.class.name;
        let tags = all().map(|(_, asset)| format!("{name}-{asset:04}"));
        let tags: Vec<String> = tags.collect();
        let mut columns: Vec<(String, ArrayRef)> = vec![
            ("asset".to_owned(), Arc::new(StringArray::from(tags))),
            ("time".to_owned(), Arc::new(times)),
        ];
        for metric in 0..self.class.metrics {
            let values = all().map(|(round, asset)| reading(asset, round, metric));
            let values = Float64Array::from_iter_values(values);
            columns.push((format!("m{metric}"), Arc::new(values)));
        }
        self.round += rounds;
        RecordBatch::try_from_iter(columns).expect("columns of one length")
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rows = std::env::args().nth(1).map_or(Ok(8_192), |n| n.parse())?;
    let config = Arc::new(config()?);
    let mistakes = config.validate();
    if !mistakes.is_empty() {
        return Err(mistakes.join("; ").into());
    }
    let mut engine = Engine::new(config);
    let mut fleets: Vec<Fleet<'_>> = CLASSES
        .iter()
        .map(|class| Fleet {
            class,
            tag: class.name.into(),
            round: 0,
        })
        .collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores, commits of {rows} rows of one class");
    let (mut of_all, mut rows_taken, mut values) = (0.0, 0, 0);
    // Seconds that a reading of each takes.
    let mut of_one = 0.0;
    for fleet in &mut fleets {
        learn(&mut engine, fleet)?;
        while fleet.round < fleet.class.warm {
            let batch = fleet.batch(rows);
            engine.ingest(&fleet.tag, &batch, &mut Vec::new());
        }
        let batches: Vec<RecordBatch> = (0..fleet.class.rows.div_ceil(rows))
            .map(|_| fleet.batch(rows))
            .collect();
        let before = engine.counts();
        let began = now();
        let mut found = Vec::new();
        for batch in &batches {
            engine.ingest(&fleet.tag, batch, &mut found);
        }
        let spent = now().duration_since(began).as_secs_f64();
        let after = engine.counts();
        let taken = after.rows - before.rows;
        println!(
            "{:9} {:2} metrics: {:>9.0} rows/s, {:>10.0} readings/s; {} windows judged, {} findings",
            fleet.class.name,
            fleet.class.metrics,
            count(taken) / spent,
            count(taken) * count(fleet.class.metrics as u64) / spent,
            after.scores - before.scores,
            found.len()
        );
        of_all += spent;
        of_one += spent / (count(taken) * count(fleet.class.metrics as u64));
        rows_taken += taken;
        values += taken * fleet.class.metrics as u64;
    }
    println!(
        "mixed, as many rows of each: {:.0} rows/s, {:.0} readings/s",
        count(rows_taken) / of_all,
        count(values) / of_all
    );
    println!(
        "mixed, as many readings of each: {:.0} readings/s",
        count(CLASSES.len() as u64) / of_one
    );
    Ok(())
}

/// Feeds a class until all of its assets are judged.
fn learn(engine: &mut Engine, fleet: &mut Fleet<'_>) -> Result<(), String> {
    let mut judged = 0;
    for _ in 0..10_000 {
        let mut found: Vec<Finding> = Vec::new();
        let batch = fleet.batch(4_000);
        engine.ingest(&fleet.tag, &batch, &mut found);
        while let Some(finding) = found.pop() {
            if let Found::Train(job) = finding.found {
                let model = job
                    .run()
                    .map_err(|error| format!("{}: {error}", job.asset))?;
                engine.install(model, &mut found);
                judged += 1;
            }
        }
        if judged == fleet.class.assets {
            return Ok(());
        }
    }
    Err(format!("{}: not all assets have learned", fleet.class.name))
}

fn config() -> Result<DetectConfig, Box<dyn std::error::Error>> {
    let both = [
        fieldwright_analytics::detect::DEFAULT_TOML,
        fieldwright_condition::DEFAULT_TOML,
    ];
    let mut all: toml::Table = both.join("\n").parse()?;
    let mut classes = toml::Table::new();
    for class in &CLASSES {
        let own: toml::Table = class.settings.parse()?;
        classes.insert(class.name.to_owned(), own.into());
    }
    let detect = all["detect"].as_table_mut().ok_or("no defaults")?;
    detect.insert("classes".to_owned(), classes.into());
    Ok(all["detect"].clone().try_into()?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the process clock"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// A load with a daily cycle and noise, the same in every run.
fn reading(asset: usize, round: i64, metric: usize) -> f64 {
    let mut x = (asset as u64) << 44 ^ round.unsigned_abs() << 8 ^ metric as u64;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let noise = count((x ^ (x >> 31)) % 20_000) / 10_000.0 - 1.0;
    let load = (count(round.unsigned_abs()) / 458.0).sin();
    count(metric as u64 + 1) * (10.0 + load) + noise
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}
