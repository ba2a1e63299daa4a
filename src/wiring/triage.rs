//! What an alarm is worth is decided again while it lasts.

use std::time::Duration;

use fieldwright_ingest::clock::process_sleep;
use fieldwright_workorders::cases::{self, DueCase};
use tokio::sync::watch;

use super::Parts;

/// How often the cases are looked for that time alone may change.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Decides again until told to stop.
pub async fn keep_decided(parts: Parts, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        if let Err(error) = decide_due(&parts).await {
            tracing::error!(%error, "cannot look at open cases; trying again");
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = process_sleep(LOOK_AGAIN) => {}
        }
    }
}

async fn decide_due(parts: &Parts) -> anyhow::Result<()> {
    for due in cases::due(&parts.db, parts.clock.now()).await? {
        // One case that cannot be decided must not hold up the others.
        if let Err(error) = decide(parts, &due).await {
            tracing::error!(%error, case = %due.case, "cannot decide a case; trying again");
        }
    }
    Ok(())
}

/// Silence is no proof that a condition lasts: only the asset's own readings let time pass.
async fn decide(parts: &Parts, due: &DueCase) -> anyhow::Result<()> {
    let newest = parts.detection.health(&due.asset_tag).newest;
    let ctx = parts.acting("triage");
    let as_of = newest.unwrap_or(due.opened_at);
    let forecast = parts.forecast(&due.class, &due.asset_tag);
    cases::decide_again(&parts.db, &ctx, &due.case, (as_of, forecast)).await?;
    Ok(())
}
