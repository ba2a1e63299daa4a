//! `/service`: which service this is, for those who remember what they told it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::state::ApiState;

/// The service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Service {
    /// The name of its data folder, made with the folder and kept wherever that is moved.
    id: String,
    /// The version of the program.
    version: &'static str,
}

/// Reads which service this is.
///
/// What was stored under one id is not there under another one: that is another data folder.
#[utoipa::path(get, path = "/service", operation_id = "get_service", tag = "service",
    responses((status = 200, body = Service)))]
pub async fn get(State(state): State<ApiState>) -> Json<Service> {
    Json(Service {
        id: state.service_id.to_string(),
        version: env!("CARGO_PKG_VERSION"),
    })
}
