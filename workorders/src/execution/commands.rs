//! Commands from devices and dispatchers: the booking changes, and its order follows.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::report::{DeviceStamp, WorkReport};
use super::{Booking, BookingError, BookingVerb, device_keys, rows, work_lines};
use crate::lifecycle::Outcome;
use crate::orders;
use crate::store::audit::{self, Change};
use crate::store::columns::text;
use crate::store::ids::{BookingId, WorkOrderId};
use crate::store::{Ctx, StoreError, Tx, outbox};

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Done {
    /// The booking as it is now.
    pub booking: Booking,
    /// Whether anything changed; a repeat changes nothing.
    pub changed: bool,
}

/// The technician sets out.
///
/// **Errors** when the booking does not exist, refuses, or the store fails.
pub async fn travel(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &BookingId,
    stamp: &DeviceStamp,
    expected_version: Option<i64>,
) -> Result<Done, BookingError> {
    let Step::Go(mut step) =
        begin(tx, ctx, id, BookingVerb::Travel, stamp, expected_version).await?
    else {
        return unchanged(tx, id).await;
    };
    step.booking.traveled_at = Some(step.at);
    let facts = json!({ "travel_minutes": step.booking.travel_minutes });
    finish(tx, ctx, &step, "booking.traveling", facts).await?;
    orders::begin(tx, ctx, &step.booking.work_order_id).await?;
    Ok(step.done())
}

/// The technician begins to work.
///
/// **Errors** as [`travel`].
pub async fn start(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &BookingId,
    stamp: &DeviceStamp,
    expected_version: Option<i64>,
) -> Result<Done, BookingError> {
    let Step::Go(mut step) =
        begin(tx, ctx, id, BookingVerb::Start, stamp, expected_version).await?
    else {
        return unchanged(tx, id).await;
    };
    step.booking.started_at = Some(step.at);
    let facts = json!({ "minutes_traveled": step.booking.minutes_traveled() });
    finish(tx, ctx, &step, "booking.started", facts).await?;
    orders::begin(tx, ctx, &step.booking.work_order_id).await?;
    Ok(step.done())
}

/// The visit is over: what was done becomes billable, and the order is complete or needs another.
///
/// **Errors** as [`travel`], and when the report is wrong.
pub async fn complete(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &BookingId,
    stamp: &DeviceStamp,
    report: &WorkReport,
    expected_version: Option<i64>,
) -> Result<Done, BookingError> {
    report.check()?;
    let Step::Go(mut step) =
        begin(tx, ctx, id, BookingVerb::Complete, stamp, expected_version).await?
    else {
        return unchanged(tx, id).await;
    };
    step.booking.ended_at = Some(step.at);
    let minutes = report
        .minutes_worked
        .or_else(|| step.booking.minutes_on_site())
        .unwrap_or(0);
    step.booking.minutes_worked = Some(minutes);
    step.booking.outcome = Some(report.outcome.to_string());
    step.booking.notes.clone_from(&report.notes);
    let facts = json!({
        "outcome": report.outcome,
        "minutes_worked": minutes,
        "parts": report.parts.iter().map(|part| {
            json!({ "part": part.part, "quantity": part.quantity.to_string() })
        }).collect::<Vec<_>>(),
        "notes": report.notes,
    });
    finish(tx, ctx, &step, "booking.completed", facts.clone()).await?;
    work_lines::write(tx, ctx, &step.booking, minutes, report).await?;
    let order = &step.booking.work_order_id;
    if report.outcome.ends_the_work() {
        work_lines::tick_off_tasks(tx, ctx, order).await?;
        orders::complete(tx, ctx, order, report.outcome.as_str(), facts).await?;
    } else {
        let reason = report
            .notes
            .as_deref()
            .map(str::trim)
            .filter(|n| !n.is_empty());
        let reason = format!("visit incomplete: {}", reason.unwrap_or("no notes"));
        orders::release(tx, ctx, order, &reason).await?;
    }
    Ok(step.done())
}

/// Nobody let the technician in: the order needs another visit.
///
/// **Errors** as [`travel`].
pub async fn no_access(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &BookingId,
    stamp: &DeviceStamp,
    expected_version: Option<i64>,
) -> Result<Done, BookingError> {
    let Step::Go(mut step) =
        begin(tx, ctx, id, BookingVerb::NoAccess, stamp, expected_version).await?
    else {
        return unchanged(tx, id).await;
    };
    step.booking.ended_at = Some(step.at);
    finish(tx, ctx, &step, "booking.no_access", json!({})).await?;
    orders::release(
        tx,
        ctx,
        &step.booking.work_order_id,
        "nobody let the technician in",
    )
    .await?;
    Ok(step.done())
}

