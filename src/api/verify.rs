//! `/verify`: the service checks its own promises.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::command::Command;
use super::problem::{INTERNAL, Problem};
use super::quarantine::Nothing;
use super::state::ApiState;

/// Checks every invariant: one `{number, name, ok, detail}` each, or why none could be checked.
#[derive(Clone)]
pub struct Verifier(Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<Value>, String>> + Send + Sync>);

impl Verifier {
    /// A verifier that runs `check`.
    pub fn new<F>(check: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Result<Vec<Value>, String>> + Send + Sync + 'static,
    {
        Self(Arc::new(check))
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Verified {
    /// True when every invariant holds.
    ok: bool,
    /// Every invariant.
    #[schema(value_type = Vec<Invariant>)]
    items: Vec<Value>,
}

/// One invariant.
#[derive(Debug, Serialize, ToSchema)]
pub struct Invariant {
    /// Its number.
    number: i64,
    /// What must hold.
    name: String,
    /// Whether it holds.
    ok: bool,
    /// What violates it.
    detail: String,
}

/// Checks every invariant over readings, work and money; it only reads.
#[utoipa::path(post, path = "/verify", operation_id = "verify_invariants", tag = "service",
    request_body = Nothing, responses((status = 200, body = Verified)))]
pub async fn run(
    State(state): State<ApiState>,
    _command: Command<Nothing>,
) -> Result<Json<Verified>, Problem> {
    let items = (state.verifier.0)().await.map_err(|reason| {
        tracing::error!(reason, "the invariants cannot be checked");
        Problem::new(
            INTERNAL,
            format!("the invariants cannot be checked: {reason}"),
        )
    })?;
    let ok = items.iter().all(|item| item["ok"] == true);
    Ok(Json(Verified { ok, items }))
}
