//! SQLite's write-ahead log is folded into its file on the side: otherwise one commit in a hundred
//! does it, and an alarm waits for it.

use std::time::Duration;

use fieldwright_ingest::clock::process_sleep;
use tokio::sync::watch;

use super::Parts;

/// How often. **Units**: process clock.
const PERIOD: Duration = Duration::from_secs(1);

/// Folds until told to stop.
pub async fn fold(parts: Parts, mut stopped: watch::Receiver<bool>) {
    let mut failing = false;
    while !*stopped.borrow() {
        let folded = parts.db.fold_log().await;
        if let Err(error) = &folded
            && !failing
        {
            tracing::warn!(%error, "cannot fold the store's log into its file; trying again");
        }
        failing = folded.is_err();
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = process_sleep(PERIOD) => {}
        }
    }
}
