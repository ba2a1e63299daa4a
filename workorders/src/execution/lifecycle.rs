//! The life of a booking: its legal moves, and the pure decision about a command.

use super::booking::Booking;
use crate::lifecycle::{Moves, Outcome, target, verbs_from};

words! {
    /// Where a booking stands.
    BookingStatus {
        /// Planned.
        Scheduled => "scheduled",
        /// The technician is on the way.
        Traveling => "traveling",
        /// The technician works.
        InProgress => "in_progress",
        /// The visit is over; final.
        Completed => "completed",
        /// Nobody let the technician in; final.
        NoAccess => "no_access",
        /// Given up; final.
        Canceled => "canceled",
    }
}

words! {
    /// What can be done to a booking.
    BookingVerb {
        /// Set out.
        Travel => "travel",
        /// Begin the work.
        Start => "start",
        /// End the visit.
        Complete => "complete",
        /// Report that nobody let the technician in.
        NoAccess => "no_access",
        /// Give it up.
        Cancel => "cancel",
    }
}

use BookingStatus::{Canceled, Completed, InProgress, NoAccess, Scheduled, Traveling};

/// Every legal move.
#[rustfmt::skip]
pub const MOVES: Moves<BookingStatus, BookingVerb> = &[
    (Scheduled,  BookingVerb::Travel,   Traveling),
    (Scheduled,  BookingVerb::Start,    InProgress),
    (Scheduled,  BookingVerb::Cancel,   Canceled),
    (Traveling,  BookingVerb::Start,    InProgress),
    (Traveling,  BookingVerb::NoAccess, NoAccess),
    (Traveling,  BookingVerb::Cancel,   Canceled),
    (InProgress, BookingVerb::Complete, Completed),
    (InProgress, BookingVerb::NoAccess, NoAccess),
    (InProgress, BookingVerb::Cancel,   Canceled),
];

impl BookingStatus {
    /// Whether the booking still holds the technician's time.
    pub fn is_live(self) -> bool {
        matches!(self, Scheduled | Traveling | InProgress)
    }

    /// What may be done to a booking with this status.
    pub fn allowed_actions(self) -> Vec<BookingVerb> {
        verbs_from(MOVES, self)
    }

    /// Whether a booking with this status went through the verb already.
    fn is_past(self, verb: BookingVerb) -> bool {
        match verb {
            BookingVerb::Travel => matches!(self, Traveling | InProgress | Completed),
            BookingVerb::Start => matches!(self, InProgress | Completed),
            BookingVerb::Complete => self == Completed,
            BookingVerb::NoAccess => self == NoAccess,
            BookingVerb::Cancel => self == Canceled,
        }
    }
}

/// Why a command is refused, the first that applies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller decided on an older version.
    #[error("booking {id} is at version {actual}, not {expected}: read it again and decide anew")]
    Stale {
        /// The booking.
        id: String,
        /// What the caller read.
        expected: i64,
        /// What it is.
        actual: i64,
    },
    /// The table has no such move.
    #[error("booking {id} is {status}, so there is no {verb}; it may: {allowed}")]
    NotAllowedNow {
        /// The booking.
        id: String,
        /// Where it stands.
        status: BookingStatus,
        /// What was asked.
        verb: BookingVerb,
        /// What may be asked.
        allowed: String,
    },
    /// The device's key was used for another command.
    #[error("device key `{key}` was used for {verb} of booking {id}: a key stands for one command")]
    KeyReused {
        /// The key.
        key: String,
        /// The booking of the earlier command.
        id: String,
        /// The earlier command.
        verb: String,
    },
}

impl Booking {
    /// Decides what a verb does, without doing it.
    ///
    /// A repeat, also one that arrives after later commands, succeeds and does nothing.
    ///
    /// **Errors**: the first refusal in their order of precedence.
    pub fn decide(
        &self,
        verb: BookingVerb,
        expected_version: Option<i64>,
    ) -> Result<Outcome<BookingStatus>, Refusal> {
        if self.status.is_past(verb) {
            return Ok(Outcome::AlreadySo);
        }
        if let Some(expected) = expected_version.filter(|expected| *expected != self.version) {
            return Err(Refusal::Stale {
                id: self.id.to_string(),
                expected,
                actual: self.version,
            });
        }
        match target(MOVES, self.status, verb) {
            Some(status) => Ok(Outcome::Changed(status)),
            None => Err(Refusal::NotAllowedNow {
                id: self.id.to_string(),
                status: self.status,
                verb,
                allowed: self.allowed_in_words(),
            }),
        }
    }

    fn allowed_in_words(&self) -> String {
        let verbs = self.status.allowed_actions();
        if verbs.is_empty() {
            return "nothing more".to_owned();
        }
        let words: Vec<_> = verbs.iter().map(|verb| verb.as_str()).collect();
        words.join(", ")
    }
}

#[cfg(test)]
mod tests;
