//! What is found while it is suppressed, and what becomes of it.

use chrono::{DateTime, Utc};

use super::super::alarm::{Alarm, Occurrence};
use super::super::moves::Command;
use super::super::refusal::Refusal;
use super::super::store::{
    AlarmFilter, AlarmStoreError, MAX_PAGE, Progress, SuppressedFilter, SuppressedWrite,
    SuppressionFilter,
};
use super::super::suppression::{
    Condition, Declaration, Suppressed, SuppressedOutcome, Suppression, SuppressionId,
};
use super::{AlarmBook, AlarmError, MAX_TRIES};

/// Suppressions that follow upon each other without a gap, at most, before one is taken as endless.
const MAX_CHAIN: usize = 100;

/// What became of something that was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// Its alarm is active.
    Raised(Box<Alarm>),
    /// It is recorded, and not raised.
    Suppressed(Box<Suppressed>),
}

/// What became of a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The suppression as it is now.
    pub suppression: Suppression,
    /// Whether it was declared before under the same key.
    pub repeated: bool,
}

/// What keeps something from being raised, and until when if that is known.
type Suppressing = (Suppression, Option<DateTime<Utc>>);

impl AlarmBook {
    /// Declares a span in which nothing is raised; the same key again changes nothing.
    ///
    /// **Errors** when a rule says no, the key stands for another declaration, or the store fails.
    pub async fn declare(
        &self,
        wanted: Declaration,
        now: DateTime<Utc>,
    ) -> Result<Declared, AlarmError> {
        let (key, fingerprint) = (SuppressionId::of(&wanted.key), wanted.fingerprint.clone());
        let wanted = match Suppression::declare(wanted, now) {
            Ok(wanted) => wanted,
            Err(refusal) => {
                // A repeat is answered like the first time, even when its span is over by now.
                let known = self.store.suppression(&key).await?;
                let known = known.filter(|known| known.fingerprint == fingerprint);
                return match known {
                    Some(suppression) => Ok(Declared {
                        suppression,
                        repeated: true,
                    }),
                    None => Err(AlarmError::Refused(refusal)),
                };
            }
        };
        self.absent.may_suppress(&wanted);
        match self.store.save_suppression(&wanted).await {
            Err(AlarmStoreError::Conflict) => {}
            saved => {
                saved?;
                return Ok(Declared {
                    suppression: wanted,
                    repeated: false,
                });
            }
        }
        let known = self.suppression(&wanted.id).await?;
        if known.fingerprint != wanted.fingerprint {
            return Err(AlarmError::Refused(Refusal::KeyReused));
        }
        Ok(Declared {
            suppression: known,
            repeated: true,
        })
    }

