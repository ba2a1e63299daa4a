//! From the wire to durable, queryable Arrow tables.

pub mod clock;
pub mod config;
pub mod intake;
pub mod quarantine;
pub mod service;
pub mod snapshot;
pub mod source;
pub mod stats;
pub mod tables;
pub mod topic;
pub mod validate;

pub use config::{DEFAULT_TOML, IngestConfig, MappingRule};
pub use intake::{Intake, IntakeClosed};
pub use service::{Feed, Ingest};
pub use tables::Snapshots;
