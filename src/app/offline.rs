//! A folder that nobody serves: opened to be read.

use std::path::Path;

use fieldwright_analytics::sql::{SqlEngine, SqlError, SqlLimits};
use fieldwright_ingest::Snapshots;
use fieldwright_ingest::snapshot::Snapshot;
use fieldwright_workorders::invariants;
use fieldwright_workorders::store::Db;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::{store_file, tables};
use crate::business_clock;
use crate::cli::Failure;

/// The readings of a folder, journal and files together.
pub async fn offline_snapshot(dir: &Path) -> Result<Snapshot, Failure> {
    let dir = dir.to_owned();
    let read = tokio::task::spawn_blocking(move || fieldwright_ingest::read_folder(&dir)).await;
    read.expect("reading a folder does not panic")
        .map_err(Failure::failed)
}

/// SQL over a folder. The operational tables are there when its store is.
pub async fn offline_sql(dir: &Path, store: Option<&str>) -> Result<SqlEngine, Failure> {
    let folder = dir.to_owned();
    let read = move || fieldwright_ingest::read_folder_with_last(&folder);
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.expect("reading a folder does not panic");
    let (snapshot, last) = read.map_err(Failure::failed)?;
    let source = Snapshots::fixed_with_last(snapshot, last);
    let operational = offline_store(dir, store)
        .await?
        .map(|db| tables::operational(&db));
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
    let once = readings_once(sql);
    let others = READINGS.iter().map(|(name, sentence, query)| {
        let queries = vec![(*query).to_owned()];
        (*name, *sentence, queries)
    });
    for (name, sentence, queries) in std::iter::once(once).chain(others) {
        let (ok, detail) = match violations(sql, &queries).await {
            Ok(0) => (true, sentence.to_owned()),
            Ok(found) => (false, format!("{sentence}: {found} times not")),
            Err(error) => (false, format!("{sentence}: cannot be checked: {error}")),
        };
        results.push(json!({
            "number": results.len() + 1,
            "name": name,
            "ok": ok,
            "detail": detail,
        }));
    }
    results.push(alarms_behind_orders(db, results.len() + 1).await?);
    Ok(results)
}

/// Alarms and orders lie in one store, but belong to two crates that do not know each other.
async fn alarms_behind_orders(db: &Db, number: usize) -> Result<Value, Failure> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS n FROM work_order_alarms a WHERE NOT EXISTS (SELECT 1 FROM alarms m \
         WHERE a.alarm_id = m.id OR a.alarm_id LIKE m.id || '#%')",
    )
    .fetch_one(db.pool())
    .await
    .map_err(Failure::failed)?;
    let missing: i64 = row.try_get("n").map_err(Failure::failed)?;
    Ok(json!({
        "number": number,
        "name": "alarms_behind_orders",
        "ok": missing == 0,
        "detail": format!("every alarm behind a work order exists ({missing} are missing)"),
    }))
}

/// Rows that the queries give together.
async fn violations(sql: &SqlEngine, queries: &[String]) -> Result<usize, SqlError> {
    let mut found = 0;
    for query in queries {
        found += sql.query(query).await?.rows();
    }
    Ok(found)
}

/// Asked class by class: an asset may be in two classes that have metrics of one name.
fn readings_once(sql: &SqlEngine) -> (&'static str, &'static str, Vec<String>) {
    let classes = sql.classes().into_iter();
    let queries = classes.map(|class| {
        format!(
            "SELECT asset, time FROM \"{class}\" GROUP BY asset, time \
             HAVING count(*) > 1 LIMIT 10"
        )
    });
    let sentence = "a reading (class, asset, metric, time) is there once";
    ("readings_once", sentence, queries.collect())
}

/// Each query returns what violates the sentence.
const READINGS: &[(&str, &str, &str)] = &[
    (
        "readings_after_1990",
        "no reading is older than 1990",
        "SELECT asset, time FROM readings WHERE time < TIMESTAMP '1990-01-01T00:00:00Z' LIMIT 10",
    ),
    (
        "one_open_alarm",
        "an asset has one open alarm per cause",
        "SELECT asset, cause FROM alarms WHERE closed_at IS NULL GROUP BY asset, cause \
         HAVING count(*) > 1 LIMIT 10",
    ),
];

async fn offline_store(dir: &Path, store: Option<&str>) -> Result<Option<Db>, Failure> {
    let file = store_file(dir);
    match store {
        Some(url) => Db::open(url).await.map(Some).map_err(Failure::failed),
        None if file.is_file() => Db::open_file(&file)
            .await
            .map(Some)
            .map_err(Failure::failed),
        None => Ok(None),
    }
}
