//! The life of a work order: its legal moves, and the pure decision about a command.

use chrono::{DateTime, Utc};

use super::order::WorkOrder;
use crate::lifecycle::{Moves, Outcome, target};

words! {
    /// Where an order stands.
    Status {
        /// Nobody is booked.
        Unscheduled => "unscheduled",
        /// A technician is booked.
        Scheduled => "scheduled",
        /// A technician travels or works.
        InProgress => "in_progress",
        /// The work is done; verification and review follow.
        Completed => "completed",
        /// Reviewed and invoiced; final.
        Posted => "posted",
        /// Given up; final.
        Canceled => "canceled",
    }
}

words! {
    /// Whether telemetry confirms the repair.
    Verification {
        /// Not judged yet.
        Pending => "pending",
        /// The asset is back in its band.
        Passed => "passed",
        /// The asset was not back in its band: the order was reopened.
        Failed => "failed",
        /// A reviewer posted without a verdict, by name and with a reason.
        Unverified => "unverified",
        /// No alarm raised the order, so there is nothing to verify.
        NotNeeded => "not_needed",
    }
}

words! {
    /// What can be done to an order.
    Verb {
        /// Book a technician.
        Schedule => "schedule",
        /// The technician travels or works.
        Begin => "begin",
        /// The visit ended without a repair, or its booking was canceled.
        Release => "release",
        /// The work is done.
        Complete => "complete",
        /// Telemetry confirms the repair.
        Pass => "pass",
        /// Telemetry disproves the repair.
        Reopen => "reopen",
        /// The reviewer wants more work.
        SendBack => "send_back",
        /// The reviewer freezes the facts and sends the invoice.
        Post => "post",
        /// Give the order up.
        Cancel => "cancel",
    }
}

use Status::{Canceled, Completed, InProgress, Posted, Scheduled, Unscheduled};

/// Every legal move.
#[rustfmt::skip]
pub const MOVES: Moves<Status, Verb> = &[
    (Unscheduled, Verb::Schedule, Scheduled),
    (Unscheduled, Verb::Cancel,   Canceled),
    (Scheduled,   Verb::Begin,    InProgress),
    (Scheduled,   Verb::Release,  Unscheduled),
    (Scheduled,   Verb::Cancel,   Canceled),
    (InProgress,  Verb::Complete, Completed),
    (InProgress,  Verb::Release,  Unscheduled),
    (InProgress,  Verb::Cancel,   Canceled),
    (Completed,   Verb::Pass,     Completed),
    (Completed,   Verb::Reopen,   Unscheduled),
    (Completed,   Verb::SendBack, Unscheduled),
    (Completed,   Verb::Post,     Posted),
];

impl Verb {
    /// Whether a person asks for it by name; the rest follows from bookings and telemetry.
    pub fn is_for_people(self) -> bool {
        matches!(
            self,
            Self::Schedule | Self::SendBack | Self::Post | Self::Cancel
        )
    }
}

/// What a reviewer posts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// Telemetry passed the repair, or there was nothing to verify.
    Passed,
    /// There is no verdict, and this is why that is acceptable.
    Unverified {
        /// The reason, for the audit trail.
        reason: String,
    },
}

/// What is asked of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A technician was booked.
    Schedule,
    /// The technician travels or works.
    Begin,
    /// No live booking is left, and the work is not done.
    Release {
        /// Why.
        reason: String,
    },
    /// The work is done.
    Complete {
        /// What came out, such as `fixed`.
        outcome: String,
    },
    /// Telemetry confirms the repair.
    Pass,
    /// Telemetry disproves the repair.
    Reopen {
        /// What was seen.
        reason: String,
    },
    /// The reviewer wants more work.
    SendBack {
        /// Why.
        reason: String,
    },
    /// The reviewer posts.
    Post {
        /// On what ground.
        basis: Basis,
    },
    /// Give up.
    Cancel {
        /// Why.
        reason: String,
    },
}

impl Command {
    /// The command's verb.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Schedule => Verb::Schedule,
            Self::Begin => Verb::Begin,
            Self::Release { .. } => Verb::Release,
            Self::Complete { .. } => Verb::Complete,
            Self::Pass => Verb::Pass,
            Self::Reopen { .. } => Verb::Reopen,
            Self::SendBack { .. } => Verb::SendBack,
            Self::Post { .. } => Verb::Post,
            Self::Cancel { .. } => Verb::Cancel,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Release { reason }
            | Self::Reopen { reason }
            | Self::SendBack { reason }
            | Self::Cancel { reason }
            | Self::Post {
                basis: Basis::Unverified { reason },
            } => Some(reason),
            _ => None,
        }
    }
}

