//! The five classes: a handful of textbook relations each, with the noise of their sensors.
//!
//! A metric has two kinds of noise: `noise`, white, anew with every reading, and `wander`, what
//! nobody measures: a sum of waves of 1.5 to 60 days that no averaging removes.
//!
//! **Source**: affinity laws of pumps and fans (flow ∝ n, head ∝ n², power ∝ n³), density of air
//! ∝ 1/T, saturation pressure of a refrigerant ≈ exponential in its temperature.

/// A metric: name on the wire, noise and decimals.
#[derive(Debug, Clone, Copy)]
pub struct YearMetric {
    /// Name, with its unit.
    pub name: &'static str,
    /// Standard deviation of one reading around the true value.
    pub noise: f64,
    /// Standard deviation of the slow wandering of the true value. **Units**: of `noise`.
    pub wander: f64,
    /// Decimals on the wire.
    pub decimals: usize,
}

/// What kind of machine an asset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum YearClass {
    /// A pump that circulates cooling water.
    CirculationPump,
    /// A ventilator with belt and filter.
    AirHandler,
    /// A machine that cools water.
    Chiller,
    /// A screw compressor for air.
    AirCompressor,
    /// A belt conveyor with its gear.
    Conveyor,
}

/// How one machine differs from the next of its class.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// Size against the class's usual one.
    pub size: f64,
    /// How much more it shakes than usual, as a factor.
    pub balance: f64,
    /// How much warmer it runs than usual. **Units**: K.
    pub warmth: f64,
}

/// What a machine is exposed to at an instant.
#[derive(Debug, Clone, Copy)]
pub struct Exposure {
    /// The load, about 0.15 to 1.05.
    pub load: f64,
    /// The load a quarter of an hour ago.
    pub load_before: f64,
    /// The air around. **Units**: °C.
    pub ambient: f64,
    /// The same half an hour ago.
    pub ambient_before: f64,
    /// The set point, −1 to 1 of its range.
    pub set_point: f64,
}

const fn metric(name: &'static str, noise: f64, wander: f64, decimals: usize) -> YearMetric {
    YearMetric {
        name,
        noise,
        wander,
        decimals,
    }
}

const PUMP: [YearMetric; 7] = [
    metric("speed_pct", 0.4, 0.0, 1),
    metric("ambient_c", 0.4, 0.2, 1),
    metric("flow_m3h", 1.0, 0.4, 2),
    metric("head_m", 0.4, 0.4, 2),
    metric("motor_current_a", 0.5, 0.4, 2),
    metric("vibration_mm_s", 0.14, 0.4, 3),
    metric("bearing_temp_c", 0.6, 0.5, 2),
];
const FAN: [YearMetric; 7] = [
    metric("speed_pct", 0.4, 0.0, 1),
    metric("outdoor_temp_c", 0.4, 0.2, 1),
    metric("airflow_m3h", 110.0, 0.4, 0),
    metric("filter_dp_pa", 3.0, 0.5, 1),
    metric("motor_current_a", 0.2, 0.4, 2),
    metric("vibration_mm_s", 0.16, 0.4, 3),
    metric("bearing_temp_c", 0.6, 0.5, 2),
];
const CHILLER: [YearMetric; 9] = [
    metric("cooling_load_pct", 0.8, 0.0, 1),
    metric("ambient_c", 0.4, 0.2, 1),
    metric("suction_pressure_bar", 0.03, 0.4, 3),
    metric("discharge_pressure_bar", 0.12, 0.4, 2),
    metric("superheat_k", 0.35, 0.4, 2),
    metric("power_kw", 1.2, 0.4, 2),
    metric("supply_temp_c", 0.15, 0.4, 2),
    metric("condenser_approach_k", 0.3, 0.5, 2),
    metric("supply_setpoint_c", 0.01, 0.0, 3),
];
const COMPRESSOR: [YearMetric; 8] = [
    metric("load_pct", 0.6, 0.0, 1),
    metric("intake_temp_c", 0.4, 0.2, 1),
    metric("discharge_pressure_bar", 0.05, 0.0, 3),
    metric("discharge_temp_c", 0.8, 0.4, 2),
    metric("oil_temp_c", 0.6, 0.5, 2),
    metric("motor_current_a", 0.9, 0.4, 2),
    metric("vibration_mm_s", 0.15, 0.4, 3),
    metric("intake_dp_pa", 6.0, 0.4, 1),
];
const CONVEYOR: [YearMetric; 8] = [
    metric("load_tph", 4.0, 0.0, 1),
    metric("ambient_c", 0.4, 0.2, 1),
    metric("belt_speed_m_s", 0.01, 0.0, 3),
    metric("motor_current_a", 0.6, 0.4, 2),
    metric("gearbox_temp_c", 0.7, 0.5, 2),
    metric("motor_temp_c", 0.7, 0.5, 2),
    metric("gear_vibration_mm_s", 0.16, 0.4, 3),
    metric("slip_pct", 0.12, 0.4, 3),
];

