//! What a technician's device reports: on the way, begun, done, not let in, given up.

use axum::extract::{Path, State};
use chrono::TimeDelta;
use fieldwright_workorders::execution::{
    self, BookingError, DeviceStamp, Outcome, PartUsed, WorkReport, views,
};
use fieldwright_workorders::store::ids::BookingId;
use fieldwright_workorders::store::{Ctx, Tx};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Booking;
use crate::api::command::Command;
use crate::api::idempotency::KeyOptional;
use crate::api::once::{Answer, once};
use crate::api::precondition::IfMatchOptional;
use crate::api::problem::{INVALID, Problem};
use crate::api::state::ApiState;
use crate::api::wire::{Instant, id, plausible};

const COLLECTION: &str = "/bookings";

/// A device's clock may be so far ahead of ours.
const MAX_AHEAD: TimeDelta = TimeDelta::days(1);

/// A report of the device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BookingReport)]
pub struct Report {
    /// Name of the technician.
    actor: String,
    /// When it happened, by the device's clock; now when it is missing.
    device_time: Option<Instant>,
}

/// The report at the end of a visit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VisitReport)]
pub struct Visit {
    /// Name of the technician.
    actor: String,
    /// When it happened, by the device's clock; now when it is missing.
    device_time: Option<Instant>,
    /// What came out.
    #[schema(value_type = VisitOutcome)]
    outcome: Outcome,
    /// What the technician wrote.
    #[schema(max_length = 4000)]
    notes: Option<String>,
    /// Minutes worked; the time between start and end when it is missing.
    #[schema(minimum = 0, maximum = 1440)]
    minutes_worked: Option<i64>,
    /// Parts used.
    #[serde(default)]
    #[schema(value_type = Vec<UsedPart>, max_items = 100)]
    parts: Vec<PartUsed>,
}

/// Why a booking is given up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancelBooking)]
pub struct GivingUp {
    /// Name of the person.
    actor: String,
    /// When it happened, by the device's clock; now when it is missing.
    device_time: Option<Instant>,
    /// Why.
    reason: String,
}

/// What came out of a visit.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the domain's own word")]
pub enum VisitOutcome {
    /// The cause is repaired.
    Fixed,
    /// Nothing was wrong.
    NoFaultFound,
    /// Something else than the alarm told of was wrong, and is repaired.
    OtherFault,
    /// Another visit is needed.
    Incomplete,
}

/// A part that was used.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the domain's own reading of it")]
pub struct UsedPart {
    /// The price list's code.
    part: String,
    /// How many; a number or a decimal as text.
    quantity: f64,
}

/// The technician sets out.
#[utoipa::path(post, path = "/bookings/{id}/travel", operation_id = "travel_booking", tag = "work",
    params(("id" = String, Path, description = "Id of the booking"), IfMatchOptional, KeyOptional),
    request_body = Report, responses((status = 200, body = Booking)))]
pub async fn travel(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Report>,
) -> Result<Answer, Problem> {
    let (actor, time) = (&command.body.actor, command.body.device_time);
    perform(&state, &text, &command, actor, time, &Deed::Travel).await
}

/// The technician begins to work.
#[utoipa::path(post, path = "/bookings/{id}/start", operation_id = "start_booking", tag = "work",
    params(("id" = String, Path, description = "Id of the booking"), IfMatchOptional, KeyOptional),
    request_body = Report, responses((status = 200, body = Booking)))]
pub async fn start(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Report>,
) -> Result<Answer, Problem> {
    let (actor, time) = (&command.body.actor, command.body.device_time);
    perform(&state, &text, &command, actor, time, &Deed::Start).await
}

/// The visit is over; what was used and how long it took becomes billable.
#[utoipa::path(post, path = "/bookings/{id}/complete", operation_id = "complete_booking",
    tag = "work",
    params(("id" = String, Path, description = "Id of the booking"), IfMatchOptional, KeyOptional),
    request_body = Visit, responses((status = 200, body = Booking)))]
pub async fn complete(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Visit>,
) -> Result<Answer, Problem> {
    let visit = &command.body;
    let deed = Deed::Complete(WorkReport {
        outcome: visit.outcome,
        notes: visit.notes.clone(),
        minutes_worked: visit.minutes_worked,
        parts: visit.parts.clone(),
    });
    perform(
        &state,
        &text,
        &command,
        &visit.actor,
        visit.device_time,
        &deed,
    )
    .await
}

/// Nobody let the technician in: the order needs another visit.
#[utoipa::path(post, path = "/bookings/{id}/no-access", operation_id = "no_access_booking",
    tag = "work",
    params(("id" = String, Path, description = "Id of the booking"), IfMatchOptional, KeyOptional),
    request_body = Report, responses((status = 200, body = Booking)))]
pub async fn no_access(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Report>,
) -> Result<Answer, Problem> {
    let (actor, time) = (&command.body.actor, command.body.device_time);
    perform(&state, &text, &command, actor, time, &Deed::NoAccess).await
}

/// Gives the booking up: its time is free again, and its order needs another.
#[utoipa::path(post, path = "/bookings/{id}/cancel", operation_id = "cancel_booking", tag = "work",
    params(("id" = String, Path, description = "Id of the booking"), IfMatchOptional, KeyOptional),
    request_body = GivingUp, responses((status = 200, body = Booking)))]
pub async fn cancel(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<GivingUp>,
) -> Result<Answer, Problem> {
    let body = &command.body;
    if body.reason.trim().is_empty() {
        let detail = "say why the booking is given up";
        return Err(Problem::new(INVALID, detail).field("/reason", detail));
    }
    let deed = Deed::Cancel(body.reason.clone());
    perform(
        &state,
        &text,
        &command,
        &body.actor,
        body.device_time,
        &deed,
    )
    .await
}

/// What is done to a booking.
enum Deed {
    Travel,
    Start,
    NoAccess,
    Complete(WorkReport),
    Cancel(String),
}

async fn perform<T>(
    state: &ApiState,
    text: &str,
    command: &Command<T>,
    actor: &str,
    device_time: Option<Instant>,
    deed: &Deed,
) -> Result<Answer, Problem> {
    let booking: BookingId = id("booking", text)?;
    let version = match command.key() {
        Some(_) => command.version(),
        None => Some(command.required_version()?),
    };
    let stamp = DeviceStamp {
        key: command.key().map(|key| key.key.clone()),
        time: device_time
            .map(|instant| plausible("/device_time", instant, state.clock.now(), MAX_AHEAD))
            .transpose()?,
    };
    let ctx = state.acting_for(actor)?;
    let answer = once(&state.db, &ctx, command.key(), COLLECTION, &|tx| {
        Box::pin(async {
            run(tx, &ctx, &booking, deed, &stamp, version).await?;
            let view = views::get(tx.conn(), &booking).await?;
            Ok::<_, BookingError>((false, Booking::from(view)))
        })
    })
    .await?;
    Ok(answer)
}

async fn run(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &BookingId,
    deed: &Deed,
    stamp: &DeviceStamp,
    version: Option<i64>,
) -> Result<execution::Done, BookingError> {
    match deed {
        Deed::Complete(report) => execution::complete(tx, ctx, id, stamp, report, version).await,
        Deed::Cancel(reason) => execution::cancel(tx, ctx, id, stamp, reason, version).await,
        Deed::Travel => execution::travel(tx, ctx, id, stamp, version).await,
        Deed::NoAccess => execution::no_access(tx, ctx, id, stamp, version).await,
        Deed::Start => execution::start(tx, ctx, id, stamp, version).await,
    }
}
