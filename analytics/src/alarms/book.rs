//! The service: load, decide, save, tell. Nothing else.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::alarm::{Alarm, AlarmId, Occurrence};
use super::event::{AlarmEvent, EventKind};
use super::moves::{Change, Command, Outcome};
use super::rate::{AlarmPolicy, chatters, first_out};
use super::refusal::Refusal;
use super::store::{
    AlarmFilter, AlarmStore, AlarmStoreError, AlarmWrite, Progress, RaiseFilter, SuppressedWrite,
};
use super::suppression::{Suppressed, SuppressedOutcome, SuppressionId};

mod absent;
mod load;
mod suppressing;

use absent::Absent;
pub use load::{AlarmLoad, BadActor};
pub use suppressing::{Declared, Report};

/// How often a command is decided again after somebody was faster.
const MAX_TRIES: usize = 10;
/// Alarms taken from the shelf in one go.
const UNSHELVE_PAGE: usize = 100;
/// Earlier raises of one asset that are looked at to tell chattering and first-out.
const EARLIER_RAISES: usize = 1000;

/// The alarms of a service.
#[derive(Debug)]
pub struct AlarmBook {
    store: Arc<dyn AlarmStore>,
    news: watch::Sender<i64>,
    absent: Absent,
    policy: AlarmPolicy,
}

/// What can go wrong with a command on an alarm.
#[derive(Debug, thiserror::Error)]
pub enum AlarmError {
    /// No alarm has this identity.
    #[error("there is no alarm {0}")]
    NotFound(AlarmId),
    /// No suppression has this identity.
    #[error("there is no suppression {0}")]
    NoSuppression(SuppressionId),
    /// The alarm is not the one that the caller has seen.
    #[error("the alarm is at version {found} by now, not {expected}; read it again")]
    Changed {
        /// The version that the caller has seen.
        expected: i64,
        /// The version that it has.
        found: i64,
    },
    /// A rule said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The store failed.
    #[error("cannot keep the alarm")]
    Store(#[from] AlarmStoreError),
}

impl AlarmBook {
    /// The alarms in `store`, of which this is the one door: what is certainly not there is known
    /// without asking.
    ///
    /// **Errors** when the store cannot be read.
    pub async fn open(store: Arc<dyn AlarmStore>) -> Result<Self, AlarmStoreError> {
        let seq = store.last_seq().await?;
        Ok(Self {
            absent: Absent::load(&*store).await?,
            news: watch::Sender::new(seq),
            store,
            policy: AlarmPolicy::default(),
        })
    }

