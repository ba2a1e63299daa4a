//! A plant: machines that live through load, weather, noise and wear.
//!
//! Every value is a pure function of the seed, the asset, the time index and the wear, so a world
//! can be replayed and asked in any order. The index counts steps of [`STEP_SECONDS`] from the
//! Monday 00:00 UTC before the run.

pub mod compressor;
pub mod conditions;
pub mod fan;
pub mod noise;
pub mod publisher;
pub mod pump;
pub mod wear;

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Datelike, NaiveTime, SecondsFormat, TimeDelta, Utc};

use crate::seeded;
use conditions::{Conditions, Signal, Weather};
use noise::Noise;
use wear::{FaultKind, Repair, Wear};

/// Length of one time index.
pub const STEP_SECONDS: i64 = 30;
/// Metrics of every class here.
pub const METRIC_COUNT: usize = 6;

/// A metric: its name on the wire, its noise and how many decimals its sensor has.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name, with its unit.
    pub name: &'static str,
    /// Standard deviation of one reading around the machine's true value.
    pub noise: f64,
    /// Decimals on the wire.
    pub decimals: usize,
}

/// What kind of machine an asset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineClass {
    /// Centrifugal pump.
    Pump,
    /// Ventilator.
    Fan,
    /// Screw compressor.
    Compressor,
}

impl MachineClass {
    /// The class with this name, if the plant knows it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "pump" => Some(Self::Pump),
            "fan" => Some(Self::Fan),
            "compressor" => Some(Self::Compressor),
            _ => None,
        }
    }

    /// The name in topics and in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pump => "pump",
            Self::Fan => "fan",
            Self::Compressor => "compressor",
        }
    }

    /// The metrics in the order of the values.
    pub fn metrics(self) -> &'static [Metric; METRIC_COUNT] {
        match self {
            Self::Pump => &pump::METRICS,
            Self::Fan => &fan::METRICS,
            Self::Compressor => &compressor::METRICS,
        }
    }

    /// What can break.
    pub fn faults(self) -> &'static [FaultKind] {
        match self {
            Self::Pump => &[
                FaultKind::BearingWear,
                FaultKind::Cavitation,
                FaultKind::SealLeak,
            ],
            Self::Fan => &[
                FaultKind::BearingWear,
                FaultKind::Fouling,
                FaultKind::BeltSlip,
            ],
            Self::Compressor => &[
                FaultKind::BearingWear,
                FaultKind::ValveLeak,
                FaultKind::OilCoolerFouling,
            ],
        }
    }
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

/// One machine.
#[derive(Debug)]
pub struct Machine {
    /// The asset's tag.
    pub tag: String,
    /// Its class.
    pub class: MachineClass,
    build: Build,
    load: Signal,
    noise: Noise,
}

/// One reading of one machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Event time.
    pub time: DateTime<Utc>,
    /// Values in the order of [`MachineClass::metrics`].
    pub values: [f64; METRIC_COUNT],
}

/// The plant.
#[derive(Debug)]
pub struct Plant {
    anchor: DateTime<Utc>,
    weather: Weather,
    machines: Vec<Machine>,
    wear: Mutex<Option<Wear>>,
}

impl Machine {
    fn new(seed: u64, tag: &str, class: MachineClass) -> Self {
        let mut stream = seeded::stream(seed, &format!("build:{tag}"));
        let build = Build {
            size: seeded::between(&mut stream, 0.8, 1.25),
            balance: seeded::between(&mut stream, 0.85, 1.2),
            warmth: seeded::between(&mut stream, -2.0, 2.0),
        };
        Self {
            tag: tag.to_owned(),
            class,
            build,
            load: conditions::load(&mut seeded::stream(seed, &format!("load:{tag}"))),
            noise: Noise::new(seed, tag),
        }
    }

    /// The true values at `seconds` after the plant's anchor, without sensor noise.
    fn true_values(
        &self,
        weather: &Weather,
        seconds: f64,
        fault: Option<(FaultKind, f64)>,
    ) -> [f64; METRIC_COUNT] {
        let conditions = Conditions {
            load: &self.load,
            weather,
            seconds,
        };
        match self.class {
            MachineClass::Pump => pump::values(&self.build, &conditions, fault),
            MachineClass::Fan => fan::values(&self.build, &conditions, fault),
            MachineClass::Compressor => compressor::values(&self.build, &conditions, fault),
        }
    }
}

