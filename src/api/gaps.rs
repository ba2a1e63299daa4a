//! `/mqtt/gaps`: times for which a consumed broker may have dropped messages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use fieldwright_ingest::mqtt::Gap;
use serde::Serialize;
use utoipa::ToSchema;

use super::state::ApiState;
use super::wire::Instant;

/// Where the gaps are asked for.
#[derive(Clone)]
pub struct GapSource(Arc<dyn Fn() -> Vec<Gap> + Send + Sync>);

impl GapSource {
    /// A source that asks `gaps`.
    pub fn new(gaps: impl Fn() -> Vec<Gap> + Send + Sync + 'static) -> Self {
        Self(Arc::new(gaps))
    }
}

impl std::fmt::Debug for GapSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("GapSource").finish()
    }
}

/// A time for which messages may be missing: the broker had lost our session.
#[derive(Debug, Serialize, ToSchema)]
pub struct PossibleGap {
    /// Names the session.
    client_id: String,
    /// When the broker was last heard; none when that was in an earlier run.
    from: Option<Instant>,
    /// When we were connected again.
    to: Instant,
    /// Number of the connection that found the session gone, from the start of this run.
    connection: u64,
}

/// All gaps that are kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct PossibleGaps {
    /// The newest 256, oldest first.
    items: Vec<PossibleGap>,
}

/// Lists the times for which a consumed broker may have dropped messages, oldest first.
#[utoipa::path(get, path = "/mqtt/gaps", operation_id = "list_mqtt_gaps", tag = "telemetry",
    responses((status = 200, body = PossibleGaps)))]
pub async fn list(State(state): State<ApiState>) -> Json<PossibleGaps> {
    let gaps = (state.gaps.0)().into_iter().map(|gap| PossibleGap {
        client_id: gap.client_id,
        from: gap.from.map(Instant::from),
        to: gap.to.into(),
        connection: gap.connection,
    });
    Json(PossibleGaps {
        items: gaps.collect(),
    })
}
