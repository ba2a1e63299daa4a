//! Writing what was found, however long the store is away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fieldwright_ingest::clock::process_sleep;
use tokio::sync::watch;

use super::shared::{Shared, stopped};
use crate::alarms::{AlarmError, AlarmStoreError, Command, Refusal, Report};
use crate::detect::engine::{Finding, Found};

/// Waits before a failed write is tried again: doubled each time up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// How often a write is tried that fails for a reason that waiting does not mend.
const PERMANENT_TRIES: u32 = 3;

/// Keeps findings.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, stop: watch::Receiver<bool>) -> Self {
        Self { shared, stop }
    }

    /// Writes a finding: while the store is away, again and again until detection is told to stop.
    ///
    /// Until then the progress of its asset is held back, so after a stop or a crash the same rows
    /// lead to the same finding. What the store refuses for good is given up, for the others' sake.
    pub(super) async fn keep(&mut self, finding: &Finding) {
        let counters = &self.shared.counters;
        counters.findings.fetch_add(1, Ordering::Relaxed);
        let (mut wait, mut permanent) = (FIRST_RETRY, 0);
        loop {
            let tried = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return,
                tried = try_keep(&self.shared, finding) => tried,
            };
            let Err(error) = tried else { break };
            let asset = finding.found.asset();
            if !is_passing(&error) {
                permanent += 1;
                if permanent >= PERMANENT_TRIES {
                    tracing::error!(asset, ?error, "an alarm is not kept: the store refuses it");
                    counters.not_kept.fetch_add(1, Ordering::Relaxed);
                    break;
                }
            } else if wait == FIRST_RETRY {
                tracing::error!(asset, ?error, "an alarm cannot be kept; trying again");
            }
            counters.store_retries.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return,
                () = process_sleep(wait) => {}
            }
            wait = (wait * 2).min(LAST_RETRY);
        }
        self.shared.engine().kept(finding);
    }
}

/// Whether the same write may succeed later.
fn is_passing(error: &AlarmError) -> bool {
    matches!(
        error,
        AlarmError::Store(AlarmStoreError::Unavailable { .. } | AlarmStoreError::Conflict)
    )
}

async fn try_keep(shared: &Shared, finding: &Finding) -> Result<(), AlarmError> {
    let alarms = &shared.alarms;
    let now = shared.clock.now();
    let progress = finding.progress.clone();
    // Older progress must not be written over the newer one that goes with the finding.
    let _turn = shared.progress_turn.lock().await;
    let told = match &finding.found {
        Found::Raise(occurrence) => {
            match alarms.report(occurrence.clone(), progress, now).await? {
                Report::Raised(alarm) => tracing::info!(
                    alarm = %alarm.id, asset = alarm.asset, summary = alarm.summary, "alarm raised"
                ),
                Report::Suppressed(suppressed) => tracing::info!(
                    suppression = %suppressed.suppression, asset = occurrence.asset,
                    summary = occurrence.summary, "found, but suppressed"
                ),
            }
            return Ok(());
        }
        Found::Worse(worse) => {
            let more = Command::AddEvidence {
                at: worse.raised_at,
                severity: worse.severity,
                summary: worse.summary.clone(),
                evidence: worse.evidence.clone(),
            };
            alarms
                .tell(&worse.asset, &worse.cause, &more, progress, now)
                .await
        }
        Found::Return { asset, cause, at } => {
            let gone = Command::Return { at: *at };
            alarms.tell(asset, cause, &gone, progress, now).await
        }
        Found::Train(_) | Found::TrainClass { .. } | Found::Refer { .. } => return Ok(()),
    };
    match told {
        // A rule said no, and will say no again: a full list of evidence is no trouble.
        Err(AlarmError::Refused(Refusal::EvidenceFull { .. })) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}
