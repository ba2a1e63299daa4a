//! Orders without a booking get one.

use std::time::Duration;

use fieldwright_ingest::clock::process_sleep;
use fieldwright_workorders::scheduling;
use tokio::sync::watch;

use super::Parts;

/// How often to look although nothing was said: shifts begin and bookings end by time alone.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Schedules after every event, and now and then, until told to stop.
pub async fn keep_booked(parts: Parts, mut stopped: watch::Receiver<bool>) {
    let mut events = parts.db.events();
    while !*stopped.borrow() {
        events.borrow_and_update();
        if let Err(error) = scheduling::tick(&parts.db, &parts.acting("scheduler")).await {
            tracing::error!(%error, "cannot schedule; trying again");
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            changed = events.changed() => if changed.is_err() { return },
            () = process_sleep(LOOK_AGAIN) => {}
        }
    }
}
