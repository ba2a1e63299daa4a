//! SQL rules: queries that name the assets that are in alarm.
//!
//! A rule is evaluated every so often on the business clock, but no more often than the floor
//! on the process clock, and never while its last evaluation is still running. What it names for
//! its minimum duration is raised, what it no longer names returns to normal. While a rule cannot
//! be evaluated nothing changes: silence is not good news.
//!
//! What a rule remembers, also of assets that it names but not for long enough yet, is kept in the
//! store beside the alarms. An alarm carries the instant at which its delay was over, so a restart
//! in between changes neither that there is an alarm nor its event time.

mod board;
mod memory;
mod rows;
mod runner;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

pub(super) use board::RuleBoard;
pub use board::RuleStats;
pub use rows::{RuleError, RuleRow, read_rows};
pub(super) use runner::{Runner, RunnerParts};

/// Rows of one evaluation at most; a rule that names more than that is wrong.
pub const MAX_RULE_ROWS: usize = 10_000;

/// What a rule remembers of an asset that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// Since when, business clock.
    pub since: DateTime<Utc>,
    /// Whether its alarm is up.
    pub active: bool,
    /// Since when it is not named any more, while the off delay lasts.
    pub back_since: Option<DateTime<Utc>>,
}

impl Named {
    /// Whether the last evaluation named it.
    fn is_named(&self) -> bool {
        self.back_since.is_none()
    }
}

/// How long a rule must name an asset, and must not name it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// Before its alarm is raised.
    pub on: TimeDelta,
    /// Before its alarm returns.
    pub off: TimeDelta,
}

/// What an evaluation changes.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleTurn {
    /// An alarm begins.
    Raise {
        /// Since when the rule names the asset.
        since: DateTime<Utc>,
        /// When it had done so for long enough: the same instant, whenever that is noticed.
        at: DateTime<Utc>,
        /// The row that names it.
        row: RuleRow,
    },
    /// An alarm returns to normal.
    Return {
        /// The asset.
        asset: String,
        /// When the rule had not named it for long enough.
        at: DateTime<Utc>,
    },
}

/// Compares what a rule names now with what it named before.
///
/// The memory is changed as if nothing was raised or returned yet; that is done by
/// [`confirm`] once the alarm is kept, so that a failure is tried again.
/// A held row keeps what there is, pending or active, and begins nothing.
pub fn compare(
    memory: &mut BTreeMap<String, Named>,
    rows: Vec<RuleRow>,
    delays: Delays,
    now: DateTime<Utc>,
) -> Vec<RuleTurn> {
    let mut turns = Vec::new();
    let named: BTreeSet<&str> = rows.iter().map(|row| row.asset.as_str()).collect();
    memory.retain(|asset, known| known.active || named.contains(asset.as_str()));
    for (asset, known) in memory.iter_mut() {
        if named.contains(asset.as_str()) {
            known.back_since = None;
            continue;
        }
        let back = *known.back_since.get_or_insert(now);
        if now - back >= delays.off {
            let (asset, at) = (asset.clone(), back + delays.off);
            turns.push(RuleTurn::Return { asset, at });
        }
    }
    for row in rows {
        let known = match memory.entry(row.asset.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if row.hold => continue,
            Entry::Vacant(place) => place.insert(Named {
                since: now,
                active: false,
                back_since: None,
            }),
        };
        if !known.active && now - known.since >= delays.on {
            turns.push(RuleTurn::Raise {
                since: known.since,
                at: known.since + delays.on,
                row,
            });
        }
    }
    turns
}

/// Notes that a turn was kept.
pub fn confirm(memory: &mut BTreeMap<String, Named>, turn: &RuleTurn) {
    match turn {
        RuleTurn::Raise { row, .. } => {
            if let Some(named) = memory.get_mut(&row.asset) {
                named.active = true;
            }
        }
        RuleTurn::Return { asset, .. } => {
            memory.remove(asset);
        }
    }
}

#[cfg(test)]
mod tests;
