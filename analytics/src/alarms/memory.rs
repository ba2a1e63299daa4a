//! Alarms in memory: for recordings, tests and services without a store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::alarm::{Alarm, AlarmId};
use super::event::{AlarmEvent, EventKind};
use super::rate::Raise;
use super::store::{
    AlarmFilter, AlarmStore, AlarmStoreError, AlarmWrite, MAX_PAGE, MAX_RAISES, Progress,
    RaiseFilter, RuleMemory, RuleWrite, SuppressedFilter, SuppressedWrite, SuppressionFilter,
};
use super::suppression::{Suppressed, SuppressedOutcome, Suppression, SuppressionId};

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryAlarmStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    alarms: BTreeMap<AlarmId, Alarm>,
    open: BTreeMap<String, AlarmId>,
    events: Vec<AlarmEvent>,
    progress: BTreeMap<String, Progress>,
    suppressions: BTreeMap<String, Suppression>,
    suppressed: BTreeMap<AlarmId, Suppressed>,
    /// By rule: its definition, and what it remembers by asset.
    rules: BTreeMap<String, (String, BTreeMap<String, RuleMemory>)>,
}

impl Kept {
    fn put_progress(&mut self, progress: Option<&Progress>) {
        if let Some(progress) = progress {
            self.progress
                .insert(progress.asset.clone(), progress.clone());
        }
    }

    fn admits_suppressed(&self, one: &Suppressed) -> bool {
        let before = self.suppressed.get(&one.id).map_or(0, |one| one.version);
        let key = one.open_key();
        let others = self.suppressed.values().filter(|other| other.id != one.id);
        before == one.version - 1 && !others.into_iter().any(|other| other.open_key() == key)
    }
}

impl MemoryAlarmStore {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder panics")
    }
}

#[async_trait]
impl AlarmStore for MemoryAlarmStore {
    async fn save(&self, write: &AlarmWrite) -> Result<i64, AlarmStoreError> {
        let mut kept = self.kept();
        let alarm = &write.change.alarm;
        let before = kept.alarms.get(&alarm.id);
        if before.map_or(0, |before| before.version) != alarm.version - 1 {
            return Err(AlarmStoreError::Conflict);
        }
        let key = alarm.open_key();
        if kept.open.get(&key).is_some_and(|open| *open != alarm.id) {
            return Err(AlarmStoreError::Conflict);
        }
        if let Some(released) = &write.released
            && !kept.admits_suppressed(released)
        {
            return Err(AlarmStoreError::Conflict);
        }
        let before = kept.alarms.get(&alarm.id);
        if let Some(old) = before.map(Alarm::open_key) {
            kept.open.remove(&old);
        }
        kept.open.insert(key, alarm.id.clone());
        kept.alarms.insert(alarm.id.clone(), alarm.clone());
        let seq = i64::try_from(kept.events.len()).unwrap_or(i64::MAX) + 1;
        kept.events.push(AlarmEvent {
            seq,
            ..AlarmEvent::of(&write.change)
        });
        kept.put_progress(write.progress.as_ref());
        if let Some(released) = &write.released {
            kept.suppressed
                .insert(released.id.clone(), released.clone());
        }
        Ok(seq)
    }

    async fn get(&self, id: &AlarmId) -> Result<Option<Alarm>, AlarmStoreError> {
        Ok(self.kept().alarms.get(id).cloned())
    }

    async fn open_alarm(&self, asset: &str, cause: &str) -> Result<Option<Alarm>, AlarmStoreError> {
        let kept = self.kept();
        let id = kept.open.get(&format!("{asset}|{cause}"));
        Ok(id.and_then(|id| kept.alarms.get(id)).cloned())
    }

    async fn list(&self, filter: &AlarmFilter) -> Result<Vec<Alarm>, AlarmStoreError> {
        Ok(self
            .kept()
            .alarms
            .values()
            .rev()
            .filter(|alarm| {
                filter
                    .before
                    .as_ref()
                    .is_none_or(|before| alarm.id < *before)
            })
            .filter(|alarm| filter.admits(alarm))
            .take(filter.bounded_limit())
            .cloned()
            .collect())
    }

