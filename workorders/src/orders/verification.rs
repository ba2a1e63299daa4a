//! Whether telemetry confirms the repair: who waits for a verdict, and what the verdict does.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::lifecycle::Command;
use super::{Done, OrderError, commands, rows};
use crate::store::columns::{instant, parsed, text};
use crate::store::ids::WorkOrderId;
use crate::store::{Ctx, Db, StoreError, Tx};

/// Orders that wait for a verdict and are told at once, at most.
const MAX_DUE: i64 = 1_000;

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

/// The completed orders that wait for a verdict, oldest first.
///
/// **Errors** when the store fails.
pub async fn verification_due(db: &Db) -> Result<Vec<DueVerification>, StoreError> {
    let rows = sqlx::query(
        "SELECT w.id, w.completed_at, a.tag, a.class FROM work_orders w \
         JOIN assets a ON a.id = w.asset_id \
         WHERE w.status = 'completed' AND w.verification = 'pending' ORDER BY w.id LIMIT $1",
    )
    .bind(MAX_DUE)
    .fetch_all(db.pool())
    .await?;
    let mut due = Vec::with_capacity(rows.len());
    for row in rows {
        let order: WorkOrderId = parsed(&row, "id")?;
        let causes = sqlx::query(
            "SELECT DISTINCT cause FROM work_order_alarms WHERE work_order_id = $1 ORDER BY cause",
        )
        .bind(order.as_str())
        .fetch_all(db.pool())
        .await?;
        due.push(DueVerification {
            order,
            asset_tag: text(&row, "tag")?,
            class: text(&row, "class")?,
            completed_at: instant(&row, "completed_at")?,
            causes: causes
                .iter()
                .map(|row| text(row, "cause"))
                .collect::<Result<_, _>>()?,
        });
    }
    Ok(due)
}

/// Takes a verdict over: passed lets the order be posted, failed reopens it.
///
/// A verdict about an order that moved on meanwhile does nothing.
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
    if !waits {
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
