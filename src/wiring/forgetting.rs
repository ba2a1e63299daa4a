//! Idempotency keys are kept for a day of the process clock, then forgotten.

use std::time::Duration;

use chrono::TimeDelta;
use fieldwright_ingest::clock::{process_sleep, wall_now};
use fieldwright_workorders::store::idempotency;
use tokio::sync::watch;

use super::Parts;

/// How long a key is kept: as long as a client may reasonably retry.
const KEPT_HOURS: i64 = 24;
/// How often old keys are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// Forgets old keys until told to stop.
pub async fn forget(parts: Parts, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let before = wall_now() - TimeDelta::hours(KEPT_HOURS);
        if let Err(error) = idempotency::forget_before(&parts.db, before).await {
            tracing::warn!(%error, "cannot forget old idempotency keys; trying again later");
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = process_sleep(LOOK_AGAIN) => {}
        }
    }
}
