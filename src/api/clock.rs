//! `/clock`: what time the service believes it is.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::state::ApiState;
use super::wire::Instant;

/// How the business clock runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClockMode {
    /// It is the wall clock.
    Real,
    /// It belongs to a simulated world and runs at its own rate.
    Scaled,
}

/// The business clock.
#[derive(Debug, Serialize, ToSchema)]
pub struct Clock {
    /// The business instant now.
    now: Instant,
    /// How it runs.
    mode: ClockMode,
    /// Business seconds per second of the wall.
    rate: f64,
}

/// Reads the business clock.
///
/// Readings, shifts, travel and payment terms follow this clock; simulated people read it too.
#[utoipa::path(get, path = "/clock", operation_id = "get_clock", tag = "service",
    responses((status = 200, body = Clock)))]
pub async fn get(State(state): State<ApiState>) -> Json<Clock> {
    Json(Clock {
        now: state.clock.now().into(),
        mode: state.clock_mode,
        rate: state.clock.rate(),
    })
}
