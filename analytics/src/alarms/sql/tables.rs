//! The tables of alarms as SQL shows them, for the operational side of the query engine.

use super::SqlAlarmStore;
use crate::sql::{ColumnKind, OperationalColumn, OperationalTable, TableSource};

/// Alarms with the state that follows from their facts; shelving stands beside it.
const ALARMS: &str = "SELECT id, asset, class, cause, severity, summary, evidence, active, \
    CASE WHEN acknowledged_at IS NULL THEN 0 ELSE 1 END AS acknowledged, acknowledged_by, \
    acknowledged_at, shelved_until, CASE WHEN closed_at IS NOT NULL THEN 'closed' \
    WHEN active = 0 THEN 'returned_unacknowledged' \
    WHEN acknowledged_at IS NULL THEN 'active_unacknowledged' \
    ELSE 'active_acknowledged' END AS state, \
    closed_at, began_at, raised_at, returned_at, occurrences, version FROM alarms";

impl SqlAlarmStore {
    /// `alarms` and `alarm_events`, to be declared beside the other operational tables.
    pub fn tables() -> Vec<OperationalTable> {
        use ColumnKind::{Bool, Int, Text, Timestamp};
        let columns = |columns: &[(&'static str, ColumnKind)]| {
            columns
                .iter()
                .map(|(name, kind)| OperationalColumn::new(name, *kind))
                .collect()
        };
        vec![
            OperationalTable {
                name: "alarms",
                source: TableSource::Select(ALARMS),
                columns: columns(&[
                    ("id", Text),
                    ("asset", Text),
                    ("class", Text),
                    ("cause", Text),
                    ("severity", Text),
                    ("summary", Text),
                    ("evidence", Text),
                    ("active", Bool),
                    ("acknowledged", Bool),
                    ("acknowledged_by", Text),
                    ("acknowledged_at", Timestamp),
                    ("shelved_until", Timestamp),
                    ("state", Text),
                    ("closed_at", Timestamp),
                    ("began_at", Timestamp),
                    ("raised_at", Timestamp),
                    ("returned_at", Timestamp),
                    ("occurrences", Int),
                    ("version", Int),
                ]),
            },
            OperationalTable {
                name: "alarm_events",
                source: TableSource::Table("alarm_events"),
                columns: columns(&[
                    ("seq", Int),
                    ("alarm_id", Text),
                    ("kind", Text),
                    ("time", Timestamp),
                    ("asset", Text),
                    ("class", Text),
                    ("cause", Text),
                    ("severity", Text),
                    ("summary", Text),
                    ("actor", Text),
                    ("occurrence", Int),
                    ("data", Text),
                ]),
            },
        ]
    }
}
