//! The general ledger: double entry, append only, every entry chained to the one before.
//!
//! Debits are positive, credits negative, an entry sums to zero; a wrong entry is never changed
//! but countered by another one.

mod account;
pub use account::{AccountKind, LedgerAccount};

mod entry;
pub use entry::{Entry, EntryError, EntryLine};

pub mod rules;

mod journal;
pub use journal::{LedgerError, append};

mod chain;
pub use chain::{ChainBreak, check_chain};

mod queries;
pub use queries::{
    JournalEntryView, JournalLineView, TrialBalance, TrialBalanceRow, journal_entries,
    journal_entry, trial_balance,
};

#[cfg(test)]
mod tests;
