//! Rows that are too old go, a whole file at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::log::Change;
use super::{Lake, LakeError, locked};
use crate::clock::wall_now;
use crate::snapshot::ColdFile;
use crate::tables::Tables;

/// How long rows are kept.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Retention {
    /// **Units** days of event time; 0 keeps them for ever.
    pub days: u32,
    /// The same for tables that have their own rule.
    pub of_table: BTreeMap<String, u32>,
}

impl Retention {
    /// The instant (microseconds since 1970) before which rows of a table are dropped.
    pub(crate) fn before(&self, table: &str, now: DateTime<Utc>) -> Option<i64> {
        self.of(table).map(|kept| (now - kept).timestamp_micros())
    }

    fn of(&self, table: &str) -> Option<TimeDelta> {
        let days = *self.of_table.get(table).unwrap_or(&self.days);
        (days > 0).then(|| TimeDelta::days(i64::from(days)))
    }
}

impl Lake {
    /// Takes files out of their tables all of whose rows are too old.
    ///
    /// **Errors**: the store refused; what is left goes another time.
    pub(crate) fn retain(
        &self,
        retention: &Retention,
        now: DateTime<Utc>,
        tables: &Tables,
    ) -> Result<(), LakeError> {
        let mut outcome = Ok(());
        for name in self.classes() {
            if let Some(before) = retention.before(&name, now) {
                outcome = outcome.and(self.drop_before(&name, before, tables));
            }
        }
        outcome
    }

    fn drop_before(&self, name: &Arc<str>, before: i64, tables: &Tables) -> Result<(), LakeError> {
        let shared = self.table(name);
        let mut table = locked(&shared);
        if table.log.is_flush_in_doubt() {
            return Ok(());
        }
        let running = self.place.running();
        if table.settle(&self.place)? {
            tables.rearrange(table.filed());
        }
        let old = |file: &&Arc<ColdFile>| file.max_time < before;
        let removes: Vec<_> = table.log.files.iter().filter(old).cloned().collect();
        if removes.is_empty() {
            return Ok(());
        }
        let wall_ms = wall_now().timestamp_millis();
        let change = Change {
            removes: removes.clone(),
            ..Change::default()
        };
        running.wait(table.log.commit(change, wall_ms))?;
        tracing::info!(table = %name, files = removes.len(), "rows that are too old were dropped");
        for file in removes {
            table.graveyard.add(file.path.clone(), Some(file), wall_ms);
        }
        tables.rearrange(table.filed());
        Ok(())
    }
}
