//! What the field says goes back to the detectors: labels of alarms and promoted limits, no money.

use std::time::Duration;

use fieldwright_analytics::feedback::{Label, LimitFactor, PromotedLimit};
use fieldwright_ingest::clock::process_sleep;
use fieldwright_workorders::store::StoreError;
use fieldwright_workorders::store::outbox::{self, Event};
use fieldwright_workorders::tuning::{self, Kept};
use serde_json::Value;
use tokio::sync::watch;

use super::{Parts, cursor};

/// Name of this follower's cursor.
const FOLLOWER: &str = "field";
/// Events read at once.
const PAGE: i64 = 200;
/// Pause after the store failed.
const RETRY: Duration = Duration::from_millis(500);

/// Follows the feed of the work half until told to stop.
pub async fn follow(parts: Parts, mut stopped: watch::Receiver<bool>) {
    let mut news = parts.db.events();
    while let Err(error) = tell_promoted(&parts).await {
        tracing::error!(%error, "cannot tell the detectors what limits are promoted; trying again");
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = process_sleep(RETRY) => {}
        }
    }
    loop {
        news.borrow_and_update();
        match catch_up(&parts).await {
            Ok(0) => tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => return,
                changed = news.changed() => if changed.is_err() { return },
            },
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "cannot tell the detectors; trying again");
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => return,
                    () = process_sleep(RETRY) => {}
                }
            }
        }
        if *stopped.borrow() {
            return;
        }
    }
}

/// Tells one page; told again after a kill, the same label changes nothing.
async fn catch_up(parts: &Parts) -> anyhow::Result<usize> {
    let after = cursor::read(&parts.db, FOLLOWER).await?;
    let events = outbox::events_after(&parts.db, after, PAGE).await?;
    let Some(last) = events.last() else {
        return Ok(0);
    };
    let mut is_news = false;
    for event in &events {
        match event.kind.as_str() {
            "alarm.labeled" => {
                parts.field.label(&label(event)).await?;
                is_news = true;
            }
            "limit_proposal.promoted" | "limit_proposal.taken_back" => {
                tell_promoted(parts).await?;
                is_news = true;
            }
            _ => {}
        }
    }
    let seq = last.seq;
    // Most events are none of ours: the cursor is written where it spares something.
    if is_news || events.len() > 1 {
        parts
            .db
            .write(|tx| {
                Box::pin(async move {
                    cursor::write(tx, FOLLOWER, seq).await?;
                    Ok::<_, StoreError>(())
                })
            })
            .await?;
        return Ok(events.len());
    }
    Ok(0)
}

fn label(event: &Event) -> Label {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let data = &event.data;
    Label {
        alarm_id: event.subject.clone(),
        asset: word(&data["asset"]["tag"]),
        class: word(&data["asset"]["class"]),
        cause: word(&data["cause"]),
        model: data["model"].as_str().map(str::to_owned),
        label: word(&data["label"]),
        verification: data["verification"].as_str().map(str::to_owned),
        labeled_at: event.time,
    }
}

/// Every promoted limit: what detection has not heard of, or not that it was taken back, counts
/// from now on; the rest is known.
async fn tell_promoted(parts: &Parts) -> anyhow::Result<()> {
    for kept in tuning::promoted(&parts.db).await? {
        parts.field.promote(&promoted(kept)).await?;
    }
    for limit in parts.field.limits().await? {
        tell(parts, &limit);
    }
    Ok(())
}

fn tell(parts: &Parts, limit: &LimitFactor) {
    if !parts.detection.set_limit_factor(limit) {
        tracing::warn!(
            class = limit.class,
            cause = limit.cause,
            "a promoted limit is not in force: the class has no such detector"
        );
    }
}

fn promoted(kept: Kept) -> PromotedLimit {
    PromotedLimit {
        taken_back: !kept.is_in_force(),
        promoted_by: kept.decided_by.unwrap_or_default(),
        promoted_at: kept.decided_at.unwrap_or(kept.created_at),
        proposal: kept.id.to_string(),
        class: kept.class,
        cause: kept.cause,
        factor_milli: kept.factor_milli,
    }
}
