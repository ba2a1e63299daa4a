//! Orders in the store: load, insert, save with the expected version.

use chrono::{DateTime, Utc};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::{OrderError, Refusal, WorkOrder};
use crate::registry::catalog::IncidentType;
use crate::store::columns::{
    instant, instant_opt, int, micros, micros_opt, parsed, parsed_opt, text, text_opt,
};
use crate::store::ids::{TaskId, WorkOrderId};
use crate::store::{Ctx, StoreError, Tx, counters};
use crate::triage::Tier;

const COLUMNS: &str = "SELECT w.id, w.number, w.asset_id, w.site_id, w.account_id, \
     w.incident_type, w.failure_mode, w.status, w.verification, w.summary, w.priority, w.outcome, \
     w.reopen_count, w.last_reason, w.created_at, w.started_at, w.completed_at, w.posted_at, \
     w.posted_by, w.canceled_at, w.version, (SELECT COUNT(*) FROM work_order_tasks t \
     WHERE t.work_order_id = w.id AND t.done_at IS NULL) AS open_tasks FROM work_orders w";

/// The next order number.
pub(super) async fn next_number(tx: &mut Tx<'_>) -> Result<String, StoreError> {
    Ok(format!("WO-{:06}", counters::next(tx, "work_order").await?))
}

pub(crate) async fn load(
    conn: &mut AnyConnection,
    id: &WorkOrderId,
) -> Result<WorkOrder, OrderError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE w.id = $1")))
        .bind(id.as_str())
        .fetch_optional(conn)
        .await?;
    match row {
        Some(row) => Ok(read(&row)?),
        None => Err(OrderError::NotFound(id.clone())),
    }
}

/// The order that works on a condition now.
pub(super) async fn find_open(
    conn: &mut AnyConnection,
    open_key: &str,
) -> Result<Option<WorkOrder>, StoreError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} WHERE w.open_key = $1"
    )))
    .bind(open_key)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(read).transpose()
}

/// What triage asked for when it made the order.
pub(super) async fn tier(
    conn: &mut AnyConnection,
    id: &WorkOrderId,
) -> Result<Option<Tier>, StoreError> {
    let row = sqlx::query("SELECT tier FROM work_orders WHERE id = $1")
        .bind(id.as_str())
        .fetch_one(conn)
        .await?;
    parsed_opt(&row, "tier")
}

/// How an order came to be.
pub(super) struct Origin<'a> {
    pub source: &'static str,
    pub priority_reason: &'a str,
    pub tier: Option<(Tier, DateTime<Utc>)>,
    pub incident_type: &'a IncidentType,
}

pub(super) async fn insert(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &WorkOrder,
    origin: &Origin<'_>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO work_orders (id, number, source, asset_id, site_id, account_id, \
         incident_type, failure_mode, status, verification, open_key, summary, priority, \
         priority_reason, reopen_count, created_at, version, tier, due_at) VALUES ($1, $2, $3, \
         $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
    )
    .bind(order.id.as_str())
    .bind(order.number.as_str())
    .bind(origin.source)
    .bind(order.asset_id.as_str())
    .bind(order.site_id.as_str())
    .bind(order.account_id.as_str())
    .bind(order.incident_type.as_str())
    .bind(order.failure_mode.as_str())
    .bind(order.status.as_str())
    .bind(order.verification.as_str())
    .bind(order.open_key())
    .bind(order.summary.as_str())
    .bind(order.priority)
    .bind(origin.priority_reason)
    .bind(order.reopen_count)
    .bind(micros(order.created_at))
    .bind(order.version)
    .bind(origin.tier.map(|(tier, _)| tier.as_str()))
    .bind(micros_opt(origin.tier.map(|(_, due_at)| due_at)))
    .execute(tx.conn())
    .await?;
    for (position, name) in (1_i64..).zip(&origin.incident_type.tasks) {
        sqlx::query(
            "INSERT INTO work_order_tasks (id, work_order_id, position, name) \
             VALUES ($1, $2, $3, $4)",
        )
        .bind(TaskId::new(ctx).as_str())
        .bind(order.id.as_str())
        .bind(position)
        .bind(name.as_str())
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// Saves the order if its version in the store is still `before`.
pub(super) async fn save(
    tx: &mut Tx<'_>,
    order: &WorkOrder,
    before: i64,
) -> Result<(), OrderError> {
    let done = sqlx::query(
        "UPDATE work_orders SET status = $1, verification = $2, open_key = $3, priority = $4, \
         outcome = $5, reopen_count = $6, last_reason = $7, started_at = $8, completed_at = $9, \
         posted_at = $10, posted_by = $11, canceled_at = $12, version = $13 \
         WHERE id = $14 AND version = $15",
    )
    .bind(order.status.as_str())
    .bind(order.verification.as_str())
    .bind(order.open_key())
    .bind(order.priority)
    .bind(order.outcome.as_deref())
    .bind(order.reopen_count)
    .bind(order.last_reason.as_deref())
    .bind(micros_opt(order.started_at))
    .bind(micros_opt(order.completed_at))
    .bind(micros_opt(order.posted_at))
    .bind(order.posted_by.as_deref())
    .bind(micros_opt(order.canceled_at))
    .bind(order.version)
    .bind(order.id.as_str())
    .bind(before)
    .execute(tx.conn())
    .await?;
    if done.rows_affected() != 1 {
        return Err(Refusal::Stale {
            number: order.number.clone(),
            expected: before,
            actual: load(tx.conn(), &order.id).await?.version,
        }
        .into());
    }
    Ok(())
}

fn read(row: &AnyRow) -> Result<WorkOrder, StoreError> {
    Ok(WorkOrder {
        id: parsed(row, "id")?,
        number: text(row, "number")?,
        asset_id: parsed(row, "asset_id")?,
        site_id: parsed(row, "site_id")?,
        account_id: parsed(row, "account_id")?,
        incident_type: text(row, "incident_type")?,
        failure_mode: text(row, "failure_mode")?,
        status: parsed(row, "status")?,
        verification: parsed(row, "verification")?,
        summary: text(row, "summary")?,
        priority: int(row, "priority")?,
        outcome: text_opt(row, "outcome")?,
        reopen_count: int(row, "reopen_count")?,
        last_reason: text_opt(row, "last_reason")?,
        open_tasks: int(row, "open_tasks")?,
        created_at: instant(row, "created_at")?,
        started_at: instant_opt(row, "started_at")?,
        completed_at: instant_opt(row, "completed_at")?,
        posted_at: instant_opt(row, "posted_at")?,
        posted_by: text_opt(row, "posted_by")?,
        canceled_at: instant_opt(row, "canceled_at")?,
        version: int(row, "version")?,
    })
}
