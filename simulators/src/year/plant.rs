//! The hundred machines: their readings at any instant, given what was repaired until then.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Datelike, NaiveTime, SecondsFormat, TimeDelta, Utc};

use super::STEP_SECONDS;
use super::classes::{Build, Exposure, YearClass};
use super::conditions::{Duty, Waves, Weather};
use super::faults::Growth;
use super::plan::{PlannedFault, YearPlan};
use crate::plant::noise::Noise;
use crate::seeded::{self, between};

const DAY: f64 = 86_400.0;

/// One machine.
#[derive(Debug)]
pub struct YearMachine {
    /// Its tag.
    pub tag: String,
    /// Its class.
    pub class: YearClass,
    build: Build,
    duty: Duty,
    noise: Noise,
    /// What nobody measures, per metric. **Units**: standard deviations of the metric's noise.
    wander: Vec<Waves>,
    /// Its faults: numbers in the plan.
    faults: Vec<usize>,
}

/// The plant of one year.
#[derive(Debug)]
pub struct YearPlant {
    plan: YearPlan,
    begin: DateTime<Utc>,
    /// From the Monday before to the begin. **Units**: seconds.
    offset: f64,
    weather: Weather,
    machines: Vec<YearMachine>,
    repairs: Mutex<Vec<Option<DateTime<Utc>>>>,
}

/// A plant that is shared by its sensors and its people.
pub type SharedYear = Arc<YearPlant>;

impl YearMachine {
    fn new(plan: &YearPlan, number: usize) -> Self {
        let asset = &plan.assets[number];
        let (seed, tag) = (plan.seed, asset.tag.as_str());
        let stream = &mut seeded::stream(seed, &format!("year:build:{tag}"));
        let build = Build {
            size: between(stream, 0.8, 1.25),
            balance: between(stream, 0.85, 1.2),
            warmth: between(stream, -2.0, 2.0),
        };
        let wander = asset.class.metrics().iter().map(|metric| {
            // Weeks weigh as much as days.
            let part = metric.wander / 2f64.sqrt();
            Waves::wander(stream, 4, [1.5, 15.0], part).and(Waves::wander(
                stream,
                3,
                [15.0, 60.0],
                part,
            ))
        });
        Self {
            tag: tag.to_owned(),
            class: asset.class,
            build,
            duty: Duty::new(seed, tag, plan.days),
            wander: wander.collect(),
            noise: Noise::new(seed, &format!("year:{tag}")),
            faults: (0..plan.faults.len())
                .filter(|n| plan.faults[*n].asset == number)
                .collect(),
        }
    }
}

impl YearPlant {
    /// The plant of a plan whose year begins at `begin`.
    pub fn new(plan: YearPlan, begin: DateTime<Utc>) -> Self {
        let monday =
            begin.date_naive() - TimeDelta::days(begin.weekday().num_days_from_monday().into());
        let offset = crate::world::seconds(begin - monday.and_time(NaiveTime::MIN).and_utc());
        Self {
            begin,
            offset,
            weather: Weather::new(plan.seed),
            machines: (0..plan.assets.len())
                .map(|n| YearMachine::new(&plan, n))
                .collect(),
            repairs: Mutex::new(vec![None; plan.faults.len()]),
            plan,
        }
    }

    /// The plan behind it.
    pub fn plan(&self) -> &YearPlan {
        &self.plan
    }

    /// The machines.
    pub fn machines(&self) -> &[YearMachine] {
        &self.machines
    }

    /// Readings of the year per machine.
    pub fn readings(&self) -> i64 {
        (self.plan.days * DAY) as i64 / STEP_SECONDS
    }

    /// The instant of a reading.
    pub fn time(&self, index: i64) -> DateTime<Utc> {
        self.begin + TimeDelta::seconds(index * STEP_SECONDS)
    }

    /// The instant that many days after the begin.
    pub fn after(&self, days: f64) -> DateTime<Utc> {
        self.begin + TimeDelta::milliseconds((days * DAY * 1e3) as i64)
    }

    /// What a machine reports at an index, in the order of its metrics.
    pub fn values(&self, machine: &YearMachine, index: i64) -> Vec<f64> {
        let time = self.time(index);
        let seconds = self.offset + (index * STEP_SECONDS) as f64;
        let [behind, far_behind] = [seconds - 900.0, seconds - 1800.0];
        let exposure = Exposure {
            load: machine.duty.load(seconds),
            load_before: machine.duty.load(behind),
            ambient: self.weather.at(seconds),
            ambient_before: self.weather.at(far_behind),
            set_point: machine.duty.set_point(seconds),
        };
        let metrics = machine.class.metrics();
        let mut values = Vec::with_capacity(metrics.len());
        machine.class.values(&machine.build, &exposure, &mut values);
        let noise = machine.noise.at(index);
        for (n, metric) in metrics.iter().enumerate() {
            let wander = if metric.wander > 0.0 {
                machine.wander[n].at(seconds)
            } else {
                0.0
            };
            // A ninth sensor shares the first one's draw.
            let white = noise[n % noise.len()];
            values[n] += metric.noise * (white + wander);
        }
        for fault in &machine.faults {
            let severity = self.severity(*fault, time);
            let signature = self.plan.faults[*fault].kind.signature(machine.class);
            for (name, effect) in signature
                .unwrap_or_default()
                .iter()
                .filter(|_| severity > 0.0)
            {
                if let Some(n) = metrics.iter().position(|metric| metric.name == *name) {
                    values[n] += metrics[n].noise * effect * severity;
                }
            }
        }
        values
    }

