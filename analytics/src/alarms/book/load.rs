//! How much alarms ask of people: raises, floods, and who raises most.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::rate::{Flood, Raise, first_out, floods};
use super::super::store::{AlarmStoreError, MAX_RAISES, RaiseFilter};
use super::AlarmBook;

/// Assets and causes that are named as those that raise most.
const WORST: usize = 10;

/// What alarms ask of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmLoad {
    /// Raises in the flood window before now.
    pub raised: usize,
    /// Floods in the time looked at, in order; the last one may go on.
    pub floods: Vec<Flood>,
    /// What raised most in the time looked at, most first.
    pub worst: Vec<BadActor>,
    /// Whether there were more raises than one look takes; then older ones are not counted.
    pub truncated: bool,
}

/// An asset and cause, and how often it raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadActor {
    /// The asset's tag.
    pub asset: String,
    /// Name of the detector or rule.
    pub cause: String,
    /// Raises in the time looked at.
    pub raises: usize,
}

impl AlarmLoad {
    /// The flood that goes on.
    pub fn flood(&self) -> Option<&Flood> {
        self.floods.last().filter(|flood| flood.until.is_none())
    }
}

impl AlarmBook {
    /// What alarms ask of people in the time `back` before `now`, by event time.
    ///
    /// **Errors** when the store cannot be read.
    pub async fn load(
        &self,
        back: TimeDelta,
        now: DateTime<Utc>,
    ) -> Result<AlarmLoad, AlarmStoreError> {
        let filter = RaiseFilter {
            asset: None,
            after: now - back,
            through: now,
            limit: MAX_RAISES,
        };
        let raises = self.store.raises(&filter).await?;
        let times: Vec<DateTime<Utc>> = raises.iter().map(|raise| raise.at).collect();
        let window = now - self.policy.flood_within.delta();
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for raise in &raises {
            *counts.entry((&raise.asset, &raise.cause)).or_default() += 1;
        }
        let mut worst: Vec<BadActor> = counts
            .into_iter()
            .map(|((asset, cause), raises)| BadActor {
                asset: asset.to_owned(),
                cause: cause.to_owned(),
                raises,
            })
            .collect();
        worst.sort_by_key(|one| std::cmp::Reverse(one.raises));
        worst.truncate(WORST);
        Ok(AlarmLoad {
            raised: times.iter().filter(|at| **at > window).count(),
            floods: floods(&times, now, &self.policy),
            worst,
            truncated: raises.len() >= MAX_RAISES,
        })
    }

    /// Which alarm of some assets came first in the window before event time `at`.
    ///
    /// **Errors** when the store cannot be read.
    pub async fn first_out(
        &self,
        assets: &[String],
        at: DateTime<Utc>,
    ) -> Result<Option<Raise>, AlarmStoreError> {
        let after = at - self.policy.first_out_within.delta() - TimeDelta::microseconds(1);
        let filter = RaiseFilter {
            asset: assets.first().filter(|_| assets.len() == 1).cloned(),
            after,
            through: at,
            limit: MAX_RAISES,
        };
        let mut raises = self.store.raises(&filter).await?;
        raises.retain(|raise| assets.contains(&raise.asset));
        Ok(first_out(&raises, at, &self.policy).cloned())
    }
}
