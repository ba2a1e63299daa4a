//! `/sql`: questions over readings and operations, answered as JSON, CSV or an Arrow stream; the
//! questions that run now, and their end.

mod format;
mod streamed;

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use fieldwright_analytics::sql::{AnswerStream, SqlRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::command::Command;
use super::page::{Page, Parameters, Part};
use super::problem::{self, Problem};
use super::state::ApiState;
use format::Format;

/// Tells under which id a streamed answer can be canceled.
const QUERY_ID: &str = "fieldwright-query-id";
/// Tells whether an answer that is not JSON was cut at the `row_limit` of its question.
const TRUNCATED: &str = "fieldwright-truncated";

/// A question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SqlQuestion)]
pub struct Question {
    /// One statement that only reads: SELECT, WITH, EXPLAIN, SHOW or DESCRIBE.
    #[schema(example = "SELECT asset, count(*) FROM readings GROUP BY asset")]
    query: String,
    /// `json`, `csv` or `arrow`; without it the `Accept` header decides, and else it is JSON.
    format: Option<Format>,
    /// An id of your choice, under which the query can be canceled while it runs.
    query_id: Option<String>,
    /// Lowers the service's limit of time. In milliseconds.
    #[schema(minimum = 1)]
    time_limit_ms: Option<u64>,
    /// Lowers the service's limit of rows; also a CSV or Arrow answer ends there and says so.
    row_limit: Option<usize>,
    /// Lowers the memory that the query may take. In MiB.
    #[schema(minimum = 1)]
    memory_limit_mib: Option<usize>,
}

/// An answer. Instants are RFC 3339 texts, decimals are texts, a float that is not finite is null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SqlAnswer)]
pub struct AnswerShape {
    /// The columns.
    columns: Vec<Column>,
    /// The rows, a value per column each.
    rows: Vec<Vec<Value>>,
    /// True when the answer was cut at the limit of rows.
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

/// A question that runs now, or waits for its place.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunningQuery)]
pub struct Running {
    /// Its id: DELETE it to cancel the query.
    query_id: String,
    /// The door that it came through: `http`, `postgres`, `flight`, `rules` or `internal`.
    door: &'static str,
    /// The beginning of its text.
    query: String,
    /// Time since it was asked, in seconds.
    age_s: f64,
}

/// Answers a query over readings, assets, alarms, work orders and money.
///
/// There is one wide table per asset class, the view
/// `readings(asset, time, metric, value, received_at)` over all of them, and the operational
/// tables beside them. With `Accept: text/csv` or `application/vnd.apache.arrow.stream` the answer
/// comes as it is made, without a limit of rows; one that fails on its way breaks off. Closing the
/// connection cancels the query.
#[utoipa::path(post, path = "/sql", operation_id = "run_sql", tag = "telemetry",
    request_body = Question,
    responses((status = 200, content(
        (AnswerShape = "application/json"),
        (String = "text/csv"),
        (String = "application/vnd.apache.arrow.stream"),
    ))))]
pub async fn run(
    State(state): State<ApiState>,
    headers: HeaderMap,
    question: Command<Question>,
) -> Result<Response, Problem> {
    let request = question.body.request()?;
    let format = match question.body.format {
        Some(format) => format,
        None => Format::accepted(&headers),
    };
    if format == Format::Json {
        let answer = state.sql.json(&request).await.map_err(problem::of_sql)?;
        let kind = HeaderValue::from_static(format.media_type());
        return Ok(([(header::CONTENT_TYPE, kind)], answer).into_response());
    }
    let place = state.requests.answers().ok_or_else(streamed::busy)?;
    let answer = state.sql.open(&request).await.map_err(problem::of_sql)?;
    let id = answer.id().to_owned();
    let held = question.body.row_limit;
    let held = held.filter(|rows| *rows <= state.sql.limits().answer_rows);
    let (body, truncated) = match held {
        // Few enough to be held, so that the head can say whether they are all.
        Some(_) => held_back(answer, format).await?,
        None => (streamed::body(answer, format, place)?, None),
    };
    let mut response = body.into_response();
    let told = response.headers_mut();
    told.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(format.media_type()),
    );
    if let Ok(id) = HeaderValue::try_from(id) {
        told.insert(QUERY_ID, id);
    }
    if let Some(truncated) = truncated {
        let word = if truncated { "true" } else { "false" };
        told.insert(TRUNCATED, HeaderValue::from_static(word));
    }
    Ok(response)
}

/// The queries that run now through any door, the oldest first.
#[utoipa::path(get, path = "/sql", operation_id = "list_running_sql", tag = "telemetry",
    params(Part), responses((status = 200, body = Page<Running>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(part): Parameters<Part>,
) -> Result<Json<Page<Running>>, Problem> {
    let window = part.window("running_sql")?;
    let mut running = state.sql.running();
    // A cursor needs an order that stays while others come and go.
    running.sort_by(|a, b| a.id.cmp(&b.id));
    let running = running.into_iter().map(|query| Running {
        query_id: query.id,
        door: query.door,
        query: query.text,
        age_s: query.age.as_secs_f64(),
    });
    let all = running.collect();
    Ok(Json(window.page_of_all(all, |query: &Running| {
        query.query_id.clone()
    })))
}

/// Cancels a running query: whoever asked it is told so.
#[utoipa::path(delete, path = "/sql/{query_id}", operation_id = "cancel_sql", tag = "telemetry",
    params(("query_id" = String, Path, description = "Id of the query")),
    responses((status = 204, description = "It is canceled.")))]
pub async fn cancel(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    match state.sql.cancel(&id) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("running query", &id)),
    }
}

impl Question {
    fn request(&self) -> Result<SqlRequest, Problem> {
        let mut request = SqlRequest::new(&self.query).through("http");
        if let Some(id) = &self.query_id {
            request = request.named(id).map_err(problem::of_sql)?;
        }
        if let Some(limit) = self.time_limit_ms {
            request = request.within_time(Duration::from_millis(limit));
        }
        if let Some(limit) = self.row_limit {
            request = request.within_rows(limit);
        }
        if let Some(limit) = self.memory_limit_mib {
            request = request.within_memory(limit.saturating_mul(1 << 20));
        }
        Ok(request)
    }
}

/// An answer of few rows, and whether there are more.
async fn held_back(
    answer: AnswerStream,
    format: Format,
) -> Result<(axum::body::Body, Option<bool>), Problem> {
    let answer = answer.collect_answer().await.map_err(problem::of_sql)?;
    let written = format.write(&answer.schema, &answer.batches);
    let written = written
        .map_err(|error| Problem::internal("the answer cannot be written as Arrow", &error))?;
    Ok((written.into(), Some(answer.truncated)))
}
