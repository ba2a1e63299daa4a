//! `POST /readings`: readings as JSON, many at once, for programs that speak HTTP.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use fieldwright_ingest::config::READINGS_TOPIC;
use fieldwright_ingest::intake::OfferError;
use fieldwright_ingest::source::Envelope;
use fieldwright_ingest::validate::Rejection;
use serde::Serialize;
use utoipa::ToSchema;

use super::command::{is_json, unread};
use super::problem::{MEDIA_TYPE, Problem, TOO_LARGE, UNAVAILABLE, of_rejection};
use super::state::ApiState;
use super::wire::Instant;

/// Readings of one class.
#[derive(Debug, ToSchema)]
#[schema(as = Readings)]
pub struct Batch {
    /// The class of the assets: their table.
    #[schema(example = "pump")]
    #[allow(
        dead_code,
        reason = "the codec of the pipeline reads the body; this documents it"
    )]
    class: String,
    /// The samples; at most `ingest.max_rows_per_message`.
    #[allow(
        dead_code,
        reason = "the codec of the pipeline reads the body; this documents it"
    )]
    samples: Vec<Sample>,
}

/// What one asset showed at one instant.
#[derive(Debug, ToSchema)]
#[allow(
    dead_code,
    reason = "the codec of the pipeline reads the body; this documents it"
)]
pub struct Sample {
    /// The asset's tag.
    #[schema(example = "P-101")]
    asset: String,
    /// The event time: RFC 3339, or milliseconds since 1970.
    time: Instant,
    /// Metric → number, text or boolean; null is no value.
    metrics: BTreeMap<String, serde_json::Value>,
    /// `good` (default), `uncertain` or `bad`.
    quality: Option<String>,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stored {
    /// `stored`: every sample is synced to disk and can be queried.
    status: &'static str,
}

/// Stores readings; answers once all of them are synced to disk and can be queried.
#[utoipa::path(post, path = "/readings", operation_id = "create_readings", tag = "telemetry",
    request_body = Batch, responses((status = 201, body = Stored)))]
pub async fn create(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Stored>), Problem> {
    let payload = body.map_err(|rejection| unread(&rejection))?;
    if !is_json(&headers) {
        let detail = "send the body as JSON, with `Content-Type: application/json`";
        return Err(Problem::new(MEDIA_TYPE, detail));
    }
    let envelope = Envelope {
        topic: Bytes::from_static(READINGS_TOPIC.as_bytes()),
        payload: payload.into(),
        received_at: state.clock.now(),
    };
    match state.ingest.intake().offer(envelope).await {
        Ok(()) => Ok((StatusCode::CREATED, Json(Stored { status: "stored" }))),
        Err(OfferError::Refused(refusal @ Rejection::PayloadTooLarge { .. })) => {
            Err(Problem::new(TOO_LARGE, refusal.to_string()))
        }
        Err(OfferError::Refused(refusal)) => Err(of_rejection(&refusal)),
        Err(OfferError::Full | OfferError::Closed) => Err(Problem::new(
            UNAVAILABLE,
            "readings are not taken now; send the same again",
        )),
    }
}
