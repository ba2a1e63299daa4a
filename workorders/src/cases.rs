//! Cases: every condition that an alarm tells of, before it is an order, or instead of one.
//!
//! An alarm opens a case, or joins the open one of its asset and failure mode. Triage decides the
//! case, and decides it again when it gets worse, lasts, or is seen by another detector. A planned
//! inspection or dispatch makes the one order of the condition; a remote check waits for a person,
//! who closes or escalates it; what is only watched ends when its alarms do.

mod lifecycle;
pub use lifecycle::{CaseRefusal, CaseStatus, CaseVerb, CloseOut, MOVES};

mod case;
pub use case::{AlarmOfCase, Case};

mod error;
pub use error::CaseError;

mod rows;

pub(crate) mod triage;
pub use triage::{DueCase, Worse, decide_again, due, worse};

pub(crate) mod order;

pub(crate) mod labels;

mod commands;
pub use commands::{close, escalate};

pub mod views;
