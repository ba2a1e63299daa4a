//! Bookings as callers see them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::{BookingError, BookingStatus, BookingVerb};
use crate::orders::views::AssetRef;
use crate::store::columns::{instant, instant_opt, int, int_opt, json, parsed, text, text_opt};
use crate::store::ids::{BookingId, ResourceId, SiteId, WorkOrderId};
use crate::store::page::{Page, PageRequest};
use crate::store::{Db, StoreError};

/// A booking.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BookingView {
    /// Identity.
    pub id: BookingId,
    /// What for.
    pub work_order_id: WorkOrderId,
    /// What people call the order.
    pub work_order_number: String,
    /// Who.
    pub resource_id: ResourceId,
    /// Who, for people.
    pub resource_name: String,
    /// The machine.
    pub asset: AssetRef,
    /// Where.
    pub site_id: SiteId,
    /// Where it stands.
    pub status: BookingStatus,
    /// Planned begin of the travel.
    pub travel_from: DateTime<Utc>,
    /// Planned begin of the work.
    pub starts_at: DateTime<Utc>,
    /// Planned end of the work.
    pub ends_at: DateTime<Utc>,
    /// Planned travel. **Units** minutes.
    pub travel_minutes: i64,
    /// Planned way. **Units** meters of road.
    pub distance_m: i64,
    /// Why this technician at this time, and why none of the others.
    pub explanation: Value,
    /// When the technician set out.
    pub traveled_at: Option<DateTime<Utc>>,
    /// When the work began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the visit ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// What came out of the visit.
    pub outcome: Option<String>,
    /// What the technician wrote.
    pub notes: Option<String>,
    /// **Units** minutes.
    pub minutes_worked: Option<i64>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Grows with every change.
    pub version: i64,
    /// What may be done now.
    pub allowed_actions: Vec<BookingVerb>,
}

/// Which bookings to list; an empty filter lists all.
#[derive(Debug, Clone, Default)]
pub struct BookingFilter {
    /// Of this resource.
    pub resource: Option<ResourceId>,
    /// Of this order.
    pub work_order: Option<WorkOrderId>,
    /// With this status.
    pub status: Option<BookingStatus>,
}

const COLUMNS: &str = "SELECT b.id, b.work_order_id, w.number, b.resource_id, r.name, \
     a.id AS asset_id, a.tag, a.class, w.site_id, b.status, b.travel_from, b.starts_at, \
     b.ends_at, b.travel_minutes, b.distance_m, b.explanation, b.traveled_at, b.started_at, \
     b.ended_at, b.outcome, b.notes, b.minutes_worked, b.created_at, b.version FROM bookings b \
     JOIN work_orders w ON w.id = b.work_order_id JOIN assets a ON a.id = w.asset_id \
     JOIN resources r ON r.id = b.resource_id";

/// A page of bookings.
///
/// **Errors** when the store fails.
pub async fn list(
    db: &Db,
    filter: &BookingFilter,
    page: &PageRequest,
) -> Result<Page<BookingView>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} WHERE b.id > $1 AND ($2 = '' OR b.resource_id = $2) \
         AND ($3 = '' OR b.work_order_id = $3) AND ($4 = '' OR b.status = $4) \
         ORDER BY b.id LIMIT $5"
    )))
    .bind(page.after_or_start())
    .bind(filter.resource.as_ref().map_or("", ResourceId::as_str))
    .bind(filter.work_order.as_ref().map_or("", WorkOrderId::as_str))
    .bind(filter.status.map_or("", BookingStatus::as_str))
    .bind(page.fetch_limit())
    .fetch_all(db.pool())
    .await?;
    let items = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page::cut(page, items, |booking: &BookingView| {
        booking.id.to_string()
    }))
}

/// One booking.
///
/// **Errors** when there is none, or the store fails.
pub async fn get(conn: &mut AnyConnection, id: &BookingId) -> Result<BookingView, BookingError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE b.id = $1")))
        .bind(id.as_str())
        .fetch_optional(conn)
        .await?;
    match row {
        Some(row) => Ok(read(&row)?),
        None => Err(BookingError::NotFound(id.clone())),
    }
}

fn read(row: &AnyRow) -> Result<BookingView, StoreError> {
    let status: BookingStatus = parsed(row, "status")?;
    Ok(BookingView {
        id: parsed(row, "id")?,
        work_order_id: parsed(row, "work_order_id")?,
        work_order_number: text(row, "number")?,
        resource_id: parsed(row, "resource_id")?,
        resource_name: text(row, "name")?,
        asset: AssetRef {
            id: parsed(row, "asset_id")?,
            tag: text(row, "tag")?,
            class: text(row, "class")?,
        },
        site_id: parsed(row, "site_id")?,
        status,
        travel_from: instant(row, "travel_from")?,
        starts_at: instant(row, "starts_at")?,
        ends_at: instant(row, "ends_at")?,
        travel_minutes: int(row, "travel_minutes")?,
        distance_m: int(row, "distance_m")?,
        explanation: json(row, "explanation")?,
        traveled_at: instant_opt(row, "traveled_at")?,
        started_at: instant_opt(row, "started_at")?,
        ended_at: instant_opt(row, "ended_at")?,
        outcome: text_opt(row, "outcome")?,
        notes: text_opt(row, "notes")?,
        minutes_worked: int_opt(row, "minutes_worked")?,
        created_at: instant(row, "created_at")?,
        version: int(row, "version")?,
        allowed_actions: status.allowed_actions(),
    })
}
