//! `/quarantine`: messages that were refused, with the reason.

use axum::Json;
use axum::extract::{Path, State};
use fieldwright_ingest::quarantine::{QuarantineEntry, QuarantineId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::Command;
use super::idempotency::KeyOptional;
use super::page::{Page, Parameters, Part};
use super::problem::{self, Problem};
use super::state::ApiState;
use super::wire::{Instant, filter, id};

/// Bytes of a payload that a list shows at most.
const SHOWN_BYTES: usize = 4096;

/// A refused message.
#[derive(Debug, Serialize, ToSchema)]
pub struct Quarantined {
    /// Identity.
    #[schema(example = "q12-3")]
    id: String,
    /// The topic as it came.
    topic: String,
    /// The payload as text, or its beginning; bytes that are no text show as `�`.
    payload: String,
    /// Size of the whole payload.
    payload_bytes: u64,
    /// When it was received, business clock.
    received_at: Instant,
    /// Why, as a word.
    #[schema(example = "not_finite")]
    reason: &'static str,
    /// Why, as a sentence.
    detail: String,
    /// What can be done with it.
    allowed_actions: Vec<&'static str>,
}

/// Nothing: the body of a command that needs no words.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What became of a replayed message.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replayed {
    /// Which message it was.
    id: String,
    /// `accepted`: its readings are durable and can be queried.
    status: &'static str,
}

/// Lists the refused messages, oldest first.
#[utoipa::path(get, path = "/quarantine", operation_id = "list_quarantine", tag = "telemetry",
    params(Part), responses((status = 200, body = Page<Quarantined>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(part): Parameters<Part>,
) -> Result<Page<Quarantined>, Problem> {
    let window = part.window("quarantine")?;
    let after: Option<QuarantineId> = filter("cursor", window.after.as_deref())?;
    let page = state.ingest.quarantine().list(after, window.fetch());
    let page = window.page(page.entries, |entry| entry.id.to_string());
    Ok(page.map(|entry| shown(&entry)))
}

/// Submits a refused message again, as received now; once accepted it leaves the quarantine.
///
/// Replaying twice is harmless, because a reading counts once.
#[utoipa::path(post, path = "/quarantine/{id}/replay", operation_id = "replay_quarantined",
    tag = "telemetry",
    params(("id" = String, Path, description = "Id of the message"), KeyOptional),
    request_body = Nothing, responses((status = 200, body = Replayed)))]
pub async fn replay(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    _command: Command<Nothing>,
) -> Result<Json<Replayed>, Problem> {
    let id: QuarantineId = id("quarantined message", &text)?;
    state
        .ingest
        .quarantine()
        .replay(id)
        .await
        .map_err(problem::of_replay)?;
    Ok(Json(Replayed {
        id: id.to_string(),
        status: "accepted",
    }))
}

fn shown(entry: &QuarantineEntry) -> Quarantined {
    let beginning = &entry.payload[..entry.payload.len().min(SHOWN_BYTES)];
    let is_whole = entry.payload.len() as u64 == entry.payload_bytes;
    Quarantined {
        id: entry.id.to_string(),
        topic: String::from_utf8_lossy(&entry.topic).into_owned(),
        payload: String::from_utf8_lossy(beginning).into_owned(),
        payload_bytes: entry.payload_bytes,
        received_at: entry.received_at.into(),
        reason: entry.reason.name(),
        detail: entry.reason.to_string(),
        allowed_actions: if is_whole { vec!["replay"] } else { Vec::new() },
    }
}
