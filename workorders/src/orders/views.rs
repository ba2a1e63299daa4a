//! Work orders as callers see them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::lifecycle::allowed_actions;
use super::{OrderError, Status, Verb, Verification, evidence};
use crate::cases::CloseOut;
use crate::registry::catalog;
use crate::store::columns::{instant, instant_opt, int, json, parsed, parsed_opt, text, text_opt};
use crate::store::ids::{AccountId, AssetId, BookingId, SiteId, TaskId, WorkLineId, WorkOrderId};
use crate::store::page::{Page, PageRequest};
use crate::store::{Db, StoreError};
use crate::triage::Tier;

/// An asset, as other things name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetRef {
    /// Identity.
    pub id: AssetId,
    /// Tag.
    pub tag: String,
    /// Class.
    pub class: String,
}

/// A work order in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkOrderView {
    /// Identity.
    pub id: WorkOrderId,
    /// What people call it.
    pub number: String,
    /// `alarm` or `person`.
    pub source: String,
    /// The machine.
    pub asset: AssetRef,
    /// Where.
    pub site_id: SiteId,
    /// Who pays.
    pub account_id: AccountId,
    /// The template of the work.
    pub incident_type: String,
    /// What is wrong.
    pub failure_mode: String,
    /// Where it stands.
    pub status: Status,
    /// Whether telemetry confirms the repair.
    pub verification: Verification,
    /// One sentence for people.
    pub summary: String,
    /// 1 most urgent to 5.
    pub priority: i64,
    /// Why this priority.
    pub priority_reason: String,
    /// `planned_inspection` or `dispatch`, where triage made it.
    pub tier: Option<Tier>,
    /// By when somebody should be there, where triage made it.
    pub due_at: Option<DateTime<Utc>>,
    /// What it turned out to be, once it is posted.
    pub close_out: Option<CloseOut>,
    /// What came out of the work.
    pub outcome: Option<String>,
    /// How often it was reopened or sent back.
    pub reopen_count: i64,
    /// The reason of the last move that had one.
    pub last_reason: Option<String>,
    /// Why nobody is booked yet, when that was tried.
    pub unbooked_reason: Option<String>,
    /// The live booking.
    pub booking_id: Option<BookingId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When a technician first traveled or worked.
    pub started_at: Option<DateTime<Utc>>,
    /// When the work was last completed.
    pub completed_at: Option<DateTime<Utc>>,
    /// When it was posted.
    pub posted_at: Option<DateTime<Utc>>,
    /// Who posted it.
    pub posted_by: Option<String>,
    /// When it was given up.
    pub canceled_at: Option<DateTime<Utc>>,
    /// Grows with every change.
    pub version: i64,
    /// What a person may do now.
    pub allowed_actions: Vec<Verb>,
}

/// A work order with everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkOrderDetail {
    /// The order.
    #[serde(flatten)]
    pub order: WorkOrderView,
    /// What is to be done.
    pub tasks: Vec<TaskView>,
    /// The alarms behind it.
    pub alarms: Vec<AlarmEvidence>,
    /// What the work usually needs, as codes of the price list.
    pub usual_parts: Vec<String>,
    /// What it was raised on, frozen.
    pub evidence: Option<Value>,
    /// What was done, as far as it is billable.
    pub work_lines: Vec<WorkLineView>,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskView {
    /// Identity.
    pub id: TaskId,
    /// Place in the list, from 1.
    pub position: i64,
    /// What is to be done.
    pub name: String,
    /// When it was done.
    pub done_at: Option<DateTime<Utc>>,
    /// Who did it.
    pub done_by: Option<String>,
}

/// An alarm behind an order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlarmEvidence {
    /// The alarm's id.
    pub alarm_id: String,
    /// The detector or rule.
    pub cause: String,
    /// How bad, in the detector's word.
    pub severity: String,
    /// One sentence for people.
    pub summary: String,
    /// What was seen.
    pub evidence: Value,
    /// When it was raised.
    pub raised_at: DateTime<Utc>,
    /// When it returned to normal.
    pub returned_at: Option<DateTime<Utc>>,
}

/// A billable fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkLineView {
    /// Identity.
    pub id: WorkLineId,
    /// `labor`, `part` or `travel`.
    pub kind: String,
    /// The price list's code.
    pub code: String,
    /// How much, as a decimal.
    pub quantity: String,
    /// `minute` or `piece`.
    pub unit: String,
}

/// Which orders to list; an empty filter lists all.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    /// With this status.
    pub status: Option<Status>,
    /// On the asset with this id or tag.
    pub asset: Option<String>,
}

const COLUMNS: &str = "SELECT w.id, w.number, w.source, w.site_id, w.account_id, w.incident_type, \
     w.failure_mode, w.status, w.verification, w.summary, w.priority, w.priority_reason, \
     w.outcome, w.reopen_count, w.last_reason, w.unbooked_reason, w.created_at, w.started_at, \
     w.completed_at, w.posted_at, w.posted_by, w.canceled_at, w.version, w.tier, w.due_at, w.close_out, \
     a.id AS asset_id, a.tag, a.class, b.id AS booking_id FROM work_orders w JOIN assets a ON a.id = w.asset_id \
     LEFT JOIN bookings b ON b.live_key = w.id";

