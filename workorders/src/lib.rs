//! Service to cash: registry, work orders, scheduling, execution, invoicing, payments, ledger.
//!
//! This crate knows neither MQTT nor DataFusion nor linfa.
//! An alarm reaches it as its own plain command, [`orders::intake::AlarmReport`].
//! Money never meets a float.

pub mod problem;

#[macro_use]
pub mod lifecycle;

pub mod store;

pub mod registry;

pub mod cases;

pub mod orders;

pub mod scheduling;

pub mod execution;

pub mod money;

pub mod triage;

pub mod tuning;

pub mod invoicing;

pub mod payments;

pub mod ledger;

pub mod invariants;
