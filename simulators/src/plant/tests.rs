//! What a detector can know: normal days look alike, a grown fault does not.

use super::*;
use crate::world::minutes;

const SEEDS: [u64; 4] = [1, 2, 3, 4];

fn start() -> DateTime<Utc> {
    "2026-10-05T07:00:00Z".parse().unwrap()
}

fn plant(seed: u64) -> Plant {
    let assets = [
        ("P-1", "pump"),
        ("P-2", "pump"),
        ("F-1", "fan"),
        ("F-2", "fan"),
        ("C-1", "compressor"),
    ];
    Plant::new(seed, assets.into_iter().chain([("X-1", "robot")]), start())
}

/// Means over five minutes from `from` for `hours`, with a reading every `stride` steps.
fn windows(plant: &Plant, machine: &Machine, from: i64, hours: i64, stride: i64) -> Vec<[f64; 6]> {
    (0..hours * 12)
        .map(|window| {
            let first = from + window * 10;
            let readings: Vec<_> = (0..10 / stride)
                .map(|n| plant.reading(machine, first + n * stride).values)
                .collect();
            std::array::from_fn(|metric| {
                readings.iter().map(|values| values[metric]).sum::<f64>() / readings.len() as f64
            })
        })
        .collect()
}

#[test]
fn a_payload_is_what_the_contract_says() {
    let plant = plant(1);
    assert_eq!(plant.machines().len(), 5, "unknown classes are left out");
    let machine = &plant.machines()[3];
    let index = plant.index_from(start());
    let payload = plant.reading(machine, index).payload(machine.class);
    let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(value["time"], "2026-10-05T07:00:00Z");
    let names: Vec<&String> = value["metrics"].as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 6);
    for metric in machine.class.metrics() {
        assert!(
            value["metrics"][metric.name].as_f64().unwrap() > 0.0,
            "{}",
            metric.name
        );
    }
    assert_eq!(
        value.as_object().unwrap().len(),
        2,
        "nothing else gives anything away"
    );
    assert_eq!(topic("pump", "P-1"), "fieldwright/pump/P-1");
}

#[test]
fn one_seed_replays_a_world_in_any_week() {
    let value = |seed: u64, from: &str| {
        let plant = Plant::new(seed, [("P-1", "pump")], from.parse().unwrap());
        let index = plant.index_from(from.parse().unwrap());
        plant.reading(&plant.machines()[0], index - 1234).values
    };
    assert_eq!(
        value(1, "2026-10-05T07:00:00Z"),
        value(1, "2026-11-16T07:00:00Z")
    );
    assert_ne!(
        value(1, "2026-10-05T07:00:00Z"),
        value(2, "2026-10-05T07:00:00Z")
    );
}

#[test]
fn indexes_and_times_fit() {
    let plant = plant(1);
    for (time, index) in [
        ("2026-10-05T00:00:00Z", 0),
        ("2026-10-05T00:00:01Z", 1),
        ("2026-10-05T00:00:30Z", 1),
        ("2026-10-04T23:59:59Z", 0),
        ("2026-10-04T23:59:30Z", -1),
    ] {
        assert_eq!(plant.index_from(time.parse().unwrap()), index, "{time}");
    }
    assert_eq!(
        plant.time(-1),
        "2026-10-04T23:59:30Z".parse::<DateTime<Utc>>().unwrap()
    );
}

/// Three normal days stay near the machine's true curve; the noise alone explains the rest.
#[test]
fn normal_running_stays_within_five_sigma_of_the_load_model() {
    for seed in SEEDS {
        let plant = plant(seed);
        for machine in plant.machines() {
            let from = plant.index_from(start());
            for (n, mean) in windows(&plant, machine, from, 72, 1).iter().enumerate() {
                let first = from + n as i64 * 10;
                let truth = |metric: usize| -> f64 {
                    let at = |step| {
                        let seconds = ((first + step) * STEP_SECONDS) as f64;
                        machine.true_values(&plant.weather, seconds, None)[metric]
                    };
                    (0..10).map(at).sum::<f64>() / 10.0
                };
                for (metric, about) in machine.class.metrics().iter().enumerate() {
                    let sigma = about.noise / 10f64.sqrt();
                    let off = (mean[metric] - truth(metric)) / sigma;
                    assert!(off.abs() < 5.0, "{} {}: {off}", machine.tag, about.name);
                }
            }
        }
    }
}

/// At full growth at least two metrics are off by more than six sigma of their five-minute mean.
#[test]
fn every_fault_shifts_at_least_two_metrics_clearly() {
    let plant = plant(1);
    for machine in plant.machines() {
        for fault in machine.class.faults() {
            for hour in 0..24 {
                let seconds = f64::from(hour) * 3600.0;
                let normal = machine.true_values(&plant.weather, seconds, None);
                let broken = machine.true_values(&plant.weather, seconds, Some((*fault, 1.0)));
                let metrics = machine.class.metrics();
                let clear = (0..METRIC_COUNT)
                    .filter(|n| {
                        let sigma = metrics[*n].noise / 10f64.sqrt();
                        (broken[*n] - normal[*n]).abs() > 6.0 * sigma
                    })
                    .count();
                assert!(clear >= 2, "{} {fault:?} at {hour} h: {clear}", machine.tag);
            }
        }
    }
}

