//! Wear: one fault of one asset that grows until somebody repairs it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Machine, MachineClass};
use crate::seeded::{self, between, chance, pick};
use crate::world::{minutes, seconds};

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A bearing wears out: it shakes and runs hot.
    BearingWear,
    /// The pump's suction starves: it shakes and delivers less.
    Cavitation,
    /// The pump's seal leaks: flow and pressure are lost.
    SealLeak,
    /// Dirt on the fan's blades: less air, more current, unbalance.
    Fouling,
    /// The fan's belt slips: it turns too slowly for its load.
    BeltSlip,
    /// The compressor's valve leaks back: hot gas, less pressure, more load.
    ValveLeak,
    /// The compressor's oil cooler clogs: the oil runs hot.
    OilCoolerFouling,
}

/// What the seed draws before anything happens.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    /// Tag of the asset.
    pub asset: String,
    /// Its class.
    pub class: MachineClass,
    /// What breaks.
    pub fault: FaultKind,
    /// From the live start to the onset: 15 to 45 minutes.
    pub onset_after: TimeDelta,
    /// From the onset to the full fault: 60 to 110 minutes.
    pub growth: TimeDelta,
    /// The first repair does not help: about one seed in five.
    pub first_repair_fails: bool,
}

/// What a technician's work did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// The fault is gone.
    Worked,
    /// The fault is still there.
    Failed,
    /// Nothing was wrong with this asset.
    NothingWrong,
}

/// One attempt to repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairAttempt {
    /// When.
    pub at: DateTime<Utc>,
    /// The fault was gone afterwards.
    pub worked: bool,
}

/// A fault on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wear {
    /// Tag of the asset.
    pub asset: String,
    /// What breaks.
    pub fault: FaultKind,
    /// When it begins.
    pub onset: DateTime<Utc>,
    /// When it is fully there.
    pub full_at: DateTime<Utc>,
    /// The first repair does not help.
    pub first_repair_fails: bool,
    /// What technicians did.
    pub repairs: Vec<RepairAttempt>,
}

impl FaultPlan {
    /// Draws asset, fault, onset, growth and luck; nothing without machines.
    ///
    /// Each draw has its own stream, so a new kind of fault does not move the onsets.
    pub fn draw(seed: u64, machines: &[Machine]) -> Option<Self> {
        let machine = machines.get(pick(
            &mut seeded::stream(seed, "fault:asset"),
            machines.len(),
        ))?;
        let kinds = machine.class.faults();
        let span = |part: &str, low, high| {
            TimeDelta::seconds(
                seconds(minutes(between(&mut seeded::stream(seed, part), low, high))) as i64,
            )
        };
        Some(Self {
            asset: machine.tag.clone(),
            class: machine.class,
            fault: kinds[pick(&mut seeded::stream(seed, "fault:kind"), kinds.len())],
            onset_after: span("fault:onset", 15.0, 45.0),
            growth: span("fault:growth", 60.0, 110.0),
            first_repair_fails: chance(&mut seeded::stream(seed, "fault:luck"), 0.2),
        })
    }

    /// The fault on its way in a plant that went live at `live_since`.
    pub fn begin(&self, live_since: DateTime<Utc>) -> Wear {
        let onset = live_since + self.onset_after;
        Wear {
            asset: self.asset.clone(),
            fault: self.fault,
            onset,
            full_at: onset + self.growth,
            first_repair_fails: self.first_repair_fails,
            repairs: Vec::new(),
        }
    }
}

impl Wear {
    /// How far the fault has grown, 0 to 1. It grows faster the worse it is, and stays.
    pub fn severity(&self, at: DateTime<Utc>) -> f64 {
        // The work includes cooling down and a test run, so a repaired machine starts fresh.
        if at < self.onset || self.repaired_at().is_some_and(|repaired| at >= repaired) {
            return 0.0;
        }
        let part = seconds(at - self.onset) / seconds(self.full_at - self.onset).max(1.0);
        part.clamp(0.0, 1.0).powf(1.5)
    }

    /// When the fault was removed.
    pub fn repaired_at(&self) -> Option<DateTime<Utc>> {
        self.repairs
            .iter()
            .find(|attempt| attempt.worked)
            .map(|attempt| attempt.at)
    }

    /// Somebody works on the asset.
    pub fn repair(&mut self, at: DateTime<Utc>) -> Repair {
        if at < self.onset || self.repaired_at().is_some() {
            return Repair::NothingWrong;
        }
        let worked = !(self.first_repair_fails && self.repairs.is_empty());
        self.repairs.push(RepairAttempt { at, worked });
        if worked {
            Repair::Worked
        } else {
            Repair::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plant::Plant;

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-10-05T08:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn wear(first_repair_fails: bool) -> Wear {
        Wear {
            asset: "P-1".into(),
            fault: FaultKind::BearingWear,
            onset: at(0),
            full_at: at(60),
            first_repair_fails,
            repairs: Vec::new(),
        }
    }

    #[test]
    fn it_grows_and_stays_until_repaired() {
        let mut wear = wear(false);
        assert_eq!(wear.severity(at(-1)), 0.0);
        assert!(wear.severity(at(20)) > 0.1 && wear.severity(at(20)) < wear.severity(at(40)));
        assert_eq!(wear.severity(at(60)), 1.0);
        assert_eq!(wear.severity(at(600)), 1.0);
        assert_eq!(wear.repair(at(-5)), Repair::NothingWrong);
        assert_eq!(wear.repair(at(100)), Repair::Worked);
        assert_eq!((wear.severity(at(99)), wear.severity(at(100))), (1.0, 0.0));
        assert_eq!(wear.repair(at(110)), Repair::NothingWrong);
    }

    #[test]
    fn a_first_repair_can_fail() {
        let mut wear = wear(true);
        assert_eq!(wear.repair(at(100)), Repair::Failed);
        assert_eq!((wear.severity(at(101)), wear.repaired_at()), (1.0, None));
        assert_eq!(wear.repair(at(200)), Repair::Worked);
        assert_eq!(wear.repaired_at(), Some(at(200)));
    }

    #[test]
    fn seeds_draw_every_asset_and_kind_within_the_limits() {
        let names: Vec<String> = (0..24).map(|n| format!("A-{n:02}")).collect();
        let classes = ["pump", "fan", "compressor"];
        let assets = names
            .iter()
            .enumerate()
            .map(|(n, tag)| (tag.as_str(), classes[n % 3]));
        let plant = Plant::new(0, assets, at(0));
        let plans: Vec<FaultPlan> = (0..600)
            .map(|seed| FaultPlan::draw(seed, plant.machines()).unwrap())
            .collect();
        let distinct = |key: &dyn Fn(&FaultPlan) -> String| {
            plans
                .iter()
                .map(key)
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        assert_eq!(distinct(&|plan| plan.asset.clone()), 24);
        assert_eq!(
            distinct(&|plan| format!("{:?}{:?}", plan.class, plan.fault)),
            9
        );
        for plan in &plans {
            let (onset, growth) = (plan.onset_after.num_minutes(), plan.growth.num_minutes());
            assert!((15..=45).contains(&onset) && (60..=120).contains(&growth));
        }
        let fails = plans.iter().filter(|plan| plan.first_repair_fails).count();
        assert!(
            (70..170).contains(&fails),
            "about one in five of 600: {fails}"
        );
        assert!(FaultPlan::draw(1, &[]).is_none());
    }
}
