//! What queries mean: worlds of readings in, rows out.

mod attacks;
mod cases;
mod compacted;
mod gates;
mod operational;
mod property;
mod timeseries;
mod world;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_ingest::clock::ManualClock;
use fieldwright_ingest::snapshot::Snapshot;
use serde_json::Value;

use super::{Operational, SnapshotSource, SqlEngine, SqlError, SqlLimits};

/// The instant at which every test's business clock stands.
const NOW: &str = "2031-05-05T07:00:00Z";

fn engine_with(
    snapshot: Snapshot,
    operational: Option<Operational>,
    limits: SqlLimits,
) -> SqlEngine {
    let now: DateTime<Utc> = NOW.parse().unwrap();
    let snapshot = Arc::new(snapshot);
    let source: SnapshotSource = Arc::new(move || Arc::clone(&snapshot));
    SqlEngine::new(source, operational, Arc::new(ManualClock::new(now)), limits)
}

fn engine(snapshot: Snapshot) -> SqlEngine {
    engine_with(snapshot, None, SqlLimits::default())
}

/// An engine over three pumps, for the tests of the doors.
pub(crate) fn pumps() -> Arc<SqlEngine> {
    let mut world = world::World::new("pump");
    for asset in ["p-1", "p-2", "p-3"] {
        for second in 0..100 {
            let value = f64::from(second) + 0.5;
            world.receive(
                asset,
                i64::from(second) * 1_000_000,
                &[("v", value), ("w", 1.0)],
            );
        }
    }
    // The hot rows live in memory; the folder of files may go.
    Arc::new(engine(world.snapshot()))
}

/// The rows of a query as JSON, each row as one text.
async fn rows(engine: &SqlEngine, sql: &str) -> Vec<String> {
    let answer = engine
        .query(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    assert!(!answer.truncated, "{sql}");
    let Value::Array(rows) = answer.to_json_rows()["rows"].take() else {
        panic!("rows is an array");
    };
    rows.iter().map(Value::to_string).collect()
}

/// The code of the error that a query gives.
async fn refusal(engine: &SqlEngine, sql: &str) -> SqlError {
    engine.query(sql).await.expect_err(sql)
}