impl YearClass {
    /// All classes.
    pub const ALL: [Self; 5] = [
        Self::CirculationPump,
        Self::AirHandler,
        Self::Chiller,
        Self::AirCompressor,
        Self::Conveyor,
    ];

    /// The name in topics and in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::CirculationPump => "circulation_pump",
            Self::AirHandler => "air_handler",
            Self::Chiller => "chiller",
            Self::AirCompressor => "air_compressor",
            Self::Conveyor => "conveyor",
        }
    }

    /// The metrics in the order of the values; the first two are load and weather.
    pub fn metrics(self) -> &'static [YearMetric] {
        match self {
            Self::CirculationPump => &PUMP,
            Self::AirHandler => &FAN,
            Self::Chiller => &CHILLER,
            Self::AirCompressor => &COMPRESSOR,
            Self::Conveyor => &CONVEYOR,
        }
    }

    /// The true values of the metrics, appended to `values`.
    pub fn values(self, build: &Build, at: &Exposure, values: &mut Vec<f64>) {
        match self {
            Self::CirculationPump => pump(build, at, values),
            Self::AirHandler => fan(build, at, values),
            Self::Chiller => chiller(build, at, values),
            Self::AirCompressor => compressor(build, at, values),
            Self::Conveyor => conveyor(build, at, values),
        }
    }
}

fn pump(build: &Build, at: &Exposure, values: &mut Vec<f64>) {
    let [speed, before] = [at.load, at.load_before].map(|load| 0.45 + 0.55 * load);
    values.extend([
        100.0 * speed,
        at.ambient,
        build.size * 95.0 * speed,
        4.0 + 42.0 * speed.powi(2),
        build.size * (8.0 + 34.0 * speed.powi(3)),
        build.balance * (1.1 + 1.3 * speed.powi(2)),
        0.9 * at.ambient_before + build.warmth + 16.0 + 24.0 * before.powi(2),
    ]);
}

fn fan(build: &Build, at: &Exposure, values: &mut Vec<f64>) {
    let [speed, before] = [at.load, at.load_before].map(|load| 0.4 + 0.6 * load);
    let density = 293.0 / (273.0 + at.ambient);
    values.extend([
        100.0 * speed,
        at.ambient,
        build.size * 9_000.0 * speed,
        140.0 * speed.powi(2) * density,
        build.size * (3.0 + 12.0 * speed.powi(3) * density),
        build.balance * (1.4 + 1.2 * speed.powi(2)),
        0.8 * at.ambient_before + build.warmth + 12.0 + 18.0 * before.powi(2),
    ]);
}

fn chiller(build: &Build, at: &Exposure, values: &mut Vec<f64>) {
    // Half of the load is the weather's.
    let weather = 0.014 * (at.ambient_before - 11.0);
    let load = (0.75 * at.load + weather).clamp(0.1, 1.05);
    let approach = 2.5 + 4.5 * load;
    let set_point = 7.0 + 0.8 * at.set_point;
    let condensing = at.ambient + 6.0 + approach;
    values.extend([
        100.0 * load,
        at.ambient,
        3.7 - 0.5 * load,
        7.5 * (0.024 * (condensing - 25.0)).exp(),
        7.0 - 1.5 * load,
        build.size * (12.0 + 75.0 * load * (1.0 + 0.012 * (at.ambient - 11.0))),
        set_point + 0.4 * load,
        approach,
        set_point,
    ]);
}

fn compressor(build: &Build, at: &Exposure, values: &mut Vec<f64>) {
    let pressure = 7.0 + 0.3 * at.set_point;
    values.extend([
        100.0 * at.load,
        at.ambient,
        pressure,
        0.85 * at.ambient_before
            + build.warmth
            + 30.0
            + 30.0 * at.load_before
            + 1.5 * (pressure - 7.0),
        0.7 * at.ambient_before + build.warmth + 32.0 + 20.0 * at.load_before,
        build.size * (22.0 + 80.0 * at.load * (1.0 + 0.05 * (pressure - 7.0))),
        build.balance * (1.7 + 1.0 * at.load),
        40.0 + 200.0 * at.load.powf(1.6),
    ]);
}

fn conveyor(build: &Build, at: &Exposure, values: &mut Vec<f64>) {
    let speed = 1.8 + 0.1 * at.set_point;
    // Grease is stiff in the cold.
    let friction = 1.0 + 0.004 * (11.0 - at.ambient);
    values.extend([
        400.0 * at.load,
        at.ambient,
        speed,
        build.size * (13.0 * friction + 26.0 * at.load) * speed / 1.8,
        0.9 * at.ambient_before + build.warmth + 14.0 + 28.0 * at.load_before,
        0.85 * at.ambient_before + build.warmth + 20.0 + 32.0 * at.load_before.powf(1.4),
        build.balance * (1.2 + 1.1 * at.load * speed / 1.8),
        0.8 + 0.7 * at.load,
    ]);
}
