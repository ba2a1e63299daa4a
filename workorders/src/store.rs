//! The operational store: one code path over SQLite and PostgreSQL.
//!
//! Ids are text, instants are integer microseconds UTC, truth values are 0 or 1, JSON is text.
//! Every change goes through [`Db::write`]: effect, outbox row, audit row and idempotency row
//! are committed together or not at all.

mod db;
pub use db::Db;

mod address;
pub use address::without_password;

mod claim;
pub use claim::StoreClaim;

mod tx;
pub use tx::Tx;

pub mod error;
pub use error::{StoreError, is_unique_violation};

mod context;
pub use context::Ctx;

#[macro_use]
mod id_type;
pub mod ids;
pub use ids::{IdSource, RandomIds, SeededIds};

pub mod columns;

pub mod counters;

pub mod outbox;

pub mod audit;

pub mod idempotency;

mod migrations;

mod tables;
pub use tables::{ColumnDef, ColumnKind, TableDef, tables};

pub mod page;

#[cfg(test)]
pub(crate) mod test_store;

#[cfg(test)]
mod conformance;
