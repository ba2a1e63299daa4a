//! Analytics: read-only SQL over readings and records, and the detectors that raise alarms.

pub mod alarms;
pub mod detect;
pub mod doors;
pub mod feedback;
pub mod sql;

#[cfg(test)]
mod outside;
