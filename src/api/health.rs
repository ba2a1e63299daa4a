//! `/healthz` and `/readyz`: for those who start, watch and restart the service.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures::future::{BoxFuture, join_all};
use serde::Serialize;
use utoipa::ToSchema;

use super::state::ApiState;

/// How long one probe may take on the process clock before it counts as failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// What must work before the service can do its work.
#[derive(Clone, Default)]
pub struct Readiness(Vec<(&'static str, Probe)>);

impl Readiness {
    /// Nothing is needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part; the probe answers with a sentence, as `Err` when the part does not work.
    pub fn with<F>(mut self, part: &'static str, probe: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync + 'static,
    {
        self.0.push((part, Arc::new(probe)));
        self
    }

    async fn ask(&self, patience: Duration) -> Vec<Check> {
        join_all(self.0.iter().map(|(part, probe)| async move {
            let answer = match tokio::time::timeout(patience, probe()).await {
                Ok(answer) => answer,
                Err(_elapsed) => Err(format!("no answer within {} s", patience.as_secs_f64())),
            };
            Check {
                part: (*part).to_owned(),
                ok: answer.is_ok(),
                detail: answer.unwrap_or_else(|reason| reason),
            }
        }))
        .await
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.0.iter().map(|(part, _)| part))
            .finish()
    }
}

/// Whether the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `alive`.
    status: &'static str,
    /// The version of the program.
    version: &'static str,
}

/// Whether the service can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// Every part with its reason.
    checks: Vec<Check>,
}

/// One part of the service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Check {
    /// The part, such as `store`.
    part: String,
    /// Whether it works.
    ok: bool,
    /// What it says.
    detail: String,
}

/// Says that the process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "get_health", tag = "service",
    responses((status = 200, body = Health)))]
pub async fn healthz() -> Json<Health> {
    Json(Health {
        status: "alive",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Says whether the service can do its work, and what is missing.
#[utoipa::path(get, path = "/readyz", operation_id = "get_readiness", tag = "service",
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
pub async fn readyz(State(state): State<ApiState>) -> (StatusCode, Json<Ready>) {
    let checks = state.readiness.ask(PROBE_TIMEOUT).await;
    let ready = checks.iter().all(|check| check.ok);
    let (code, status) = if ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
    };
    (code, Json(Ready { status, checks }))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn every_part_is_asked_and_a_silent_one_fails() {
        let readiness = Readiness::new()
            .with("store", || async { Ok("migrated".to_owned()) }.boxed())
            .with("mqtt", || {
                async { Err("the broker is away".to_owned()) }.boxed()
            })
            .with("ingest", || std::future::pending().boxed());
        let told: Vec<_> = readiness
            .ask(Duration::from_millis(5))
            .await
            .into_iter()
            .map(|check| (check.part, check.ok, check.detail))
            .collect();
        let expected = [
            ("store", true, "migrated"),
            ("mqtt", false, "the broker is away"),
            ("ingest", false, "no answer within 0.005 s"),
        ];
        assert_eq!(
            told,
            expected.map(|(part, ok, detail)| (part.into(), ok, detail.into()))
        );
    }
}