    /// The payload of a reading: `{"time": …, "metrics": {…}}`.
    pub fn payload(&self, machine: &YearMachine, index: i64) -> Vec<u8> {
        let mut payload = Vec::with_capacity(256);
        let time = self.time(index).to_rfc3339_opts(SecondsFormat::Secs, true);
        write!(payload, r#"{{"time":"{time}","metrics":{{"#).expect("memory takes everything");
        let values = self.values(machine, index);
        for (n, (metric, value)) in machine.class.metrics().iter().zip(values).enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let (name, decimals) = (metric.name, metric.decimals);
            write!(payload, r#"{comma}"{name}":{value:.decimals$}"#)
                .expect("memory takes everything");
        }
        payload.extend_from_slice(b"}}");
        payload
    }

    /// How far a fault has grown at an instant, 0 to 1; it stays until it is repaired.
    pub fn severity(&self, fault: usize, at: DateTime<Utc>) -> f64 {
        let PlannedFault {
            onset,
            failure,
            growth,
            ..
        } = self.plan.faults[fault];
        let begun = crate::world::seconds(at - self.begin) / DAY - onset;
        let repaired = self.repairs.lock().expect("no holder panics")[fault];
        if begun < 0.0 || repaired.is_some_and(|repaired| at >= repaired) {
            return 0.0;
        }
        match growth {
            Growth::Sudden => 1.0,
            _ => growth.severity(begun / (failure - onset)),
        }
    }

    /// A technician works on the machine: whatever is broken there is repaired.
    /// Gives the fault, if there was one.
    pub fn repair(&self, tag: &str, at: DateTime<Utc>) -> Option<usize> {
        let machine = self.machines.iter().find(|machine| machine.tag == tag)?;
        let mut repairs = self.repairs.lock().expect("no holder panics");
        let broken = machine.faults.iter().copied().find(|fault| {
            repairs[*fault].is_none() && at >= self.after(self.plan.faults[*fault].onset)
        })?;
        repairs[broken] = Some(at);
        Some(broken)
    }

    /// When each fault was repaired.
    pub fn repairs(&self) -> Vec<Option<DateTime<Utc>>> {
        self.repairs.lock().expect("no holder panics").clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn year(seed: u64, begin: &str) -> YearPlant {
        YearPlant::new(YearPlan::draw(seed, 100, 365.0), begin.parse().unwrap())
    }

    #[test]
    fn one_seed_replays_a_year_that_begins_at_the_same_hour_of_the_week() {
        let value = |seed, begin| {
            let year = year(seed, begin);
            year.values(&year.machines()[7], 4_321)
        };
        let [first, later] = ["2026-10-05T07:00:00Z", "2026-11-16T07:00:00Z"];
        assert_eq!(value(1, first), value(1, later));
        assert_ne!(value(1, first), value(2, first));
    }

    #[test]
    fn a_fault_grows_until_it_is_repaired_and_only_on_its_machine() {
        let year = year(3, "2026-10-05T07:00:00Z");
        let (number, fault) = year
            .plan()
            .faults
            .iter()
            .enumerate()
            .find(|(_, f)| f.growth == Growth::Linear)
            .unwrap();
        let middle = year.after((fault.onset + fault.failure) / 2.0);
        assert!((year.severity(number, middle) - 0.5).abs() < 1e-6);
        assert_eq!(year.severity(number, year.after(fault.onset - 0.1)), 0.0);
        assert_eq!(year.severity(number, year.after(fault.failure + 9.0)), 1.0);
        let tag = year.machines()[fault.asset].tag.clone();
        assert_eq!(
            year.repair(&tag, year.after(1.0)),
            None,
            "nothing is broken yet"
        );
        assert_eq!(year.repair(&tag, middle), Some(number));
        assert_eq!(year.severity(number, year.after(fault.failure)), 0.0);
        assert_eq!(year.repair(&tag, middle + TimeDelta::days(1)), None);
    }

    #[test]
    fn a_payload_is_the_contract() {
        let year = year(1, "2026-10-05T07:00:00Z");
        for machine in &year.machines()[..5] {
            let payload: serde_json::Value =
                serde_json::from_slice(&year.payload(machine, 6)).unwrap();
            assert_eq!(payload["time"], "2026-10-05T08:00:00Z");
            assert_eq!(
                payload["metrics"].as_object().unwrap().len(),
                machine.class.metrics().len()
            );
        }
    }
}
