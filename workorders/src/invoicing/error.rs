//! Why invoicing said no or failed.

use chrono::NaiveDate;

use super::build_up::PricingError;
use super::lifecycle::Refusal;
use crate::ledger::LedgerError;
use crate::money::Currency;
use crate::problem::{Family, Problem};
use crate::store::StoreError;
use crate::store::ids::InvoiceId;

/// Why there is no invoice.
#[derive(Debug, thiserror::Error)]
pub enum InvoicingError {
    /// The order, or one of its work lines, is on an invoice already.
    #[error("work order {number} is billed already: an order has one invoice, work is billed once")]
    AlreadyInvoiced {
        /// The order's number.
        number: String,
    },
    /// The work can not be priced.
    #[error("work order {number} can not be billed: {reason}")]
    Price {
        /// The order's number.
        number: String,
        /// What is missing or wrong.
        reason: PricingError,
    },
    /// No price list for the currency and day.
    #[error("no price list in {currency} is in force on {day}: add one before billing")]
    NoPriceList {
        /// The currency of the account.
        currency: Currency,
        /// The day of the work.
        day: NaiveDate,
    },
    /// Nobody can bill.
    #[error("no legal entity is known, so nobody can bill: seed the price file first")]
    NoLegalEntity,
    /// The lifecycle has no such move.
    #[error("{invoice}: {refusal}")]
    Refused {
        /// The invoice.
        invoice: InvoiceId,
        /// The sentence.
        refusal: Refusal,
    },
    /// No such invoice.
    #[error("there is no invoice {0}")]
    NotFound(InvoiceId),
    /// The due date leaves the calendar.
    #[error("terms of {terms_days} days after {issued_on} leave the calendar")]
    DueDate {
        /// The day of issue.
        issued_on: NaiveDate,
        /// Days until due.
        terms_days: u16,
    },
    /// The ledger did not take the entry.
    #[error("the invoice could not be booked")]
    Book(#[from] LedgerError),
    /// The store failed.
    #[error("the invoice could not be written or read")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for InvoicingError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Problem for InvoicingError {
    fn family(&self) -> Family {
        match self {
            Self::AlreadyInvoiced { .. }
            | Self::Price { .. }
            | Self::NoPriceList { .. }
            | Self::NoLegalEntity
            | Self::Refused { .. }
            | Self::DueDate { .. } => Family::Refused,
            Self::NotFound(_) => Family::NotFound,
            Self::Book(error) => error.family(),
            Self::Store(error) => error.family(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyInvoiced { .. } => "already_invoiced",
            Self::Price { reason, .. } => match reason {
                PricingError::NothingToBill | PricingError::ComesToNothing(_) => "nothing_to_bill",
                PricingError::NoPrice { .. } => "no_price",
                PricingError::NoTaxRate { .. } => "no_tax_rate",
                PricingError::Quantity { .. } => "impossible_quantity",
                PricingError::TooLarge { .. }
                | PricingError::Sum(_)
                | PricingError::Multiply(_)
                | PricingError::Tax(_) => "amount_too_large",
            },
            Self::NoPriceList { .. } => "no_price_list",
            Self::NoLegalEntity => "no_legal_entity",
            Self::Refused { .. } => "invoice_is_final",
            Self::NotFound(_) => "invoice_not_found",
            Self::DueDate { .. } => "due_date_out_of_calendar",
            Self::Book(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}
