//! `/api/docs/problems`: where the `type` of a problem leads to.

use axum::Json;
use axum::extract::Path;
use serde::Serialize;
use utoipa::ToSchema;

use super::{KINDS, NOT_FOUND, Problem, title};

/// What can be done about any rule of the domain.
const ADVICE: &str = "A rule of the service said no. The `detail` of the answer says what happened, \
    to what, and what to do; `allowed_actions` of the thing says what may be done now.";

/// A kind of problem.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemKind {
    /// The word for programs.
    refusal: String,
    /// The kind in a few words.
    title: String,
    /// The HTTP status, where the kind has one for all.
    status: Option<u16>,
    /// What the caller can do about it.
    advice: &'static str,
}

/// Explains a kind of problem.
#[utoipa::path(get, path = "/api/docs/problems/{refusal}", operation_id = "get_problem_kind",
    tag = "service",
    params(("refusal" = String, Path, description = "The `refusal` of a problem")),
    responses((status = 200, body = ProblemKind)))]
pub async fn explain(Path(refusal): Path<String>) -> Result<Json<ProblemKind>, Problem> {
    if let Some(kind) = KINDS.iter().find(|kind| kind.refusal == refusal) {
        return Ok(Json(ProblemKind {
            refusal,
            title: kind.title.to_owned(),
            status: Some(kind.status.as_u16()),
            advice: kind.advice,
        }));
    }
    let is_word = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    if refusal.is_empty() || refusal.len() > 60 || !is_word(&refusal) {
        return Err(Problem::new(
            NOT_FOUND,
            "a kind of problem is one word such as stale_version",
        ));
    }
    Ok(Json(ProblemKind {
        title: title(&refusal),
        refusal,
        status: None,
        advice: ADVICE,
    }))
}
