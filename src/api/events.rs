//! `/events`: what happened, in the order of commits.

use axum::Json;
use axum::extract::State;
use fieldwright_workorders::store::outbox;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::page::Parameters;
use super::problem::{MALFORMED, Problem};
use super::state::ApiState;
use super::wire::Instant;

/// How many events an answer has when nobody says.
const DEFAULT_LIMIT: i64 = 100;

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event {
    /// Position in the feed; grows with every event, without a gap.
    seq: i64,
    /// What happened, such as `work_order.created`.
    #[schema(example = "invoice.posted")]
    kind: String,
    /// The id of what it happened to.
    subject: String,
    /// When, on the business clock.
    time: Instant,
    /// The facts of the event.
    data: Value,
}

/// A piece of the feed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Feed {
    /// The events, oldest first.
    items: Vec<Event>,
    /// Send it as `after` to go on; it stays the same while nothing new happened.
    next_after: i64,
}

/// Where to read the feed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// The seq of the last event that you have; 0 begins at the first.
    #[param(minimum = 0)]
    after: Option<i64>,
    /// How many events at most, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists what happened after a position of the feed.
///
/// The order is that of commits, so a reader who remembers `next_after` misses nothing.
#[utoipa::path(get, path = "/events", operation_id = "list_events", tag = "service",
    params(From), responses((status = 200, body = Feed)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(from): Parameters<From>,
) -> Result<Json<Feed>, Problem> {
    let after = from.after.unwrap_or(0);
    let limit = from.limit.unwrap_or(DEFAULT_LIMIT);
    if after < 0 || !(1..=outbox::MAX_PAGE).contains(&limit) {
        return Err(Problem::new(
            MALFORMED,
            format!(
                "after is at least 0 and limit lies between 1 and {}; got after={after} and limit={limit}",
                outbox::MAX_PAGE
            ),
        ));
    }
    let events = outbox::events_after(&state.db, after, limit).await?;
    let next_after = events.last().map_or(after, |event| event.seq);
    let items = events
        .into_iter()
        .map(|event| Event {
            seq: event.seq,
            kind: event.kind,
            subject: event.subject,
            time: event.time.into(),
            data: event.data,
        })
        .collect();
    Ok(Json(Feed { items, next_after }))
}