impl Plant {
    /// The plant of `seed` with these assets, in a run that begins at `start`.
    /// Assets of an unknown class are left out.
    pub fn new<'a>(
        seed: u64,
        assets: impl IntoIterator<Item = (&'a str, &'a str)>,
        start: DateTime<Utc>,
    ) -> Self {
        let mut machines: Vec<Machine> = assets
            .into_iter()
            .filter_map(|(tag, class)| Some(Machine::new(seed, tag, MachineClass::named(class)?)))
            .collect();
        // The registry's order must not change who is drawn.
        machines.sort_by(|a, b| a.tag.cmp(&b.tag));
        let monday =
            start.date_naive() - TimeDelta::days(start.weekday().num_days_from_monday().into());
        Self {
            anchor: monday.and_time(NaiveTime::MIN).and_utc(),
            weather: Weather::new(seed),
            machines,
            wear: Mutex::new(None),
        }
    }

    /// The machines, sorted by tag.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// The time of an index.
    pub fn time(&self, index: i64) -> DateTime<Utc> {
        self.anchor + TimeDelta::seconds(index * STEP_SECONDS)
    }

    /// The first index at or after `time`.
    pub fn index_from(&self, time: DateTime<Utc>) -> i64 {
        let micros = (time - self.anchor).num_microseconds().unwrap_or(i64::MAX);
        let step = STEP_SECONDS * 1_000_000;
        micros.div_euclid(step) + i64::from(micros.rem_euclid(step) != 0)
    }

    /// The reading of one machine at an index.
    pub fn reading(&self, machine: &Machine, index: i64) -> Reading {
        let time = self.time(index);
        let fault = self.fault_of(&machine.tag, time);
        let seconds = (index * STEP_SECONDS) as f64;
        let mut values = machine.true_values(&self.weather, seconds, fault);
        let noise = machine.noise.at(index);
        for (n, metric) in machine.class.metrics().iter().enumerate() {
            values[n] = (values[n] + metric.noise * noise[n]).max(0.0);
        }
        Reading { time, values }
    }

    /// Lets a fault grow from now on.
    pub fn set_wear(&self, wear: Option<Wear>) {
        *self.wear.lock().expect("no holder panics") = wear;
    }

    /// The wear as it stands.
    pub fn wear(&self) -> Option<Wear> {
        self.wear.lock().expect("no holder panics").clone()
    }

    /// A technician repairs the asset.
    pub fn repair(&self, tag: &str, at: DateTime<Utc>) -> Repair {
        match self.wear.lock().expect("no holder panics").as_mut() {
            Some(wear) if wear.asset == tag => wear.repair(at),
            _ => Repair::NothingWrong,
        }
    }

    fn fault_of(&self, tag: &str, time: DateTime<Utc>) -> Option<(FaultKind, f64)> {
        let wear = self.wear.lock().expect("no holder panics");
        let wear = wear.as_ref().filter(|wear| wear.asset == tag)?;
        let severity = wear.severity(time);
        (severity > 0.0).then_some((wear.fault, severity))
    }
}

/// The default mapping's topic of an asset.
pub fn topic(class: &str, tag: &str) -> String {
    format!("fieldwright/{class}/{tag}")
}

impl Reading {
    /// The payload of the contract: `{"time": …, "metrics": {…}}`.
    pub fn payload(&self, class: MachineClass) -> Vec<u8> {
        use std::io::Write as _;
        let mut payload = Vec::with_capacity(224);
        let time = self.time.to_rfc3339_opts(SecondsFormat::Secs, true);
        write!(payload, r#"{{"time":"{time}","metrics":{{"#).expect("memory takes everything");
        for (n, (metric, value)) in class.metrics().iter().zip(self.values).enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let Metric { name, decimals, .. } = metric;
            write!(payload, r#"{comma}"{name}":{value:.decimals$}"#)
                .expect("memory takes everything");
        }
        payload.extend_from_slice(b"}}");
        payload
    }
}

/// A plant that is shared by its publisher and its technicians.
pub type SharedPlant = Arc<Plant>;

#[cfg(test)]
mod tests;
