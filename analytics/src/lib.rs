//! Analytics: read-only SQL over readings and records, and the detectors that raise alarms.

pub mod sql;
