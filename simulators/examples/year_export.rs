//! Writes a simulated year to files, to tune detection without a service.
//!
//! `cargo run --release -p fieldwright-simulators --example year_export -- SEED DIR [ASSETS]`:
//! `DIR/TAG.f32` has the readings of an asset row by row, little endian, `DIR/plan.json` the
//! metrics and the faults. Every fault runs on for two days after its failure, then is repaired.

use std::path::PathBuf;

use fieldwright_simulators::year::YearPlan;
use fieldwright_simulators::year::plant::YearPlant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &'static str| arguments.next().ok_or(what);
    let seed: u64 = next("SEED is missing")?.parse()?;
    let folder = PathBuf::from(next("DIR is missing")?);
    let assets = next("").map_or(Ok(100), |count| count.parse())?;
    std::fs::create_dir_all(&folder)?;
    let plant = YearPlant::new(
        YearPlan::draw(seed, assets, 365.0),
        "2026-01-05T07:00:00Z".parse()?,
    );
    for fault in &plant.plan().faults {
        let repaired = plant.after(fault.failure + 2.0);
        plant.repair(&plant.machines()[fault.asset].tag, repaired);
    }
    for machine in plant.machines() {
        let mut bytes = Vec::new();
        for index in 0..plant.readings() {
            for value in plant.values(machine, index) {
                bytes.extend((value as f32).to_le_bytes());
            }
        }
        std::fs::write(folder.join(format!("{}.f32", machine.tag)), bytes)?;
    }
    let machines: Vec<_> = plant
        .machines()
        .iter()
        .map(|machine| {
            let metrics: Vec<_> = machine.class.metrics().iter().map(|metric| metric.name).collect();
            serde_json::json!({"tag": machine.tag, "class": machine.class.name(), "metrics": metrics})
        })
        .collect();
    let faults: Vec<_> = plant
        .plan()
        .faults
        .iter()
        .map(|fault| {
            serde_json::json!({"asset": plant.machines()[fault.asset].tag, "kind": fault.kind,
                "growth": fault.growth, "onset": fault.onset, "failure": fault.failure})
        })
        .collect();
    let plan = serde_json::json!({"seed": seed, "assets": machines, "faults": faults});
    std::fs::write(folder.join("plan.json"), plan.to_string())?;
    Ok(())
}
