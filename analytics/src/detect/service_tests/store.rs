//! A store of alarms that has moods.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::watch;

use super::*;
use crate::alarms::{
    Alarm, AlarmEvent, AlarmId, AlarmStoreError, AlarmWrite, Progress, Raise, RaiseFilter,
    RuleMemory, RuleWrite, Suppressed, SuppressedFilter, SuppressedWrite, Suppression,
    SuppressionFilter, SuppressionId,
};

/// How the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Nothing is answered, as long as it lasts.
    Silent,
    /// Progress is saved, alarms are not.
    NoAlarms,
    /// Alarms are saved, and of progress nothing is answered.
    NoProgress,
    /// The rows of this asset are damaged.
    Damaged(&'static str),
}

#[derive(Debug)]
pub(super) struct MoodyStore {
    inner: MemoryAlarmStore,
    mood: watch::Sender<Mood>,
    /// Calls that wait for an answer.
    waiting: AtomicUsize,
    /// Newest progress of every asset.
    newest: Mutex<BTreeMap<String, DateTime<Utc>>>,
    /// Older progress that was written over newer one.
    went_back: Mutex<Vec<Progress>>,
}

impl MoodyStore {
    pub(super) async fn book() -> (Arc<AlarmBook>, Arc<Self>) {
        let store = Arc::new(Self {
            inner: MemoryAlarmStore::default(),
            mood: watch::Sender::new(Mood::Well),
            waiting: AtomicUsize::default(),
            newest: Mutex::default(),
            went_back: Mutex::default(),
        });
        let book = AlarmBook::open(Arc::<Self>::clone(&store)).await.unwrap();
        (Arc::new(book), store)
    }

    pub(super) fn is_now(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Returns once a call waits for an answer.
    pub(super) async fn lets_wait(&self) {
        wait_for("a call waits", async || {
            (self.waiting.load(Ordering::Relaxed) > 0).then_some(())
        })
        .await;
    }

    /// Returns once no call waits any more.
    pub(super) async fn has_answered(&self) {
        wait_for("all calls are answered", async || {
            (self.waiting.load(Ordering::Relaxed) == 0).then_some(())
        })
        .await;
    }

    pub(super) fn went_back(&self) -> Vec<Progress> {
        self.went_back.lock().unwrap().clone()
    }

    async fn answers(&self, silent: &[Mood]) {
        let mut mood = self.mood.subscribe();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        mood.wait_for(|mood| !silent.contains(mood)).await.unwrap();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    fn note(&self, progress: &[Progress]) {
        for one in progress {
            let mut newest = self.newest.lock().unwrap();
            let newest = newest.entry(one.asset.clone()).or_default();
            if one.scored_through < *newest {
                self.went_back.lock().unwrap().push(one.clone());
            }
            *newest = one.scored_through;
        }
    }

    async fn admits(&self, asset: &str) -> Result<(), AlarmStoreError> {
        self.answers(&[Mood::Silent]).await;
        match *self.mood.borrow() {
            Mood::NoAlarms => Err(AlarmStoreError::Unavailable {
                operation: "save an alarm",
                source: sqlx::Error::PoolTimedOut,
            }),
            Mood::Damaged(damaged) if damaged == asset => Err(AlarmStoreError::Unreadable {
                table: "alarms",
                column: "evidence",
                found: "nonsense".into(),
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl AlarmStore for MoodyStore {
    async fn save(&self, write: &AlarmWrite) -> Result<i64, AlarmStoreError> {
        self.admits(&write.change.alarm.asset).await?;
        self.note(write.progress.as_slice());
        self.inner.save(write).await
    }

    async fn get(&self, id: &AlarmId) -> Result<Option<Alarm>, AlarmStoreError> {
        self.inner.get(id).await
    }

    async fn open_alarm(&self, asset: &str, cause: &str) -> Result<Option<Alarm>, AlarmStoreError> {
        self.admits(asset).await?;
        self.inner.open_alarm(asset, cause).await
    }

    async fn list(&self, filter: &AlarmFilter) -> Result<Vec<Alarm>, AlarmStoreError> {
        self.inner.list(filter).await
    }

    async fn events_after(
        &self,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<AlarmEvent>, AlarmStoreError> {
        self.inner.events_after(seq, limit).await
    }

    async fn last_seq(&self) -> Result<i64, AlarmStoreError> {
        self.inner.last_seq().await
    }

    async fn save_progress(&self, progress: &[Progress]) -> Result<(), AlarmStoreError> {
        if progress.is_empty() {
            return Ok(());
        }
        self.answers(&[Mood::Silent, Mood::NoProgress]).await;
        self.note(progress);
        self.inner.save_progress(progress).await
    }

    async fn progress(&self) -> Result<Vec<Progress>, AlarmStoreError> {
        self.inner.progress().await
    }

    async fn save_suppression(&self, suppression: &Suppression) -> Result<(), AlarmStoreError> {
        self.inner.save_suppression(suppression).await
    }

    async fn suppression(
        &self,
        id: &SuppressionId,
    ) -> Result<Option<Suppression>, AlarmStoreError> {
        self.inner.suppression(id).await
    }

    async fn suppressions(
        &self,
        filter: &SuppressionFilter,
    ) -> Result<Vec<Suppression>, AlarmStoreError> {
        self.inner.suppressions(filter).await
    }

    async fn covering(
        &self,
        asset: &str,
        class: &str,
        cause: &str,
        at: DateTime<Utc>,
    ) -> Result<Vec<Suppression>, AlarmStoreError> {
        self.inner.covering(asset, class, cause, at).await
    }

    async fn save_suppressed(&self, write: &SuppressedWrite) -> Result<(), AlarmStoreError> {
        self.admits(&write.suppressed.occurrence.asset).await?;
        self.note(write.progress.as_slice());
        self.inner.save_suppressed(write).await
    }

    async fn suppressed(
        &self,
        filter: &SuppressedFilter,
    ) -> Result<Vec<Suppressed>, AlarmStoreError> {
        self.inner.suppressed(filter).await
    }

    async fn raises(&self, filter: &RaiseFilter) -> Result<Vec<Raise>, AlarmStoreError> {
        self.inner.raises(filter).await
    }

    async fn rule_memory(
        &self,
        rule: &str,
        definition: &str,
    ) -> Result<Vec<RuleMemory>, AlarmStoreError> {
        self.inner.rule_memory(rule, definition).await
    }

    async fn save_rule_memory(&self, write: &RuleWrite) -> Result<(), AlarmStoreError> {
        self.inner.save_rule_memory(write).await
    }

    async fn keep_rules(&self, names: &[String]) -> Result<(), AlarmStoreError> {
        self.inner.keep_rules(names).await
    }
}
