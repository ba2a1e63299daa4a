//! The tables of alarms, made where they are missing.

use sqlx::Row;

use super::super::store::AlarmStoreError;
use super::{SqlAlarmStore, failed};

/// Version of the tables below.
const SCHEMA: i64 = 2;

const STATEMENTS: [&str; 8] = [
    "CREATE TABLE IF NOT EXISTS alarm_counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
    "INSERT INTO alarm_counters (name, value) VALUES ('schema', 1), ('events', 0) \
     ON CONFLICT (name) DO NOTHING",
    "CREATE TABLE IF NOT EXISTS alarms (id TEXT PRIMARY KEY, asset TEXT NOT NULL, \
     class TEXT NOT NULL, cause TEXT NOT NULL, open_key TEXT NOT NULL, severity TEXT NOT NULL, \
     summary TEXT NOT NULL, evidence TEXT NOT NULL, active BIGINT NOT NULL, \
     acknowledged_by TEXT, acknowledged_at BIGINT, shelved_by TEXT, shelved_until BIGINT, \
     closed_by TEXT, closed_at BIGINT, began_at BIGINT NOT NULL, raised_at BIGINT NOT NULL, \
     returned_at BIGINT, occurrences BIGINT NOT NULL, evidence_updates BIGINT NOT NULL, \
     version BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX IF NOT EXISTS alarms_open ON alarms (open_key)",
    "CREATE INDEX IF NOT EXISTS alarms_by_asset ON alarms (asset, id)",
    "CREATE TABLE IF NOT EXISTS alarm_events (seq BIGINT PRIMARY KEY, alarm_id TEXT NOT NULL, \
     kind TEXT NOT NULL, time BIGINT NOT NULL, asset TEXT NOT NULL, class TEXT NOT NULL, \
     cause TEXT NOT NULL, severity TEXT NOT NULL, summary TEXT NOT NULL, actor TEXT NOT NULL, \
     occurrence BIGINT NOT NULL, data TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS alarm_events_by_alarm ON alarm_events (alarm_id, seq)",
    "CREATE TABLE IF NOT EXISTS detector_progress (asset TEXT PRIMARY KEY, class TEXT NOT NULL, \
     scored_through BIGINT NOT NULL, state TEXT NOT NULL)",
];

/// What version 2 adds: reasons of shelving, chattering, first-out, suppressions, rules' memory.
const SECOND: [&str; 10] = [
    "ALTER TABLE alarms ADD COLUMN shelved_reason TEXT",
    "ALTER TABLE alarms ADD COLUMN chattering_since BIGINT",
    "ALTER TABLE alarms ADD COLUMN first_out TEXT",
    "CREATE INDEX alarm_events_by_kind ON alarm_events (kind, time)",
    "CREATE TABLE alarm_suppressions (id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, \
     kind TEXT NOT NULL, asset TEXT, class TEXT, cause TEXT, while_asset TEXT, while_cause TEXT, \
     from_at BIGINT NOT NULL, until_at BIGINT, reason TEXT NOT NULL, declared_by TEXT NOT NULL, \
     declared_at BIGINT NOT NULL, ended_by TEXT, ended_at BIGINT, version BIGINT NOT NULL)",
    "CREATE INDEX alarm_suppressions_by_asset ON alarm_suppressions (asset, until_at)",
    "CREATE INDEX alarm_suppressions_by_class ON alarm_suppressions (class, until_at)",
    "CREATE TABLE suppressed_occurrences (id TEXT PRIMARY KEY, open_key TEXT NOT NULL UNIQUE, \
     asset TEXT NOT NULL, class TEXT NOT NULL, cause TEXT NOT NULL, severity TEXT NOT NULL, \
     summary TEXT NOT NULL, evidence TEXT NOT NULL, began_at BIGINT NOT NULL, \
     found_at BIGINT NOT NULL, suppression_id TEXT NOT NULL, kind TEXT NOT NULL, \
     reason TEXT NOT NULL, outcome TEXT NOT NULL, outcome_at BIGINT, alarm_id TEXT, \
     version BIGINT NOT NULL)",
    "CREATE INDEX suppressed_occurrences_by_asset ON suppressed_occurrences (asset, id)",
    "CREATE TABLE rule_memory (rule TEXT NOT NULL, asset TEXT NOT NULL, definition TEXT NOT NULL, \
     since BIGINT NOT NULL, active BIGINT NOT NULL, back_since BIGINT, \
     PRIMARY KEY (rule, asset))",
];

/// Makes the tables in one transaction. Running it again changes nothing.
pub(super) async fn migrate(store: &SqlAlarmStore) -> Result<(), AlarmStoreError> {
    let mut writing = store.begin().await?;
    for statement in STATEMENTS {
        sqlx::query(statement)
            .execute(&mut *writing.inner)
            .await
            .map_err(failed("make the tables of alarms"))?;
    }
    let row = sqlx::query("SELECT value FROM alarm_counters WHERE name = 'schema'")
        .fetch_one(&mut *writing.inner)
        .await
        .map_err(failed("read the version of the tables of alarms"))?;
    let mut found: i64 = row
        .try_get(0)
        .map_err(failed("read the version of the tables of alarms"))?;
    if found == 1 {
        let note = "UPDATE alarm_counters SET value = 2 WHERE name = 'schema'";
        for statement in SECOND.into_iter().chain([note]) {
            sqlx::query(statement)
                .execute(&mut *writing.inner)
                .await
                .map_err(failed("bring the tables of alarms up to date"))?;
        }
        found = 2;
    }
    if found != SCHEMA {
        return Err(AlarmStoreError::Unreadable {
            table: "alarm_counters",
            column: "value",
            found: format!("the tables have version {found}; this release knows {SCHEMA}"),
        });
    }
    writing.commit().await
}
