//! Completed work is judged by telemetry: windows wholly after the completion, in band or not.

use std::time::Duration;

use fieldwright_analytics::alarms::{AlarmFilter, Command};
use fieldwright_analytics::detect::AssetVerdict;
use fieldwright_ingest::clock::process_sleep;
use fieldwright_workorders::orders::{self, DueVerification, Verdict};
use serde_json::json;
use tokio::sync::watch;

use super::Parts;

/// How often the orders that wait for a verdict are looked at; few do at any time.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Open alarms of one asset at most: one a cause.
const ALARMS: usize = 100;

/// Judges until told to stop.
pub async fn judge(parts: Parts, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        if let Err(error) = judge_all(&parts).await {
            tracing::error!(%error, "cannot verify completed work; trying again");
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = process_sleep(LOOK_AGAIN) => {}
        }
    }
}

async fn judge_all(parts: &Parts) -> anyhow::Result<()> {
    for due in orders::verification_due(&parts.db).await? {
        // One order that cannot be judged must not hold up the others.
        if let Err(error) = judge_one(parts, &due).await {
            tracing::error!(%error, work_order = %due.order, "cannot verify; trying again");
        }
    }
    Ok(())
}

async fn judge_one(parts: &Parts, due: &DueVerification) -> anyhow::Result<()> {
    let verdict = match parts
        .detection
        .asset_verdict(&due.asset_tag, due.completed_at)
    {
        AssetVerdict::InBand { windows, newest } => {
            if !close_alarms(parts, due).await? {
                return Ok(());
            }
            Verdict::Passed {
                evidence: json!({ "windows_in_band": windows, "newest": newest }),
            }
        }
        AssetVerdict::OutOfBand { windows, newest } => Verdict::Failed {
            evidence: json!({ "windows_out_of_band": windows, "newest": newest }),
        },
        AssetVerdict::Waiting | AssetVerdict::NoTelemetry => return Ok(()),
    };
    let ctx = parts.acting("telemetry");
    orders::verify(&parts.db, &ctx, &due.order, verdict).await?;
    Ok(())
}

/// Closes the alarms behind the order; false while one of them has not returned to normal.
///
/// It happens before the order passes: killed in between, the order is judged again.
async fn close_alarms(parts: &Parts, due: &DueVerification) -> anyhow::Result<bool> {
    let filter = AlarmFilter {
        asset: Some(due.asset_tag.clone()),
        open: Some(true),
        limit: ALARMS,
        ..AlarmFilter::default()
    };
    let alarms = parts.alarms.list(&filter).await?;
    let behind: Vec<_> = alarms
        .into_iter()
        .filter(|alarm| due.causes.contains(&alarm.cause))
        .collect();
    if behind.iter().any(|alarm| alarm.active) {
        return Ok(false);
    }
    for alarm in behind {
        let command = Command::CloseVerified {
            by: due.order.to_string(),
        };
        parts
            .alarms
            .command(&alarm.id, &command, None, parts.clock.now())
            .await?;
    }
    Ok(true)
}
