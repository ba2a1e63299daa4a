//! The life of an invoice document, and its settlement, which is never stored.

use crate::lifecycle::{Moves, Outcome, target, verbs_from};
use crate::money::Money;

words! {
    /// What the document is.
    DocumentStatus {
        /// Being prepared: no number, may still change.
        Draft => "draft",
        /// Numbered, in the ledger and frozen; final.
        Posted => "posted",
        /// Given up before it was posted; final.
        Discarded => "discarded",
    }
}

words! {
    /// What can be done to the document.
    DocumentVerb {
        /// Give it a number and put it into the ledger.
        Post => "post",
        /// Give it up.
        Discard => "discard",
    }
}

words! {
    /// How far a posted invoice is paid: derived from its applications, never set by anyone.
    Settlement {
        /// Nothing was applied.
        Open => "open",
        /// Something was applied, something is open.
        PartPaid => "part_paid",
        /// All was applied.
        Paid => "paid",
    }
}

/// The legal moves of an invoice document; posted and discarded are final.
#[rustfmt::skip]
pub const MOVES: Moves<DocumentStatus, DocumentVerb> = &[
    (DocumentStatus::Draft, DocumentVerb::Post,    DocumentStatus::Posted),
    (DocumentStatus::Draft, DocumentVerb::Discard, DocumentStatus::Discarded),
];

/// Why a document does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The document is posted.
    #[error("a posted invoice is final: correct it with a credit note")]
    Posted,
    /// The document was discarded.
    #[error("the invoice was discarded: make a new one")]
    Discarded,
}

/// Decides what `verb` does to a document in `status`.
///
/// **Errors**: the refusal, when the table has no such move.
pub fn decide(
    status: DocumentStatus,
    verb: DocumentVerb,
) -> Result<Outcome<DocumentStatus>, Refusal> {
    if let Some(to) = target(MOVES, status, verb) {
        return Ok(Outcome::Changed(to));
    }
    if MOVES.iter().any(|(_, v, to)| *v == verb && *to == status) {
        return Ok(Outcome::AlreadySo);
    }
    match status {
        DocumentStatus::Discarded => Err(Refusal::Discarded),
        DocumentStatus::Posted | DocumentStatus::Draft => Err(Refusal::Posted),
    }
}

/// What can be done to a document in `status`, in the order of the table.
pub fn allowed_actions(status: DocumentStatus) -> Vec<DocumentVerb> {
    verbs_from(MOVES, status)
}

impl Settlement {
    /// The settlement of an invoice over `total` of which `applied` is covered.
    pub fn of(total: Money, applied: Money) -> Settlement {
        match (applied.minor() >= total.minor(), applied.is_zero()) {
            (true, _) => Settlement::Paid,
            (false, true) => Settlement::Open,
            (false, false) => Settlement::PartPaid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    #[test]
    fn the_grid_of_moves() {
        assert_eq!(
            crate::lifecycle::grid(MOVES, DocumentStatus::ALL, DocumentVerb::ALL),
            "             post         discard\n\
             draft        posted       discarded\n\
             posted       .            .\n\
             discarded    .            .\n"
        );
        assert_eq!(
            allowed_actions(DocumentStatus::Draft),
            [DocumentVerb::Post, DocumentVerb::Discard]
        );
        assert!(allowed_actions(DocumentStatus::Posted).is_empty());
    }

    #[test]
    fn decisions_beside_the_grid() {
        use DocumentStatus::{Discarded, Draft, Posted};
        for (status, verb, expected) in [
            (Draft, DocumentVerb::Post, Ok(Outcome::Changed(Posted))),
            (Posted, DocumentVerb::Post, Ok(Outcome::AlreadySo)),
            (Discarded, DocumentVerb::Discard, Ok(Outcome::AlreadySo)),
            (Posted, DocumentVerb::Discard, Err(Refusal::Posted)),
            (Discarded, DocumentVerb::Post, Err(Refusal::Discarded)),
        ] {
            assert_eq!(decide(status, verb), expected, "{verb} when {status}");
        }
    }

    #[test]
    fn settlement_follows_from_what_is_applied() {
        let eur = |minor| Money::from_minor(minor, Currency::EUR);
        for (total, applied, expected) in [
            (10_000, 0, Settlement::Open),
            (10_000, 1, Settlement::PartPaid),
            (10_000, 9_999, Settlement::PartPaid),
            (10_000, 10_000, Settlement::Paid),
            (0, 0, Settlement::Paid),
        ] {
            assert_eq!(
                Settlement::of(eur(total), eur(applied)),
                expected,
                "{applied} of {total}"
            );
        }
    }
}
