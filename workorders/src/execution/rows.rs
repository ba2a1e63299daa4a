//! Bookings in the store: load, insert with the guard against double booking, save.

use serde_json::{Value, json};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::{Booking, BookingError, BookingStatus, Refusal};
use crate::orders::WorkOrder;
use crate::scheduling::solver::{GRID_MINUTES, Slot};
use crate::store::audit::{self, Change};
use crate::store::columns::{
    instant, instant_opt, int, int_opt, micros, micros_opt, parsed, text, text_opt,
};
use crate::store::ids::{BookingId, WorkOrderId};
use crate::store::{Ctx, StoreError, Tx, outbox};

/// A booking to be made.
#[derive(Debug)]
pub struct NewBooking<'a> {
    /// What for.
    pub order: &'a WorkOrder,
    /// Who and when.
    pub slot: &'a Slot,
    /// Why this one and none of the others.
    pub explanation: Value,
}

const COLUMNS: &str = "SELECT id, work_order_id, resource_id, status, travel_from, starts_at, \
     ends_at, travel_minutes, traveled_at, started_at, ended_at, outcome, notes, minutes_worked, \
     version FROM bookings";

/// Makes a booking with its event and audit row.
///
/// **Errors** when the technician is booked already at that time, or the store fails.
pub async fn insert(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    new: &NewBooking<'_>,
) -> Result<BookingId, BookingError> {
    let slot = new.slot;
    refuse_overlap(tx.conn(), slot).await?;
    let id = BookingId::new(ctx);
    sqlx::query(
        "INSERT INTO bookings (id, work_order_id, resource_id, status, live_key, travel_from, \
         starts_at, ends_at, travel_minutes, distance_m, explanation, created_at, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1)",
    )
    .bind(id.as_str())
    .bind(new.order.id.as_str())
    .bind(slot.resource_id.as_str())
    .bind(BookingStatus::Scheduled.as_str())
    .bind(new.order.id.as_str())
    .bind(micros(slot.travel_from))
    .bind(micros(slot.starts_at))
    .bind(micros(slot.ends_at))
    .bind(slot.travel_minutes)
    .bind(slot.distance_m)
    .bind(new.explanation.to_string())
    .bind(micros(ctx.now))
    .execute(tx.conn())
    .await?;
    hold_slots(tx, &id, slot).await?;
    tell_created(tx, ctx, &id, new).await?;
    Ok(id)
}

/// The order's live booking.
///
/// **Errors** when the store fails.
pub async fn live_booking(
    conn: &mut AnyConnection,
    order: &WorkOrderId,
) -> Result<Option<BookingId>, StoreError> {
    let row = sqlx::query("SELECT id FROM bookings WHERE live_key = $1")
        .bind(order.as_str())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(|row| parsed(row, "id")).transpose()
}

pub(super) async fn load(
    conn: &mut AnyConnection,
    id: &BookingId,
) -> Result<Booking, BookingError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE id = $1")))
        .bind(id.as_str())
        .fetch_optional(conn)
        .await?;
    match row {
        Some(row) => Ok(read(&row)?),
        None => Err(BookingError::NotFound(id.clone())),
    }
}

