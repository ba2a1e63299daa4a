//! Alarms: three facts, one table of moves, and the shown status derived from them.
//!
//! Structured after ISA-18.2 / IEC 62682, in the house's shape of a state machine.
//! An alarm is *active* or *returned*, *acknowledged* or not, and *shelved until* an instant.
//! It is **open** until it is closed, and there is at most one open alarm per asset and cause:
//! an episode that returns and comes again while its alarm is open makes the same alarm active
//! again, with a higher `occurrences`.
//!
//! # When an alarm closes
//!
//! 1. *Returned and acknowledged*, in either order: a person has seen it and the condition is gone.
//! 2. *Verified*: the work order that it raised was completed and telemetry returned to its band
//!    ([`Command::CloseVerified`]). Doing the work is more than acknowledging it, so no person has
//!    to press a button as well. It needs a returned alarm: what is still active is not repaired.
//!
//! A closed alarm never opens again; the next episode raises a new one.
//! Shelving hides an alarm from the list of a shift for a limited time and says why; it changes
//! neither what the alarm is nor whether it is recorded.
//!
//! # When nothing is raised
//!
//! A [`Suppression`] is a declared span of event time: maintenance, start-up, out of service, or by
//! design while another alarm is there. What is found meanwhile is recorded as [`Suppressed`],
//! reaches nobody's list and no intake, and is raised when the suppression ends and it is still
//! there. An alarm that is active when a suppression begins stays as it is.

mod alarm;
mod book;
mod event;
mod memory;
mod moves;
mod rate;
mod refusal;
mod sql;
mod store;
mod suppression;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod suppression_tests;
#[cfg(test)]
mod tests;

pub use alarm::{Acknowledgement, Alarm, AlarmId, BadAlarmId, Occurrence, Shelving};
pub use alarm::{ShownStatus, State};
pub use book::{AlarmBook, AlarmError, AlarmLoad, BadActor, Declared, Report};
pub use event::{AlarmEvent, EventKind};
pub use fieldwright_condition::Severity;
pub use memory::MemoryAlarmStore;
pub use moves::{Change, Command, MAX_EVIDENCE_UPDATES, MAX_SHELVE, MOVES, Outcome, Verb};
pub use rate::{AlarmPolicy, Flood, Raise, first_out, floods};
pub use refusal::Refusal;
pub use sql::SqlAlarmStore;
pub use store::RaiseFilter;
pub use store::{AlarmFilter, AlarmStore, AlarmStoreError, AlarmWrite, MAX_PAGE, Progress};
pub use store::{RuleMemory, RuleWrite, SuppressedFilter, SuppressedWrite, SuppressionFilter};
pub use suppression::{
    Condition, Declaration, MAX_REASON, MAX_WINDOW, Suppressed, SuppressedOutcome, Suppression,
    SuppressionId, SuppressionKind,
};
