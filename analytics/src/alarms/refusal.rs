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
            Self::StillActive => "alarm_still_active",
            Self::ShelvedIntoThePast { .. } => "shelved_into_the_past",
            Self::ShelvedTooLong { .. } => "shelved_too_long",
            Self::EvidenceFull { .. } => "evidence_full",
        }
    }
}