/// A model of the correlations, learned from a day and a half of history at half the live rate:
/// the squared length of a whitened window.
struct Whitener {
    mean: [f64; 6],
    inverse: [[f64; 6]; 6],
}

impl Whitener {
    fn learn(windows: &[[f64; 6]]) -> Self {
        let n = windows.len() as f64;
        let mean: [f64; 6] = std::array::from_fn(|i| windows.iter().map(|w| w[i]).sum::<f64>() / n);
        let covariance: [[f64; 6]; 6] = std::array::from_fn(|i| {
            std::array::from_fn(|j| {
                windows
                    .iter()
                    .map(|w| (w[i] - mean[i]) * (w[j] - mean[j]))
                    .sum::<f64>()
                    / (n - 1.0)
            })
        });
        Self {
            mean,
            inverse: invert(covariance),
        }
    }

    fn score(&self, window: &[f64; 6]) -> f64 {
        let off: [f64; 6] = std::array::from_fn(|i| window[i] - self.mean[i]);
        (0..6)
            .map(|i| {
                (0..6)
                    .map(|j| off[i] * self.inverse[i][j] * off[j])
                    .sum::<f64>()
            })
            .sum()
    }
}

/// Gauss and Jordan with partial pivoting.
fn invert(mut a: [[f64; 6]; 6]) -> [[f64; 6]; 6] {
    let mut inverse: [[f64; 6]; 6] =
        std::array::from_fn(|i| std::array::from_fn(|j| f64::from(i == j)));
    for column in 0..6 {
        let pivot = (column..6).max_by(|x, y| a[*x][column].abs().total_cmp(&a[*y][column].abs()));
        let pivot = pivot.unwrap();
        a.swap(column, pivot);
        inverse.swap(column, pivot);
        let scale = a[column][column];
        for j in 0..6 {
            a[column][j] /= scale;
            inverse[column][j] /= scale;
        }
        for row in (0..6).filter(|row| *row != column) {
            let factor = a[row][column];
            for j in 0..6 {
                a[row][j] -= factor * a[column][j];
                inverse[row][j] -= factor * inverse[column][j];
            }
        }
    }
    inverse
}

#[test]
fn a_model_of_the_history_is_quiet_afterwards_and_sees_every_fault() {
    for seed in SEEDS {
        let plant = plant(seed);
        let live = plant.index_from(start());
        for machine in plant.machines() {
            plant.set_wear(None);
            let history = windows(&plant, machine, live - 48 * 120, 36, 2);
            let model = Whitener::learn(&history);
            let limit = history.iter().map(|w| model.score(w)).fold(0.0, f64::max);

            let after = windows(&plant, machine, live - 12 * 120, 36, 1);
            let worst = after
                .windows(2)
                .map(|pair| model.score(&pair[0]).min(model.score(&pair[1])))
                .fold(0.0, f64::max);
            assert!(
                worst < 1.2 * limit,
                "{} seed {seed}: {worst} of {limit}",
                machine.tag
            );

            for fault in machine.class.faults() {
                let wear = Wear {
                    asset: machine.tag.clone(),
                    fault: *fault,
                    onset: plant.time(live),
                    full_at: plant.time(live) + minutes(90.0),
                    first_repair_fails: false,
                    repairs: Vec::new(),
                };
                plant.set_wear(Some(wear));
                let faulty = windows(&plant, machine, live, 4, 1);
                let full = model.score(&faulty[18]);
                assert!(
                    full > 10.0 * limit,
                    "{} {fault:?}: {full} of {limit}",
                    machine.tag
                );
                let seen = faulty.iter().position(|w| model.score(w) > limit).unwrap();
                assert!(
                    seen < 14,
                    "{} {fault:?} is seen after {seen} windows",
                    machine.tag
                );
            }
        }
    }
}

#[test]
fn a_repair_is_felt_at_once_and_only_by_its_asset() {
    let plant = plant(1);
    let live = plant.index_from(start());
    let (sick, well) = (&plant.machines()[3], &plant.machines()[4]);
    let clean = plant.reading(sick, live + 300);
    let neighbor = plant.reading(well, live + 300);
    plant.set_wear(Some(Wear {
        asset: sick.tag.clone(),
        fault: FaultKind::BearingWear,
        onset: plant.time(live),
        full_at: plant.time(live + 100),
        first_repair_fails: false,
        repairs: Vec::new(),
    }));
    assert_ne!(plant.reading(sick, live + 300), clean);
    assert_eq!(plant.reading(well, live + 300), neighbor);
    assert_eq!(
        plant.repair(&well.tag, plant.time(live + 250)),
        Repair::NothingWrong
    );
    assert_eq!(
        plant.repair(&sick.tag, plant.time(live + 250)),
        Repair::Worked
    );
    assert_eq!(plant.reading(sick, live + 300), clean);
}
