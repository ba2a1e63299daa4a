//! What happened, in the order of commits: the feed that everyone outside follows.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::Row;

use super::columns::{instant, int, json, micros, text};
use super::{Ctx, Db, StoreError, Tx, counters};

/// Events in one answer at most.
pub const MAX_PAGE: i64 = 1_000;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Position in the feed; grows with commits, without a gap.
    pub seq: i64,
    /// What happened, such as `work_order.created`.
    pub kind: String,
    /// The id of what it happened to.
    pub subject: String,
    /// When, on the business clock.
    pub time: DateTime<Utc>,
    /// The facts of the event.
    pub data: Value,
}

/// Writes an event into the transaction; it can be read after the commit.
///
/// **Errors** when the store fails.
pub async fn publish(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    kind: &str,
    subject: &str,
    data: Value,
) -> Result<i64, StoreError> {
    let seq = counters::next(tx, "outbox").await?;
    sqlx::query("INSERT INTO outbox (seq, kind, subject, time, data) VALUES ($1, $2, $3, $4, $5)")
        .bind(seq)
        .bind(kind)
        .bind(subject)
        .bind(micros(ctx.now))
        .bind(data.to_string())
        .execute(tx.conn())
        .await?;
    tx.newest_event = Some(seq);
    Ok(seq)
}

/// The events after `seq`, oldest first, at most `limit` and [`MAX_PAGE`].
///
/// **Errors** when the store fails.
pub async fn events_after(db: &Db, seq: i64, limit: i64) -> Result<Vec<Event>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, kind, subject, time, data FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2",
    )
    .bind(seq)
    .bind(limit.clamp(1, MAX_PAGE))
    .fetch_all(db.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Event {
                seq: int(row, "seq")?,
                kind: text(row, "kind")?,
                subject: text(row, "subject")?,
                time: instant(row, "time")?,
                data: json(row, "data")?,
            })
        })
        .collect()
}

/// The seq of the newest event, 0 when there is none.
///
/// **Errors** when the store fails.
pub async fn newest_seq(db: &Db) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT COALESCE(MAX(seq), 0) AS seq FROM outbox")
        .fetch_one(db.pool())
        .await?;
    Ok(row.try_get("seq")?)
}
