//! A year of a hundred machines in half an hour: faults that grow for days and weeks among season,
//! weekends, set-point changes and noise, and what the product made of them.
//!
//! The world is drawn from the seed alone; the readings of a machine are a pure function of the
//! seed, the instant and the repairs. `docs/contract.md` describes the truth and the report,
//! [`classes`] the machines with their noise, [`faults`] what breaks and how it shows.

pub mod classes;
pub mod conditions;
pub mod faults;
pub mod plan;
pub mod plant;

pub mod operator;
pub mod sensors;

pub mod report;
pub mod truth;

pub mod run;

pub use plan::YearPlan;
pub use report::YearReport;
pub use run::{YearConfig, YearError, run};

/// Between two readings of a machine. **Units**: seconds.
pub const STEP_SECONDS: i64 = 600;
