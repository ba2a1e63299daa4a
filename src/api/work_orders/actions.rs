//! What people do to a work order: book, send back, post, give up.

use axum::extract::{Path, State};
use chrono::TimeDelta;
use fieldwright_workorders::cases::CloseOut;
use fieldwright_workorders::orders::views::detail;
use fieldwright_workorders::orders::{self, Basis, OrderError};
use fieldwright_workorders::scheduling::{self, ScheduleRequest, SchedulingError};
use fieldwright_workorders::store::ids::WorkOrderId;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{COLLECTION, WorkOrderDetail};
use crate::api::command::Command;
use crate::api::idempotency::{KeyOptional, KeyRequired};
use crate::api::once::{Answer, once};
use crate::api::precondition::IfMatch;
use crate::api::problem::{INVALID, Problem};
use crate::api::state::ApiState;
use crate::api::wire::{Instant, body_id, id, plausible};
use crate::api::words;

/// Work is booked no further ahead.
const MAX_AHEAD: TimeDelta = TimeDelta::days(366);

/// Who posts an order, and on what ground.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PostWorkOrder)]
pub struct Posting {
    /// Name of the reviewer.
    actor: String,
    /// The verification that the reviewer relies on.
    verification: Option<Ground>,
    /// Why no verification is acceptable, instead.
    unverified: Option<Unverified>,
    /// What it turned out to be; the technician's outcome counts when nobody says.
    #[schema(value_type = Option<words::CloseOut>)]
    close_out: Option<CloseOut>,
}

/// A verification that an order can be posted on.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PostGround)]
pub enum Ground {
    /// Telemetry is back in its band.
    Passed,
    /// No alarm raised the order.
    NotNeeded,
}

/// Posting without a verdict.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unverified {
    /// Why, such as `no telemetry`; it is kept in the audit trail under the reviewer's name.
    reason: String,
}

/// Who decides, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkOrderDecision)]
pub struct Decision {
    /// Name of the person.
    actor: String,
    /// Why.
    reason: String,
}

/// Who books an order, and with which wishes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ScheduleWorkOrder)]
pub struct Booking {
    /// Name of the person.
    actor: String,
    /// Only this resource.
    resource_id: Option<String>,
    /// Work begins no sooner.
    start_after: Option<Instant>,
}

/// Posts a completed order: freezes its facts, makes and posts its invoice, all or nothing.
#[utoipa::path(post, path = "/work-orders/{id}/post", operation_id = "post_work_order",
    tag = "work",
    params(("id" = String, Path, description = "Id of the order"), IfMatch, KeyRequired),
    request_body = Posting, responses((status = 200, body = WorkOrderDetail)))]
pub async fn post(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Posting>,
) -> Result<Answer, Problem> {
    let (key, version) = (command.required_key()?, command.required_version()?);
    let order: WorkOrderId = id("work order", &text)?;
    let (basis, close_out) = (command.body.basis()?, command.body.close_out);
    let ctx = state.acting_for(&command.body.actor)?;
    let answer = once(&state.db, &ctx, Some(key), COLLECTION, &|tx| {
        Box::pin(async {
            let basis = basis.clone();
            let reviewed = orders::post(tx, &ctx, &order, basis, close_out, Some(version)).await?;
            let detail = detail(tx.conn(), &order).await?;
            Ok::<_, OrderError>((false, WorkOrderDetail::new(detail, Some(reviewed.invoice))))
        })
    })
    .await?;
    Ok(answer)
}

/// Sends a completed order back: it needs another visit.
#[utoipa::path(post, path = "/work-orders/{id}/send-back", operation_id = "send_back_work_order",
    tag = "work",
    params(("id" = String, Path, description = "Id of the order"), IfMatch, KeyOptional),
    request_body = Decision, responses((status = 200, body = WorkOrderDetail)))]
pub async fn send_back(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Decision>,
) -> Result<Answer, Problem> {
    let version = command.required_version()?;
    let order: WorkOrderId = id("work order", &text)?;
    let reason = &command.body.reason;
    let ctx = state.acting_for(&command.body.actor)?;
    let answer = once(&state.db, &ctx, command.key(), COLLECTION, &|tx| {
        Box::pin(async {
            orders::send_back(tx, &ctx, &order, reason, Some(version)).await?;
            let detail = detail(tx.conn(), &order).await?;
            Ok::<_, OrderError>((false, WorkOrderDetail::new(detail, None)))
        })
    })
    .await?;
    Ok(answer)
}

/// Gives an order up, with its live booking.
#[utoipa::path(post, path = "/work-orders/{id}/cancel", operation_id = "cancel_work_order",
    tag = "work",
    params(("id" = String, Path, description = "Id of the order"), IfMatch, KeyOptional),
    request_body = Decision, responses((status = 200, body = WorkOrderDetail)))]
pub async fn cancel(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Decision>,
) -> Result<Answer, Problem> {
    let version = command.required_version()?;
    let order: WorkOrderId = id("work order", &text)?;
    let reason = &command.body.reason;
    let ctx = state.acting_for(&command.body.actor)?;
    let answer = once(&state.db, &ctx, command.key(), COLLECTION, &|tx| {
        Box::pin(async {
            orders::cancel(tx, &ctx, &order, reason, Some(version)).await?;
            let detail = detail(tx.conn(), &order).await?;
            Ok::<_, OrderError>((false, WorkOrderDetail::new(detail, None)))
        })
    })
    .await?;
    Ok(answer)
}

/// Books the earliest slot that somebody can keep; a scheduled order keeps its booking.
#[utoipa::path(post, path = "/work-orders/{id}/schedule", operation_id = "schedule_work_order",
    tag = "work",
    params(("id" = String, Path, description = "Id of the order"), IfMatch, KeyOptional),
    request_body = Booking, responses((status = 200, body = WorkOrderDetail)))]
pub async fn schedule(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Booking>,
) -> Result<Answer, Problem> {
    let version = command.required_version()?;
    let order: WorkOrderId = id("work order", &text)?;
    let wish = ScheduleRequest {
        resource_id: command
            .body
            .resource_id
            .as_deref()
            .map(|text| body_id("/resource_id", text))
            .transpose()?,
        start_after: command
            .body
            .start_after
            .map(|instant| plausible("/start_after", instant, state.clock.now(), MAX_AHEAD))
            .transpose()?,
    };
    let ctx = state.acting_for(&command.body.actor)?;
    let answer = once(&state.db, &ctx, command.key(), COLLECTION, &|tx| {
        Box::pin(async {
            scheduling::schedule(tx, &ctx, &order, &wish, Some(version)).await?;
            let detail = detail(tx.conn(), &order).await?;
            Ok::<_, SchedulingError>((false, WorkOrderDetail::new(detail, None)))
        })
    })
    .await?;
    Ok(answer)
}

impl Posting {
    fn basis(&self) -> Result<Basis, Problem> {
        match (self.verification, &self.unverified) {
            (Some(_), None) => Ok(Basis::Passed),
            (None, Some(unverified)) => Ok(Basis::Unverified {
                reason: unverified.reason.clone(),
            }),
            _ => {
                let detail =
                    "say either verification (passed, not_needed) or unverified with a reason";
                Err(Problem::new(INVALID, detail).field("/verification", detail))
            }
        }
    }
}
