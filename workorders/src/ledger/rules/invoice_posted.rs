//! Invoice posted: receivables to revenue by kind and tax payable by code.

use chrono::NaiveDate;

use super::Rule;
use crate::invoicing::WorkLineKind;
use crate::ledger::{Entry, EntryError, EntryLine, LedgerAccount};
use crate::money::Money;
use crate::store::ids::{AccountId, InvoiceId};

/// What the rule needs to know of the invoice.
#[derive(Debug, Clone)]
pub struct InvoicePosted {
    /// The invoice.
    pub invoice: InvoiceId,
    /// Its number.
    pub number: String,
    /// Who owes it.
    pub customer: AccountId,
    /// The day of issue.
    pub dated: NaiveDate,
    /// Net amount of each line, by kind of work.
    pub net: Vec<(WorkLineKind, Money)>,
    /// Tax per code.
    pub tax: Vec<(String, Money)>,
    /// What the customer owes.
    pub total: Money,
}

/// The account that earns a kind of work.
pub fn revenue_account(kind: WorkLineKind) -> LedgerAccount {
    match kind {
        WorkLineKind::Labor => LedgerAccount::RevenueLabor,
        WorkLineKind::Travel => LedgerAccount::RevenueTravel,
        WorkLineKind::Part => LedgerAccount::RevenueParts,
    }
}

/// The entry of a posted invoice.
///
/// **Errors**: the total is not the sum of lines and taxes.
pub fn entry(event: &InvoicePosted) -> Result<Entry, EntryError> {
    let receivables = EntryLine::new(LedgerAccount::Receivables, event.total);
    let mut lines = vec![receivables.of_customer(&event.customer)];
    for kind in WorkLineKind::ALL {
        let of_kind = event
            .net
            .iter()
            .filter(|(of, _)| of == kind)
            .map(|(_, net)| *net);
        let revenue = Money::sum(event.total.currency(), of_kind)?;
        lines.push(EntryLine::new(revenue_account(*kind), revenue.negated()?));
    }
    for (code, tax) in &event.tax {
        lines.push(EntryLine::new(LedgerAccount::TaxPayable, tax.negated()?).of_tax(code));
    }
    let text = format!("invoice {}", event.number);
    Entry::new(
        Rule::InvoicePosted,
        event.invoice.as_str(),
        event.dated,
        text,
        lines,
    )
}
