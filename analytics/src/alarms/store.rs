//! The port: what a store of alarms has to offer.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::alarm::{Alarm, AlarmId};
use super::event::AlarmEvent;
use super::moves::Change;
use super::rate::Raise;
use super::suppression::{Suppressed, Suppression, SuppressionId};

/// Most alarms, events or rows of progress that one call gives or takes.
pub const MAX_PAGE: usize = 1000;

/// Most raises that one call gives.
pub const MAX_RAISES: usize = 10_000;

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
    /// The suppressed occurrence that it was until now, already marked as raised.
    pub released: Option<Suppressed>,
}

/// One suppressed occurrence to be saved with the detector's progress, all or nothing.
#[derive(Debug, Clone)]
pub struct SuppressedWrite {
    /// What was found, or what became of it.
    pub suppressed: Suppressed,
    /// Progress of the detector that goes with it.
    pub progress: Option<Progress>,
}

/// Which suppressions to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SuppressionFilter {
    /// Only those about this asset.
    pub asset: Option<String>,
    /// Only those about this class.
    pub class: Option<String>,
    /// Only those that hold at this event time; their conditions are not asked.
    pub holding_at: Option<DateTime<Utc>>,
    /// Only those declared before this one: the cursor.
    pub before: Option<(DateTime<Utc>, SuppressionId)>,
    /// At most so many.
    pub limit: usize,
}

/// Which suppressed occurrences to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SuppressedFilter {
    /// Only of this asset.
    pub asset: Option<String>,
    /// Only found by this detector or rule.
    pub cause: Option<String>,
    /// Only kept down by this one.
    pub suppression: Option<SuppressionId>,
    /// Only those that still stand, or only the others.
    pub standing: Option<bool>,
    /// Only older ones than this: the cursor.
    pub before: Option<AlarmId>,
    /// At most so many.
    pub limit: usize,
}

/// Which raises to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaiseFilter {
    /// Only of this asset.
    pub asset: Option<String>,
    /// After this event time,
    pub after: DateTime<Utc>,
    /// up to and with this one.
    pub through: DateTime<Utc>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// What a rule remembers of an asset that it names, so that its delays survive a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleMemory {
    /// The asset's tag.
    pub asset: String,
    /// Since when the rule names it.
    pub since: DateTime<Utc>,
    /// Whether its alarm is up, or suppressed.
    pub active: bool,
    /// Since when the rule does not name it any more, while its off delay lasts.
    pub back_since: Option<DateTime<Utc>>,
}

/// A change of what a rule remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleWrite {
    /// Name of the rule.
    pub rule: String,
    /// A digest of what the rule asks; what another question led to is not remembered.
    pub definition: String,
    /// Assets that are new or different.
    pub put: Vec<RuleMemory>,
    /// Assets that are forgotten.
    pub gone: Vec<String>,
}

/// Which alarms to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlarmFilter {
    /// Only of this asset.
    pub asset: Option<String>,
    /// Only raised by this detector or rule.
    pub cause: Option<String>,
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

    /// Saves a suppression; its version says what is expected, as with alarms.
    ///
    /// **Errors**: [`AlarmStoreError::Conflict`] when somebody was faster.
    async fn save_suppression(&self, suppression: &Suppression) -> Result<(), AlarmStoreError>;

    /// One suppression.
    async fn suppression(&self, id: &SuppressionId)
    -> Result<Option<Suppression>, AlarmStoreError>;

    /// Suppressions, the last declared first, at most [`MAX_PAGE`].
    async fn suppressions(
        &self,
        filter: &SuppressionFilter,
    ) -> Result<Vec<Suppression>, AlarmStoreError>;

    /// The suppressions that cover a finding at event time `at`, at most [`MAX_PAGE`]; their
    /// conditions are not asked.
    async fn covering(
        &self,
        asset: &str,
        class: &str,
        cause: &str,
        at: DateTime<Utc>,
    ) -> Result<Vec<Suppression>, AlarmStoreError>;

    /// Saves a suppressed occurrence and the progress in one transaction; its version says what is
    /// expected, as with alarms.
    ///
    /// **Errors**: [`AlarmStoreError::Conflict`] when somebody was faster, or another one of its
    /// asset and cause stands.
    async fn save_suppressed(&self, write: &SuppressedWrite) -> Result<(), AlarmStoreError>;

    /// Suppressed occurrences, newest first, at most [`MAX_PAGE`].
    async fn suppressed(
        &self,
        filter: &SuppressedFilter,
    ) -> Result<Vec<Suppressed>, AlarmStoreError>;

    /// Raises in the order of event time, the newest `limit`, at most [`MAX_RAISES`].
    async fn raises(&self, filter: &RaiseFilter) -> Result<Vec<Raise>, AlarmStoreError>;

    /// What a rule of this definition remembers, in the order of tags.
    async fn rule_memory(
        &self,
        rule: &str,
        definition: &str,
    ) -> Result<Vec<RuleMemory>, AlarmStoreError>;

    /// Saves a change of what a rule remembers in one transaction.
    async fn save_rule_memory(&self, write: &RuleWrite) -> Result<(), AlarmStoreError>;

    /// Forgets what all other rules remember.
    async fn keep_rules(&self, names: &[String]) -> Result<(), AlarmStoreError>;
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
            && self
                .cause
                .as_ref()
                .is_none_or(|cause| *cause == alarm.cause)
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