    /// The same with other figures for chattering, first-out and floods.
    #[must_use]
    pub fn with_policy(mut self, policy: AlarmPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// What counts as chattering, first-out and flood.
    pub fn policy(&self) -> &AlarmPolicy {
        &self.policy
    }

    /// The store behind it.
    pub fn store(&self) -> &Arc<dyn AlarmStore> {
        &self.store
    }

    /// The place of the newest news; it changes right after a commit, never before.
    pub fn news(&self) -> watch::Receiver<i64> {
        self.news.subscribe()
    }

    /// The news after `seq`, oldest first.
    ///
    /// **Errors** when the store cannot be read.
    pub async fn events_after(
        &self,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<AlarmEvent>, AlarmStoreError> {
        self.store.events_after(seq, limit).await
    }

    /// One alarm.
    ///
    /// **Errors** when there is none or the store cannot be read.
    pub async fn get(&self, id: &AlarmId) -> Result<Alarm, AlarmError> {
        let found = self.store.get(id).await?;
        found.ok_or_else(|| AlarmError::NotFound(id.clone()))
    }

    /// Alarms, newest first.
    ///
    /// **Errors** when the store cannot be read.
    pub async fn list(&self, filter: &AlarmFilter) -> Result<Vec<Alarm>, AlarmStoreError> {
        self.store.list(filter).await
    }

    /// Makes the alarm of the occurrence's asset and cause active: the open one again, or a new one.
    ///
    /// No suppression is asked; detectors and rules say [`AlarmBook::report`].
    ///
    /// **Errors** when the store fails.
    pub async fn raise(
        &self,
        occurrence: Occurrence,
        progress: Option<Progress>,
        now: DateTime<Utc>,
    ) -> Result<Alarm, AlarmError> {
        self.raise_from(occurrence, None, progress, now).await
    }

    /// Raises what was suppressed until now, or what nothing suppresses.
    async fn raise_from(
        &self,
        occurrence: Occurrence,
        standing: Option<Suppressed>,
        progress: Option<Progress>,
        now: DateTime<Utc>,
    ) -> Result<Alarm, AlarmError> {
        let at = occurrence.raised_at;
        let released = |alarm: &Alarm| {
            let alarm = alarm.id.clone();
            let raised = SuppressedOutcome::Raised { at, alarm };
            standing.as_ref().map(|standing| standing.became(raised))
        };
        for _ in 0..MAX_TRIES {
            let open = self
                .open_alarm(&occurrence.asset, &occurrence.cause)
                .await?;
            let mut change = match open {
                Some(open) => {
                    match self.decided(&open, &Command::Raise(occurrence.clone()), now)? {
                        Outcome::Changed(change) => *change,
                        Outcome::AlreadySo => {
                            self.already(released(&open), progress).await?;
                            return Ok(open);
                        }
                    }
                }
                None => first_raise(occurrence.clone()),
            };
            self.mark(&mut change.alarm, at).await?;
            let id = change.alarm.id.clone();
            let write = AlarmWrite {
                released: released(&change.alarm),
                change,
                progress: progress.clone(),
            };
            match self.save(write).await {
                Err(AlarmStoreError::Conflict) => {
                    self.absent
                        .may_be_open(&occurrence.asset, &occurrence.cause);
                    // The very same occurrence was raised and closed before: it stays closed.
                    if let Some(known) = self.store.get(&id).await?
                        && known.closed.is_some()
                    {
                        self.already(released(&known), progress).await?;
                        return Ok(known);
                    }
                }
                saved => return Ok(saved?),
            }
        }
        Err(AlarmStoreError::Conflict.into())
    }

    /// Nothing changes about the alarm; what goes with it is saved nevertheless.
    async fn already(
        &self,
        released: Option<Suppressed>,
        progress: Option<Progress>,
    ) -> Result<(), AlarmStoreError> {
        match released {
            Some(suppressed) => {
                let write = SuppressedWrite {
                    suppressed,
                    progress,
                };
                self.save_suppressed(&write).await
            }
            None => self.store.save_progress(progress.as_slice()).await,
        }
    }

    /// Marks an alarm that is raised at `at` with what the asset's raises before it tell.
    async fn mark(&self, alarm: &mut Alarm, at: DateTime<Utc>) -> Result<(), AlarmStoreError> {
        let earlier = RaiseFilter {
            asset: Some(alarm.asset.clone()),
            after: at - self.policy.look_back().delta() - TimeDelta::microseconds(1),
            through: at,
            limit: EARLIER_RAISES,
        };
        let earlier = if self.absent.raised_not_after(&alarm.asset, earlier.after) {
            Vec::new()
        } else {
            self.store.raises(&earlier).await?
        };
        alarm.chattering_since = chatters(&earlier, &alarm.cause, at, &self.policy)
            .then(|| alarm.chattering_since.unwrap_or(at));
        let first = first_out(&earlier, at, &self.policy).map(|first| first.alarm.clone());
        alarm.first_out = Some(first.unwrap_or_else(|| alarm.id.clone()));
        Ok(())
    }

    /// Tells the open alarm of an asset and cause something, if there is one; a return or more
    /// evidence is told to what is suppressed of it.
    ///
    /// **Errors** when a rule says no or the store fails.
    pub async fn tell(
        &self,
        asset: &str,
        cause: &str,
        command: &Command,
        progress: Option<Progress>,
        now: DateTime<Utc>,
    ) -> Result<Option<Alarm>, AlarmError> {
        if matches!(
            command,
            Command::Return { .. } | Command::AddEvidence { .. }
        ) && self
            .told_to_suppressed(asset, cause, command, progress.as_ref(), now)
            .await?
        {
            return Ok(None);
        }
        for _ in 0..MAX_TRIES {
            let Some(open) = self.open_alarm(asset, cause).await? else {
                self.store.save_progress(progress.as_slice()).await?;
                return Ok(None);
            };
            match self.decided(&open, command, now)? {
                Outcome::AlreadySo => {
                    self.store.save_progress(progress.as_slice()).await?;
                    return Ok(Some(open));
                }
                Outcome::Changed(change) => match self.save_change(*change, progress.clone()).await
                {
                    Err(AlarmStoreError::Conflict) => {}
                    saved => return Ok(Some(saved?)),
                },
            }
        }
        Err(AlarmStoreError::Conflict.into())
    }

    /// Carries out a command on one alarm; `expected` is the version that the caller has seen.
    ///
    /// **Errors** when there is none, it is another version, a rule says no or the store fails.
    pub async fn command(
        &self,
        id: &AlarmId,
        command: &Command,
        expected: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<Alarm, AlarmError> {
        for _ in 0..MAX_TRIES {
            let alarm = self.get(id).await?;
            // A repeat of what is so already succeeds, whatever version the caller has seen.
            let outcome = self.decided(&alarm, command, now);
            if matches!(outcome, Ok(Outcome::AlreadySo)) {
                return Ok(alarm);
            }
            if let Some(expected) = expected.filter(|expected| *expected != alarm.version) {
                return Err(AlarmError::Changed {
                    expected,
                    found: alarm.version,
                });
            }
            if let Outcome::Changed(change) = outcome? {
                match self.save_change(*change, None).await {
                    Err(AlarmStoreError::Conflict) => {}
                    saved => return Ok(saved?),
                }
            }
        }
        Err(AlarmStoreError::Conflict.into())
    }

    /// Gives back from the shelf what has been there long enough; gives how many.
    ///
    /// **Errors** when the store fails.
    pub async fn unshelve_due(&self, now: DateTime<Utc>) -> Result<usize, AlarmError> {
        let filter = AlarmFilter {
            open: Some(true),
            shelved_until: Some(now),
            limit: UNSHELVE_PAGE,
            ..AlarmFilter::default()
        };
        let mut given_back = 0;
        for alarm in self.store.list(&filter).await? {
            if let Some(command) = alarm.due(now) {
                self.command(&alarm.id, &command, None, now).await?;
                given_back += 1;
            }
        }
        Ok(given_back)
    }

    fn decided(
        &self,
        alarm: &Alarm,
        command: &Command,
        now: DateTime<Utc>,
    ) -> Result<Outcome, AlarmError> {
        alarm.decide(command, now).map_err(AlarmError::Refused)
    }

    async fn save_change(
        &self,
        change: Change,
        progress: Option<Progress>,
    ) -> Result<Alarm, AlarmStoreError> {
        self.save(AlarmWrite {
            change,
            progress,
            released: None,
        })
        .await
    }

    /// The open alarm of an asset and cause.
    async fn open_alarm(&self, asset: &str, cause: &str) -> Result<Option<Alarm>, AlarmStoreError> {
        if self.absent.is_not_open(asset, cause) {
            return Ok(None);
        }
        self.store.open_alarm(asset, cause).await
    }

    async fn save_suppressed(&self, write: &SuppressedWrite) -> Result<(), AlarmStoreError> {
        let found = &write.suppressed.occurrence;
        self.absent.may_stand(&found.asset, &found.cause);
        self.store.save_suppressed(write).await
    }

    async fn save(&self, write: AlarmWrite) -> Result<Alarm, AlarmStoreError> {
        let alarm = &write.change.alarm;
        self.absent.may_be_open(&alarm.asset, &alarm.cause);
        if write.change.kind == EventKind::Raised {
            self.absent.may_have_raised(&alarm.asset, write.change.at);
        }
        let seq = self.store.save(&write).await?;
        self.news.send_if_modified(|newest| {
            let newer = seq > *newest;
            *newest = seq.max(*newest);
            newer
        });
        Ok(write.change.alarm)
    }
}

fn first_raise(occurrence: Occurrence) -> Change {
    Change {
        kind: EventKind::Raised,
        at: occurrence.raised_at,
        actor: occurrence.cause.clone(),
        data: occurrence.evidence.clone(),
        alarm: Alarm::raise(occurrence),
    }
}