    /// Ends a suppression at event time `at`; one that has ended by then stays as it is.
    ///
    /// What it kept down and is still there is raised soon after.
    ///
    /// **Errors** when there is none, a rule says no, or the store fails.
    pub async fn end_suppression(
        &self,
        id: &SuppressionId,
        by: &str,
        at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Suppression, AlarmError> {
        for _ in 0..MAX_TRIES {
            let known = self.suppression(id).await?;
            let Some(ended) = known.end(by, at, now).map_err(AlarmError::Refused)? else {
                return Ok(known);
            };
            match self.store.save_suppression(&ended).await {
                Err(AlarmStoreError::Conflict) => {}
                saved => {
                    saved?;
                    return Ok(ended);
                }
            }
        }
        Err(AlarmStoreError::Conflict.into())
    }

    /// One suppression.
    ///
    /// **Errors** when there is none or the store cannot be read.
    pub async fn suppression(&self, id: &SuppressionId) -> Result<Suppression, AlarmError> {
        let found = self.store.suppression(id).await?;
        found.ok_or_else(|| AlarmError::NoSuppression(id.clone()))
    }

    /// Suppressions, the last declared first.
    ///
    /// **Errors** when the store cannot be read.
    pub async fn suppressions(
        &self,
        filter: &SuppressionFilter,
    ) -> Result<Vec<Suppression>, AlarmStoreError> {
        self.store.suppressions(filter).await
    }

    /// Suppressed occurrences, newest first.
    ///
    /// **Errors** when the store cannot be read.
    pub async fn suppressed(
        &self,
        filter: &SuppressedFilter,
    ) -> Result<Vec<Suppressed>, AlarmStoreError> {
        self.store.suppressed(filter).await
    }

    /// Takes what a detector or rule has found: raised, or recorded where it is suppressed at its
    /// event time. What is active already stays so: a suppression begins nothing and ends nothing.
    ///
    /// **Errors** when the store fails.
    pub async fn report(
        &self,
        occurrence: Occurrence,
        progress: Option<Progress>,
        now: DateTime<Utc>,
    ) -> Result<Report, AlarmError> {
        for _ in 0..MAX_TRIES {
            match self.try_report(&occurrence, progress.as_ref(), now).await {
                Err(AlarmError::Store(AlarmStoreError::Conflict)) => {}
                done => return done,
            }
        }
        Err(AlarmStoreError::Conflict.into())
    }

    async fn try_report(
        &self,
        found: &Occurrence,
        progress: Option<&Progress>,
        now: DateTime<Utc>,
    ) -> Result<Report, AlarmError> {
        // At once: whoever waits for the alarm waits for one answer of the store, not for three;
        // and for none where it is known that nothing is there.
        let (open, suppressing, standing) = tokio::try_join!(
            self.open_alarm(&found.asset, &found.cause),
            self.suppressing(found, found.raised_at),
            self.standing(&found.asset, &found.cause),
        )?;
        let is_active = open.is_some_and(|open| open.active);
        let Some((suppression, _)) = suppressing.filter(|_| !is_active) else {
            let alarm = self
                .raise_from(found.clone(), standing, progress.cloned(), now)
                .await?;
            return Ok(Report::Raised(Box::new(alarm)));
        };
        if let Some(standing) = standing {
            self.store.save_progress(progress_slice(progress)).await?;
            return Ok(Report::Suppressed(Box::new(standing)));
        }
        let suppressed = Suppressed::by(&suppression, found.clone());
        let write = SuppressedWrite {
            suppressed: suppressed.clone(),
            progress: progress.cloned(),
        };
        match self.save_suppressed(&write).await {
            Err(AlarmStoreError::Conflict) => {}
            saved => {
                saved?;
                return Ok(Report::Suppressed(Box::new(suppressed)));
            }
        }
        // The very same occurrence was recorded and is over: it stays so.
        let known = self.recorded(found).await?;
        let Some(known) = known.into_iter().find(|one| one.id == suppressed.id) else {
            return Err(AlarmStoreError::Conflict.into());
        };
        self.store.save_progress(progress_slice(progress)).await?;
        Ok(Report::Suppressed(Box::new(known)))
    }

    /// Raises what stands although nothing suppresses it any more; gives how much that was.
    ///
    /// `through` says up to which event time it is known of an asset and cause that nothing has
    /// returned; silence is not good news, and no bad news either.
    ///
    /// **Errors** when the store fails.
    pub async fn release_due(
        &self,
        through: &(dyn Fn(&str, &str) -> Option<DateTime<Utc>> + Send + Sync),
        now: DateTime<Utc>,
    ) -> Result<usize, AlarmError> {
        let mut released = 0;
        let mut filter = SuppressedFilter {
            standing: Some(true),
            limit: MAX_PAGE,
            ..SuppressedFilter::default()
        };
        loop {
            let page = self.store.suppressed(&filter).await?;
            let Some(last) = page.last() else { break };
            filter.before = Some(last.id.clone());
            for standing in page {
                let Some(through) = through(&standing.occurrence.asset, &standing.occurrence.cause)
                else {
                    continue;
                };
                match self.release(standing, through, now).await {
                    Ok(done) => released += usize::from(done),
                    // It has just changed; the next look finds it as it is then.
                    Err(AlarmError::Store(AlarmStoreError::Conflict)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(released)
    }

    async fn release(
        &self,
        standing: Suppressed,
        through: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, AlarmError> {
        let Some(end) = self.end_of(&standing, through).await? else {
            return Ok(false);
        };
        let occurrence = standing.released(end);
        let alarm = self
            .raise_from(occurrence, Some(standing), None, now)
            .await?;
        tracing::info!(
            alarm = %alarm.id, asset = alarm.asset, summary = alarm.summary,
            "alarm raised: its suppression is over"
        );
        Ok(true)
    }

    /// Tells what is suppressed that it returned or is worse; false where an alarm has to be told.
    pub(super) async fn told_to_suppressed(
        &self,
        asset: &str,
        cause: &str,
        command: &Command,
        progress: Option<&Progress>,
        now: DateTime<Utc>,
    ) -> Result<bool, AlarmError> {
        for _ in 0..MAX_TRIES {
            let Some(standing) = self.standing(asset, cause).await? else {
                return Ok(false);
            };
            match self.tell_standing(standing, command, progress, now).await {
                Err(AlarmError::Store(AlarmStoreError::Conflict)) => {}
                told => return told,
            }
        }
        Err(AlarmStoreError::Conflict.into())
    }

    async fn tell_standing(
        &self,
        standing: Suppressed,
        command: &Command,
        progress: Option<&Progress>,
        now: DateTime<Utc>,
    ) -> Result<bool, AlarmError> {
        // What was still there when its suppression ended was an alarm by then.
        let through = match command {
            Command::Return { at } => *at - chrono::TimeDelta::microseconds(1),
            Command::AddEvidence { at, .. } => *at,
            _ => return Ok(false),
        };
        if self.release(standing.clone(), through, now).await? {
            return Ok(false);
        }
        let suppressed = match command {
            Command::AddEvidence {
                severity,
                summary,
                evidence,
                ..
            } => {
                let mut worse = standing.became(SuppressedOutcome::Standing);
                let found = &mut worse.occurrence;
                found.severity = found.severity.max(*severity);
                found.summary.clone_from(summary);
                found.evidence.clone_from(evidence);
                worse
            }
            Command::Return { at } => standing.became(SuppressedOutcome::Returned { at: *at }),
            _ => return Ok(false),
        };
        let write = SuppressedWrite {
            suppressed,
            progress: progress.cloned(),
        };
        self.save_suppressed(&write).await?;
        Ok(true)
    }

    /// Event time at which nothing suppresses a standing occurrence any more, up to `through`.
    async fn end_of(
        &self,
        standing: &Suppressed,
        through: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, AlarmStoreError> {
        let mut at = standing.occurrence.raised_at;
        for _ in 0..MAX_CHAIN {
            match self.suppressing(&standing.occurrence, at).await? {
                None => return Ok((at <= through).then_some(at)),
                Some((_, Some(end))) if end > at && end <= through => at = end,
                Some(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Of what suppresses a finding at event time `at`, that which does so longest.
    async fn suppressing(
        &self,
        found: &Occurrence,
        at: DateTime<Utc>,
    ) -> Result<Option<Suppressing>, AlarmStoreError> {
        if self.absent.suppresses_not(&found.asset, &found.class, at) {
            return Ok(None);
        }
        let covering = self
            .store
            .covering(&found.asset, &found.class, &found.cause, at)
            .await?;
        let mut longest: Option<Suppressing> = None;
        for suppression in covering {
            let end = match &suppression.during {
                None => suppression.until,
                Some(condition) => match self.holding(condition, &found.asset, at).await? {
                    None => continue,
                    Some(until) => earlier(suppression.until, until),
                },
            };
            let longer = match &longest {
                None => true,
                Some((_, None)) => false,
                Some((_, Some(known))) => end.is_none_or(|end| end > *known),
            };
            if longer {
                longest = Some((suppression, end));
            }
        }
        Ok(longest)
    }

    /// Whether a condition is there at event time `at`, and until when it was if it is over.
    async fn holding(
        &self,
        condition: &Condition,
        asset: &str,
        at: DateTime<Utc>,
    ) -> Result<Option<Option<DateTime<Utc>>>, AlarmStoreError> {
        let asset = condition.asset.as_deref().unwrap_or(asset);
        let alarms = AlarmFilter {
            asset: Some(asset.to_owned()),
            cause: Some(condition.cause.clone()),
            limit: 1,
            ..AlarmFilter::default()
        };
        let suppressed = SuppressedFilter {
            asset: Some(asset.to_owned()),
            cause: Some(condition.cause.clone()),
            limit: 1,
            ..SuppressedFilter::default()
        };
        let alarms = self.store.list(&alarms).await?;
        let of_alarms = alarms
            .iter()
            .map(|alarm| (alarm.raised_at, alarm.returned_at));
        let suppressed = self.store.suppressed(&suppressed).await?;
        let of_suppressed = suppressed.iter().map(|one| {
            let over = match one.outcome {
                SuppressedOutcome::Standing => None,
                SuppressedOutcome::Returned { at } | SuppressedOutcome::Raised { at, .. } => {
                    Some(at)
                }
            };
            (one.occurrence.raised_at, over)
        });
        Ok(of_alarms
            .chain(of_suppressed)
            .find(|(from, until)| *from <= at && until.is_none_or(|until| at < until))
            .map(|(_, until)| until))
    }

    async fn standing(
        &self,
        asset: &str,
        cause: &str,
    ) -> Result<Option<Suppressed>, AlarmStoreError> {
        if self.absent.stands_not(asset, cause) {
            return Ok(None);
        }
        let filter = SuppressedFilter {
            asset: Some(asset.to_owned()),
            cause: Some(cause.to_owned()),
            standing: Some(true),
            limit: 1,
            ..SuppressedFilter::default()
        };
        Ok(self.store.suppressed(&filter).await?.pop())
    }

    async fn recorded(&self, found: &Occurrence) -> Result<Vec<Suppressed>, AlarmStoreError> {
        let filter = SuppressedFilter {
            asset: Some(found.asset.clone()),
            cause: Some(found.cause.clone()),
            limit: MAX_PAGE,
            ..SuppressedFilter::default()
        };
        self.store.suppressed(&filter).await
    }
}

fn progress_slice(progress: Option<&Progress>) -> &[Progress] {
    progress.map_or(&[], std::slice::from_ref)
}

/// The earlier of two ends; no end is the latest.
fn earlier(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
