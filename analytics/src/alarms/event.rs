//! The news about alarms, in the order in which it was committed.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use fieldwright_condition::Severity;
use serde_json::Value;

use super::alarm::{Alarm, AlarmId};
use super::moves::Change;

/// What has happened to an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It became active, for the first time or again.
    Raised,
    /// It returned to normal.
    Returned,
    /// A person has seen it.
    Acknowledged,
    /// A person put it aside.
    Shelved,
    /// It came back from the shelf.
    Unshelved,
    /// There is more evidence.
    Evidence,
    /// It was closed by a verified repair.
    Closed,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Raised,
        Self::Returned,
        Self::Acknowledged,
        Self::Shelved,
        Self::Unshelved,
        Self::Evidence,
        Self::Closed,
    ];

    /// The word of the feed and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Returned => "returned",
            Self::Acknowledged => "acknowledged",
            Self::Shelved => "shelved",
            Self::Unshelved => "unshelved",
            Self::Evidence => "evidence",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no kind of alarm event"))
    }
}

/// One piece of news.
///
/// A follower that has to do something once per occurrence keys it by `alarm` and `occurrence`:
/// an alarm that returns and comes again while open is raised again under the same identity.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmEvent {
    /// Place in the feed, from 1, without gaps, in the order of commits.
    pub seq: i64,
    /// The alarm.
    pub alarm: AlarmId,
    /// What has happened.
    pub kind: EventKind,
    /// When: event time for what readings did, business clock for what people did.
    pub time: DateTime<Utc>,
    /// The asset's tag.
    pub asset: String,
    /// The asset's class.
    pub class: String,
    /// Name of the detector or rule.
    pub cause: String,
    /// How much it matters now.
    pub severity: Severity,
    /// One sentence for people.
    pub summary: String,
    /// Who or what did it.
    pub actor: String,
    /// Which occurrence of the alarm this is about, from 1.
    pub occurrence: u32,
    /// What belongs to the news, such as evidence.
    pub data: Value,
}

impl AlarmEvent {
    /// The news that a change makes, still without its place in the feed.
    pub(super) fn of(change: &Change) -> Self {
        let alarm: &Alarm = &change.alarm;
        Self {
            seq: 0,
            alarm: alarm.id.clone(),
            kind: change.kind,
            time: change.at,
            asset: alarm.asset.clone(),
            class: alarm.class.clone(),
            cause: alarm.cause.clone(),
            severity: alarm.severity,
            summary: alarm.summary.clone(),
            actor: change.actor.clone(),
            occurrence: alarm.occurrences,
            data: change.data.clone(),
        }
    }
}
