//! The task that saves progress and gives alarms back from the shelf: the stream never waits for it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fieldwright_ingest::clock::process_sleep;
use tokio::sync::{Mutex, watch};

use super::followed::Followed;
use super::shared::{Shared, stopped};
use crate::alarms::{AlarmError, AlarmStoreError, Progress};

/// Between two rounds. **Units**: process clock. Tests want to see many.
const PERIOD: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 2000 });
/// Assets whose progress is saved in one round, so that the writers of orders never wait long.
const ROUND: usize = 200;
/// How long saving may take at the end. What is not saved by then is read again.
const LAST_SAVE: Duration = Duration::from_secs(2);

/// Keeps the house.
pub(super) struct House {
    shared: Arc<Shared>,
    /// The mark that was last saved.
    saved: Mutex<Option<Followed>>,
}

impl House {
    /// `saved` is the mark that the store has.
    pub(super) fn new(shared: Arc<Shared>, saved: Option<Followed>) -> Self {
        Self {
            shared,
            saved: Mutex::new(saved),
        }
    }

    /// Works until detection is told to stop.
    pub(super) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut saving = Trouble::with("saving the progress of detection");
        let mut unshelving = Trouble::with("taking alarms from the shelf");
        let mut releasing = Trouble::with("raising what was suppressed");
        let work = async {
            loop {
                process_sleep(PERIOD).await;
                saving.note(self.save().await);
                let now = self.shared.clock.now();
                unshelving.note(self.shared.alarms.unshelve_due(now).await);
                releasing.note(self.release(now).await);
            }
        };
        tokio::select! {
            biased;
            () = stopped(&mut stop) => {}
            () = work => {}
        }
    }

    /// Raises what stands although its suppression is over.
    ///
    /// Of a detector's finding that is known up to the last step before the asset's newest reading,
    /// once all of its findings are kept; a rule says of every evaluation what it names.
    async fn release(&self, now: DateTime<Utc>) -> Result<usize, AlarmError> {
        let shared = &*self.shared;
        let through = |asset: &str, cause: &str| {
            if shared.config.rules.contains_key(cause) {
                return Some(now);
            }
            let engine = shared.engine();
            if engine.has_unkept(asset) {
                return None;
            }
            let (_, newest) = engine.newest(asset)?;
            Some(newest - engine.settings(asset)?.step.delta())
        };
        shared.alarms.release_due(&through, now).await
    }

    /// Saves what is left once nothing changes any more, if the store takes it at once.
    pub(super) async fn finish(&self) {
        let saving = async {
            loop {
                match self.save().await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        tracing::warn!(?error, "the last progress of detection cannot be saved");
                        return;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = saving => {}
            () = process_sleep(LAST_SAVE) => {
                tracing::warn!("the store takes too long; the last progress is not saved");
            }
        }
    }

    /// Saves one round; gives whether it was a full one.
    async fn save(&self) -> Result<bool, AlarmStoreError> {
        let shared = &*self.shared;
        let mut saved = self.saved.lock().await;
        let _turn = shared.progress_turn.lock().await;
        // Before progress: rows that are marked as seen are then in it.
        let seen = shared.marks().seen.clone();
        let unsaved = shared.engine().take_progress(ROUND);
        let mut round = Round {
            shared,
            progress: unsaved.progress,
        };
        let full = round.progress.len() >= ROUND;
        let mark = seen.filter(|seen| unsaved.all && saved.as_ref() != Some(seen));
        let mark_row = mark.as_ref().and_then(Followed::to_progress);
        let rows: Vec<Progress> = round.progress.iter().cloned().chain(mark_row).collect();
        shared.alarms.store().save_progress(&rows).await?;
        round.progress.clear();
        if mark.is_some() {
            *saved = mark;
        }
        Ok(full)
    }
}

/// Progress on its way to the store; what does not arrive is given back.
struct Round<'a> {
    shared: &'a Shared,
    progress: Vec<Progress>,
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.shared.engine().give_back(&self.progress);
    }
}

/// Says when something begins to fail and when it works again, not every time in between.
struct Trouble {
    what: &'static str,
    failing: bool,
}

impl Trouble {
    fn with(what: &'static str) -> Self {
        Self {
            what,
            failing: false,
        }
    }

    fn note<T, E: std::fmt::Debug>(&mut self, outcome: Result<T, E>) {
        let what = self.what;
        match &outcome {
            Err(error) if !self.failing => tracing::warn!(?error, "{what} fails; trying again"),
            Ok(_) if self.failing => tracing::info!("{what} works again"),
            _ => {}
        }
        self.failing = outcome.is_err();
    }
}
