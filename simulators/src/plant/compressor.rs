//! A screw compressor: load makes pressure and heat, the oil carries the heat away.

use super::conditions::Conditions;
use super::wear::FaultKind;
use super::{Build, METRIC_COUNT, Metric};

/// The metrics of a compressor.
pub const METRICS: [Metric; METRIC_COUNT] = [
    Metric {
        name: "discharge_pressure_bar",
        noise: 0.04,
        decimals: 3,
    },
    Metric {
        name: "discharge_temp_c",
        noise: 0.5,
        decimals: 2,
    },
    Metric {
        name: "oil_temp_c",
        noise: 0.35,
        decimals: 2,
    },
    Metric {
        name: "vibration_mm_s",
        noise: 0.13,
        decimals: 3,
    },
    Metric {
        name: "motor_current_a",
        noise: 0.8,
        decimals: 2,
    },
    Metric {
        name: "load_pct",
        noise: 0.5,
        decimals: 2,
    },
];

/// The true values of the metrics.
pub fn values(
    build: &Build,
    conditions: &Conditions<'_>,
    fault: Option<(FaultKind, f64)>,
) -> [f64; METRIC_COUNT] {
    let mut load = conditions.load();
    let mut pressure = 6.4 + 1.3 * load;
    let mut discharge = 0.8 * conditions.ambient_behind(15.0)
        + build.warmth
        + 38.0
        + 34.0 * conditions.load_behind(6.0);
    let mut oil = 0.7 * conditions.ambient_behind(30.0)
        + build.warmth
        + 30.0
        + 22.0 * conditions.load_behind(18.0);
    let mut vibration = build.balance * (1.8 + 1.0 * load);
    let mut current = build.size * (24.0 + 82.0 * load);
    match fault {
        Some((FaultKind::BearingWear, severity)) => {
            vibration += 3.9 * severity;
            oil += 10.0 * severity;
            current *= 1.0 + 0.05 * severity;
        }
        Some((FaultKind::ValveLeak, severity)) => {
            discharge += 24.0 * severity;
            pressure -= 0.7 * severity;
            load += 0.09 * severity;
        }
        Some((FaultKind::OilCoolerFouling, severity)) => {
            oil += 18.0 * severity;
            discharge += 10.0 * severity;
        }
        _ => {}
    }
    [pressure, discharge, oil, vibration, current, 100.0 * load]
}
