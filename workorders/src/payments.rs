//! Payments: money received, matched to invoices, applied, or kept on account.

mod lifecycle;
pub use lifecycle::{
    ApplyFacts, MOVES, ReceiptStatus, ReceiptVerb, Refusal, allowed_actions, decide_apply,
};

mod matching;
pub use matching::{Matched, OpenItem, Plan, plan, reference_numbers};

mod error;
pub use error::PaymentError;

mod rows;

mod record;
pub use record::{
    AppliedToInvoice, NewReceipt, ReceiptRecorded, record_receipt, record_receipt_once,
};

mod apply;
pub use apply::{ApplyReceipt, apply_receipt, apply_receipt_once};

mod queries;
pub use queries::{ApplicationView, ReceiptFilter, ReceiptView, receipt, receipt_in, receipts};

#[cfg(test)]
mod tests;
