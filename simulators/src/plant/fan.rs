//! A ventilator: speed moves air, the air cools the bearing, belts slip and blades foul.

use super::conditions::Conditions;
use super::wear::FaultKind;
use super::{Build, METRIC_COUNT, Metric};

/// The metrics of a fan.
pub const METRICS: [Metric; METRIC_COUNT] = [
    Metric {
        name: "airflow_m3h",
        noise: 120.0,
        decimals: 0,
    },
    Metric {
        name: "vibration_mm_s",
        noise: 0.1,
        decimals: 3,
    },
    Metric {
        name: "bearing_temp_c",
        noise: 0.3,
        decimals: 2,
    },
    Metric {
        name: "motor_current_a",
        noise: 0.2,
        decimals: 2,
    },
    Metric {
        name: "speed_rpm",
        noise: 3.0,
        decimals: 1,
    },
    Metric {
        name: "inlet_temp_c",
        noise: 0.25,
        decimals: 2,
    },
];

/// The true values of the metrics.
pub fn values(
    build: &Build,
    conditions: &Conditions<'_>,
    fault: Option<(FaultKind, f64)>,
) -> [f64; METRIC_COUNT] {
    let load = conditions.load();
    let mut speed = 420.0 + 560.0 * load;
    let mut airflow = build.size * (1_500.0 + 16_500.0 * load);
    let mut vibration = build.balance * (1.0 + 0.8 * load);
    let mut bearing =
        conditions.ambient_behind(20.0) + build.warmth + 11.0 + 21.0 * conditions.load_behind(12.0);
    let mut current = build.size * (4.0 + 15.0 * load);
    let inlet = conditions.ambient_behind(4.0) + 1.5;
    match fault {
        Some((FaultKind::BearingWear, severity)) => {
            vibration += 3.6 * severity;
            bearing += 20.0 * severity;
            current *= 1.0 + 0.06 * severity;
        }
        Some((FaultKind::Fouling, severity)) => {
            airflow *= 1.0 - 0.18 * severity;
            vibration += 2.0 * severity;
            current *= 1.0 + 0.1 * severity;
        }
        Some((FaultKind::BeltSlip, severity)) => {
            speed *= 1.0 - 0.08 * severity;
            airflow *= 1.0 - 0.13 * severity;
            current *= 1.0 - 0.07 * severity;
            vibration += 1.4 * severity;
        }
        _ => {}
    }
    [airflow, vibration, bearing, current, speed, inlet]
}