/// A page of orders.
///
/// **Errors** when the store fails.
pub async fn list(
    db: &Db,
    filter: &OrderFilter,
    page: &PageRequest,
) -> Result<Page<WorkOrderView>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} WHERE w.id > $1 AND ($2 = '' OR w.status = $2) \
         AND ($3 = '' OR a.id = $3 OR a.tag = $3) ORDER BY w.id LIMIT $4"
    )))
    .bind(page.after_or_start())
    .bind(filter.status.map_or("", Status::as_str))
    .bind(filter.asset.as_deref().unwrap_or(""))
    .bind(page.fetch_limit())
    .fetch_all(db.pool())
    .await?;
    let items = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page::cut(page, items, |order: &WorkOrderView| {
        order.id.to_string()
    }))
}

/// One order with everything that belongs to it, of one moment.
///
/// **Errors** when there is none, or the store fails.
pub async fn get(db: &Db, id: &WorkOrderId) -> Result<WorkOrderDetail, OrderError> {
    let mut moment = db.snapshot().await?;
    detail(&mut moment, id).await
}

/// One order with everything that belongs to it, inside the caller's transaction.
///
/// **Errors** as [`get`].
pub async fn detail(
    conn: &mut AnyConnection,
    id: &WorkOrderId,
) -> Result<WorkOrderDetail, OrderError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE w.id = $1")))
        .bind(id.as_str())
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| OrderError::NotFound(id.clone()))?;
    let order = read(&row)?;
    let usual_parts = catalog::incident_type(conn, &order.incident_type)
        .await?
        .parts;
    Ok(WorkOrderDetail {
        order,
        tasks: tasks(conn, id).await?,
        alarms: alarms(conn, id).await?,
        usual_parts,
        evidence: evidence::pack_of(conn, id).await?,
        work_lines: work_lines(conn, id).await?,
    })
}

async fn tasks(conn: &mut AnyConnection, id: &WorkOrderId) -> Result<Vec<TaskView>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, position, name, done_at, done_by FROM work_order_tasks \
         WHERE work_order_id = $1 ORDER BY position",
    )
    .bind(id.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(TaskView {
                id: parsed(row, "id")?,
                position: int(row, "position")?,
                name: text(row, "name")?,
                done_at: instant_opt(row, "done_at")?,
                done_by: text_opt(row, "done_by")?,
            })
        })
        .collect()
}

async fn alarms(
    conn: &mut AnyConnection,
    id: &WorkOrderId,
) -> Result<Vec<AlarmEvidence>, StoreError> {
    let rows = sqlx::query(
        "SELECT alarm_id, cause, severity, summary, evidence, raised_at, returned_at \
         FROM work_order_alarms WHERE work_order_id = $1 ORDER BY raised_at, alarm_id",
    )
    .bind(id.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(AlarmEvidence {
                alarm_id: text(row, "alarm_id")?,
                cause: text(row, "cause")?,
                severity: text(row, "severity")?,
                summary: text(row, "summary")?,
                evidence: json(row, "evidence")?,
                raised_at: instant(row, "raised_at")?,
                returned_at: instant_opt(row, "returned_at")?,
            })
        })
        .collect()
}

async fn work_lines(
    conn: &mut AnyConnection,
    id: &WorkOrderId,
) -> Result<Vec<WorkLineView>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, kind, code, quantity, unit FROM work_lines WHERE work_order_id = $1 ORDER BY id",
    )
    .bind(id.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(WorkLineView {
                id: parsed(row, "id")?,
                kind: text(row, "kind")?,
                code: text(row, "code")?,
                quantity: text(row, "quantity")?,
                unit: text(row, "unit")?,
            })
        })
        .collect()
}

fn read(row: &AnyRow) -> Result<WorkOrderView, StoreError> {
    let status: Status = parsed(row, "status")?;
    Ok(WorkOrderView {
        id: parsed(row, "id")?,
        number: text(row, "number")?,
        source: text(row, "source")?,
        asset: AssetRef {
            id: parsed(row, "asset_id")?,
            tag: text(row, "tag")?,
            class: text(row, "class")?,
        },
        site_id: parsed(row, "site_id")?,
        account_id: parsed(row, "account_id")?,
        incident_type: text(row, "incident_type")?,
        failure_mode: text(row, "failure_mode")?,
        status,
        verification: parsed(row, "verification")?,
        summary: text(row, "summary")?,
        priority: int(row, "priority")?,
        priority_reason: text(row, "priority_reason")?,
        tier: parsed_opt(row, "tier")?,
        due_at: instant_opt(row, "due_at")?,
        close_out: parsed_opt(row, "close_out")?,
        outcome: text_opt(row, "outcome")?,
        reopen_count: int(row, "reopen_count")?,
        last_reason: text_opt(row, "last_reason")?,
        unbooked_reason: text_opt(row, "unbooked_reason")?,
        booking_id: parsed_opt(row, "booking_id")?,
        created_at: instant(row, "created_at")?,
        started_at: instant_opt(row, "started_at")?,
        completed_at: instant_opt(row, "completed_at")?,
        posted_at: instant_opt(row, "posted_at")?,
        posted_by: text_opt(row, "posted_by")?,
        canceled_at: instant_opt(row, "canceled_at")?,
        version: int(row, "version")?,
        allowed_actions: allowed_actions(status),
    })
}
