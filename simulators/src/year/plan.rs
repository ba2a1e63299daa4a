//! What a seed draws before the year begins: machines, faults and when they fall.

use rand::RngExt as _;

use super::classes::YearClass;
use super::faults::{Growth, YearFault};
use crate::seeded::{self, Stream, between, pick};

/// Days in which nothing breaks, so that a normal can be learned.
pub const HEALTHY_DAYS: f64 = 45.0;
/// Between two faults of one asset, from the failure to the next onset. **Units**: days.
const REST_DAYS: f64 = 21.0;
/// Least and most days from onset to failure.
const GROWTH_DAYS: [f64; 2] = [3.0, 60.0];
/// Growing faults of a whole year of a hundred assets.
const FAULTS: f64 = 60.0;
/// Sudden faults beside them, per growing one.
const SUDDEN_SHARE: f64 = 0.1;
/// Draws of one fault until there is room for it.
const DRAWS: usize = 500;

/// One machine to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedAsset {
    /// Its tag.
    pub tag: String,
    /// Its class.
    pub class: YearClass,
}

/// One fault to come. **Units**: days since the begin of the year.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFault {
    /// Number of the asset.
    pub asset: usize,
    /// What breaks.
    pub kind: YearFault,
    /// How it grows.
    pub growth: Growth,
    /// When it begins.
    pub onset: f64,
    /// When the machine fails.
    pub failure: f64,
}

/// The year of a seed.
#[derive(Debug, Clone, PartialEq)]
pub struct YearPlan {
    /// The seed.
    pub seed: u64,
    /// How many days.
    pub days: f64,
    /// The machines.
    pub assets: Vec<PlannedAsset>,
    /// The faults in order of their onset.
    pub faults: Vec<PlannedFault>,
}

impl YearPlan {
    /// Draws a year of so many assets and days; a hundred assets and 365 days have 60 growing
    /// faults and six sudden ones, less has less.
    pub fn draw(seed: u64, assets: usize, days: f64) -> Self {
        let assets: Vec<PlannedAsset> = (0..assets)
            .map(|n| {
                let class = YearClass::ALL[n % YearClass::ALL.len()];
                let tag = format!(
                    "{}-{:03}",
                    class.name().replace('_', "-"),
                    n / YearClass::ALL.len() + 1
                );
                PlannedAsset { tag, class }
            })
            .collect();
        let part =
            assets.len() as f64 / 100.0 * (days - HEALTHY_DAYS).max(0.0) / (365.0 - HEALTHY_DAYS);
        let growing = (FAULTS * part).round() as usize;
        let sudden = (FAULTS * SUDDEN_SHARE * part).round() as usize;
        let mut plan = Self {
            seed,
            days,
            assets,
            faults: Vec::new(),
        };
        let stream = &mut seeded::stream(seed, "year:faults");
        // Every kind comes as often as the next, in an order of its own.
        let mut kinds: Vec<YearFault> = Vec::new();
        for _ in 0..growing + sudden {
            if kinds.is_empty() {
                kinds = YearFault::ALL.to_vec();
            }
            let kind = kinds.swap_remove(pick(stream, kinds.len()));
            let grows = plan.faults.len() < growing;
            if let Some(fault) = plan.fault(stream, kind, grows) {
                plan.faults.push(fault);
            }
        }
        plan.faults.sort_by(|a, b| a.onset.total_cmp(&b.onset));
        plan
    }

    fn fault(&self, stream: &mut Stream, kind: YearFault, grows: bool) -> Option<PlannedFault> {
        let able: Vec<usize> = (0..self.assets.len())
            .filter(|n| kind.signature(self.assets[*n].class).is_some())
            .collect();
        if able.is_empty() {
            return None;
        }
        (0..DRAWS).find_map(|_| {
            let asset = able[pick(stream, able.len())];
            let growth = if grows {
                Growth::GROWING[stream.random_range(0..3)]
            } else {
                Growth::Sudden
            };
            let length = if grows {
                between(stream, GROWTH_DAYS[0], GROWTH_DAYS[1])
            } else {
                0.0
            };
            let latest = self.days - length - 2.0;
            if latest <= HEALTHY_DAYS {
                return None;
            }
            let onset = between(stream, HEALTHY_DAYS, latest);
            let fault = PlannedFault {
                asset,
                kind,
                growth,
                onset,
                failure: onset + length,
            };
            let apart = |other: &PlannedFault| {
                other.asset != asset
                    || other.failure + REST_DAYS < fault.onset
                    || fault.failure + REST_DAYS < other.onset
            };
            self.faults.iter().all(apart).then_some(fault)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_year_holds_what_the_measure_asks_for() {
        for seed in 1..=20 {
            let plan = YearPlan::draw(seed, 100, 365.0);
            assert_eq!(plan, YearPlan::draw(seed, 100, 365.0));
            let grows = |fault: &&PlannedFault| fault.growth != Growth::Sudden;
            assert_eq!(plan.faults.iter().filter(grows).count(), 60, "seed {seed}");
            assert_eq!(plan.faults.len(), 66);
            for kind in YearFault::ALL {
                assert!(
                    plan.faults
                        .iter()
                        .filter(|fault| fault.kind == kind)
                        .count()
                        >= 5
                );
            }
            for fault in &plan.faults {
                let length = fault.failure - fault.onset;
                assert!(fault.onset >= HEALTHY_DAYS && fault.failure <= 365.0);
                assert!(fault.growth == Growth::Sudden || (3.0..=60.0).contains(&length));
            }
        }
        assert_ne!(YearPlan::draw(1, 100, 365.0), YearPlan::draw(2, 100, 365.0));
        assert!(YearPlan::draw(1, 100, 40.0).faults.is_empty());
    }
}
