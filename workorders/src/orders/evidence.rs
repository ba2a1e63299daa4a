//! The evidence that an order was raised on: taken once, soon after the order, and never changed.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::AnyConnection;

use super::OrderError;
use crate::store::audit::{self, Change};
use crate::store::columns::{instant, json, micros, parsed, text, text_opt};
use crate::store::idempotency::digest;
use crate::store::ids::WorkOrderId;
use crate::store::{Ctx, Db, StoreError, Tx};

/// Bytes of readings in a pack at most; of more the older half goes, and again.
pub const MAX_READINGS_BYTES: usize = 128 * 1024;
/// Similar cases in a pack.
const SIMILAR: i64 = 5;
/// Orders that wait for their evidence and are told at once, at most.
const MAX_PAGE: i64 = 50;

/// An order without its evidence, and what to ask the readings for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfrozen {
    /// The order.
    pub order: WorkOrderId,
    /// The asset's tag.
    pub asset_tag: String,
    /// The asset's class.
    pub class: String,
    /// When the asset left its band, for the first alarm behind the order.
    pub began_at: DateTime<Utc>,
    /// When the last alarm behind the order was raised.
    pub raised_at: DateTime<Utc>,
}

/// The orders of triage that have no evidence yet, oldest first.
///
/// **Errors** when the store fails.
pub async fn unfrozen(db: &Db) -> Result<Vec<Unfrozen>, StoreError> {
    let rows = sqlx::query(
        "SELECT w.id, a.tag, a.class, MIN(m.began_at) AS began_at, MAX(m.raised_at) AS raised_at \
         FROM work_orders w JOIN assets a ON a.id = w.asset_id \
         JOIN cases c ON c.work_order_id = w.id JOIN case_alarms m ON m.case_id = c.id \
         WHERE w.tier IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM evidence_packs e WHERE e.work_order_id = w.id) \
         GROUP BY w.id, a.tag, a.class ORDER BY w.id LIMIT $1",
    )
    .bind(MAX_PAGE)
    .fetch_all(db.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Unfrozen {
                order: parsed(row, "id")?,
                asset_tag: text(row, "tag")?,
                class: text(row, "class")?,
                began_at: instant(row, "began_at")?,
                raised_at: instant(row, "raised_at")?,
            })
        })
        .collect()
}

/// Freezes the evidence of an order: decision, alarms with their contributions and models, the
/// readings around the raise, similar cases and what they turned out to be.
///
/// `readings` is `{"columns": […], "rows": [[…], …]}`, newest row first. A second time does
/// nothing.
///
/// **Errors** when the store fails.
pub async fn freeze(
    db: &Db,
    ctx: &Ctx,
    order: &WorkOrderId,
    readings: Value,
) -> Result<(), OrderError> {
    let readings = &bounded(readings);
    db.write(|tx| Box::pin(async move { freeze_in(tx, ctx, order, readings).await }))
        .await
}

async fn freeze_in(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &WorkOrderId,
    readings: &Value,
) -> Result<(), OrderError> {
    if pack_of(tx.conn(), order).await?.is_some() {
        return Ok(());
    }
    let row = sqlx::query(
        "SELECT w.failure_mode, a.class, c.id, c.tier, c.reason, c.severity, c.confidence_bp, \
         c.persistence_s, c.failure_ppm, c.agreeing, c.watching FROM work_orders w \
         JOIN assets a ON a.id = w.asset_id JOIN cases c ON c.work_order_id = w.id \
         WHERE w.id = $1 ORDER BY c.id LIMIT 1",
    )
    .bind(order.as_str())
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else {
        return Ok(());
    };
    let int = |column| crate::store::columns::int_opt(&row, column);
    let pack = json!({
        "decision": {
            "case_id": text(&row, "id")?,
            "tier": text(&row, "tier")?,
            "reason": text(&row, "reason")?,
            "severity": text(&row, "severity")?,
            "confidence_bp": int("confidence_bp")?,
            "persistence_s": int("persistence_s")?,
            "failure_ppm": int("failure_ppm")?,
            "agreeing": int("agreeing")?,
            "watching": int("watching")?,
        },
        "alarms": alarms(tx.conn(), &text(&row, "id")?).await?,
        "readings": readings,
        "similar": similar(tx.conn(), &text(&row, "class")?, &text(&row, "failure_mode")?).await?,
    });
    let pack = pack.to_string();
    let digest = digest(pack.as_bytes());
    sqlx::query(
        "INSERT INTO evidence_packs (work_order_id, pack, digest, taken_at) \
         VALUES ($1, $2, $3, $4)",
    )
    .bind(order.as_str())
    .bind(pack)
    .bind(digest.as_str())
    .bind(micros(ctx.now))
    .execute(tx.conn())
    .await?;
    let change = Change {
        noun: "work_order",
        subject: order.as_str(),
        verb: "freeze_evidence",
        before: None,
        after: 1,
        detail: json!({ "digest": digest }),
    };
    Ok(audit::record(tx, ctx, change).await?)
}

