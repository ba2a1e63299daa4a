//! The alarm and the words that describe it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use fieldwright_condition::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Name space of alarm identities; any fixed value would do.
const IDENTITY: Uuid = Uuid::from_u128(0x6b1d_3f70_94a5_4c0e_8a8e_2d51_9c47_f0a1);

/// Identity of an alarm, shown as `alm_` and a UUID that sorts by the instant of raising.
///
/// It is made from asset, cause and instant, so the same occurrence found again after a crash
/// has the same identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AlarmId(String);

impl AlarmId {
    /// The identity of the alarm that `cause` raised on `asset` at `raised_at`.
    pub fn of(asset: &str, cause: &str, raised_at: DateTime<Utc>) -> Self {
        let name = format!("{asset}\n{cause}\n{}", raised_at.timestamp_micros());
        let digest = Uuid::new_v5(&IDENTITY, name.as_bytes());
        let mut tail = [0_u8; 10];
        tail.copy_from_slice(&digest.as_bytes()[..10]);
        let millis = u64::try_from(raised_at.timestamp_millis()).unwrap_or(0);
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid();
        Self(format!("alm_{}", uuid.simple()))
    }

    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<AlarmId> for String {
    fn from(id: AlarmId) -> Self {
        id.0
    }
}

impl TryFrom<String> for AlarmId {
    type Error = BadAlarmId;
    fn try_from(text: String) -> Result<Self, BadAlarmId> {
        text.parse()
    }
}

impl FromStr for AlarmId {
    type Err = BadAlarmId;
    fn from_str(text: &str) -> Result<Self, BadAlarmId> {
        let hex = text.strip_prefix("alm_").filter(|hex| hex.len() == 32);
        match hex.map(Uuid::try_parse) {
            Some(Ok(_)) => Ok(Self(text.to_owned())),
            _ => Err(BadAlarmId(text.to_owned())),
        }
    }
}

/// A text that is no alarm identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no alarm: an alarm's id is `alm_` and 32 hexadecimal digits")]
pub struct BadAlarmId(pub String);

/// What a detector or a rule has found on an asset.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// The asset's tag.
    pub asset: String,
    /// The asset's class.
    pub class: String,
    /// Name of the detector or rule.
    pub cause: String,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence for people.
    pub summary: String,
    /// What it was concluded from, for people and machines.
    pub evidence: Value,
    /// Event time at which the condition began.
    pub began_at: DateTime<Utc>,
    /// Event time at which the condition had lasted long enough.
    pub raised_at: DateTime<Utc>,
}

/// Who has seen the alarm, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Name of the person.
    pub by: String,
    /// When, business clock.
    pub at: DateTime<Utc>,
}

/// Until when the alarm is out of the way, and who put it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shelving {
    /// Until when, business clock.
    pub until: DateTime<Utc>,
    /// Name of the person.
    pub by: String,
    /// Why; empty where a former release asked for none.
    pub reason: String,
}

/// One alarm: the facts. What people see is derived from them.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Identity.
    pub id: AlarmId,
    /// The asset's tag.
    pub asset: String,
    /// The asset's class.
    pub class: String,
    /// Name of the detector or rule.
    pub cause: String,
    /// How much it matters: the worst that the open alarm has been.
    pub severity: Severity,
    /// One sentence for people.
    pub summary: String,
    /// What the last raise was concluded from.
    pub evidence: Value,
    /// Whether the condition is there now; otherwise it has returned to normal.
    pub active: bool,
    /// Who has acknowledged the present occurrence.
    pub acknowledged: Option<Acknowledgement>,
    /// Until when it is shelved.
    pub shelved: Option<Shelving>,
    /// When and by what it was closed.
    pub closed: Option<Acknowledgement>,
    /// Event time at which the condition of the first occurrence began.
    pub began_at: DateTime<Utc>,
    /// Event time of the first raise.
    pub raised_at: DateTime<Utc>,
    /// Event time of the last return, while returned.
    pub returned_at: Option<DateTime<Utc>>,
    /// How often it was raised while open, from 1.
    pub occurrences: u32,
    /// How many later pieces of evidence were appended.
    pub evidence_updates: u32,
    /// Since when it comes and goes too often, event time; `None` while it does not.
    pub chattering_since: Option<DateTime<Utc>>,
    /// The alarm of the same asset that was raised first just before, or this one.
    pub first_out: Option<AlarmId>,
    /// Counts the changes, from 1.
    pub version: i64,
}

/// Where an alarm stands in the table of moves. Shelving is beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The condition is there and nobody has seen it.
    ActiveUnacknowledged,
    /// The condition is there and somebody has seen it.
    ActiveAcknowledged,
    /// The condition came and went, and nobody has seen it.
    ReturnedUnacknowledged,
    /// Done with.
    Closed,
}

/// What people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownStatus {
    /// As the state says.
    As(State),
    /// Out of the way until an instant to come.
    Shelved,
}

impl Alarm {
    /// A new alarm from what was found.
    pub fn raise(occurrence: Occurrence) -> Self {
        Self {
            id: AlarmId::of(&occurrence.asset, &occurrence.cause, occurrence.raised_at),
            asset: occurrence.asset,
            class: occurrence.class,
            cause: occurrence.cause,
            severity: occurrence.severity,
            summary: occurrence.summary,
            evidence: occurrence.evidence,
            active: true,
            acknowledged: None,
            shelved: None,
            closed: None,
            began_at: occurrence.began_at,
            raised_at: occurrence.raised_at,
            returned_at: None,
            occurrences: 1,
            evidence_updates: 0,
            chattering_since: None,
            first_out: None,
            version: 1,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        match (&self.closed, self.active, &self.acknowledged) {
            (Some(_), _, _) => State::Closed,
            (None, true, None) => State::ActiveUnacknowledged,
            (None, true, Some(_)) => State::ActiveAcknowledged,
            (None, false, _) => State::ReturnedUnacknowledged,
        }
    }

    /// What people see at `now`.
    pub fn shown(&self, now: DateTime<Utc>) -> ShownStatus {
        match &self.shelved {
            Some(shelving) if shelving.until > now && self.closed.is_none() => ShownStatus::Shelved,
            _ => ShownStatus::As(self.state()),
        }
    }

    /// What the store keeps unique: asset and cause while open, the identity afterwards.
    pub fn open_key(&self) -> String {
        if self.closed.is_none() {
            format!("{}|{}", self.asset, self.cause)
        } else {
            self.id.to_string()
        }
    }
}

impl State {
    /// All states, in the order of the table.
    pub const ALL: [Self; 4] = [
        Self::ActiveUnacknowledged,
        Self::ActiveAcknowledged,
        Self::ReturnedUnacknowledged,
        Self::Closed,
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActiveUnacknowledged => "active_unacknowledged",
            Self::ActiveAcknowledged => "active_acknowledged",
            Self::ReturnedUnacknowledged => "returned_unacknowledged",
            Self::Closed => "closed",
        }
    }
}

impl ShownStatus {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::As(state) => state.as_str(),
            Self::Shelved => "shelved",
        }
    }
}
