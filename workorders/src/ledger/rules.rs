//! Posting rules: which accounts an event moves. One file each, pure.

pub mod advance_applied;
pub mod invoice_posted;
pub mod receipt_recorded;

words! {
    /// The name of a posting rule; a document is posted at most once by each.
    Rule {
        /// An invoice was posted.
        InvoicePosted => "invoice_posted",
        /// Money was received.
        ReceiptRecorded => "receipt_recorded",
        /// Money on account was applied to an invoice.
        AdvanceApplied => "advance_applied",
    }
}

#[cfg(test)]
mod tests;
