//! What connects the telemetry half with the work half: a few small loops.
//!
//! Each loop looks at what is committed, does the next step in one transaction, and can be killed
//! between any two steps: what it did is there, what it did not do is found again.
//!
//! 1. [`alarms`]: every occurrence of an alarm goes to intake, once.
//! 2. [`triage`]: what an alarm is worth is decided again while it lasts.
//! 3. [`schedule`]: orders without a booking get one.
//! 4. [`verification`]: completed work is judged by telemetry newer than the completion.
//! 5. [`evidence`]: an order that triage made gets the evidence that it was raised on, frozen.
//! 6. [`field`]: what alarms turned out to be, and promoted limits, go to the detectors.
//! 7. [`lives`]: how old the assets are and what failed goes to prognosis.
//! 8. [`maintenance`]: while somebody works on an asset, what it shows raises no alarm.
//! 9. [`forgetting`]: idempotency keys are kept for a day of the process clock.
//! 10. [`folding`]: SQLite's write-ahead log is folded into its file before a commit has to.

mod alarms;
mod cursor;
mod evidence;
mod field;
mod folding;
mod forecast;
mod forgetting;
mod lives;
mod maintenance;
mod schedule;
mod triage;
mod verification;

use std::sync::Arc;

use fieldwright_analytics::alarms::AlarmBook;
use fieldwright_analytics::detect::Detection;
use fieldwright_analytics::feedback::FieldFeedback;
use fieldwright_analytics::sql::SqlEngine;
use fieldwright_ingest::clock::{SharedClock, wall_now};
use fieldwright_workorders::store::{Ctx, Db, IdSource, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the loops work with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The operational store.
    pub db: Db,
    /// The alarms.
    pub alarms: Arc<AlarmBook>,
    /// Health and verdicts.
    pub detection: Arc<Detection>,
    /// What the field tells detectors.
    pub field: Arc<FieldFeedback>,
    /// Queries, for the readings around an alarm.
    pub sql: Arc<SqlEngine>,
    /// The business clock.
    pub clock: SharedClock,
    /// Where new ids come from.
    pub ids: Arc<dyn IdSource>,
}

/// The running loops.
#[derive(Debug)]
pub struct Wiring {
    stop: watch::Sender<bool>,
    loops: JoinSet<()>,
}

impl Wiring {
    /// Starts the loops.
    ///
    /// **Errors** when the store cannot be prepared.
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        cursor::prepare(&parts.db).await?;
        let (stop, stopped) = watch::channel(false);
        let mut loops = JoinSet::new();
        loops.spawn(alarms::follow(parts.clone(), stopped.clone()));
        loops.spawn(triage::keep_decided(parts.clone(), stopped.clone()));
        loops.spawn(evidence::freeze(parts.clone(), stopped.clone()));
        loops.spawn(field::follow(parts.clone(), stopped.clone()));
        loops.spawn(schedule::keep_booked(parts.clone(), stopped.clone()));
        loops.spawn(verification::judge(parts.clone(), stopped.clone()));
        loops.spawn(lives::follow(parts.clone(), stopped.clone()));
        loops.spawn(maintenance::follow(parts.clone(), stopped.clone()));
        loops.spawn(folding::fold(parts.clone(), stopped.clone()));
        loops.spawn(forgetting::forget(parts, stopped));
        Ok(Self { stop, loops })
    }

    /// Lets every loop finish its step, then ends it.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.loops.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a loop of the wiring panicked");
            }
        }
    }
}

/// Events of alarms that intake has not seen yet.
///
/// **Errors** when the store cannot be read.
pub async fn alarms_pending(parts: &Parts) -> anyhow::Result<i64> {
    let newest = parts.alarms.store().last_seq().await?;
    let done = cursor::read(&parts.db, alarms::FOLLOWER).await?;
    Ok(newest - done)
}

impl Parts {
    fn acting(&self, actor: &str) -> Ctx {
        Ctx::new(self.clock.now(), wall_now(), actor, Arc::clone(&self.ids))
    }
}
