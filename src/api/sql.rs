//! `/sql`: questions over readings and operations, answered as JSON or as an Arrow stream.

mod arrow_stream;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::command::Command;
use super::problem::{self, Problem};
use super::state::ApiState;

/// The media type of Arrow's IPC stream format.
pub const ARROW: &str = "application/vnd.apache.arrow.stream";

const JSON: &str = "application/json";

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SqlQuestion)]
pub struct Question {
    /// One statement that only reads: SELECT, WITH, EXPLAIN, SHOW or DESCRIBE.
    #[schema(example = "SELECT asset, count(*) FROM readings GROUP BY asset")]
    query: String,
}

/// An answer. Instants are RFC 3339 texts, decimals are texts, a float that is not finite is null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SqlAnswer)]
pub struct AnswerShape {
    /// The columns.
    columns: Vec<Column>,
    /// The rows, a value per column each.
    rows: Vec<Vec<Value>>,
    /// True when the answer was cut at the service's limit of rows.
    truncated: bool,
}

/// A column of an answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SqlColumn)]
pub struct Column {
    /// Its name; two columns may share one.
    name: String,
    /// A word for its type, such as `integer`, `float`, `decimal`, `text` or `timestamp`.
    r#type: String,
    /// The unit of its values, where one is known.
    unit: Option<String>,
}

/// Answers a query over readings, assets, alarms, work orders and money.
///
/// There is one wide table per asset class, the view
/// `readings(asset, time, metric, value, received_at)` over all of them, and the operational
/// tables beside them. With `Accept: application/vnd.apache.arrow.stream` the answer comes as an
/// Arrow IPC stream without a limit of rows.
#[utoipa::path(post, path = "/sql", operation_id = "run_sql", tag = "telemetry",
    request_body = Question,
    responses((status = 200, content(
        (AnswerShape = "application/json"),
        (String = "application/vnd.apache.arrow.stream"),
    ))))]
pub async fn run(
    State(state): State<ApiState>,
    headers: HeaderMap,
    question: Command<Question>,
) -> Result<Response, Problem> {
    let query = &question.body.query;
    if !wants_arrow(&headers) {
        let answer = state.sql.json(query).await.map_err(problem::of_sql)?;
        return Ok(([(header::CONTENT_TYPE, JSON)], answer).into_response());
    }
    let answer = state.sql.stream(query).await.map_err(problem::of_sql)?;
    let body = arrow_stream::body(answer)
        .map_err(|error| Problem::internal("the answer cannot be written as Arrow", &error))?;
    Ok(([(header::CONTENT_TYPE, ARROW)], body).into_response())
}

fn wants_arrow(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.split(';').next().unwrap_or_default().trim() == ARROW)
}