/// The frozen evidence of an order with its digest, once there is one.
///
/// **Errors** when the store fails.
pub async fn pack_of(
    conn: &mut AnyConnection,
    order: &WorkOrderId,
) -> Result<Option<Value>, StoreError> {
    let row =
        sqlx::query("SELECT pack, digest, taken_at FROM evidence_packs WHERE work_order_id = $1")
            .bind(order.as_str())
            .fetch_optional(conn)
            .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let mut pack = json(&row, "pack")?;
    pack["digest"] = json!(text(&row, "digest")?);
    pack["taken_at"] = json!(instant(&row, "taken_at")?);
    Ok(Some(pack))
}

async fn alarms(conn: &mut AnyConnection, case: &str) -> Result<Value, StoreError> {
    let rows = sqlx::query(
        "SELECT alarm_id, cause, model, severity, summary, evidence, began_at, raised_at \
         FROM case_alarms WHERE case_id = $1 ORDER BY raised_at, alarm_id",
    )
    .bind(case)
    .fetch_all(conn)
    .await?;
    let shown = rows.iter().map(|row| {
        Ok(json!({
            "alarm_id": text(row, "alarm_id")?,
            "cause": text(row, "cause")?,
            "model": text_opt(row, "model")?,
            "severity": text(row, "severity")?,
            "summary": text(row, "summary")?,
            "evidence": json(row, "evidence")?,
            "began_at": instant(row, "began_at")?,
            "raised_at": instant(row, "raised_at")?,
        }))
    });
    shown
        .collect::<Result<Vec<_>, StoreError>>()
        .map(Value::Array)
}

/// The newest labeled cases of the same class and failure mode.
async fn similar(
    conn: &mut AnyConnection,
    class: &str,
    failure_mode: &str,
) -> Result<Value, StoreError> {
    let rows = sqlx::query(
        "SELECT c.id, a.tag, c.opened_at, c.summary, c.close_out, c.close_reason, o.number, \
         o.outcome FROM cases c JOIN assets a ON a.id = c.asset_id \
         LEFT JOIN work_orders o ON o.id = c.work_order_id \
         WHERE a.class = $1 AND c.failure_mode = $2 AND c.close_out IS NOT NULL \
         ORDER BY c.id DESC LIMIT $3",
    )
    .bind(class)
    .bind(failure_mode)
    .bind(SIMILAR)
    .fetch_all(conn)
    .await?;
    let shown = rows.iter().map(|row| {
        Ok(json!({
            "case_id": text(row, "id")?,
            "asset": text(row, "tag")?,
            "opened_at": instant(row, "opened_at")?,
            "summary": text(row, "summary")?,
            "close_out": text(row, "close_out")?,
            "close_reason": text_opt(row, "close_reason")?,
            "work_order": text_opt(row, "number")?,
            "outcome": text_opt(row, "outcome")?,
        }))
    });
    shown
        .collect::<Result<Vec<_>, StoreError>>()
        .map(Value::Array)
}

/// Readings within their bound: the older half of the rows goes until they fit.
fn bounded(mut readings: Value) -> Value {
    while readings.to_string().len() > MAX_READINGS_BYTES {
        match readings["rows"].as_array_mut() {
            Some(rows) if rows.len() > 1 => {
                rows.truncate(rows.len() / 2);
                readings["truncated"] = json!(true);
            }
            _ => return json!({ "columns": [], "rows": [], "truncated": true }),
        }
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_bounded() {
        #[track_caller]
        fn check(rows: usize, width: usize, expected: usize) {
            let row = json!(["x".repeat(width)]);
            let readings = json!({ "columns": ["a"], "rows": vec![row; rows] });
            let kept = bounded(readings);
            assert_eq!(kept["rows"].as_array().unwrap().len(), expected);
            assert_eq!(kept["truncated"] == true, expected != rows);
        }
        check(10, 100, 10);
        check(1_000, 200, 500);
        check(1, MAX_READINGS_BYTES, 0);
    }
}
