//! Suppressions: declared spans of event time in which nothing is raised, and why.
//!
//! A suppression says for which asset or class, from when until when, and for what reason findings
//! are recorded but not raised: maintenance, start-up, out of service, or by design while another
//! condition is there. What was found meanwhile is a [`Suppressed`] occurrence: it is history, it
//! is no alarm, and it never reaches intake. When its suppression ends and it is still there, it is
//! raised with the event time of that end.
//!
//! **Source**: ISA-18.2 / IEC 62682, suppressed by design and out of service.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::alarm::{Acknowledgement, AlarmId, Occurrence};
use super::refusal::Refusal;

/// Name space of the identities of suppressions; any fixed value would do.
const IDENTITY: Uuid = Uuid::from_u128(0x2f0b_9a3c_51d4_4e6f_8b70_13c2_a95e_7d48);

/// Longest maintenance or start-up: nobody's forgetting may make an asset blind for good.
pub const MAX_WINDOW: TimeDelta = TimeDelta::days(31);
/// Characters of a reason at most.
pub const MAX_REASON: usize = 500;

/// Identity of a suppression: `sup_` and a UUID made from the key of its declaration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SuppressionId(String);

impl SuppressionId {
    /// The identity of what is declared under `key`; the same key is the same suppression.
    pub fn of(key: &str) -> Self {
        let uuid = Uuid::new_v5(&IDENTITY, key.as_bytes());
        Self(format!("sup_{}", uuid.simple()))
    }

    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SuppressionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SuppressionId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix("sup_").filter(|hex| hex.len() == 32);
        match hex.map(Uuid::try_parse) {
            Some(Ok(_)) => Ok(Self(text.to_owned())),
            _ => Err(format!(
                "`{text}` is no suppression: its id is `sup_` and 32 hexadecimal digits"
            )),
        }
    }
}

/// Why nothing is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionKind {
    /// Somebody works on the asset.
    Maintenance,
    /// The asset starts and is not itself yet.
    StartUp,
    /// A person has taken it out of service until it is put back.
    OutOfService,
    /// It is meant to be so, for good or while another condition is there.
    ByDesign,
}

impl SuppressionKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [
        Self::Maintenance,
        Self::StartUp,
        Self::OutOfService,
        Self::ByDesign,
    ];

    /// The word of the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Maintenance => "maintenance",
            Self::StartUp => "start_up",
            Self::OutOfService => "out_of_service",
            Self::ByDesign => "by_design",
        }
    }

    fn needs_an_end(self) -> bool {
        matches!(self, Self::Maintenance | Self::StartUp)
    }
}

impl FromStr for SuppressionKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| {
            format!(
                "`{text}` is no kind of suppression; use maintenance, start_up, out_of_service \
                 or by_design"
            )
        })
    }
}

/// An alarm that must be there for a suppression by design to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// On this asset; `None`: on the very asset that is asked about.
    pub asset: Option<String>,
    /// Raised by this detector or rule.
    pub cause: String,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// What makes it the same declaration when it is sent again.
    pub key: String,
    /// A digest of what was sent; the same key with another one is refused.
    pub fingerprint: String,
    /// Why nothing is raised.
    pub kind: SuppressionKind,
    /// On this asset, or
    pub asset: Option<String>,
    /// on all of this class.
    pub class: Option<String>,
    /// Only what this detector or rule finds; `None`: all.
    pub cause: Option<String>,
    /// Only while this is there.
    pub during: Option<Condition>,
    /// Event time from which it holds.
    pub from: DateTime<Utc>,
    /// Event time before which it holds; `None`: until it is ended.
    pub until: Option<DateTime<Utc>>,
    /// One sentence for people.
    pub reason: String,
    /// Name of the person, or what declares it.
    pub by: String,
}

/// A declared span in which nothing is raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Identity.
    pub id: SuppressionId,
    /// Digest of the declaration.
    pub fingerprint: String,
    /// Why nothing is raised.
    pub kind: SuppressionKind,
    /// On this asset, or
    pub asset: Option<String>,
    /// on all of this class.
    pub class: Option<String>,
    /// Only what this detector or rule finds; `None`: all.
    pub cause: Option<String>,
    /// Only while this is there.
    pub during: Option<Condition>,
    /// Event time from which it holds.
    pub from: DateTime<Utc>,
    /// Event time before which it holds; `None`: until it is ended.
    pub until: Option<DateTime<Utc>>,
    /// One sentence for people.
    pub reason: String,
    /// Who declared it, and when, business clock.
    pub declared: Acknowledgement,
    /// Who ended it, and when, business clock.
    pub ended: Option<Acknowledgement>,
    /// Counts the changes, from 1.
    pub version: i64,
}

