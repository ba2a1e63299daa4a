//! The round of the scheduler: every order without a booking is tried, most urgent first.
//!
//! No order stands in the way of another: those that nobody can take are passed by, one that fails
//! is logged and left. Nearly every try changes nothing, so it is made on a snapshot, and a writing
//! transaction begins only where there is something to write; it decides anew, inside.

use std::error::Error;

use sqlx::{Any, Transaction};

use super::service::{ScheduleRequest, book, propose, requirement};
use super::solver::{Candidate, Proposal, solve};
use super::{SchedulingError, board};
use crate::orders::{self, Status, WorkOrder};
use crate::problem::{Family, Problem};
use crate::store::columns::{int, text, text_opt};
use crate::store::ids::{BookingId, WorkOrderId};
use crate::store::{Ctx, Db, StoreError, Tx};

/// Orders that are read at once, and tried on one snapshot at most.
const PAGE: i64 = 200;

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
    /// How many orders nobody can take; the reasons stand beside each of them.
    pub unbooked: usize,
    /// How many orders could not be tried; the log says why.
    pub failed: usize,
}

/// Books every unscheduled order that somebody can take, most urgent first.
///
/// **Errors** when the store is away; what was booked before stays booked.
pub async fn tick(db: &Db, ctx: &Ctx) -> Result<TickReport, SchedulingError> {
    let mut report = TickReport::default();
    let mut page = page_after(db, 0, "").await?;
    while let Some(last) = page.last() {
        let (priority, id) = (last.priority, last.id.clone());
        try_page(db, ctx, page, &mut report).await?;
        page = page_after(db, priority, &id).await?;
    }
    Ok(report)
}

/// An order that waits for a booking.
struct Waiting {
    id: String,
    priority: i64,
    unbooked_reason: Option<String>,
}

/// The orders behind this one, by urgency and then by age.
async fn page_after(db: &Db, priority: i64, id: &str) -> Result<Vec<Waiting>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, priority, unbooked_reason FROM work_orders WHERE status = 'unscheduled' \
         AND (priority > $1 OR (priority = $1 AND id > $2)) ORDER BY priority, id LIMIT $3",
    )
    .bind(priority)
    .bind(id)
    .bind(PAGE)
    .fetch_all(db.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Waiting {
                id: text(row, "id")?,
                priority: int(row, "priority")?,
                unbooked_reason: text_opt(row, "unbooked_reason")?,
            })
        })
        .collect()
}

async fn try_page(
    db: &Db,
    ctx: &Ctx,
    page: Vec<Waiting>,
    report: &mut TickReport,
) -> Result<(), SchedulingError> {
    let mut view = None;
    for waiting in page {
        match try_one(db, ctx, &waiting, &mut view).await {
            Ok(Tried::Booked(booked)) => report.booked.push(booked),
            Ok(Tried::NoSlot) => report.unbooked += 1,
            Ok(Tried::MovedOn) => {}
            // Nothing behind it would fare better.
            Err(error) if error.family() == Family::Unavailable => return Err(error),
            Err(error) => {
                report.failed += 1;
                let order = waiting.id;
                let error: &(dyn Error + 'static) = &error;
                tracing::error!(order, error, "cannot schedule this order; the others go on");
            }
        }
    }
    Ok(())
}

enum Tried {
    Booked(Booked),
    NoSlot,
    MovedOn,
}

/// One moment of the store: who there is and what is booked.
struct View {
    snapshot: Transaction<'static, Any>,
    candidates: Vec<Candidate>,
}

impl View {
    async fn open(db: &Db, ctx: &Ctx) -> Result<Self, SchedulingError> {
        let mut snapshot = db.snapshot().await?;
        let candidates = board::candidates(&mut snapshot, ctx.now).await?;
        Ok(Self {
            snapshot,
            candidates,
        })
    }

    async fn propose(&mut self, ctx: &Ctx, order: &WorkOrder) -> Result<Proposal, SchedulingError> {
        let anytime = ScheduleRequest::default();
        let requirement = requirement(&mut self.snapshot, ctx, order, &anytime).await?;
        Ok(solve(&requirement, &self.candidates))
    }
}

/// Tries one order on the view, and leaves the view for the next one while it is still true.
async fn try_one(
    db: &Db,
    ctx: &Ctx,
    waiting: &Waiting,
    view: &mut Option<View>,
) -> Result<Tried, SchedulingError> {
    let id = waiting
        .id
        .parse()
        .map_err(|error| StoreError::unreadable("work_orders.id", error))?;
    let mut seen = match view.take() {
        Some(view) => view,
        None => View::open(db, ctx).await?,
    };
    let order = orders::load(&mut seen.snapshot, &id).await?;
    if order.status != Status::Unscheduled {
        *view = Some(seen);
        return Ok(Tried::MovedOn);
    }
    let proposal = seen.propose(ctx, &order).await?;
    let is_known = waiting.unbooked_reason.as_deref() == Some(proposal.reasons_against().as_str());
    if proposal.slot.is_none() && is_known {
        *view = Some(seen);
        return Ok(Tried::NoSlot);
    }
    // Let go before writing: what is written makes it old.
    seen.snapshot.rollback().await?;
    let id = &id;
    db.write(|tx| Box::pin(async move { write_one(tx, ctx, id).await }))
        .await
}

async fn write_one(tx: &mut Tx<'_>, ctx: &Ctx, id: &WorkOrderId) -> Result<Tried, SchedulingError> {
    let order = orders::load(tx.conn(), id).await?;
    if order.status != Status::Unscheduled {
        return Ok(Tried::MovedOn);
    }
    let proposal = propose(tx.conn(), ctx, &order, &ScheduleRequest::default()).await?;
    if let Some(booking) = book(tx, ctx, order, &proposal).await? {
        let order = id.clone();
        return Ok(Tried::Booked(Booked { order, booking }));
    }
    // The reasons are no change of the order, so its version stays.
    sqlx::query("UPDATE work_orders SET unbooked_reason = $1 WHERE id = $2")
        .bind(proposal.reasons_against())
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(Tried::NoSlot)
}