/// Saves the booking if its version in the store is still `before`; one that ended frees its time.
pub(super) async fn save(
    tx: &mut Tx<'_>,
    booking: &Booking,
    before: i64,
) -> Result<(), BookingError> {
    let live_key = booking
        .status
        .is_live()
        .then(|| booking.work_order_id.as_str());
    let done = sqlx::query(
        "UPDATE bookings SET status = $1, live_key = $2, traveled_at = $3, started_at = $4, \
         ended_at = $5, outcome = $6, notes = $7, minutes_worked = $8, version = $9 \
         WHERE id = $10 AND version = $11",
    )
    .bind(booking.status.as_str())
    .bind(live_key)
    .bind(micros_opt(booking.traveled_at))
    .bind(micros_opt(booking.started_at))
    .bind(micros_opt(booking.ended_at))
    .bind(booking.outcome.as_deref())
    .bind(booking.notes.as_deref())
    .bind(booking.minutes_worked)
    .bind(booking.version)
    .bind(booking.id.as_str())
    .bind(before)
    .execute(tx.conn())
    .await?;
    if done.rows_affected() != 1 {
        return Err(Refusal::Stale {
            id: booking.id.to_string(),
            expected: before,
            actual: load(tx.conn(), &booking.id).await?.version,
        }
        .into());
    }
    if !booking.status.is_live() {
        sqlx::query("DELETE FROM booking_slots WHERE booking_id = $1")
            .bind(booking.id.as_str())
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

async fn refuse_overlap(conn: &mut AnyConnection, slot: &Slot) -> Result<(), BookingError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS taken FROM bookings WHERE resource_id = $1 \
         AND live_key IS NOT NULL AND travel_from < $2 AND ends_at > $3",
    )
    .bind(slot.resource_id.as_str())
    .bind(micros(slot.ends_at))
    .bind(micros(slot.travel_from))
    .fetch_one(conn)
    .await?;
    if int(&row, "taken")? > 0 {
        return Err(BookingError::Overlap {
            from: slot.travel_from,
            until: slot.ends_at,
        });
    }
    Ok(())
}

/// Takes every grid slot of the booking's time; the table's key refuses a second holder.
async fn hold_slots(tx: &mut Tx<'_>, id: &BookingId, slot: &Slot) -> Result<(), StoreError> {
    let step = GRID_MINUTES * 60 * 1_000_000;
    let first = micros(slot.travel_from).div_euclid(step);
    let end = (micros(slot.ends_at) + step - 1).div_euclid(step);
    for number in first..end {
        sqlx::query(
            "INSERT INTO booking_slots (resource_id, slot, booking_id) VALUES ($1, $2, $3)",
        )
        .bind(slot.resource_id.as_str())
        .bind(number)
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

async fn tell_created(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &BookingId,
    new: &NewBooking<'_>,
) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT r.name, a.tag, a.class FROM resources r, assets a WHERE r.id = $1 AND a.id = $2",
    )
    .bind(new.slot.resource_id.as_str())
    .bind(new.order.asset_id.as_str())
    .fetch_one(tx.conn())
    .await?;
    let data = json!({
        "work_order_id": new.order.id,
        "number": new.order.number,
        "asset": {
            "id": new.order.asset_id,
            "tag": text(&row, "tag")?,
            "class": text(&row, "class")?,
        },
        "site_id": new.order.site_id,
        "resource_id": new.slot.resource_id,
        "resource": text(&row, "name")?,
        "travel_from": new.slot.travel_from,
        "starts_at": new.slot.starts_at,
        "ends_at": new.slot.ends_at,
        "travel_minutes": new.slot.travel_minutes,
        "distance_m": new.slot.distance_m,
        "explanation": new.explanation,
    });
    outbox::publish(tx, ctx, "booking.created", id.as_str(), data.clone()).await?;
    let change = Change {
        noun: "booking",
        subject: id.as_str(),
        verb: "create",
        before: None,
        after: 1,
        detail: data,
    };
    audit::record(tx, ctx, change).await
}

fn read(row: &AnyRow) -> Result<Booking, StoreError> {
    Ok(Booking {
        id: parsed(row, "id")?,
        work_order_id: parsed(row, "work_order_id")?,
        resource_id: parsed(row, "resource_id")?,
        status: parsed(row, "status")?,
        travel_from: instant(row, "travel_from")?,
        starts_at: instant(row, "starts_at")?,
        ends_at: instant(row, "ends_at")?,
        travel_minutes: int(row, "travel_minutes")?,
        traveled_at: instant_opt(row, "traveled_at")?,
        started_at: instant_opt(row, "started_at")?,
        ended_at: instant_opt(row, "ended_at")?,
        outcome: text_opt(row, "outcome")?,
        notes: text_opt(row, "notes")?,
        minutes_worked: int_opt(row, "minutes_worked")?,
        version: int(row, "version")?,
    })
}
