//! An order that triage made gets the evidence that it was raised on, and keeps it unchanged.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fieldwright_analytics::sql::SqlRequest;
use fieldwright_ingest::clock::process_sleep;
use fieldwright_workorders::orders::evidence::{self, Unfrozen};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Parts;

/// How often to look although nothing was said.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Readings before the asset left its band, for comparison.
const BEFORE: TimeDelta = TimeDelta::hours(2);
/// Rows of readings at most, newest first.
const MAX_ROWS: usize = 500;

/// Freezes after every event, and now and then, until told to stop.
pub async fn freeze(parts: Parts, mut stopped: watch::Receiver<bool>) {
    let mut events = parts.db.events();
    while !*stopped.borrow() {
        events.borrow_and_update();
        if let Err(error) = freeze_all(&parts).await {
            tracing::error!(%error, "cannot freeze evidence; trying again");
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            changed = events.changed() => if changed.is_err() { return },
            () = process_sleep(LOOK_AGAIN) => {}
        }
    }
}

async fn freeze_all(parts: &Parts) -> anyhow::Result<()> {
    for order in evidence::unfrozen(&parts.db).await? {
        let readings = readings(parts, &order).await;
        let ctx = parts.acting("evidence");
        evidence::freeze(&parts.db, &ctx, &order.order, readings).await?;
    }
    Ok(())
}

/// The readings around the raise; where they cannot be read the pack says so, and is frozen still.
async fn readings(parts: &Parts, order: &Unfrozen) -> Value {
    let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let query = format!(
        "SELECT * FROM \"{}\" WHERE asset = '{}' AND time >= '{}' AND time <= '{}' \
         ORDER BY time DESC LIMIT {MAX_ROWS}",
        order.class.replace('"', "\"\""),
        order.asset_tag.replace('\'', "''"),
        text(order.began_at - BEFORE),
        text(order.raised_at),
    );
    match parts.sql.json(&SqlRequest::new(&query)).await {
        Ok(answer) => serde_json::from_str(&answer).unwrap_or(Value::Null),
        Err(error) => {
            tracing::warn!(%error, work_order = %order.order, "no readings for the evidence");
            json!({ "columns": [], "rows": [], "error": error.to_string() })
        }
    }
}
