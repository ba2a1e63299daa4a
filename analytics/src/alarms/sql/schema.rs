//! The tables of alarms, made where they are missing.

use sqlx::Row;

use super::super::store::AlarmStoreError;
use super::{SqlAlarmStore, failed};

/// Version of the tables below.
const SCHEMA: i64 = 1;

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
    let found: i64 = row
        .try_get(0)
        .map_err(failed("read the version of the tables of alarms"))?;
    if found != SCHEMA {
        return Err(AlarmStoreError::Unreadable {
            table: "alarm_counters",
            column: "value",
            found: format!("the tables have version {found}; this release knows {SCHEMA}"),
        });
    }
    writing.commit().await
}
