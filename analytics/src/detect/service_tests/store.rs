//! A store of alarms that has moods.

use async_trait::async_trait;
use tokio::sync::watch;

use super::*;
use crate::alarms::{Alarm, AlarmEvent, AlarmId, AlarmStoreError, AlarmWrite, Progress};

/// How the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Nothing is answered, as long as it lasts.
    Silent,
    /// Progress is saved, alarms are not.
    NoAlarms,
    /// The rows of this asset are damaged.
    Damaged(&'static str),
}

#[derive(Debug)]
pub(super) struct MoodyStore {
    inner: MemoryAlarmStore,
    mood: watch::Sender<Mood>,
}

impl MoodyStore {
    pub(super) async fn book() -> (Arc<AlarmBook>, Arc<Self>) {
        let store = Arc::new(Self {
            inner: MemoryAlarmStore::default(),
            mood: watch::Sender::new(Mood::Well),
        });
        let book = AlarmBook::open(Arc::<Self>::clone(&store)).await.unwrap();
        (Arc::new(book), store)
    }

    pub(super) fn is_now(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    async fn answers(&self) {
        let mut mood = self.mood.subscribe();
        mood.wait_for(|mood| *mood != Mood::Silent).await.unwrap();
    }

    async fn admits(&self, asset: &str) -> Result<(), AlarmStoreError> {
        self.answers().await;
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
        self.answers().await;
        self.inner.save_progress(progress).await
    }

    async fn progress(&self) -> Result<Vec<Progress>, AlarmStoreError> {
        self.inner.progress().await
    }
}
