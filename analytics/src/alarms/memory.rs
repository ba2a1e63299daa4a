//! Alarms in memory: for recordings, tests and services without a store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;

use super::alarm::{Alarm, AlarmId};
use super::event::AlarmEvent;
use super::store::{AlarmFilter, AlarmStore, AlarmStoreError, AlarmWrite, MAX_PAGE, Progress};

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
        if let Some(progress) = &write.progress {
            kept.progress
                .insert(progress.asset.clone(), progress.clone());
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
            kept.progress
                .insert(progress.asset.clone(), progress.clone());
        }
        Ok(())
    }

    async fn progress(&self) -> Result<Vec<Progress>, AlarmStoreError> {
        Ok(self.kept().progress.values().cloned().collect())
    }
}
