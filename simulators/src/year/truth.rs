//! What really happened in a year, kept in the simulator's own file.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::faults::{Growth, YearFault};
use super::plant::YearPlant;
use crate::truth::{TruthError, save_whole};

/// What really happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct YearTruth {
    /// The world's seed.
    pub seed: u64,
    /// Always `year`.
    pub scenario: String,
    /// The first reading.
    pub began_at: DateTime<Utc>,
    /// Planned length.
    pub days: f64,
    /// Tags of the machines.
    pub assets: Vec<String>,
    /// The faults in order of their onset, those to come included.
    pub faults: Vec<TrueFault>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrueFault {
    /// Tag of the asset.
    pub asset: String,
    /// Its class.
    pub class: String,
    /// What breaks.
    pub kind: YearFault,
    /// How it grows.
    pub growth: Growth,
    /// When it begins.
    pub onset: DateTime<Utc>,
    /// When the machine fails unless it is repaired before.
    pub failure: DateTime<Utc>,
    /// When it was repaired.
    pub repaired_at: Option<DateTime<Utc>>,
}

impl YearTruth {
    /// The truth as it stands.
    pub fn of(plant: &YearPlant) -> Self {
        let plan = plant.plan();
        let faults = plan.faults.iter().zip(plant.repairs());
        Self {
            seed: plan.seed,
            scenario: "year".to_owned(),
            began_at: plant.time(0),
            days: plan.days,
            assets: plan.assets.iter().map(|asset| asset.tag.clone()).collect(),
            faults: faults
                .map(|(fault, repaired_at)| TrueFault {
                    asset: plan.assets[fault.asset].tag.clone(),
                    class: plan.assets[fault.asset].class.name().to_owned(),
                    kind: fault.kind,
                    growth: fault.growth,
                    onset: plant.after(fault.onset),
                    failure: plant.after(fault.failure),
                    repaired_at,
                })
                .collect(),
        }
    }

    /// Writes the file whole or not at all.
    ///
    /// **Errors**: the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TruthError> {
        save_whole(self, path)
    }
}

impl TrueFault {
    /// Whether it comes at once.
    pub fn is_sudden(&self) -> bool {
        self.growth == Growth::Sudden
    }

    /// Whether something is wrong with the machine at an instant.
    pub fn is_active(&self, at: DateTime<Utc>) -> bool {
        at >= self.onset && self.repaired_at.is_none_or(|repaired| at < repaired)
    }
}
