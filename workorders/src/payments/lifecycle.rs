//! The life of a receipt, and the decision to apply what it has left.

use crate::lifecycle::{Moves, verbs_from};
use crate::money::{Money, MoneyError};

words! {
    /// What the receipt is; how much of it is applied is derived from its applications.
    ReceiptStatus {
        /// The money has come and is in the ledger.
        Recorded => "recorded",
    }
}

words! {
    /// What can be done with a receipt.
    ReceiptVerb {
        /// Give money that is on account to an invoice.
        Apply => "apply",
    }
}

/// The legal moves of a receipt.
#[rustfmt::skip]
pub const MOVES: Moves<ReceiptStatus, ReceiptVerb> = &[
    (ReceiptStatus::Recorded, ReceiptVerb::Apply, ReceiptStatus::Recorded),
];

/// What a decision to apply is made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyFacts {
    /// The receipt's status.
    pub status: ReceiptStatus,
    /// Receipt and invoice are of one account.
    pub same_account: bool,
    /// What of the receipt is not applied yet.
    pub on_account: Money,
    /// What of the invoice is open.
    pub open: Money,
}

/// Why money is not applied, in order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another customer's invoice.
    #[error("the receipt and the invoice belong to different accounts")]
    OtherAccount,
    /// Another currency.
    #[error("the receipt and the invoice are in different currencies")]
    OtherCurrency,
    /// The receipt is used up.
    #[error("nothing of the receipt is on account: it is fully applied")]
    NothingOnAccount,
    /// The invoice is paid.
    #[error("nothing of the invoice is open: it is paid")]
    NothingOpen,
    /// An amount of zero or less.
    #[error("{0} can not be applied: give an amount above zero")]
    NotPositive(Money),
    /// More than the receipt has left.
    #[error("{wanted} can not be applied: only {on_account} of the receipt is on account")]
    ExceedsReceipt {
        /// What was asked for.
        wanted: Money,
        /// What is left.
        on_account: Money,
    },
    /// More than the invoice has open.
    #[error("{wanted} can not be applied: only {open} of the invoice is open")]
    ExceedsInvoice {
        /// What was asked for.
        wanted: Money,
        /// What is open.
        open: Money,
    },
}

/// Decides how much is applied: `wanted`, or as much as fits when nothing is named.
///
/// **Errors**: the first refusal that holds.
pub fn decide_apply(facts: &ApplyFacts, wanted: Option<Money>) -> Result<Money, Refusal> {
    if !facts.same_account {
        return Err(Refusal::OtherAccount);
    }
    let other_currency = |_: MoneyError| Refusal::OtherCurrency;
    let most = facts
        .on_account
        .smaller(facts.open)
        .map_err(other_currency)?;
    let wanted = wanted.unwrap_or(most);
    wanted.minus(most).map_err(other_currency)?;
    if facts.on_account.minor() <= 0 {
        return Err(Refusal::NothingOnAccount);
    }
    if facts.open.minor() <= 0 {
        return Err(Refusal::NothingOpen);
    }
    if wanted.minor() <= 0 {
        return Err(Refusal::NotPositive(wanted));
    }
    if wanted.minor() > facts.on_account.minor() {
        return Err(Refusal::ExceedsReceipt {
            wanted,
            on_account: facts.on_account,
        });
    }
    if wanted.minor() > facts.open.minor() {
        return Err(Refusal::ExceedsInvoice {
            wanted,
            open: facts.open,
        });
    }
    Ok(wanted)
}

/// What can be done with a receipt of which `on_account` is left.
pub fn allowed_actions(status: ReceiptStatus, on_account: Money) -> Vec<ReceiptVerb> {
    let mut verbs = verbs_from(MOVES, status);
    verbs.retain(|ReceiptVerb::Apply| on_account.minor() > 0);
    verbs
}