    async fn events_after(
        &self,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<AlarmEvent>, AlarmStoreError> {
        let skipped = usize::try_from(seq.max(0)).unwrap_or(usize::MAX);
        let limit = limit.clamp(1, MAX_PAGE);
        Ok(self
            .kept()
            .events
            .iter()
            .skip(skipped)
            .take(limit)
            .cloned()
            .collect())
    }

    async fn last_seq(&self) -> Result<i64, AlarmStoreError> {
        Ok(self.kept().events.last().map_or(0, |event| event.seq))
    }

    async fn save_progress(&self, progress: &[Progress]) -> Result<(), AlarmStoreError> {
        let mut kept = self.kept();
        for progress in progress {
            kept.put_progress(Some(progress));
        }
        Ok(())
    }

    async fn progress(&self) -> Result<Vec<Progress>, AlarmStoreError> {
        Ok(self.kept().progress.values().cloned().collect())
    }

    async fn save_suppression(&self, suppression: &Suppression) -> Result<(), AlarmStoreError> {
        let mut kept = self.kept();
        let key = suppression.id.to_string();
        let before = kept.suppressions.get(&key).map_or(0, |one| one.version);
        if before != suppression.version - 1 {
            return Err(AlarmStoreError::Conflict);
        }
        kept.suppressions.insert(key, suppression.clone());
        Ok(())
    }

    async fn suppression(
        &self,
        id: &SuppressionId,
    ) -> Result<Option<Suppression>, AlarmStoreError> {
        Ok(self.kept().suppressions.get(id.as_str()).cloned())
    }

    async fn suppressions(
        &self,
        filter: &SuppressionFilter,
    ) -> Result<Vec<Suppression>, AlarmStoreError> {
        let kept = self.kept();
        let is_same =
            |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let place = |one: &Suppression| (one.declared.at, one.id.clone());
        let mut found: Vec<Suppression> = kept
            .suppressions
            .values()
            .filter(|one| is_same(&filter.asset, &one.asset) && is_same(&filter.class, &one.class))
            .filter(|one| filter.holding_at.is_none_or(|at| one.holds_at(at)))
            .filter(|one| {
                filter
                    .before
                    .as_ref()
                    .is_none_or(|before| place(one) < *before)
            })
            .cloned()
            .collect();
        found.sort_by_key(|one| std::cmp::Reverse(place(one)));
        found.truncate(filter.limit.clamp(1, MAX_PAGE));
        Ok(found)
    }

    async fn covering(
        &self,
        asset: &str,
        class: &str,
        cause: &str,
        at: DateTime<Utc>,
    ) -> Result<Vec<Suppression>, AlarmStoreError> {
        let kept = self.kept();
        let covers = |one: &&Suppression| one.covers(asset, class, cause, at);
        let found = kept.suppressions.values().filter(covers);
        Ok(found.take(MAX_PAGE).cloned().collect())
    }

    async fn save_suppressed(&self, write: &SuppressedWrite) -> Result<(), AlarmStoreError> {
        let mut kept = self.kept();
        if !kept.admits_suppressed(&write.suppressed) {
            return Err(AlarmStoreError::Conflict);
        }
        let suppressed = write.suppressed.clone();
        kept.suppressed.insert(suppressed.id.clone(), suppressed);
        kept.put_progress(write.progress.as_ref());
        Ok(())
    }

    async fn suppressed(
        &self,
        filter: &SuppressedFilter,
    ) -> Result<Vec<Suppressed>, AlarmStoreError> {
        let kept = self.kept();
        let is = |wanted: &Option<String>, found: &String| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        Ok(kept
            .suppressed
            .values()
            .rev()
            .filter(|one| is(&filter.asset, &one.occurrence.asset))
            .filter(|one| is(&filter.cause, &one.occurrence.cause))
            .filter(|one| {
                filter
                    .suppression
                    .as_ref()
                    .is_none_or(|id| *id == one.suppression)
            })
            .filter(|one| {
                let stands = one.outcome == SuppressedOutcome::Standing;
                filter.standing.is_none_or(|wanted| wanted == stands)
            })
            .filter(|one| filter.before.as_ref().is_none_or(|before| one.id < *before))
            .take(filter.limit.clamp(1, MAX_PAGE))
            .cloned()
            .collect())
    }

    async fn raises(&self, filter: &RaiseFilter) -> Result<Vec<Raise>, AlarmStoreError> {
        let kept = self.kept();
        let mut found: Vec<(DateTime<Utc>, i64, Raise)> = kept
            .events
            .iter()
            .filter(|event| event.kind == EventKind::Raised)
            .filter(|event| event.time > filter.after && event.time <= filter.through)
            .filter(|event| {
                filter
                    .asset
                    .as_ref()
                    .is_none_or(|asset| *asset == event.asset)
            })
            .map(|event| {
                let raise = Raise {
                    alarm: event.alarm.clone(),
                    asset: event.asset.clone(),
                    cause: event.cause.clone(),
                    severity: event.severity,
                    at: event.time,
                };
                (event.time, event.seq, raise)
            })
            .collect();
        found.sort_by_key(|(time, seq, _)| (*time, *seq));
        let skipped = found
            .len()
            .saturating_sub(filter.limit.clamp(1, MAX_RAISES));
        Ok(found
            .into_iter()
            .skip(skipped)
            .map(|(_, _, raise)| raise)
            .collect())
    }

    async fn rule_memory(
        &self,
        rule: &str,
        definition: &str,
    ) -> Result<Vec<RuleMemory>, AlarmStoreError> {
        let kept = self.kept();
        Ok(match kept.rules.get(rule) {
            Some((known, memory)) if known == definition => memory.values().cloned().collect(),
            _ => Vec::new(),
        })
    }

    async fn save_rule_memory(&self, write: &RuleWrite) -> Result<(), AlarmStoreError> {
        let mut kept = self.kept();
        let (known, memory) = kept.rules.entry(write.rule.clone()).or_default();
        if *known != write.definition {
            known.clone_from(&write.definition);
            memory.clear();
        }
        for asset in &write.gone {
            memory.remove(asset);
        }
        for one in &write.put {
            memory.insert(one.asset.clone(), one.clone());
        }
        Ok(())
    }

    async fn keep_rules(&self, names: &[String]) -> Result<(), AlarmStoreError> {
        self.kept().rules.retain(|rule, _| names.contains(rule));
        Ok(())
    }
}
