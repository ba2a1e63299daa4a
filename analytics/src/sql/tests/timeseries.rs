//! Runs the files of `timeseries/slt`, which say what each function means.

use std::path::Path;

use serde_json::Value;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use super::super::{SqlEngine, SqlError, SqlLimits};
use super::world::World;
use super::{engine, engine_with, refusal};

struct Readings(SqlEngine);

#[async_trait::async_trait]
impl AsyncDB for Readings {
    type Error = SqlError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlError> {
        let answer = self.0.query(sql).await?;
        let json = answer.to_json_rows();
        let cell = |value: &Value| match value {
            Value::Null => "NULL".to_owned(),
            Value::String(text) if text.is_empty() => "(empty)".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let rows = json["rows"].as_array().cloned().unwrap_or_default();
        let rows = rows.iter().map(|row| {
            let cells = row.as_array().cloned().unwrap_or_default();
            cells.iter().map(cell).collect()
        });
        let columns = json["columns"].as_array().map_or(0, Vec::len);
        Ok(DBOutput::Rows {
            types: vec![DefaultColumnType::Any; columns],
            rows: rows.collect(),
        })
    }

    async fn shutdown(&mut self) {}
}

/// Two pumps, once a minute, hot and cold, with a gap.
fn world() -> World {
    let mut world = World::new("pump");
    for minute in 0..10 {
        if minute == 5 {
            world.flush(false);
        }
        let time = minute * 60_000_000;
        if minute != 7 {
            world.receive(
                "p-1",
                time,
                &[("v", minute as f64), ("hours", 100.0 * minute as f64)],
            );
        }
        world.receive("p-2", time + 1, &[("v", 10.0)]);
    }
    world
}

async fn check(file: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sql/timeseries/slt");
    let mut world = world();
    let snapshot = world.snapshot();
    let snapshot = std::sync::Mutex::new(Some(snapshot));
    let mut runner = Runner::new(|| {
        let snapshot = snapshot.lock().unwrap().take().expect("one connection");
        async move { Ok(Readings(engine(snapshot))) }
    });
    let records = sqllogictest::parse_file(folder.join(file)).unwrap();
    // All that is wrong at once.
    let mut wrong = Vec::new();
    for record in records {
        if let Err(error) = runner.run_async(record).await {
            wrong.push(error.display(false).to_string());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn asof_join() {
    check("asof_join.slt").await;
}

#[tokio::test]
async fn gap_fill() {
    check("gap_fill.slt").await;
}

#[tokio::test]
async fn locf_and_interpolate() {
    check("locf_and_interpolate.slt").await;
}

#[tokio::test]
async fn time_weighted_avg() {
    check("time_weighted_avg.slt").await;
}

#[tokio::test]
async fn counters() {
    check("counters.slt").await;
}

#[tokio::test]
async fn time_in_state() {
    check("time_in_state.slt").await;
}

#[tokio::test]
async fn first_and_last() {
    check("first_and_last.slt").await;
}

#[tokio::test]
async fn every_file_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sql/timeseries/slt");
    let source = include_str!("timeseries.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(source.contains(&format!("check(\"{name}\")")), "{name}");
    }
}

/// What the rewriting makes keeps to the limits too.
#[tokio::test]
async fn limits_hold() {
    let mut world = world();
    let engine = engine(world.snapshot());
    for (sql, code, words) in [
        (
            "SELECT counter_rate(v, time) OVER (ORDER BY time) FROM pump",
            "not_offered",
            "GROUP BY",
        ),
        (
            "SELECT count(*) FROM (SELECT date_bin_gapfill(INTERVAL '1 second', time, \
             TIMESTAMP '2000-01-01T00:00:00Z', TIMESTAMP '2031-01-01T00:00:00Z') AS t \
             FROM pump GROUP BY t)",
            "not_offered",
            "longer interval",
        ),
        (
            "SELECT last_by(v, (SELECT max(time) FROM pump)) FROM pump",
            "invalid_query",
            "without a subquery",
        ),
        ("SELECT asof_match(true)", "invalid_query", "asof_match"),
    ] {
        let error = refusal(&engine, sql).await;
        assert_eq!(error.code(), code, "{sql}: {error}");
        assert!(error.to_string().contains(words), "{sql}: {error}");
    }
    let times = vec!["time"; 400].join(", ");
    let much = vec![format!("last_by(v, coalesce({times}))"); 3].join(", ");
    let error = refusal(&engine, &format!("SELECT {much} FROM pump")).await;
    assert_eq!(error.code(), "invalid_query", "{error}");
    assert!(error.to_string().contains("2000 terms"), "{error}");
}

/// Rows that a window holds are charged, so a wide one is refused instead of taking all memory.
#[tokio::test]
async fn windows_are_charged() {
    let limits = SqlLimits {
        memory_bytes: 4 * 1024 * 1024,
        ..SqlLimits::default()
    };
    let mut world = world();
    let engine = engine_with(world.snapshot(), None, limits);
    let sql = "SELECT sum(l) FROM (SELECT locf(value) OVER (ORDER BY value) AS l FROM \
               generate_series(1, 600000))";
    let error = refusal(&engine, sql).await;
    assert_eq!(error.code(), "out_of_memory", "{error}");
    assert_eq!(engine.memory_in_use(), 0);
}