impl Suppression {
    /// A suppression as declared. Changes nothing elsewhere.
    ///
    /// **Errors**: the first rule that says no.
    pub fn declare(wanted: Declaration, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if wanted.by.trim().is_empty() {
            return Err(Refusal::Nameless);
        }
        is_reason(&wanted.reason)?;
        let blank = |text: &Option<String>| text.as_ref().is_none_or(|text| text.trim().is_empty());
        if blank(&wanted.asset) == blank(&wanted.class) {
            return Err(Refusal::ScopeUnclear);
        }
        if wanted.during.is_some() && wanted.kind != SuppressionKind::ByDesign {
            return Err(Refusal::ConditionNotByDesign);
        }
        match wanted.until {
            Some(until) if until <= wanted.from => {
                return Err(Refusal::SuppressedIntoThePast { until });
            }
            Some(until) if wanted.kind.needs_an_end() && until - wanted.from > MAX_WINDOW => {
                let longest = wanted.from + MAX_WINDOW;
                return Err(Refusal::SuppressedTooLong { until, longest });
            }
            None if wanted.kind.needs_an_end() => {
                return Err(Refusal::SuppressedWithoutEnd {
                    kind: wanted.kind.as_str(),
                });
            }
            _ => {}
        }
        Ok(Self {
            id: SuppressionId::of(&wanted.key),
            fingerprint: wanted.fingerprint,
            kind: wanted.kind,
            asset: wanted.asset,
            class: wanted.class.map(|class| class.to_lowercase()),
            cause: wanted.cause,
            during: wanted.during,
            from: wanted.from,
            until: wanted.until,
            reason: wanted.reason,
            declared: Acknowledgement {
                by: wanted.by,
                at: now,
            },
            ended: None,
            version: 1,
        })
    }

    /// The suppression as ended at event time `at`; `None` when it has ended by then already.
    ///
    /// One that has not begun by then has never held.
    ///
    /// **Errors**: the action names nobody.
    pub fn end(
        &self,
        by: &str,
        at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, Refusal> {
        if by.trim().is_empty() {
            return Err(Refusal::Nameless);
        }
        if self.ended.is_some() || self.until.is_some_and(|until| until <= at) {
            return Ok(None);
        }
        Ok(Some(Self {
            until: Some(at.max(self.from)),
            ended: Some(Acknowledgement {
                by: by.to_owned(),
                at: now,
            }),
            version: self.version + 1,
            ..self.clone()
        }))
    }

    /// Whether it is about this finding at event time `at`; its condition is not asked.
    pub fn covers(&self, asset: &str, class: &str, cause: &str, at: DateTime<Utc>) -> bool {
        let scope = match (&self.asset, &self.class) {
            (Some(own), _) => own == asset,
            (None, Some(own)) => own == class,
            (None, None) => false,
        };
        scope && self.cause.as_ref().is_none_or(|own| own == cause) && self.holds_at(at)
    }

    /// Whether event time `at` lies in it.
    pub fn holds_at(&self, at: DateTime<Utc>) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// A reason that people can read.
pub(super) fn is_reason(text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::Reasonless);
    }
    if text.chars().count() > MAX_REASON {
        return Err(Refusal::ReasonTooLong { limit: MAX_REASON });
    }
    Ok(())
}

/// Something that was found while it was suppressed: history, no alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Suppressed {
    /// Identity, made like that of the alarm that it would have been.
    pub id: AlarmId,
    /// What was found; the worst while it stands.
    pub occurrence: Occurrence,
    /// What kept it from being raised first.
    pub suppression: SuppressionId,
    /// The kind of that suppression.
    pub kind: SuppressionKind,
    /// Its reason.
    pub reason: String,
    /// What became of it.
    pub outcome: SuppressedOutcome,
    /// Counts the changes, from 1.
    pub version: i64,
}

/// What became of a suppressed occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SuppressedOutcome {
    /// The condition is still there, and still suppressed.
    Standing,
    /// It returned to normal before its suppression ended.
    Returned {
        /// Event time.
        at: DateTime<Utc>,
    },
    /// The suppression ended and the condition was still there.
    Raised {
        /// Event time.
        at: DateTime<Utc>,
        /// The alarm that it became.
        alarm: AlarmId,
    },
}

impl SuppressedOutcome {
    /// The word of the API and the store.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::Returned { .. } => "returned",
            Self::Raised { .. } => "raised",
        }
    }
}

impl Suppressed {
    /// An occurrence that is kept down.
    pub(super) fn by(suppression: &Suppression, occurrence: Occurrence) -> Self {
        Self {
            id: AlarmId::of(&occurrence.asset, &occurrence.cause, occurrence.raised_at),
            occurrence,
            suppression: suppression.id.clone(),
            kind: suppression.kind,
            reason: suppression.reason.clone(),
            outcome: SuppressedOutcome::Standing,
            version: 1,
        }
    }

    /// What the store keeps unique: asset and cause while it stands, the identity afterwards.
    pub fn open_key(&self) -> String {
        if self.outcome == SuppressedOutcome::Standing {
            format!("{}|{}", self.occurrence.asset, self.occurrence.cause)
        } else {
            self.id.to_string()
        }
    }

    /// One version on.
    pub(super) fn became(&self, outcome: SuppressedOutcome) -> Self {
        Self {
            outcome,
            version: self.version + 1,
            ..self.clone()
        }
    }

    /// What it is raised as at event time `at`, with the reason for the delay in its evidence.
    pub(super) fn released(&self, at: DateTime<Utc>) -> Occurrence {
        let mut occurrence = self.occurrence.clone();
        let why = serde_json::json!({
            "suppression": self.suppression.as_str(),
            "kind": self.kind.as_str(),
            "reason": self.reason,
            "began_at": self.occurrence.began_at,
            "found_at": self.occurrence.raised_at,
            "until": at,
        });
        match &mut occurrence.evidence {
            serde_json::Value::Object(evidence) => {
                evidence.insert("suppressed".to_owned(), why);
            }
            other => *other = serde_json::json!({ "evidence": other.take(), "suppressed": why }),
        }
        // Time under a suppression is no time out of band that anybody has let pass: whoever weighs
        // how long it has lasted counts from here. The alarm itself knows when it began.
        if let Some(began) = occurrence.evidence.get_mut("began_at") {
            *began = serde_json::json!(at);
        }
        occurrence.raised_at = at;
        occurrence
    }
}
