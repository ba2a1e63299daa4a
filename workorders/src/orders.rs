//! Work orders: one condition, one order, from intake to posting.

mod lifecycle;
pub use lifecycle::{Basis, Command, Event, MOVES, Refusal, Status, Verb, Verification};

mod order;
pub use order::WorkOrder;

mod error;
pub use error::OrderError;

mod priority;
pub use priority::{Priority, Severity, priority};

mod creation;
pub use creation::{NewOrder, create};

pub mod intake;

pub mod evidence;

mod commands;
pub use commands::{Done, Reviewed, begin, cancel, complete, perform, post, release, send_back};

mod verification;
pub use verification::{
    DueVerification, Verdict, verification_due, verification_due_after, verify,
};

mod rows;
pub(crate) use rows::load;

pub mod views;
