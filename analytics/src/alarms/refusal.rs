//! Why a command on an alarm is refused.

use chrono::{DateTime, Utc};

/// A rule said no. The order is the order in which rules are asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Closed alarms do not change.
    #[error("the alarm is closed; the next episode raises a new one")]
    Closed,
    /// An action by a person carries a name.
    #[error("the action names nobody; say who acts in `actor`")]
    Nameless,
    /// What keeps people from seeing something carries a reason.
    #[error("the action gives no reason; say why in `reason`")]
    Reasonless,
    /// A reason is a sentence, not a report.
    #[error("the reason is too long; it has at most {limit} characters")]
    ReasonTooLong {
        /// Characters at most.
        limit: usize,
    },
    /// A suppression is about one asset or one class.
    #[error("a suppression is about one `asset` or about one `class`; name exactly one of them")]
    ScopeUnclear,
    /// Only what is suppressed by design has a condition.
    #[error("only a suppression of the kind by_design has a condition in `while`")]
    ConditionNotByDesign,
    /// Maintenance and start-up end.
    #[error("a suppression of the kind {kind} needs an end; say until when in `until`")]
    SuppressedWithoutEnd {
        /// The kind.
        kind: &'static str,
    },
    /// A suppression ends after it begins.
    #[error("suppressing until {until} would end before it begins; name a later instant")]
    SuppressedIntoThePast {
        /// The instant asked for.
        until: DateTime<Utc>,
    },
    /// Maintenance and start-up are limited in time.
    #[error("suppressing until {until} is too long; at most until {longest}")]
    SuppressedTooLong {
        /// The instant asked for.
        until: DateTime<Utc>,
        /// The longest that is allowed.
        longest: DateTime<Utc>,
    },
    /// The key of a declaration stands for another one.
    #[error("the idempotency key was used for another suppression: use a new key for a new one")]
    KeyReused,
    /// The condition is still there.
    #[error("the alarm is still active; it can only be closed after readings return to normal")]
    StillActive,
    /// Shelving ends in the future.
    #[error("shelving until {until} would end before it begins; name a later instant")]
    ShelvedIntoThePast {
        /// The instant asked for.
        until: DateTime<Utc>,
    },
    /// Shelving is limited in time.
    #[error("shelving until {until} is too long; at most until {longest}")]
    ShelvedTooLong {
        /// The instant asked for.
        until: DateTime<Utc>,
        /// The longest that is allowed.
        longest: DateTime<Utc>,
    },
    /// An alarm keeps a limited number of pieces of evidence.
    #[error("the alarm keeps no more than {limit} pieces of evidence")]
    EvidenceFull {
        /// How many it keeps.
        limit: u32,
    },
}

impl Refusal {
    /// The word of the API's problem type.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Closed => "alarm_closed",
            Self::Nameless => "actor_missing",
            Self::Reasonless => "reason_missing",
            Self::ReasonTooLong { .. } => "reason_too_long",
            Self::ScopeUnclear => "scope_unclear",
            Self::ConditionNotByDesign => "condition_not_by_design",
            Self::SuppressedWithoutEnd { .. } => "suppressed_without_end",
            Self::SuppressedIntoThePast { .. } => "suppressed_into_the_past",
            Self::SuppressedTooLong { .. } => "suppressed_too_long",
            Self::KeyReused => "idempotency_key_reused",
            Self::StillActive => "alarm_still_active",
            Self::ShelvedIntoThePast { .. } => "shelved_into_the_past",
            Self::ShelvedTooLong { .. } => "shelved_too_long",
            Self::EvidenceFull { .. } => "evidence_full",
        }
    }
}
