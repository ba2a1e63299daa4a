//! `/notices`: metrics that were published with two types.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{Page, Parameters, Part};
use super::problem::Problem;
use super::state::ApiState;

/// A metric whose values of another type stand in a column beside it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Notice {
    /// The class.
    class: String,
    /// The metric.
    metric: String,
    /// What was published against the metric's type: `text` or `number`.
    published: String,
    /// The column that holds such values.
    column: String,
    /// What happened, and what to do.
    detail: String,
}

/// Metrics that were published with two types; no value of them is lost.
#[utoipa::path(get, path = "/notices", operation_id = "list_notices", tag = "telemetry",
    params(Part), responses((status = 200, body = Page<Notice>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(part): Parameters<Part>,
) -> Result<Json<Page<Notice>>, Problem> {
    let window = part.window("notices")?;
    let mut all: Vec<Notice> = state
        .ingest
        .notices()
        .into_iter()
        .map(|notice| Notice {
            detail: notice.to_string(),
            class: notice.class,
            metric: notice.metric,
            published: notice.published,
            column: notice.column,
        })
        .collect();
    all.sort_by_key(key);
    Ok(Json(window.page_of_all(all, key)))
}

fn key(notice: &Notice) -> String {
    format!("{}/{}", notice.class, notice.column)
}
