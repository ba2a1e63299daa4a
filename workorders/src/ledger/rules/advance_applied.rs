//! Advance applied: customer advances to receivables.

use chrono::NaiveDate;

use super::Rule;
use crate::ledger::{Entry, EntryError, EntryLine, LedgerAccount};
use crate::money::Money;
use crate::store::ids::{AccountId, ApplicationId};

/// What the rule needs to know of the application.
#[derive(Debug, Clone)]
pub struct AdvanceApplied {
    /// The application.
    pub application: ApplicationId,
    /// Whose money it is.
    pub customer: AccountId,
    /// The day of the application.
    pub dated: NaiveDate,
    /// The number of the invoice that takes it.
    pub number: String,
    /// How much is applied.
    pub amount: Money,
}

/// The entry of an advance that is applied to an invoice.
///
/// **Errors**: an amount of zero, which moves nothing.
pub fn entry(event: &AdvanceApplied) -> Result<Entry, EntryError> {
    let lines = vec![
        EntryLine::new(LedgerAccount::CustomerAdvances, event.amount).of_customer(&event.customer),
        EntryLine::new(LedgerAccount::Receivables, event.amount.negated()?)
            .of_customer(&event.customer),
    ];
    let text = format!("advance applied to invoice {}", event.number);
    Entry::new(
        Rule::AdvanceApplied,
        event.application.as_str(),
        event.dated,
        text,
        lines,
    )
}
