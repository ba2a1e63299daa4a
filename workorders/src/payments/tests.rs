//! Payments: matching and applying as decision tables, receipts on every store.

mod decisions;
mod stores;
