//! How many readings (metric values) a second one core judges, kind by kind and mixed:
//! `cargo run --release -p fieldwright-condition --example throughput`.

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

    /// One reading of every asset; gives how many were learned.
    fn step(&mut self) -> usize {
        let names: Vec<String> = (0..self.metrics).map(|m| format!("m{m}")).collect();
        let time = i64::try_from(self.minute).unwrap_or(0) * self.sampling;
        let mut learned = 0;
        for (asset, monitor) in self.monitors.iter_mut().enumerate() {
            let value = |metric: usize| reading(asset, self.minute, metric);
            let mut windows = None;
            monitor.take(time, self.metrics, value, |news| {
                if let News::Learn(found) = news {
                    windows = Some(found);
                }
            });
            if let Some(windows) = windows {
                let model: Result<Model, _> =
                    learn_from("asset", "class", &self.settings, &names, &windows);
                match model {
                    Ok(model) => {
                        for window in monitor.install(Arc::new(model), &names) {
                            let _ = monitor.judge(window);
                        }
                        learned += 1;
                    }
                    Err(error) => {
                        eprintln!("{}: {error}", self.name);
                        std::process::exit(1);
                    }
                }
            }
        }
        self.minute += 1;
        learned
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kinds = Kinds::shipped();
    let mut fleets = vec![
        Fleet::learned(
            "defaults (T2 and SPE, 30 s)",
            kinds.complete(Map::new())?,
            30_000_000,
            METRICS,
        ),
        Fleet::learned(
            "machine (every reading)",
            kinds.kind("machine")?,
            1_000_000,
            METRICS,
        ),
        Fleet::learned("univariate", kinds.kind("univariate")?, 300_000_000, 1),
    ];
    let (mut all_readings, mut all_seconds) = (0.0, 0.0);
    for fleet in &mut fleets {
        let began = now();
        // As many values of each, so that the mix is even.
        let rounds = TIMED * METRICS / fleet.metrics / if fleet.metrics == 1 { 5 } else { 1 };
        for _ in 0..rounds {
            fleet.step();
        }
        let seconds = now().duration_since(began).as_secs_f64();
        let readings = count(rounds * ASSETS * fleet.metrics);
        println!("{}: {:.0} readings/s", fleet.name, readings / seconds);
        all_readings += readings;
        all_seconds += seconds;
    }
    println!(
        "mixed: {:.0} readings/s on one core",
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
