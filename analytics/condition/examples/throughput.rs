//! How many rows and readings a second are judged, kind by kind and mixed, assets divided among
//! threads as the engine divides them among its lanes:
//! `cargo run --release -p fieldwright-condition --example throughput -- [THREADS]`.
//!
//! A row is what one asset says at one instant, a reading one metric of it.

use std::sync::Arc;

use fieldwright_condition::model::learn_from;
use fieldwright_condition::settings::Kinds;
use fieldwright_condition::{ClassSettings, Model, Monitor, News};
use serde_json::Map;

/// Metrics of an asset.
const METRICS: usize = 10;
/// Assets of a kind.
const ASSETS: usize = 20;
/// Readings of an asset that are timed.
const TIMED: usize = 5_000;

/// One of the classes that are measured.
struct Fleet {
    name: &'static str,
    settings: Arc<ClassSettings>,
    /// From reading to reading. **Units**: microseconds of event time.
    sampling: i64,
    metrics: usize,
    monitors: Vec<Monitor>,
    minute: usize,
}

impl Fleet {
    fn learned(name: &'static str, settings: ClassSettings, sampling: i64, metrics: usize) -> Self {
        let mut fleet = Self {
            name,
            settings: Arc::new(settings),
            sampling,
            metrics,
            monitors: Vec::new(),
            minute: 0,
        };
        fleet.monitors = (0..ASSETS)
            .map(|_| Monitor::new(Arc::clone(&fleet.settings)))
            .collect();
        let began = now();
        let mut learned = 0;
        while learned < ASSETS && fleet.minute < 200_000 {
            learned += fleet.step();
        }
        let spent = now().duration_since(began).as_secs_f64();
        println!("{name}: {learned} assets learned, feeding included, in {spent:.1} s");
        fleet
    }

    /// One row of every asset; gives how many were learned.
    fn step(&mut self) -> usize {
        let row = self.minute;
        self.minute += 1;
        let (metrics, sampling, settings) = (self.metrics, self.sampling, &*self.settings);
        let assets = self.monitors.iter_mut().enumerate();
        assets
            .map(|asset| take(asset, settings, metrics, (row, sampling)))
            .sum()
    }

    /// So many rows of every asset on so many threads.
    fn rows(&mut self, rows: usize, threads: usize) {
        let (metrics, sampling, settings) = (self.metrics, self.sampling, &*self.settings);
        let (from, long) = (self.minute, ASSETS.div_ceil(threads));
        std::thread::scope(|scope| {
            for (part, monitors) in self.monitors.chunks_mut(long).enumerate() {
                scope.spawn(move || {
                    for row in from..from + rows {
                        for (place, monitor) in monitors.iter_mut().enumerate() {
                            let asset = (part * long + place, monitor);
                            take(asset, settings, metrics, (row, sampling));
                        }
                    }
                });
            }
        });
        self.minute += rows;
    }
}

/// Takes a row of an asset, and learns when it is time; gives whether it did.
fn take(
    (asset, monitor): (usize, &mut Monitor),
    settings: &ClassSettings,
    metrics: usize,
    (row, sampling): (usize, i64),
) -> usize {
    let time = i64::try_from(row).unwrap_or(0) * sampling;
    let value = |metric: usize| reading(asset, row, metric);
    let mut windows = None;
    monitor.take(time, metrics, value, |news| {
        if let News::Learn(found) = news {
            windows = Some(found);
        }
    });
    let Some(windows) = windows else { return 0 };
    let names: Vec<String> = (0..metrics).map(|m| format!("m{m}")).collect();
    let model: Result<Model, _> = learn_from("asset", "class", settings, &names, &windows);
    match model {
        Ok(model) => {
            for window in monitor.install(Arc::new(model), &names) {
                let _ = monitor.judge(window);
            }
            1
        }
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads: usize = std::env::args().nth(1).map_or(Ok(cores), |n| n.parse())?;
    let kinds = Kinds::shipped();
    let own: Map<String, serde_json::Value> = serde_json::from_value(serde_json::json!({
        "kind": "slow_machine",
        "detectors": { "residuals": { "with": { "inputs": ["m0", "m1"] } } },
    }))?;
    let fleets = [
        Fleet::learned("defaults", kinds.complete(Map::new())?, 30_000_000, METRICS),
        Fleet::learned("slow_machine", kinds.complete(own)?, 600_000_000, METRICS),
        Fleet::learned("machine", kinds.kind("machine")?, 1_000_000, METRICS),
        Fleet::learned("controlled", kinds.kind("controlled")?, 180_000_000, 20),
        Fleet::learned("univariate", kinds.kind("univariate")?, 300_000_000, 1),
    ];
    println!("{threads} threads, {ASSETS} assets of each kind");
    let (mut all_rows, mut all_readings, mut all_seconds) = (0.0, 0.0, 0.0);
    for mut fleet in fleets {
        // Histories are full after so many rows.
        fleet.rows(2_100, threads);
        let began = now();
        fleet.rows(TIMED, threads);
        let seconds = now().duration_since(began).as_secs_f64();
        let rows = count(TIMED * ASSETS);
        let readings = count(TIMED * ASSETS * fleet.metrics);
        println!(
            "{:12} {:2} metrics: {:>9.0} rows/s, {:>10.0} readings/s",
            fleet.name,
            fleet.metrics,
            rows / seconds,
            readings / seconds
        );
        all_rows += rows;
        all_readings += readings;
        all_seconds += seconds;
    }
    println!(
        "mixed, as many rows of each: {:.0} rows/s, {:.0} readings/s",
        all_rows / all_seconds,
        all_readings / all_seconds
    );
    let mut fast = Fleet::learned(
        "spectra (2560 Hz, 1 s)",
        kinds.complete(spectra()?)?,
        390,
        2,
    );
    let began = now();
    let rounds = 20 * 2_560;
    for _ in 0..rounds {
        fast.step();
    }
    let seconds = now().duration_since(began).as_secs_f64();
    let readings = count(rounds * ASSETS * fast.metrics);
    println!("{}: {:.0} readings/s", fast.name, readings / seconds);
    Ok(())
}

/// Two bands and an envelope of every second.
fn spectra() -> Result<Map<String, serde_json::Value>, toml::de::Error> {
    toml::from_str(
        "window = '1s'\nstep = '1s'\nlearning = '40s'\ndetectors.pca.with.drift_lag = '5s'\n\
         features = ['log_std', { band = { from_hz = 10, to_hz = 100 } }, \
         { band = { from_hz = 100, to_hz = 1000 } }, { envelope = { from_hz = 10, to_hz = 200, \
         carrier_from_hz = 400, carrier_to_hz = 1200 } }]",
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the process clock"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// A load with a daily cycle and noise, the same in every run.
fn reading(asset: usize, minute: usize, metric: usize) -> f64 {
    let mut x = (asset as u64) << 44 ^ (minute as u64) << 8 ^ metric as u64;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let noise = ((x ^ (x >> 31)) % 20_000) as f64 / 10_000.0 - 1.0;
    let load = (count(minute) / 458.0).sin();
    count(metric + 1) * (10.0 + load) + noise
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
