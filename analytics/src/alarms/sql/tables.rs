//! The tables of alarms as SQL shows them, for the operational side of the query engine.

use super::SqlAlarmStore;
use crate::sql::{ColumnKind, OperationalColumn, OperationalTable, TableSource};

/// Alarms with the state that follows from their facts; shelving stands beside it.
const ALARMS: &str = "SELECT id, asset, class, cause, severity, summary, evidence, active, \
    CASE WHEN acknowledged_at IS NULL THEN 0 ELSE 1 END AS acknowledged, acknowledged_by, \
    acknowledged_at, shelved_until, shelved_reason, chattering_since, first_out, CASE WHEN closed_at IS NOT NULL THEN 'closed' \
    WHEN active = 0 THEN 'returned_unacknowledged' \
    WHEN acknowledged_at IS NULL THEN 'active_unacknowledged' \
    ELSE 'active_acknowledged' END AS state, \
    closed_at, began_at, raised_at, returned_at, occurrences, version FROM alarms";

/// Everything that was found, raised or not, and what became of it, with the reason why not.
const HISTORY: &str = "SELECT time, asset, class, cause, severity, kind AS what, summary, actor, \
    alarm_id, CAST(NULL AS TEXT) AS suppression_id, CAST(NULL AS TEXT) AS reason \
    FROM alarm_events UNION ALL \
    SELECT found_at, asset, class, cause, severity, 'suppressed', summary, cause, \
    alarm_id, suppression_id, reason FROM suppressed_occurrences UNION ALL \
    SELECT outcome_at, asset, class, cause, severity, 'returned', summary, cause, \
    alarm_id, suppression_id, reason FROM suppressed_occurrences WHERE outcome = 'returned'";

impl SqlAlarmStore {
    /// `alarms`, `alarm_events`, `alarm_history`, `suppressions` and `suppressed_occurrences`, to be declared beside the other operational tables.
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
                    ("shelved_reason", Text),
                    ("chattering_since", Timestamp),
                    ("first_out", Text),
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
            OperationalTable {
                name: "alarm_history",
                source: TableSource::Select(HISTORY),
                columns: columns(&[
                    ("time", Timestamp),
                    ("asset", Text),
                    ("class", Text),
                    ("cause", Text),
                    ("severity", Text),
                    ("what", Text),
                    ("summary", Text),
                    ("actor", Text),
                    ("alarm_id", Text),
                    ("suppression_id", Text),
                    ("reason", Text),
                ]),
            },
            OperationalTable {
                name: "suppressions",
                source: TableSource::Table("alarm_suppressions"),
                columns: columns(&[
                    ("id", Text),
                    ("kind", Text),
                    ("asset", Text),
                    ("class", Text),
                    ("cause", Text),
                    ("while_asset", Text),
                    ("while_cause", Text),
                    ("from_at", Timestamp),
                    ("until_at", Timestamp),
                    ("reason", Text),
                    ("declared_by", Text),
                    ("declared_at", Timestamp),
                    ("ended_by", Text),
                    ("ended_at", Timestamp),
                    ("version", Int),
                ]),
            },
            OperationalTable {
                name: "suppressed_occurrences",
                source: TableSource::Table("suppressed_occurrences"),
                columns: columns(&[
                    ("id", Text),
                    ("asset", Text),
                    ("class", Text),
                    ("cause", Text),
                    ("severity", Text),
                    ("summary", Text),
                    ("evidence", Text),
                    ("began_at", Timestamp),
                    ("found_at", Timestamp),
                    ("suppression_id", Text),
                    ("kind", Text),
                    ("reason", Text),
                    ("outcome", Text),
                    ("outcome_at", Timestamp),
                    ("alarm_id", Text),
                    ("version", Int),
                ]),
            },
        ]
    }
}
