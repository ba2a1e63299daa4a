//! Read-only SQL over readings, hot and cold, with the operational tables beside them.
//!
//! A query sees one snapshot of the readings and one transaction of the operational store.
//! `now()` is the business clock.

mod answer;
mod by_runs;
mod catalog;
mod class_table;
mod cold;
mod complexity;
mod engine;
mod error;
mod gate;
mod hot;
mod lake_scan;
mod last_values;
mod late;
mod limits;
mod metric;
mod named;
mod offered;
pub mod operational;
mod overlay;
mod picture;
mod pruning;
mod readings;
mod render;
mod run_aggregate;
mod running;
mod stopping;
mod stored_value;
mod threads;
mod timeseries;
mod unpivot;
mod width;

#[cfg(test)]
mod tests;

pub use answer::{Answer, AnswerStream};
pub use engine::{SnapshotSource, SqlEngine};
pub use error::{SqlError, SqlErrorFamily};
pub use lake_scan::ColumnCacheUse;
pub use limits::SqlLimits;
pub use operational::{ColumnKind, Operational, OperationalColumn, OperationalTable, TableSource};
pub use picture::Pictures;
