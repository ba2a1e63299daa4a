//! A centrifugal pump: speed makes flow and pressure, load makes current and heat.

use super::conditions::Conditions;
use super::wear::FaultKind;
use super::{Build, METRIC_COUNT, Metric};

/// The metrics of a pump.
pub const METRICS: [Metric; METRIC_COUNT] = [
    Metric {
        name: "flow_m3h",
        noise: 0.6,
        decimals: 2,
    },
    Metric {
        name: "pressure_bar",
        noise: 0.03,
        decimals: 3,
    },
    Metric {
        name: "vibration_mm_s",
        noise: 0.12,
        decimals: 3,
    },
    Metric {
        name: "bearing_temp_c",
        noise: 0.3,
        decimals: 2,
    },
    Metric {
        name: "motor_current_a",
        noise: 0.35,
        decimals: 2,
    },
    Metric {
        name: "speed_rpm",
        noise: 4.0,
        decimals: 1,
    },
];

/// The true values of the metrics.
pub fn values(
    build: &Build,
    conditions: &Conditions<'_>,
    fault: Option<(FaultKind, f64)>,
) -> [f64; METRIC_COUNT] {
    let load = conditions.load();
    let speed = 950.0 + 560.0 * load;
    // Around its working point the head falls a little with the square of the flow.
    let mut flow = build.size * (8.0 + 62.0 * load);
    let mut pressure = 2.1 + 2.6 * load + 0.25 * load * load;
    let mut vibration = build.balance * (1.3 + 0.9 * load);
    let mut bearing =
        conditions.ambient_behind(25.0) + build.warmth + 14.0 + 28.0 * conditions.load_behind(15.0);
    let mut current = build.size * (9.0 + 27.0 * load);
    match fault {
        Some((FaultKind::BearingWear, severity)) => {
            vibration += 3.8 * severity;
            bearing += 22.0 * severity;
            current *= 1.0 + 0.06 * severity;
        }
        Some((FaultKind::Cavitation, severity)) => {
            vibration += 2.8 * severity;
            flow *= 1.0 - 0.14 * severity;
            pressure *= 1.0 - 0.18 * severity;
            current *= 1.0 - 0.06 * severity;
        }
        Some((FaultKind::SealLeak, severity)) => {
            flow *= 1.0 - 0.17 * severity;
            pressure *= 1.0 - 0.13 * severity;
            current *= 1.0 + 0.07 * severity;
            vibration += 0.8 * severity;
        }
        _ => {}
    }
    [flow, pressure, vibration, bearing, current, speed]
}