/// Gives a booking up: its time is free again, and its order needs another.
///
/// **Errors** as [`travel`].
pub async fn cancel(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &BookingId,
    stamp: &DeviceStamp,
    reason: &str,
    expected_version: Option<i64>,
) -> Result<Done, BookingError> {
    let Step::Go(step) = begin(tx, ctx, id, BookingVerb::Cancel, stamp, expected_version).await?
    else {
        return unchanged(tx, id).await;
    };
    finish(
        tx,
        ctx,
        &step,
        "booking.canceled",
        json!({ "reason": reason }),
    )
    .await?;
    let reason = format!("booking canceled: {reason}");
    orders::release(tx, ctx, &step.booking.work_order_id, &reason).await?;
    Ok(step.done())
}

/// Gives up the live booking of an order that was itself given up.
///
/// **Errors** when the store fails.
pub async fn withdraw(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &WorkOrderId,
    reason: &str,
) -> Result<(), StoreError> {
    let Some(id) = rows::live_booking(tx.conn(), order).await? else {
        return Ok(());
    };
    let canceled = async {
        let stamp = DeviceStamp::default();
        let Step::Go(step) = begin(tx, ctx, &id, BookingVerb::Cancel, &stamp, None).await? else {
            return Ok(());
        };
        finish(
            tx,
            ctx,
            &step,
            "booking.canceled",
            json!({ "reason": reason }),
        )
        .await
    };
    canceled.await.map_err(|error: BookingError| match error {
        BookingError::Store(error) => error,
        // Every live booking may be canceled, so anything else is a row of another program.
        other => StoreError::unreadable("bookings", other),
    })
}

enum Step {
    Go(Box<Going>),
    AlreadySo,
}

/// A command that changes its booking.
struct Going {
    booking: Booking,
    before: i64,
    verb: BookingVerb,
    /// When it happened, by the device as far as that is plausible.
    at: DateTime<Utc>,
}

impl Going {
    fn done(self) -> Done {
        Done {
            booking: self.booking,
            changed: true,
        }
    }
}

async fn unchanged(tx: &mut Tx<'_>, id: &BookingId) -> Result<Done, BookingError> {
    Ok(Done {
        booking: rows::load(tx.conn(), id).await?,
        changed: false,
    })
}

async fn begin(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &BookingId,
    verb: BookingVerb,
    stamp: &DeviceStamp,
    expected_version: Option<i64>,
) -> Result<Step, BookingError> {
    let mut booking = rows::load(tx.conn(), id).await?;
    if device_keys::is_repeated(tx, id, verb, stamp).await? {
        return Ok(Step::AlreadySo);
    }
    let Outcome::Changed(status) = booking.decide(verb, expected_version)? else {
        return Ok(Step::AlreadySo);
    };
    let at = booking.plausible(stamp.time, ctx.now);
    if let Some(key) = &stamp.key {
        device_keys::remember(tx, ctx, id, verb, key, stamp.time.unwrap_or(ctx.now)).await?;
    }
    let before = booking.version;
    booking.status = status;
    booking.version += 1;
    Ok(Step::Go(Box::new(Going {
        booking,
        before,
        verb,
        at,
    })))
}

async fn finish(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    step: &Going,
    kind: &str,
    facts: Value,
) -> Result<(), BookingError> {
    let booking = &step.booking;
    rows::save(tx, booking, step.before).await?;
    let row = sqlx::query(
        "SELECT w.number, w.site_id, a.id, a.tag, a.class, r.name FROM work_orders w \
         JOIN assets a ON a.id = w.asset_id, resources r WHERE w.id = $1 AND r.id = $2",
    )
    .bind(booking.work_order_id.as_str())
    .bind(booking.resource_id.as_str())
    .fetch_one(tx.conn())
    .await?;
    let mut data = json!({
        "work_order_id": booking.work_order_id,
        "number": text(&row, "number")?,
        "asset": {
            "id": text(&row, "id")?,
            "tag": text(&row, "tag")?,
            "class": text(&row, "class")?,
        },
        "site_id": text(&row, "site_id")?,
        "resource_id": booking.resource_id,
        "resource": text(&row, "name")?,
        "status": booking.status,
        "at": step.at,
        "actor": ctx.actor,
    });
    if let (Some(data), Value::Object(facts)) = (data.as_object_mut(), facts) {
        data.extend(facts);
    }
    let change = Change {
        noun: "booking",
        subject: booking.id.as_str(),
        verb: step.verb.as_str(),
        before: Some(step.before),
        after: booking.version,
        detail: data.clone(),
    };
    audit::record(tx, ctx, change).await?;
    outbox::publish(tx, ctx, kind, booking.id.as_str(), data).await?;
    Ok(())
}
