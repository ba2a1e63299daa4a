//! Why a payment was refused or failed.

use chrono::NaiveDate;

use super::lifecycle::Refusal;
use super::record::FIRST_DAY;
use crate::ledger::LedgerError;
use crate::money::{Currency, Money, MoneyError};
use crate::problem::{Family, Problem};
use crate::store::StoreError;
use crate::store::idempotency::KeyError;
use crate::store::ids::{AccountId, InvoiceId, ReceiptId};

/// Why money was not recorded or applied.
#[derive(Debug, thiserror::Error)]
pub enum PaymentError {
    /// No such account.
    #[error("there is no account {0}: name the account that paid")]
    AccountNotFound(AccountId),
    /// No such receipt.
    #[error("there is no receipt {0}")]
    ReceiptNotFound(ReceiptId),
    /// No such invoice, or one that is not posted.
    #[error("there is no posted invoice {0}")]
    InvoiceNotFound(InvoiceId),
    /// An amount of zero or less.
    #[error("a receipt of {0} can not be recorded: give an amount above zero")]
    NotPositive(Money),
    /// More than any document may move.
    #[error("a receipt of {amount} can not be recorded: a document moves at most {most}")]
    TooLarge {
        /// The amount that was given.
        amount: Money,
        /// The most.
        most: Money,
    },
    /// Money in another currency than the account's.
    #[error(
        "{amount} can not be recorded: account {account} is billed in {currency}, \
         and money is not exchanged here"
    )]
    CurrencyMismatch {
        /// Who paid.
        account: AccountId,
        /// What came.
        amount: Money,
        /// The account's currency.
        currency: Currency,
    },
    /// A text has control characters.
    #[error("the {0} of a receipt has control characters: send plain text in one line")]
    ControlCharacters(&'static str),
    /// A text is empty or too long.
    #[error("the {field} of a receipt has {length} characters, it may have {least} to {most}")]
    TextLength {
        /// Which text.
        field: &'static str,
        /// Its characters.
        length: usize,
        /// Characters at least.
        least: usize,
        /// Characters at most.
        most: usize,
    },
    /// Money that has not come yet.
    #[error("a receipt of {received_on} can not be recorded on {today}: the day has not come")]
    NotYetReceived {
        /// The day that was given.
        received_on: NaiveDate,
        /// Today, where the books are kept.
        today: NaiveDate,
    },
    /// A day before any of our books.
    #[error("a receipt of {received_on} can not be recorded: the books begin on {FIRST_DAY}")]
    BeforeTheBooks {
        /// The day that was given.
        received_on: NaiveDate,
    },
    /// The caller decided on an older version of the receipt.
    #[error("{receipt} has version {found}, the request was made for {expected}: read it again")]
    Stale {
        /// The receipt.
        receipt: ReceiptId,
        /// Its version.
        found: i64,
        /// The version of the request.
        expected: i64,
    },
    /// A rule of applying said no.
    #[error("{receipt} is not applied: {refusal}")]
    Refused {
        /// The receipt.
        receipt: ReceiptId,
        /// The sentence.
        refusal: Refusal,
    },
    /// The amounts do not add up.
    #[error("the amounts of the receipt do not add up")]
    Sum(#[from] MoneyError),
    /// The idempotency key was not taken.
    #[error("{0}")]
    Key(KeyError),
    /// The ledger did not take the entry.
    #[error("the receipt could not be booked")]
    Book(#[from] LedgerError),
    /// The store failed.
    #[error("the receipt could not be written or read")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for PaymentError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<KeyError> for PaymentError {
    fn from(error: KeyError) -> Self {
        match error {
            // Kept as a store failure, so that the transaction is run again where that may help.
            KeyError::Store(error) => Self::Store(error),
            other => Self::Key(other),
        }
    }
}

impl Problem for PaymentError {
    fn family(&self) -> Family {
        match self {
            Self::AccountNotFound(_) | Self::ReceiptNotFound(_) | Self::InvoiceNotFound(_) => {
                Family::NotFound
            }
            Self::NotPositive(_)
            | Self::TooLarge { .. }
            | Self::ControlCharacters(_)
            | Self::TextLength { .. } => Family::Invalid,
            Self::NotYetReceived { .. }
            | Self::BeforeTheBooks { .. }
            | Self::CurrencyMismatch { .. }
            | Self::Refused { .. }
            | Self::Sum(_) => Family::Refused,
            Self::Stale { .. } => Family::Stale,
            Self::Key(error) => error.family(),
            Self::Book(error) => error.family(),
            Self::Store(error) => error.family(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::AccountNotFound(_) => "account_not_found",
            Self::ReceiptNotFound(_) => "receipt_not_found",
            Self::InvoiceNotFound(_) => "invoice_not_found",
            Self::NotPositive(_) => "amount_not_positive",
            Self::TooLarge { .. } => "amount_too_large",
            Self::CurrencyMismatch { .. } => "currency_mismatch",
            Self::ControlCharacters(_) => "control_characters",
            Self::TextLength { .. } => "text_length",
            Self::NotYetReceived { .. } => "not_yet_received",
            Self::BeforeTheBooks { .. } => "before_the_books",
            Self::Stale { .. } => "stale_version",
            Self::Refused { refusal, .. } => match refusal {
                Refusal::OtherAccount => "other_account",
                Refusal::OtherCurrency => "other_currency",
                Refusal::NothingOnAccount => "nothing_on_account",
                Refusal::NothingOpen => "nothing_open",
                Refusal::NotPositive(_) => "amount_not_positive",
                Refusal::ExceedsReceipt { .. } => "exceeds_receipt",
                Refusal::ExceedsInvoice { .. } => "exceeds_invoice",
            },
            Self::Sum(_) => "amount_too_large",
            Self::Key(error) => error.code(),
            Self::Book(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}
