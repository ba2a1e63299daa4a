//! The port: what a store of alarms has to offer.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::alarm::{Alarm, AlarmId};
use super::event::AlarmEvent;
use super::moves::Change;

/// Most alarms, events or rows of progress that one call gives or takes.
pub const MAX_PAGE: usize = 1000;

/// How far detection has come with an asset: what it needs to go on after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The asset's tag.
    pub asset: String,
    /// The asset's class.
    pub class: String,
    /// Event time up to which windows are scored.
    pub scored_through: DateTime<Utc>,
    /// State of the detector, JSON, understood by the detector alone.
    pub state: String,
}

/// One change to be saved: the alarm, its news and the detector's progress, all or nothing.
#[derive(Debug, Clone)]
pub struct AlarmWrite {
    /// What changes.
    pub change: Change,
    /// Progress of the detector that goes with it.
    pub progress: Option<Progress>,
}

/// Which alarms to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlarmFilter {
    /// Only of this asset.
    pub asset: Option<String>,
    /// Only active ones, or only those that are not.
    pub active: Option<bool>,
    /// Only open ones, or only closed ones.
    pub open: Option<bool>,
    /// Only those whose shelving ends at or before this instant.
    pub shelved_until: Option<DateTime<Utc>>,
    /// Only older ones than this: the cursor.
    pub before: Option<AlarmId>,
    /// At most so many.
    pub limit: usize,
}

/// Where alarms, their news and the progress of detection are kept.
///
/// There is at most one open alarm per asset and cause, whatever is done at the same time.
#[async_trait]
pub trait AlarmStore: Send + Sync + std::fmt::Debug {
    /// Saves a change, its news and the progress in one transaction; gives the place of the news.
    ///
    /// The alarm's version says what is expected: 1 makes a new one, N replaces N - 1.
    ///
    /// **Errors**: [`AlarmStoreError::Conflict`] when somebody was faster or the asset has an
    /// open alarm of this cause already.
    async fn save(&self, write: &AlarmWrite) -> Result<i64, AlarmStoreError>;

    /// One alarm.
    async fn get(&self, id: &AlarmId) -> Result<Option<Alarm>, AlarmStoreError>;

    /// The open alarm of an asset and cause.
    async fn open_alarm(&self, asset: &str, cause: &str) -> Result<Option<Alarm>, AlarmStoreError>;

    /// Alarms, newest first, at most [`MAX_PAGE`].
    async fn list(&self, filter: &AlarmFilter) -> Result<Vec<Alarm>, AlarmStoreError>;

    /// The news after `seq`, oldest first, at most [`MAX_PAGE`].
    async fn events_after(
        &self,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<AlarmEvent>, AlarmStoreError>;

    /// The place of the newest news, 0 when there is none.
    async fn last_seq(&self) -> Result<i64, AlarmStoreError>;

    /// Saves progress alone; at most [`MAX_PAGE`] rows go into one transaction.
    async fn save_progress(&self, progress: &[Progress]) -> Result<(), AlarmStoreError>;

    /// All progress.
    async fn progress(&self) -> Result<Vec<Progress>, AlarmStoreError>;
}

/// What can go wrong with a store of alarms.
#[derive(Debug, thiserror::Error)]
pub enum AlarmStoreError {
    /// Somebody was faster; load again and decide again.
    #[error("the alarm was changed by somebody else at the same time")]
    Conflict,
    /// The store did not answer.
    #[error("cannot {operation} in the operational store")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// What the store said.
        source: sqlx::Error,
    },
    /// A row does not hold what we wrote.
    #[error("cannot read {table}.{column} in the operational store: {found}")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        found: String,
    },
}

impl AlarmFilter {
    /// Whether an alarm is one of them; the cursor and the limit are not asked.
    pub(super) fn admits(&self, alarm: &Alarm) -> bool {
        self.asset
            .as_ref()
            .is_none_or(|asset| *asset == alarm.asset)
            && self.active.is_none_or(|active| active == alarm.active)
            && self.open.is_none_or(|open| open == alarm.closed.is_none())
            && self.shelved_until.is_none_or(|until| {
                alarm
                    .shelved
                    .as_ref()
                    .is_some_and(|shelving| shelving.until <= until)
            })
    }

    /// The limit within its bounds.
    pub(super) fn bounded_limit(&self) -> usize {
        self.limit.clamp(1, MAX_PAGE)
    }
}
