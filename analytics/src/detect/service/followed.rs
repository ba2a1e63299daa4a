//! Up to which journal record the files of the lake have been followed.
//!
//! Event time alone cannot say what detection has not seen: an asset may be new and send what is
//! long past. Every file knows the last journal record in it, so one number per class can.

use std::collections::BTreeMap;

use chrono::DateTime;
use fieldwright_ingest::snapshot::{Snapshot, TableSnapshot};
use serde::{Deserialize, Serialize};

use crate::alarms::Progress;

/// Stands for all assets where progress is kept; no tag has a slash.
const EVERY_ASSET: &str = "/followed";

/// Per class the number of the last journal record up to which every row has been followed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Followed {
    through: BTreeMap<String, u64>,
}

/// What is known of the files while detection runs.
#[derive(Debug)]
pub(super) struct Marks {
    /// What the engine has seen, or what its progress covered at the start.
    pub(super) seen: Option<Followed>,
    /// What it will have seen once it has followed the commit of this number.
    next: Option<(u64, Followed)>,
}

impl Followed {
    /// All files of a snapshot.
    pub(super) fn all_of(snapshot: &Snapshot) -> Self {
        let last = |table: &TableSnapshot| table.files.iter().map(|file| file.through).max();
        let tables = snapshot.tables.iter();
        let through = tables.filter_map(|(class, table)| Some((class.to_string(), last(table)?)));
        Self {
            through: through.collect(),
        }
    }

    /// The last record of a table whose rows, and those of all before it, have been followed.
    pub(super) fn through(&self, table: &TableSnapshot) -> u64 {
        self.through.get(&*table.class).copied().unwrap_or(0)
    }

    /// As it is kept beside the progress of the assets, which it vouches for.
    pub(super) fn to_progress(&self) -> Option<Progress> {
        Some(Progress {
            asset: EVERY_ASSET.to_owned(),
            class: String::new(),
            scored_through: DateTime::UNIX_EPOCH,
            state: serde_json::to_string(self).ok()?,
        })
    }

    /// Takes itself out of what was kept; `None` where a former release kept none.
    pub(super) fn take_from(saved: &mut Vec<Progress>) -> Option<Self> {
        let place = saved.iter().position(|row| row.asset == EVERY_ASSET)?;
        serde_json::from_str(&saved.swap_remove(place).state).ok()
    }
}

impl Marks {
    pub(super) fn starting(seen: Option<Followed>) -> Self {
        Self { seen, next: None }
    }

    /// Takes note that everything in a snapshot was read.
    pub(super) fn read(&mut self, snapshot: &Snapshot) {
        self.seen = Some(Followed::all_of(snapshot));
        self.next = None;
    }

    /// Takes note of the newest snapshot and of the last commit that was followed.
    pub(super) fn look(&mut self, snapshot: &Snapshot, followed: u64) {
        if let Some((_, next)) = self.next.take_if(|(sequence, _)| *sequence <= followed) {
            self.seen = Some(next);
        }
        if self.next.is_none() {
            let all = Followed::all_of(snapshot);
            let news = self.seen.as_ref() != Some(&all);
            self.next = news.then_some((snapshot.sequence, all));
        }
    }
}
