//! `/lake`: the files behind the tables, and their compaction.

use axum::Json;
use axum::extract::State;
use chrono::DateTime;
use fieldwright_ingest::snapshot::{ColdFile, TableSnapshot};
use serde::Serialize;
use utoipa::ToSchema;

use super::command::Command;
use super::problem::Problem;
use super::quarantine::Nothing;
use super::state::ApiState;
use super::wire::Instant;

/// The files behind all tables.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lake {
    /// One entry a class.
    items: Vec<LakeTable>,
}

/// The files behind one table.
#[derive(Debug, Serialize, ToSchema)]
pub struct LakeTable {
    /// The class, which is the table's name.
    class: String,
    /// Files with rows that came in order.
    files: usize,
    /// Files with late rows, until compaction merges them.
    late_files: usize,
    /// Bytes in files.
    bytes: u64,
    /// Rows in files.
    rows: u64,
    /// Rows in memory.
    hot_rows: usize,
    /// Event time of the oldest row in a file.
    oldest: Option<Instant>,
    /// Event time of the newest row in a file.
    newest: Option<Instant>,
}

/// The files behind the tables.
#[utoipa::path(get, path = "/lake", operation_id = "get_lake", tag = "service",
    responses((status = 200, body = Lake)))]
pub async fn get(State(state): State<ApiState>) -> Json<Lake> {
    Json(shown(&state))
}

/// Brings everything into files and compacts all tables, then shows them.
///
/// It goes on when the request has taken too long; asking again waits for it.
#[utoipa::path(post, path = "/lake/compact", operation_id = "compact_lake", tag = "service",
    request_body = Nothing, responses((status = 200, body = Lake)))]
pub async fn compact(
    State(state): State<ApiState>,
    _command: Command<Nothing>,
) -> Result<Json<Lake>, Problem> {
    let compacted = state.ingest.compact().await;
    compacted
        .map_err(|error| Problem::unavailable("the tables cannot be compacted now", &error))?;
    Ok(Json(shown(&state)))
}

fn shown(state: &ApiState) -> Lake {
    let snapshot = state.ingest.snapshot();
    Lake {
        items: snapshot
            .tables
            .values()
            .map(|table| of_table(table))
            .collect(),
    }
}

fn of_table(table: &TableSnapshot) -> LakeTable {
    let files = || table.files.iter().chain(&table.late_files);
    let instant = |micros: Option<i64>| {
        let instant = micros.and_then(DateTime::from_timestamp_micros);
        instant.map(Instant)
    };
    let of = |file: fn(&ColdFile) -> i64| files().map(move |found| file(found));
    let hot = table.hot.iter().chain(&table.late_hot);
    LakeTable {
        class: table.class.to_string(),
        files: table.files.len(),
        late_files: table.late_files.len(),
        bytes: files().map(|file| file.bytes).sum(),
        rows: files().map(|file| file.rows).sum(),
        hot_rows: hot.map(|rows| rows.batch.num_rows()).sum(),
        oldest: instant(of(|file| file.min_time).min()),
        newest: instant(of(|file| file.max_time).max()),
    }
}
