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
mod csv;
mod engine;
mod error;
mod gate;
mod hot;
mod lake_scan;
mod last_values;
mod late;
mod limits;
mod memory;
mod metric;
mod named;
mod offered;
pub mod operational;
mod overlay;
mod parameters;
mod pg_catalog;
mod picture;
mod pruning;
mod readings;
mod register;
mod render;
mod request;
mod run_aggregate;
mod running;
mod statements;
mod stopping;
mod stored_value;
mod threads;
mod timeseries;
mod unpivot;
mod width;

#[cfg(test)]
pub(crate) mod tests;

pub use answer::{Answer, AnswerStream};
pub use csv::{csv_head, csv_rows};
pub(crate) use engine::{CATALOG, SCHEMA};
pub use engine::{SnapshotSource, SqlEngine};
pub use error::{SqlError, SqlErrorFamily};
pub use lake_scan::ColumnCacheUse;
pub use limits::SqlLimits;
pub use operational::{ColumnKind, Operational, OperationalColumn, OperationalTable, TableSource};
pub(crate) use parameters::PARAMETERS;
pub(crate) use pg_catalog::setting;
pub use picture::Pictures;
pub(crate) use readings::READINGS;
pub use register::RunningQuery;
pub use request::{Described, SqlRequest};
pub(crate) use request::{LateParameters, Manner};
