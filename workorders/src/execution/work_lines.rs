//! What a visit leaves behind on its order: done tasks and billable facts.

use super::report::WorkReport;
use super::{Booking, BookingError};
use crate::orders;
use crate::registry::catalog;
use crate::store::columns::{micros, text};
use crate::store::ids::{WorkLineId, WorkOrderId};
use crate::store::{Ctx, StoreError, Tx};

/// Ticks off every open task of an order whose work is done.
pub(super) async fn tick_off_tasks(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &WorkOrderId,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE work_order_tasks SET done_at = $1, done_by = $2 \
         WHERE work_order_id = $3 AND done_at IS NULL",
    )
    .bind(micros(ctx.now))
    .bind(ctx.actor.as_str())
    .bind(order.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes what the visit lets us bill: labor, the way there, and each part.
pub(super) async fn write(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    booking: &Booking,
    minutes: i64,
    report: &WorkReport,
) -> Result<(), BookingError> {
    let row = sqlx::query("SELECT incident_type FROM work_orders WHERE id = $1")
        .bind(booking.work_order_id.as_str())
        .fetch_one(tx.conn())
        .await?;
    let work = catalog::incident_type(tx.conn(), &text(&row, "incident_type")?)
        .await
        .map_err(orders::OrderError::from)?;
    refuse_unpriced(tx, report).await?;
    let traveled = booking.minutes_traveled();
    let mut lines = Vec::with_capacity(2 + report.parts.len());
    lines.push((
        "labor",
        work.labor_code.as_str(),
        minutes.to_string(),
        "minute",
    ));
    if let Some(traveled) = traveled {
        lines.push(("travel", "visit", traveled.to_string(), "minute"));
    }
    for part in &report.parts {
        lines.push((
            "part",
            part.part.as_str(),
            part.quantity.to_string(),
            "piece",
        ));
    }
    for (kind, code, quantity, unit) in lines {
        sqlx::query(
            "INSERT INTO work_lines (id, work_order_id, booking_id, kind, code, quantity, unit, \
             created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(WorkLineId::new(ctx).as_str())
        .bind(booking.work_order_id.as_str())
        .bind(booking.id.as_str())
        .bind(kind)
        .bind(code)
        .bind(quantity)
        .bind(unit)
        .bind(micros(ctx.now))
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// A part that no price list knows could never be billed: the technician is told at once.
async fn refuse_unpriced(tx: &mut Tx<'_>, report: &WorkReport) -> Result<(), BookingError> {
    if report.parts.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query("SELECT DISTINCT code FROM prices WHERE kind = 'part' ORDER BY code")
        .fetch_all(tx.conn())
        .await?;
    let known = rows
        .iter()
        .map(|row| text(row, "code"))
        .collect::<Result<Vec<_>, _>>()?;
    match report.parts.iter().find(|part| !known.contains(&part.part)) {
        Some(part) => Err(BookingError::BadReport(format!(
            "part `{}` is in no price list; known parts are {}",
            part.part,
            known.join(", ")
        ))),
        None => Ok(()),
    }
}
