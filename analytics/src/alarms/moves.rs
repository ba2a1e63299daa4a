//! The legal moves of an alarm and the pure decision about a command.

use chrono::{DateTime, TimeDelta, Utc};
use fieldwright_condition::Severity;
use serde_json::Value;

use super::alarm::{Acknowledgement, Alarm, Occurrence, Shelving, State};
use super::event::EventKind;
use super::refusal::Refusal;
use super::suppression::is_reason;

/// Longest time that an alarm can be shelved for.
pub const MAX_SHELVE: TimeDelta = TimeDelta::days(7);
/// Most pieces of later evidence that an open alarm keeps.
pub const MAX_EVIDENCE_UPDATES: u32 = 20;

/// What can be done to an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// The condition has come again.
    Raise,
    /// The condition goes on, with more to show.
    AddEvidence,
    /// The condition has gone.
    Return,
    /// A person has seen it.
    Acknowledge,
    /// A person puts it aside for a time.
    Shelve,
    /// It comes back from the shelf, by hand or by time.
    Unshelve,
    /// The repair was verified by telemetry.
    CloseVerified,
}

/// The legal moves: from, verb, to. A move that is not here is refused or already so.
#[rustfmt::skip]
pub const MOVES: &[(State, Verb, State)] = &[
    (State::ActiveUnacknowledged,   Verb::AddEvidence,   State::ActiveUnacknowledged),
    (State::ActiveUnacknowledged,   Verb::Return,        State::ReturnedUnacknowledged),
    (State::ActiveUnacknowledged,   Verb::Acknowledge,   State::ActiveAcknowledged),
    (State::ActiveUnacknowledged,   Verb::Shelve,        State::ActiveUnacknowledged),
    (State::ActiveUnacknowledged,   Verb::Unshelve,      State::ActiveUnacknowledged),
    (State::ActiveAcknowledged,     Verb::AddEvidence,   State::ActiveAcknowledged),
    (State::ActiveAcknowledged,     Verb::Return,        State::Closed),
    (State::ActiveAcknowledged,     Verb::Shelve,        State::ActiveAcknowledged),
    (State::ActiveAcknowledged,     Verb::Unshelve,      State::ActiveAcknowledged),
    (State::ReturnedUnacknowledged, Verb::Raise,         State::ActiveUnacknowledged),
    (State::ReturnedUnacknowledged, Verb::Acknowledge,   State::Closed),
    (State::ReturnedUnacknowledged, Verb::Shelve,        State::ReturnedUnacknowledged),
    (State::ReturnedUnacknowledged, Verb::Unshelve,      State::ReturnedUnacknowledged),
    (State::ReturnedUnacknowledged, Verb::CloseVerified, State::Closed),
];

/// A command on an open alarm.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// The condition has come again.
    Raise(Occurrence),
    /// The condition goes on.
    AddEvidence {
        /// Event time.
        at: DateTime<Utc>,
        /// How much it matters now.
        severity: Severity,
        /// One sentence for people.
        summary: String,
        /// What there is to show.
        evidence: Value,
    },
    /// The condition has gone.
    Return {
        /// Event time.
        at: DateTime<Utc>,
    },
    /// A person has seen it.
    Acknowledge {
        /// Name of the person.
        by: String,
    },
    /// A person puts it aside.
    Shelve {
        /// Until when, business clock.
        until: DateTime<Utc>,
        /// Name of the person.
        by: String,
        /// Why, one sentence for people.
        reason: String,
    },
    /// It comes back from the shelf.
    Unshelve {
        /// Name of the person, or what did it.
        by: String,
    },
    /// The repair was verified.
    CloseVerified {
        /// What verified it, such as the work order.
        by: String,
    },
}

/// What a command comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Something changes.
    Changed(Box<Change>),
    /// It is so already; nothing changes and nothing is wrong.
    AlreadySo,
}

/// A change of an alarm: the facts after it, and the news.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The alarm after the change, one version on.
    pub alarm: Alarm,
    /// What the news is.
    pub kind: EventKind,
    /// When: event time for what readings did, business clock for what people did.
    pub at: DateTime<Utc>,
    /// Who or what did it.
    pub actor: String,
    /// What belongs to the news.
    pub data: Value,
}

impl Command {
    /// The verb in the table of moves.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Raise(_) => Verb::Raise,
            Self::AddEvidence { .. } => Verb::AddEvidence,
            Self::Return { .. } => Verb::Return,
            Self::Acknowledge { .. } => Verb::Acknowledge,
            Self::Shelve { .. } => Verb::Shelve,
            Self::Unshelve { .. } => Verb::Unshelve,
            Self::CloseVerified { .. } => Verb::CloseVerified,
        }
    }
}

impl Verb {
    /// All verbs, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Raise,
        Self::AddEvidence,
        Self::Return,
        Self::Acknowledge,
        Self::Shelve,
        Self::Unshelve,
        Self::CloseVerified,
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raise => "raise",
            Self::AddEvidence => "add_evidence",
            Self::Return => "return",
            Self::Acknowledge => "acknowledge",
            Self::Shelve => "shelve",
            Self::Unshelve => "unshelve",
            Self::CloseVerified => "close_verified",
        }
    }

    fn is_for_people(self) -> bool {
        matches!(self, Self::Acknowledge | Self::Shelve | Self::Unshelve)
    }
}

