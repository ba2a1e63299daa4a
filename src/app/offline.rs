//! A folder that nobody serves: opened to be read.

use std::path::Path;
use std::sync::Arc;

use fieldwright_analytics::sql::{SnapshotSource, SqlEngine, SqlLimits};
use fieldwright_ingest::snapshot::Snapshot;
use fieldwright_workorders::invariants;
use fieldwright_workorders::store::Db;
use serde_json::{Value, json};

use super::{store_file, tables};
use crate::business_clock;
use crate::cli::Failure;

/// The readings of a folder, journal and files together.
pub async fn offline_snapshot(dir: &Path) -> Result<Snapshot, Failure> {
    let dir = dir.to_owned();
    let read = tokio::task::spawn_blocking(move || fieldwright_ingest::read_folder(&dir)).await;
    read.expect("reading a folder does not panic").map_err(Failure::failed)
}

/// SQL over a folder. The operational tables are there when its store is.
pub async fn offline_sql(dir: &Path, store: Option<&str>) -> Result<SqlEngine, Failure> {
    let snapshot = Arc::new(offline_snapshot(dir).await?);
    let source: SnapshotSource = Arc::new(move || Arc::clone(&snapshot));
    let operational = offline_store(dir, store).await?.map(|db| tables::operational(&db));
    let clock = business_clock::open(dir, None).map_err(Failure::failed)?;
    let limits = SqlLimits {
        answer_rows: 1_000_000,
        ..SqlLimits::default()
    };
    Ok(SqlEngine::new(source, operational, clock, limits))
}

/// Every invariant of a folder, as the API would answer.
pub async fn offline_verify(dir: &Path, store: Option<&str>) -> Result<Vec<Value>, Failure> {
    let Some(db) = offline_store(dir, store).await? else {
        return Err(Failure::NotFound(format!(
            "{} has no store.db; name the store that its service used with --store URL",
            dir.display()
        )));
    };
    let engine = offline_sql(dir, store).await?;
    all_invariants(&db, &engine).await
}

/// The invariants of work and money, then those of readings.
pub async fn all_invariants(db: &Db, sql: &SqlEngine) -> Result<Vec<Value>, Failure> {
    let mut results: Vec<Value> = invariants::verify(db)
        .await
        .map_err(Failure::failed)?
        .into_iter()
        .map(|result| {
            json!({
                "number": result.number,
                "name": result.name,
                "ok": result.ok,
                "detail": result.detail,
            })
        })
        .collect();
    let first = results.len() + 1;
    for (offset, (name, query)) in READINGS.iter().enumerate() {
        let answer = sql.query(query).await;
        let (ok, detail) = match answer {
            Ok(answer) if answer.rows() == 0 => (true, String::new()),
            Ok(answer) => (false, format!("{} violations", answer.rows())),
            // Without a single table there is no view to ask.
            Err(error) => (false, error.to_string()),
        };
        results.push(json!({
            "number": first + offset,
            "name": name,
            "ok": ok,
            "detail": detail,
        }));
    }
    Ok(results)
}

/// Each query returns what violates the sentence.
const READINGS: &[(&str, &str)] = &[
    (
        "a reading (asset, metric, time) is there once",
        "SELECT asset, metric, time FROM readings GROUP BY asset, metric, time \
         HAVING count(*) > 1 LIMIT 10",
    ),
    (
        "no reading is older than 1990",
        "SELECT asset, time FROM readings WHERE time < TIMESTAMP '1990-01-01T00:00:00Z' LIMIT 10",
    ),
    (
        "one open alarm per asset and cause",
        "SELECT asset, cause FROM alarms WHERE closed_at IS NULL GROUP BY asset, cause \
         HAVING count(*) > 1 LIMIT 10",
    ),
    (
        "every alarm behind a work order exists",
        "SELECT a.alarm_id FROM work_order_alarms a LEFT JOIN alarms m \
         ON m.id = split_part(a.alarm_id, '#', 1) WHERE m.id IS NULL LIMIT 10",
    ),
];

async fn offline_store(dir: &Path, store: Option<&str>) -> Result<Option<Db>, Failure> {
    let file = store_file(dir);
    match store {
        Some(url) => Db::open(url).await.map(Some).map_err(Failure::failed),
        None if file.is_file() => Db::open_file(&file).await.map(Some).map_err(Failure::failed),
        None => Ok(None),
    }
}
