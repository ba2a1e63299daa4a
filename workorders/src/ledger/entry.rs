//! A journal entry before it is written: whatever does not sum to zero can not be made.

use chrono::NaiveDate;

use super::account::LedgerAccount;
use super::rules::Rule;
use crate::money::{Currency, Money, MoneyError};
use crate::store::ids::AccountId;

/// An entry whose lines sum to zero in one currency; there is no other way to have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    rule: Rule,
    source: String,
    dated: NaiveDate,
    text: String,
    currency: Currency,
    lines: Vec<EntryLine>,
}

/// One line: a debit when positive, a credit when negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryLine {
    /// The account of the ledger.
    pub ledger_account: LedgerAccount,
    /// The amount.
    ///
    /// **Units**: debits are positive, credits negative.
    pub amount: Money,
    /// The customer whose sub-ledger the line belongs to.
    pub customer: Option<AccountId>,
    /// The tax code of a tax line.
    pub tax_code: Option<String>,
}

/// Why lines make no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Debits and credits differ.
    #[error("the entry for {source_id} does not balance: debits exceed credits by {difference}")]
    Unbalanced {
        /// What the entry is for.
        source_id: String,
        /// Debits minus credits.
        difference: Money,
    },
    /// No line is left once the lines of zero are dropped.
    #[error("the entry for {source_id} moves nothing")]
    Empty {
        /// What the entry is for.
        source_id: String,
    },
    /// The lines do not add up at all.
    #[error("the lines of an entry do not add up")]
    Sum(#[from] MoneyError),
}

impl Entry {
    /// An entry of `rule` for the document `source`; lines of zero are left out.
    ///
    /// **Errors**: lines that do not sum to zero, that mix currencies, or that move nothing.
    pub fn new(
        rule: Rule,
        source: impl Into<String>,
        dated: NaiveDate,
        text: impl Into<String>,
        lines: Vec<EntryLine>,
    ) -> Result<Entry, EntryError> {
        let source = source.into();
        let lines: Vec<_> = lines
            .into_iter()
            .filter(|line| !line.amount.is_zero())
            .collect();
        let Some(first) = lines.first() else {
            return Err(EntryError::Empty { source_id: source });
        };
        let currency = first.amount.currency();
        let difference = Money::sum(currency, lines.iter().map(|line| line.amount))?;
        if !difference.is_zero() {
            return Err(EntryError::Unbalanced {
                source_id: source,
                difference,
            });
        }
        Ok(Entry {
            rule,
            source,
            dated,
            text: text.into(),
            currency,
            lines,
        })
    }

    /// The rule that made it.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The id of the document it stands for.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The day it belongs to.
    pub fn dated(&self) -> NaiveDate {
        self.dated
    }

    /// What happened, in words.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The one currency of all lines.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The lines, none of them zero.
    pub fn lines(&self) -> &[EntryLine] {
        &self.lines
    }
}

impl EntryLine {
    /// A line of an account without a customer.
    pub fn new(ledger_account: LedgerAccount, amount: Money) -> Self {
        Self {
            ledger_account,
            amount,
            customer: None,
            tax_code: None,
        }
    }

    /// The same line in a customer's sub-ledger.
    pub fn of_customer(self, customer: &AccountId) -> Self {
        Self {
            customer: Some(customer.clone()),
            ..self
        }
    }

    /// The same line for a tax code.
    pub fn of_tax(self, tax_code: &str) -> Self {
        Self {
            tax_code: Some(tax_code.to_owned()),
            ..self
        }
    }
}