/// What happened to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What was done.
    pub verb: Verb,
    /// Where the order stands now.
    pub status: Status,
    /// What is known of the repair now.
    pub verification: Verification,
    /// What came out of the work, once it is complete.
    pub outcome: Option<String>,
    /// Why, where a reason belongs to the verb.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Why a command is refused, the first that applies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller decided on an older version.
    #[error("{number} is at version {actual}, not {expected}: read it again and decide anew")]
    Stale {
        /// The order's number.
        number: String,
        /// What the caller read.
        expected: i64,
        /// What it is.
        actual: i64,
    },
    /// The table has no such move.
    #[error("{number} is {status}, so it does not {verb}; it may: {allowed}")]
    NotAllowedNow {
        /// The order's number.
        number: String,
        /// Where it stands.
        status: Status,
        /// What was asked.
        verb: Verb,
        /// What may be asked.
        allowed: String,
    },
    /// A reason belongs to the command.
    #[error("{verb} needs a reason: say why in a few words")]
    ReasonMissing {
        /// What was asked.
        verb: Verb,
    },
    /// Tasks are not done.
    #[error("{number} has {open} open tasks: finish them, or end the visit as incomplete")]
    TasksOpen {
        /// The order's number.
        number: String,
        /// How many.
        open: i64,
    },
    /// The repair is not verified.
    #[error(
        "{number} is not verified by telemetry ({verification}): wait for the verdict, \
         or post it as unverified with a reason"
    )]
    NotVerified {
        /// The order's number.
        number: String,
        /// What is known.
        verification: Verification,
    },
    /// The condition has another open order.
    #[error("{number} already works on this condition: attach to it or wait until it is closed")]
    AnotherOrderOpen {
        /// The other order's number.
        number: String,
    },
}

impl Refusal {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stale { .. } => "stale_version",
            Self::NotAllowedNow { .. } => "not_allowed_now",
            Self::ReasonMissing { .. } => "reason_missing",
            Self::TasksOpen { .. } => "tasks_open",
            Self::NotVerified { .. } => "not_verified",
            Self::AnotherOrderOpen { .. } => "another_order_open",
        }
    }
}

impl WorkOrder {
    /// Decides what a command does, without doing it.
    ///
    /// **Errors**: the first refusal in their order of precedence.
    pub fn decide(&self, command: &Command, now: DateTime<Utc>) -> Result<Outcome<Event>, Refusal> {
        if self.is_so_already(command) {
            return Ok(Outcome::AlreadySo);
        }
        let verb = command.verb();
        let status = target(MOVES, self.status, verb).ok_or_else(|| self.not_allowed(verb))?;
        let reason = command.reason().map(str::trim);
        if reason == Some("") {
            return Err(Refusal::ReasonMissing { verb });
        }
        if verb == Verb::Complete && self.open_tasks > 0 {
            return Err(Refusal::TasksOpen {
                number: self.number.clone(),
                open: self.open_tasks,
            });
        }
        let verification = self.verification_after(command)?;
        Ok(Outcome::Changed(Event {
            verb,
            status,
            verification,
            outcome: match command {
                Command::Complete { outcome } => Some(outcome.clone()),
                _ => None,
            },
            reason: reason.map(str::to_owned),
            at: now,
        }))
    }

    /// Whether the version that a caller decided on is still the order's.
    ///
    /// **Errors**: [`Refusal::Stale`] when it is not.
    pub fn check_version(&self, expected: Option<i64>) -> Result<(), Refusal> {
        match expected {
            Some(expected) if expected != self.version => Err(Refusal::Stale {
                number: self.number.clone(),
                expected,
                actual: self.version,
            }),
            _ => Ok(()),
        }
    }

    /// What a person may do to the order now.
    pub fn allowed_actions(&self) -> Vec<Verb> {
        allowed_actions(self.status)
    }

    fn is_so_already(&self, command: &Command) -> bool {
        match command {
            Command::Schedule => self.status == Scheduled,
            Command::Begin => self.status == InProgress,
            Command::Complete { .. } => matches!(self.status, Completed | Posted),
            Command::Pass => {
                self.status == Completed && self.verification != Verification::Pending
                    || self.status == Posted
            }
            Command::Post { .. } => self.status == Posted,
            Command::Cancel { .. } => self.status == Canceled,
            Command::Release { .. } | Command::SendBack { .. } => self.status == Unscheduled,
            Command::Reopen { .. } => {
                self.status == Unscheduled && self.verification == Verification::Failed
            }
        }
    }

    fn verification_after(&self, command: &Command) -> Result<Verification, Refusal> {
        use Verification::{Failed, NotNeeded, Passed, Pending, Unverified};
        Ok(match (command, self.verification) {
            (_, NotNeeded) => NotNeeded,
            (Command::Complete { .. } | Command::SendBack { .. }, _) => Pending,
            (Command::Pass, _) => Passed,
            (Command::Reopen { .. }, _) => Failed,
            (Command::Post { .. }, Passed) => Passed,
            (
                Command::Post {
                    basis: Basis::Unverified { .. },
                },
                _,
            ) => Unverified,
            (Command::Post { .. }, verification) => {
                return Err(Refusal::NotVerified {
                    number: self.number.clone(),
                    verification,
                });
            }
            (_, same @ (Pending | Failed | Passed | Unverified)) => same,
        })
    }

    fn not_allowed(&self, verb: Verb) -> Refusal {
        let allowed: Vec<_> = self.allowed_actions().iter().map(|v| v.as_str()).collect();
        Refusal::NotAllowedNow {
            number: self.number.clone(),
            status: self.status,
            verb,
            allowed: if allowed.is_empty() {
                "nothing more".to_owned()
            } else {
                allowed.join(", ")
            },
        }
    }
}

/// What a person may do to an order with this status.
pub(super) fn allowed_actions(status: Status) -> Vec<Verb> {
    let mut verbs = crate::lifecycle::verbs_from(MOVES, status);
    verbs.retain(|verb| verb.is_for_people());
    verbs
}

#[cfg(test)]
mod tests;
