//! From the wire to durable, queryable Arrow tables.
//!
//! # The life of one reading
//!
//! 1. A source receives a message: [`mqtt::endpoint`] is our own door, [`mqtt::consumer`] a guest
//!    of any broker. It makes a [`source::Envelope`] of it and hands a [`source::Delivery`] to the
//!    [`Intake`].
//! 2. The topic picks a [`MappingRule`]; [`topic`] tells the class and the asset.
//! 3. The codec that the rule names (`codec`) turns the payload into named values with a time.
//! 4. [`validate`] says whether the reading can be one. If not, the message goes to the
//!    [`quarantine`] with its reason; nothing is dropped silently.
//! 5. The values fill the columns of a batch (`decode`, `batch`, `rows`). A row whose time is
//!    after its asset's newest is in order, any other is late: see [`snapshot`]. The batch closes
//!    when it is full, old enough, or when nothing more waits (`pipeline::intake`).
//! 6. The `journal` appends the messages as they came and syncs them (`pipeline::commit`).
//! 7. The rows join the [`snapshot::Snapshot`], swapped in as a whole (`tables`): queries see them.
//! 8. The receipt is confirmed; **only now** does the source acknowledge the message.
//! 9. The batch goes to those who follow the [`Feed`], if they keep up: nothing waits for them.
//! 10. Later the rows become sorted Parquet files of a Delta table (`lake`): files, folder, log
//!     entry and folder are synced before the snapshot swaps rows for files, and the journal is
//!     trimmed last (`pipeline::flush`). Compaction goes over the files (`pipeline::compact`).
//!
//! After a crash, `recover` reads the lake and replays the journal through steps 2 to 5 and 7.
//!
//! Promise: *an acknowledged reading is queryable after a crash, once.*

pub mod clock;
pub mod config;
pub mod source;

pub mod commands;
#[doc(hidden)]
pub mod fuzzing;
pub mod intake;
pub mod mqtt;
pub mod service;

mod codec;
mod decode;
pub mod topic;
pub mod units;
pub mod validate;

mod batch;
mod catalog;
mod rows;

pub mod disk;
mod durable;
mod frame;
mod journal;
pub mod quarantine;

mod lake;
pub mod last_values;
pub mod notice;
pub mod snapshot;
pub mod tables;

#[cfg(test)]
mod faults;
mod pipeline;
#[cfg(test)]
mod readings;
mod recover;
pub mod stats;
pub mod trial;

pub use codec::line_protocol_parts;
pub use config::{DEFAULT_TOML, IngestConfig, MappingRule};
pub use intake::{Intake, IntakeClosed};
pub use journal::JournalError;
pub use lake::LakeError;
pub use quarantine::{Quarantine, QuarantineEntry, QuarantineId};
pub use recover::{ReadError, read_folder, read_folder_with_last};
pub use service::{CompactError, Feed, Ingest, StartError, Stopped};
pub use stats::Stats;
pub use tables::Snapshots;