impl Alarm {
    /// Decides about a command. Changes nothing.
    ///
    /// **Errors**: the first rule that says no.
    pub fn decide(&self, command: &Command, now: DateTime<Utc>) -> Result<Outcome, Refusal> {
        let state = self.state();
        if self.is_already(command, now) {
            return Ok(Outcome::AlreadySo);
        }
        if state == State::Closed {
            return Err(Refusal::Closed);
        }
        self.ask_the_rules(command, now)?;
        let to = MOVES
            .iter()
            .find(|(from, verb, _)| *from == state && *verb == command.verb())
            .map(|(_, _, to)| *to);
        match to {
            Some(to) => Ok(Outcome::Changed(Box::new(self.changed(command, to, now)))),
            None => Ok(Outcome::AlreadySo),
        }
    }

    /// What a person may do at `now`.
    pub fn allowed_actions(&self, now: DateTime<Utc>) -> Vec<&'static str> {
        let shelved = self
            .shelved
            .as_ref()
            .is_some_and(|shelving| shelving.until > now);
        MOVES
            .iter()
            .filter(|(from, verb, _)| *from == self.state() && verb.is_for_people())
            .filter(|(_, verb, _)| *verb != Verb::Unshelve || shelved)
            .map(|(_, verb, _)| verb.as_str())
            .collect()
    }

    /// What time alone does to it: the shelf gives it back.
    pub fn due(&self, now: DateTime<Utc>) -> Option<Command> {
        let shelving = self.shelved.as_ref()?;
        let over = shelving.until <= now && self.closed.is_none();
        over.then(|| Command::Unshelve {
            by: "time".to_owned(),
        })
    }

    fn is_already(&self, command: &Command, now: DateTime<Utc>) -> bool {
        match command {
            Command::Raise(_) => self.active && self.closed.is_none(),
            Command::AddEvidence { .. } => !self.active && self.closed.is_none(),
            Command::Return { .. } => !self.active,
            Command::Acknowledge { .. } => self.acknowledged.is_some(),
            Command::Shelve { until, reason, .. } => {
                self.closed.is_none()
                    && *until > now
                    && self.shelved.as_ref().is_some_and(|shelving| {
                        shelving.until == *until && shelving.reason == *reason
                    })
            }
            Command::Unshelve { .. } => self.shelved.is_none(),
            Command::CloseVerified { .. } => self.closed.is_some(),
        }
    }

    fn ask_the_rules(&self, command: &Command, now: DateTime<Utc>) -> Result<(), Refusal> {
        match command {
            Command::Acknowledge { by } | Command::Shelve { by, .. } | Command::Unshelve { by }
                if by.trim().is_empty() =>
            {
                Err(Refusal::Nameless)
            }
            Command::CloseVerified { .. } if self.active => Err(Refusal::StillActive),
            Command::Shelve { reason, .. } if is_reason(reason).is_err() => is_reason(reason),
            Command::Shelve { until, .. } if *until <= now => {
                Err(Refusal::ShelvedIntoThePast { until: *until })
            }
            Command::Shelve { until, .. } if *until - now > MAX_SHELVE => {
                Err(Refusal::ShelvedTooLong {
                    until: *until,
                    longest: now + MAX_SHELVE,
                })
            }
            Command::AddEvidence { .. } if self.evidence_updates >= MAX_EVIDENCE_UPDATES => {
                Err(Refusal::EvidenceFull {
                    limit: MAX_EVIDENCE_UPDATES,
                })
            }
            _ => Ok(()),
        }
    }

    fn changed(&self, command: &Command, to: State, now: DateTime<Utc>) -> Change {
        let mut alarm = self.clone();
        alarm.version += 1;
        let (kind, at, actor, data) = match command {
            Command::Raise(again) => {
                alarm.active = true;
                alarm.acknowledged = None;
                alarm.returned_at = None;
                alarm.occurrences += 1;
                alarm.severity = alarm.severity.max(again.severity);
                alarm.summary.clone_from(&again.summary);
                alarm.evidence.clone_from(&again.evidence);
                (
                    EventKind::Raised,
                    again.raised_at,
                    self.cause.clone(),
                    again.evidence.clone(),
                )
            }
            Command::AddEvidence {
                at,
                severity,
                summary,
                evidence,
            } => {
                alarm.evidence_updates += 1;
                alarm.severity = alarm.severity.max(*severity);
                alarm.summary.clone_from(summary);
                (
                    EventKind::Evidence,
                    *at,
                    self.cause.clone(),
                    evidence.clone(),
                )
            }
            Command::Return { at } => {
                alarm.active = false;
                alarm.returned_at = Some(*at);
                (EventKind::Returned, *at, self.cause.clone(), Value::Null)
            }
            Command::Acknowledge { by } => {
                alarm.acknowledged = Some(Acknowledgement {
                    by: by.clone(),
                    at: now,
                });
                (EventKind::Acknowledged, now, by.clone(), Value::Null)
            }
            Command::Shelve { until, by, reason } => {
                alarm.shelved = Some(Shelving {
                    until: *until,
                    by: by.clone(),
                    reason: reason.clone(),
                });
                let data = serde_json::json!({ "until": until, "reason": reason });
                (EventKind::Shelved, now, by.clone(), data)
            }
            Command::Unshelve { by } => {
                alarm.shelved = None;
                (EventKind::Unshelved, now, by.clone(), Value::Null)
            }
            Command::CloseVerified { by } => (EventKind::Closed, now, by.clone(), Value::Null),
        };
        if to == State::Closed {
            alarm.closed = Some(Acknowledgement {
                by: actor.clone(),
                at,
            });
            alarm.shelved = None;
            alarm.chattering_since = None;
        }
        Change {
            alarm,
            kind,
            at,
            actor,
            data,
        }
    }
}
