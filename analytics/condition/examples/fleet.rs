//! What it takes to learn a class of many assets as a whole, beside each of them by itself:
//! `cargo run --release -p fieldwright-condition --example fleet -- [ASSETS]`.
//!
//! Ten metrics, a reading a minute, the defaults (windows of five minutes, three days of learning).

use std::sync::Arc;

use fieldwright_condition::fleet::Learned;
use fieldwright_condition::model::learn_from;
use fieldwright_condition::settings::Kinds;
use fieldwright_condition::{ClassSettings, Fleet, Model, Monitor, News, Sharing};
use serde_json::Map;

/// Metrics of an asset.
const METRICS: usize = 10;
/// From reading to reading. **Units**: microseconds of event time.
const SAMPLING: i64 = 60_000_000;
/// Readings of the learning period.
const READINGS: usize = 3 * 1440;
/// Assets that learn by themselves for comparison.
const ALONE: usize = 40;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let assets = std::env::args().nth(1).map_or(Ok(10_000), |n| n.parse())?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut settings = Kinds::shipped().complete(Map::new())?;
    settings.sharing = Sharing::Class;
    let settings = Arc::new(settings);
    let names: Vec<String> = (0..METRICS).map(|m| format!("m{m}")).collect();

    at_work(&settings, &names, assets)?;
    let tags: Vec<Arc<str>> = (0..assets)
        .map(|n| format!("asset-{n:05}").into())
        .collect();
    let mut fleet = Fleet::new("pump", &settings, tags.iter().cloned(), names.clone());
    let began = now();
    feed(&mut fleet, threads);
    let fed = seconds(began);
    let rows = count(assets * READINGS);
    println!(
        "{assets} assets x {METRICS} metrics x {READINGS} readings on {threads} threads\n\
         windows cut and kept: {fed:.1} s, {:.1} million rows/s, {:.0} bytes per asset",
        rows / fed / 1e6,
        count(fleet.heap_bytes()) / count(assets)
    );
    let began = now();
    let learned = fleet.learn(threads, |_| true)?;
    let Some(Learned::Class { model, members, .. }) = learned else {
        return Err("a class of many assets is learned as a whole".into());
    };
    println!(
        "learned: {:.1} s; fitted on {} windows of {} assets; {} references",
        seconds(began),
        model.windows,
        model.assets,
        members.len()
    );
    let class = serde_json::to_string(&model)?.len();
    let one = serde_json::to_string(&members[0])?.len();
    println!("on disk: {class} bytes for the class, {one} for each asset");
    drop(fleet);
    println!("peak memory: {} MB", memory("VmHWM") / 1024);

    alone(&settings, &names, assets)
}

/// The learning period of every asset.
fn feed(fleet: &mut Fleet, threads: usize) {
    let assets = fleet.len();
    std::thread::scope(|scope| {
        for mut part in fleet.parts(threads) {
            scope.spawn(move || {
                for asset in 0..assets {
                    for minute in 0..READINGS {
                        let value = |metric| reading(asset, minute, metric);
                        if !part.take(asset, time(minute), METRICS, value) {
                            break;
                        }
                    }
                }
            });
        }
    });
}

/// What an asset takes that is judged: measured first, while nothing else has been freed.
fn at_work(
    settings: &Arc<ClassSettings>,
    names: &[String],
    assets: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let few = (0..4).map(|number| format!("asset-{number:05}").as_str().into());
    let mut fleet = Fleet::new("pump", settings, few, names.to_vec());
    feed(&mut fleet, 1);
    let Some(Learned::Class { model, members, .. }) = fleet.learn(1, |_| true)? else {
        return Err("a class of four assets is learned as a whole".into());
    };
    drop(fleet);
    let before = memory("VmRSS");
    let member = |asset: usize| &members[asset % members.len()];
    let mut monitors: Vec<Monitor> = (0..assets)
        .map(|asset| {
            let own = Arc::new(model.of(member(asset)));
            let mut monitor = Monitor::with_model(Arc::clone(settings), own);
            monitor.know_metrics(names);
            monitor
        })
        .collect();
    let mut judged = 0;
    for minute in READINGS..READINGS + 60 {
        for (asset, monitor) in monitors.iter_mut().enumerate() {
            let value = |metric| reading(asset % members.len(), minute, metric);
            monitor.take(time(minute), METRICS, value, |news| {
                judged += usize::from(matches!(news, News::Judged(..)));
            });
        }
    }
    let more = memory("VmRSS").saturating_sub(before) * 1024;
    println!(
        "at work: {} bytes per asset ({judged} windows judged)",
        more / assets.max(1)
    );
    Ok(())
}

/// What it would take if each asset learned by itself.
fn alone(
    settings: &Arc<ClassSettings>,
    names: &[String],
    assets: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut own = (**settings).clone();
    own.sharing = Sharing::Asset;
    let own = Arc::new(own);
    let (mut spent, mut bytes, mut disk) = (0.0, 0, 0);
    for asset in 0..ALONE {
        let mut monitor = Monitor::new(Arc::clone(&own));
        let mut learning = fieldwright_condition::Learning::new(&own);
        for minute in 0..READINGS {
            let value = |metric| reading(asset, minute, metric);
            monitor.cut(time(minute), METRICS, value, |window| {
                learning.push(&window)
            });
        }
        bytes += learning.heap_bytes();
        let began = now();
        let model: Model = learn_from("asset", "pump", &own, names, &learning)?;
        spent += seconds(began);
        disk += serde_json::to_string(&model)?.len();
    }
    println!(
        "each by itself: {:.0} s of one core for all, {} bytes per asset while learning, {} on disk",
        spent / count(ALONE) * count(assets),
        bytes / ALONE,
        disk / ALONE
    );
    Ok(())
}

/// What the system says of this process. **Units**: KiB.
fn memory(what: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the process clock"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn seconds(since: std::time::Instant) -> f64 {
    now().duration_since(since).as_secs_f64()
}

fn time(minute: usize) -> i64 {
    i64::try_from(minute).unwrap_or(0) * SAMPLING
}

/// An asset of its own size whose metrics follow a load with a daily cycle, and noise; the same in
/// every run.
fn reading(asset: usize, minute: usize, metric: usize) -> f64 {
    let mut x = (asset as u64) << 44 ^ (minute as u64) << 8 ^ metric as u64;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let noise = ((x ^ (x >> 31)) % 20_000) as f64 / 10_000.0 - 1.0;
    let phase = count((minute + 7 * asset) % 1440) / 1440.0 - 0.5;
    let load = 1.0 - 8.0 * phase * phase;
    count(asset % 17 + 1) * (count(metric + 1) * (10.0 + load) + noise)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
