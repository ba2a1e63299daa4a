//! Whether telemetry confirms the repair: who waits for a verdict, and what the verdict does.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::lifecycle::Command;
use super::{Done, OrderError, commands, rows};
use crate::store::columns::{instant, parsed, text};
use crate::store::ids::WorkOrderId;
use crate::store::{Ctx, Db, StoreError, Tx};

/// Orders that wait for a verdict and are read at once, at most.
const MAX_PAGE: i64 = 500;

/// An order whose repair is to be judged by telemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueVerification {
    /// The order.
    pub order: WorkOrderId,
    /// The asset's tag.
    pub asset_tag: String,
    /// The asset's class.
    pub class: String,
    /// Only readings newer than this count.
    pub completed_at: DateTime<Utc>,
    /// The causes of the alarms behind the order.
    pub causes: Vec<String>,
}

/// What telemetry says of a repair.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The asset is back in its band.
    Passed {
        /// What was seen.
        evidence: Value,
    },
    /// The asset is not back in its band.
    Failed {
        /// What was seen.
        evidence: Value,
    },
}

/// Every completed order that waits for a verdict, oldest first.
///
/// **Errors** when the store fails.
pub async fn verification_due(db: &Db) -> Result<Vec<DueVerification>, StoreError> {
    let mut all = Vec::new();
    let mut after: Option<WorkOrderId> = None;
    loop {
        let page = verification_due_after(db, after.as_ref()).await?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = Some(last.order.clone());
        all.extend(page);
    }
}

/// The next page of [`verification_due`] after an order; the last page is empty.
///
/// **Errors** when the store fails.
pub async fn verification_due_after(
    db: &Db,
    after: Option<&WorkOrderId>,
) -> Result<Vec<DueVerification>, StoreError> {
    let after = after.map_or("", WorkOrderId::as_str);
    // One moment for both reads: an alarm attached in between would lack its order, or its cause.
    let mut snapshot = db.snapshot().await?;
    let rows = sqlx::query(
        "SELECT w.id, w.completed_at, a.tag, a.class FROM work_orders w \
         JOIN assets a ON a.id = w.asset_id \
         WHERE w.status = 'completed' AND w.verification = 'pending' AND w.id > $1 \
         ORDER BY w.id LIMIT $2",
    )
    .bind(after)
    .bind(MAX_PAGE)
    .fetch_all(&mut *snapshot)
    .await?;
    let Some(last) = rows.last() else {
        return Ok(Vec::new());
    };
    let causes = sqlx::query(
        "SELECT DISTINCT m.work_order_id, m.cause FROM work_order_alarms m \
         JOIN work_orders w ON w.id = m.work_order_id \
         WHERE w.status = 'completed' AND w.verification = 'pending' AND w.id > $1 \
         AND w.id <= $2 ORDER BY m.work_order_id, m.cause",
    )
    .bind(after)
    .bind(text(last, "id")?)
    .fetch_all(&mut *snapshot)
    .await?;
    snapshot.rollback().await?;
    let mut causes_of: HashMap<String, Vec<String>> = HashMap::new();
    for row in causes {
        causes_of
            .entry(text(&row, "work_order_id")?)
            .or_default()
            .push(text(&row, "cause")?);
    }
    rows.iter()
        .map(|row| {
            let order: WorkOrderId = parsed(row, "id")?;
            Ok(DueVerification {
                asset_tag: text(row, "tag")?,
                class: text(row, "class")?,
                completed_at: instant(row, "completed_at")?,
                causes: causes_of.remove(order.as_str()).unwrap_or_default(),
                order,
            })
        })
        .collect()
}

/// Takes a verdict over: passed lets the order be posted, failed reopens it.
///
/// A verdict about an order that moved on meanwhile does nothing, and neither does *passed* while
/// an alarm on the order is still active: that alarm would end on a finished order, and nobody
/// would come. Both are asked in the transaction that takes the verdict over, so an alarm that is
/// attached at the same moment counts; the caller brings its verdict again later.
///
/// **Errors** when the order does not exist or the store fails.
pub async fn verify(
    db: &Db,
    ctx: &Ctx,
    id: &WorkOrderId,
    verdict: Verdict,
) -> Result<Done, OrderError> {
    let verdict = &verdict;
    db.write(|tx| Box::pin(async move { verify_in(tx, ctx, id, verdict).await }))
        .await
}

async fn verify_in(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &WorkOrderId,
    verdict: &Verdict,
) -> Result<Done, OrderError> {
    let order = rows::load(tx.conn(), id).await?;
    let waits = order.status == super::Status::Completed
        && order.verification == super::Verification::Pending;
    let is_too_soon = matches!(verdict, Verdict::Passed { .. }) && has_active_alarm(tx, id).await?;
    if !waits || is_too_soon {
        return Ok(Done {
            order,
            changed: false,
        });
    }
    let (command, evidence) = match verdict {
        Verdict::Passed { evidence } => (Command::Pass, evidence),
        Verdict::Failed { evidence } => (
            Command::Reopen {
                reason: "telemetry is not back in its band after the repair".to_owned(),
            },
            evidence,
        ),
    };
    let facts = json!({ "evidence": evidence });
    let done = commands::perform(tx, ctx, id, &command, None, facts).await?;
    if matches!(verdict, Verdict::Failed { .. }) {
        commands::reopen_tasks(tx, &done).await?;
    }
    Ok(Done {
        order: rows::load(tx.conn(), id).await?,
        ..done
    })
}

async fn has_active_alarm(tx: &mut Tx<'_>, id: &WorkOrderId) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT alarm_id FROM work_order_alarms \
         WHERE work_order_id = $1 AND returned_at IS NULL LIMIT 1",
    )
    .bind(id.as_str())
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.is_some())
}
