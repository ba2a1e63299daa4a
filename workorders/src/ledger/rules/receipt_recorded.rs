//! Receipt recorded: bank to receivables, and what no invoice takes to customer advances.

use chrono::NaiveDate;

use super::Rule;
use crate::ledger::{Entry, EntryError, EntryLine, LedgerAccount};
use crate::money::Money;
use crate::store::ids::{AccountId, ReceiptId};

/// What the rule needs to know of the receipt.
#[derive(Debug, Clone)]
pub struct ReceiptRecorded {
    /// The receipt.
    pub receipt: ReceiptId,
    /// Who paid.
    pub customer: AccountId,
    /// The day the money came.
    pub dated: NaiveDate,
    /// What came.
    pub amount: Money,
    /// What was applied to invoices at once.
    pub applied: Money,
}

/// The entry of a recorded receipt.
///
/// **Errors**: amounts of different currencies.
pub fn entry(event: &ReceiptRecorded) -> Result<Entry, EntryError> {
    let on_account = event.amount.minus(event.applied)?;
    let lines = vec![
        EntryLine::new(LedgerAccount::Bank, event.amount),
        EntryLine::new(LedgerAccount::Receivables, event.applied.negated()?)
            .of_customer(&event.customer),
        EntryLine::new(LedgerAccount::CustomerAdvances, on_account.negated()?)
            .of_customer(&event.customer),
    ];
    let text = format!("receipt of {}", event.amount);
    Entry::new(
        Rule::ReceiptRecorded,
        event.receipt.as_str(),
        event.dated,
        text,
        lines,
    )
}
