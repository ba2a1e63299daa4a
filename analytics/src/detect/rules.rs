//! SQL rules: queries that name the assets that are in alarm.
//!
//! A rule is evaluated every so often on the business clock, but no more often than the floor
//! on the process clock, and never while its last evaluation is still running. What it names for
//! its minimum duration is raised, what it no longer names returns to normal. While a rule cannot
//! be evaluated nothing changes: silence is not good news.

mod board;
mod rows;
mod runner;

use std::collections::BTreeMap;

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
}

/// What an evaluation changes.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleTurn {
    /// An alarm begins.
    Raise {
        /// Since when the rule names the asset.
        since: DateTime<Utc>,
        /// The row that names it.
        row: RuleRow,
    },
    /// An alarm returns to normal.
    Return {
        /// The asset.
        asset: String,
    },
}

/// Compares what a rule names now with what it named before.
///
/// The memory is changed as if nothing was raised or returned yet; that is done by
/// [`confirm`] once the alarm is kept, so that a failure is tried again.
pub fn compare(
    memory: &mut BTreeMap<String, Named>,
    rows: Vec<RuleRow>,
    min_duration: TimeDelta,
    now: DateTime<Utc>,
) -> Vec<RuleTurn> {
    let mut turns = Vec::new();
    let gone = |asset: &str| !rows.iter().any(|row| row.asset == asset);
    let returned: Vec<String> = memory.keys().filter(|asset| gone(asset)).cloned().collect();
    for asset in returned {
        if memory[&asset].active {
            turns.push(RuleTurn::Return { asset });
        } else {
            memory.remove(&asset);
        }
    }
    for row in rows {
        let named = memory.entry(row.asset.clone()).or_insert(Named {
            since: now,
            active: false,
        });
        if !named.active && now - named.since >= min_duration {
            turns.push(RuleTurn::Raise {
                since: named.since,
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
        RuleTurn::Return { asset } => {
            memory.remove(asset);
        }
    }
}

#[cfg(test)]
mod tests;
