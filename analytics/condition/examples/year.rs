//! Runs the shipped settings over a simulated year from files, in seconds.
//!
//! `cargo run --release -p fieldwright-condition --example year -- DIR…`: each `DIR` as the
//! simulators' example `year_export` writes it. An alarm counts as an order; one that comes within
//! two days after a repair counts as none, because the order of that fault is still open.

use std::path::Path;
use std::sync::Arc;

use fieldwright_condition::bench::Feed;
use fieldwright_condition::episode::Turn;
use fieldwright_condition::settings::{ClassSettings, DEFAULT_TOML, Kinds};
use serde::Deserialize;

type Failure = Box<dyn std::error::Error>;

const STEP: i64 = 600_000_000;
const DAY: f64 = 86_400e6;
const STILL_OPEN: f64 = 2.0;

#[derive(Deserialize)]
struct Plan {
    seed: u64,
    assets: Vec<Asset>,
    faults: Vec<Fault>,
}

#[derive(Deserialize)]
struct Asset {
    tag: String,
    class: String,
    metrics: Vec<String>,
}

#[derive(Deserialize, Clone)]
struct Fault {
    asset: String,
    kind: String,
    growth: String,
    onset: f64,
    failure: f64,
}

fn main() -> Result<(), Failure> {
    for folder in std::env::args().skip(1) {
        year(Path::new(&folder))?;
    }
    Ok(())
}

fn year(folder: &Path) -> Result<(), Failure> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(folder.join("plan.json"))?)?;
    let (mut leads, mut missed, mut wrong, mut sudden) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for asset in &plan.assets {
        let bytes = std::fs::read(folder.join(format!("{}.f32", asset.tag)))?;
        let faults: Vec<&Fault> = plan
            .faults
            .iter()
            .filter(|fault| fault.asset == asset.tag)
            .collect();
        let mut found = vec![false; faults.len()];
        for (raised, ratio) in alarms(asset, &bytes)? {
            let open = faults
                .iter()
                .position(|f| f.onset <= raised && raised < f.failure + 2.0 + STILL_OPEN);
            match open {
                None => wrong.push(format!("{} {raised:.1} ({ratio:.1})", asset.tag)),
                Some(at) if found[at] => {}
                Some(at) => {
                    found[at] = true;
                    if faults[at].growth == "sudden" {
                        sudden += 1;
                    } else if raised < faults[at].failure {
                        leads.push(faults[at].failure - raised);
                    } else {
                        found[at] = false;
                    }
                }
            }
        }
        let unseen = faults
            .iter()
            .zip(&found)
            .filter(|(fault, found)| fault.growth != "sudden" && !**found);
        missed.extend(
            unseen.map(|(f, _)| format!("{} {} {:.0} d", f.kind, f.growth, f.failure - f.onset)),
        );
    }
    leads.sort_by(f64::total_cmp);
    let all = leads.len() + missed.len();
    println!(
        "seed {}: found {} of {all}, median lead {:.1} d, sudden {sudden}, false {} = {:.2} per asset-year",
        plan.seed,
        leads.len(),
        leads.get(leads.len() / 2).unwrap_or(&0.0),
        wrong.len(),
        wrong.len() as f64 / plan.assets.len() as f64,
    );
    println!(
        "  false: {}\n  missed: {}",
        wrong.join(", "),
        missed.join(", ")
    );
    Ok(())
}

/// When alarms were raised, in days, and how far over the limit.
fn alarms(asset: &Asset, bytes: &[u8]) -> Result<Vec<(f64, f64)>, Failure> {
    let settings = Arc::new(settings(&asset.class)?);
    let width = asset.metrics.len();
    let values: Vec<f64> = bytes
        .chunks_exact(4)
        .map(|four| f64::from(f32::from_le_bytes([four[0], four[1], four[2], four[3]])))
        .collect();
    let mut feed = Feed::fresh(asset.tag.clone(), asset.metrics.clone(), &settings);
    let mut found = Vec::new();
    for (index, row) in values.chunks_exact(width).enumerate() {
        let Some((window, judgement)) = feed.take(index as i64 * STEP, row) else {
            continue;
        };
        for verdict in judgement.verdicts.iter().flatten() {
            if matches!(verdict.turn, Turn::Raise { .. }) {
                found.push((window.end as f64 / DAY, verdict.ratio));
            }
        }
    }
    Ok(found)
}

fn settings(class: &str) -> Result<ClassSettings, Failure> {
    let mut file: serde_json::Value = toml::from_str(DEFAULT_TOML)?;
    let serde_json::Value::Object(own) = file["detect"]["classes"][class].take() else {
        return Err(format!("class {class} is not declared").into());
    };
    Ok(Kinds::shipped().complete(own)?)
}
