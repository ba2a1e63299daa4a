//! Fieldwright: from the reading to the receipt.
//!
//! The service composes four crates and adds what is not domain: command line, configuration,
//! HTTP API, and the wiring between the telemetry half and the work half.
//!
//! Two journeys to follow:
//!
//! - *The life of one reading*: [`fieldwright_ingest`] takes it from the wire to a durable row,
//!   [`fieldwright_analytics`] asks it questions and raises alarms.
//! - *The life of one work order*: [`wiring`] hands an alarm to [`fieldwright_workorders`], which
//!   carries it through scheduling, execution and invoicing to a balanced ledger.
//!
//! [`app`] is the composition root and the only file that names concrete adapters.

pub mod api;
pub mod app;
pub mod business_clock;
pub mod cli;
pub mod config;
pub mod data_dir;
pub mod story;
pub mod wiring;
