//! Booking: solve inside the transaction that books, so nobody is booked twice.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::solver::{Candidate, Proposal, Requirement, solve};
use super::travel::Place;
use super::{SchedulingError, board};
use crate::execution::{self, NewBooking};
use crate::orders::{self, Command, Status, WorkOrder};
use crate::registry::{RegistryError, catalog, sites};
use crate::store::columns::{parsed, text_opt};
use crate::store::ids::{BookingId, ResourceId, WorkOrderId};
use crate::store::{Ctx, Db, StoreError, Tx};

/// Orders that one tick tries at most; the rest follow in the next one.
const MAX_PER_TICK: i64 = 200;

/// A wish about when and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleRequest {
    /// Only this resource.
    pub resource_id: Option<ResourceId>,
    /// Work begins no sooner.
    pub start_after: Option<DateTime<Utc>>,
}

/// An order that was booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// The order.
    pub order: WorkOrderId,
    /// Its booking.
    pub booking: BookingId,
}

/// What one tick did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TickReport {
    /// Orders that were booked.
    pub booked: Vec<Booked>,
    /// Orders for which nobody can come, with the reasons.
    pub unbooked: Vec<(WorkOrderId, String)>,
}

/// Books every unscheduled order that somebody can take, most urgent first.
///
/// **Errors** when the store fails; what was booked before stays booked.
pub async fn tick(db: &Db, ctx: &Ctx) -> Result<TickReport, SchedulingError> {
    let rows = sqlx::query(
        "SELECT id FROM work_orders WHERE status = 'unscheduled' ORDER BY priority, id LIMIT $1",
    )
    .bind(MAX_PER_TICK)
    .fetch_all(db.pool())
    .await?;
    let mut report = TickReport::default();
    for row in rows {
        let order: WorkOrderId = parsed(&row, "id")?;
        match try_one(db, ctx, &order).await? {
            Tried::Booked(booking) => report.booked.push(Booked { order, booking }),
            Tried::NoSlot(reason) => report.unbooked.push((order, reason)),
            Tried::MovedOn => {}
        }
    }
    Ok(report)
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
    let proposal = propose(tx, ctx, &order, request).await?;
    let number = order.number.clone();
    match book(tx, ctx, order, &proposal).await? {
        Some(booking) => Ok(booking),
        None => Err(SchedulingError::NoSlot {
            number,
            reason: proposal.reasons_against(),
        }),
    }
}

enum Tried {
    Booked(BookingId),
    NoSlot(String),
    MovedOn,
}

async fn try_one(db: &Db, ctx: &Ctx, id: &WorkOrderId) -> Result<Tried, SchedulingError> {
    db.write(|tx| {
        Box::pin(async move {
            let order = orders::load(tx.conn(), id).await?;
            if order.status != Status::Unscheduled {
                return Ok(Tried::MovedOn);
            }
            let proposal = propose(tx, ctx, &order, &ScheduleRequest::default()).await?;
            if let Some(booking) = book(tx, ctx, order, &proposal).await? {
                return Ok(Tried::Booked(booking));
            }
            let reason = proposal.reasons_against();
            note_unbooked(tx, id, &reason).await?;
            Ok(Tried::NoSlot(reason))
        })
    })
    .await
}

async fn propose(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &WorkOrder,
    request: &ScheduleRequest,
) -> Result<Proposal, SchedulingError> {
    let site = sites::get(tx.conn(), order.site_id.as_str()).await?;
    let work = catalog::incident_type(tx.conn(), &order.incident_type).await?;
    let requirement = Requirement {
        place: Place {
            latitude: site.latitude,
            longitude: site.longitude,
        },
        zone: site.time_zone,
        skills: work.skills,
        minutes: work.duration_minutes,
        leave_after: ctx.now,
        start_after: request.start_after.unwrap_or(ctx.now),
    };
    let mut candidates: Vec<Candidate> = board::candidates(tx.conn(), ctx.now).await?;
    if let Some(only) = &request.resource_id {
        candidates.retain(|candidate| candidate.id == *only);
        if candidates.is_empty() {
            return Err(RegistryError::NoSuchResource(only.to_string()).into());
        }
    }
    Ok(solve(&requirement, &candidates))
}

async fn book(
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

/// Keeps the reasons beside the order; they are no change of the order, so its version stays.
async fn note_unbooked(tx: &mut Tx<'_>, id: &WorkOrderId, reason: &str) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT unbooked_reason FROM work_orders WHERE id = $1")
        .bind(id.as_str())
        .fetch_one(tx.conn())
        .await?;
    if text_opt(&row, "unbooked_reason")?.as_deref() != Some(reason) {
        sqlx::query("UPDATE work_orders SET unbooked_reason = $1 WHERE id = $2")
            .bind(reason)
            .bind(id.as_str())
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}
