//! Booking: solve inside the transaction that books, so nobody is booked twice.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::AnyConnection;

use super::solver::{Candidate, Proposal, Requirement, solve};
use super::travel::Place;
use super::{SchedulingError, board};
use crate::execution::{self, NewBooking};
use crate::orders::{self, Command, Status, WorkOrder};
use crate::registry::{RegistryError, catalog, sites};
use crate::store::ids::{BookingId, ResourceId, WorkOrderId};
use crate::store::{Ctx, Tx};

/// A wish about when and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleRequest {
    /// Only this resource.
    pub resource_id: Option<ResourceId>,
    /// Work begins no sooner.
    pub start_after: Option<DateTime<Utc>>,
}

/// Books one order because a person asks for it; a scheduled order keeps its booking.
///
/// **Errors** when nobody can come, the order refuses, the version is older, or the store fails.
pub async fn schedule(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &WorkOrderId,
    request: &ScheduleRequest,
    expected_version: Option<i64>,
) -> Result<BookingId, SchedulingError> {
    let order = orders::load(tx.conn(), id).await?;
    if order.status == Status::Scheduled
        && let Some(booking) = execution::live_booking(tx.conn(), id).await?
    {
        return Ok(booking);
    }
    order
        .check_version(expected_version)
        .map_err(orders::OrderError::from)?;
    // The order's own refusal says more than a missing slot would.
    order
        .decide(&Command::Schedule, ctx.now)
        .map_err(orders::OrderError::from)?;
    let proposal = propose(tx.conn(), ctx, &order, request).await?;
    let number = order.number.clone();
    match book(tx, ctx, order, &proposal).await? {
        Some(booking) => Ok(booking),
        None => Err(SchedulingError::NoSlot {
            number,
            reason: proposal.reasons_against(),
        }),
    }
}

/// The earliest slot of an order as the store stands on this connection.
pub(super) async fn propose(
    conn: &mut AnyConnection,
    ctx: &Ctx,
    order: &WorkOrder,
    request: &ScheduleRequest,
) -> Result<Proposal, SchedulingError> {
    let requirement = requirement(conn, ctx, order, request).await?;
    let mut candidates: Vec<Candidate> = board::candidates(conn, ctx.now).await?;
    if let Some(only) = &request.resource_id {
        candidates.retain(|candidate| candidate.id == *only);
        if candidates.is_empty() {
            return Err(RegistryError::NoSuchResource(only.to_string()).into());
        }
    }
    Ok(solve(&requirement, &candidates))
}

/// What an order needs of whoever comes.
pub(super) async fn requirement(
    conn: &mut AnyConnection,
    ctx: &Ctx,
    order: &WorkOrder,
    request: &ScheduleRequest,
) -> Result<Requirement, SchedulingError> {
    let site = sites::get(conn, order.site_id.as_str()).await?;
    let work = catalog::incident_type(conn, &order.incident_type).await?;
    Ok(Requirement {
        place: Place {
            latitude: site.latitude,
            longitude: site.longitude,
        },
        zone: site.time_zone,
        skills: work.skills,
        minutes: work.duration_minutes,
        leave_after: ctx.now,
        start_after: request.start_after.unwrap_or(ctx.now),
    })
}

/// Books what was proposed; none when nobody can come.
pub(super) async fn book(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: WorkOrder,
    proposal: &Proposal,
) -> Result<Option<BookingId>, SchedulingError> {
    let Some(slot) = &proposal.slot else {
        return Ok(None);
    };
    let new = NewBooking {
        order: &order,
        slot,
        explanation: json!({ "resources": proposal.assessments }),
    };
    let booking = execution::insert(tx, ctx, &new).await?;
    let facts = json!({ "booking_id": booking });
    orders::perform(tx, ctx, &order.id, &Command::Schedule, None, facts).await?;
    sqlx::query("UPDATE work_orders SET unbooked_reason = NULL WHERE id = $1")
        .bind(order.id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(Some(booking))
}
