//! Applying money on account to an invoice by hand.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::PaymentError;
use super::lifecycle::{ApplyFacts, decide_apply};
use super::record::{AppliedToInvoice, announce_paid};
use super::rows;
use crate::ledger::{self, LedgerError, rules::advance_applied};
use crate::money::Money;
use crate::store::idempotency::{self, Answer, Key};
use crate::store::ids::{InvoiceId, ReceiptId};
use crate::store::{Ctx, Db, Tx, audit};

/// A wish to give money of a receipt to an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyReceipt {
    /// The invoice that shall take it.
    pub invoice_id: InvoiceId,
    /// How much; as much as fits when none is given.
    #[serde(default)]
    pub amount: Option<Money>,
}

/// Applies money of a receipt to an invoice; `expected` is the version that the caller has seen.
///
/// Not idempotent by itself: see [`apply_receipt_once`].
///
/// **Errors**: an unknown receipt or invoice, a stale version, a refusal; a failing store.
pub async fn apply_receipt(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    receipt: &ReceiptId,
    expected: Option<i64>,
    wish: &ApplyReceipt,
) -> Result<AppliedToInvoice, PaymentError> {
    let invoice = rows::lock_invoice(tx, &wish.invoice_id).await?;
    let invoice = invoice.ok_or_else(|| PaymentError::InvoiceNotFound(wish.invoice_id.clone()))?;
    let locked = rows::lock_receipt(tx, receipt).await?;
    let locked = locked.ok_or_else(|| PaymentError::ReceiptNotFound(receipt.clone()))?;
    if let Some(expected) = expected.filter(|expected| *expected != locked.version) {
        let found = locked.version;
        return Err(PaymentError::Stale {
            receipt: receipt.clone(),
            found,
            expected,
        });
    }
    let facts = ApplyFacts {
        status: locked.status,
        same_account: locked.account == invoice.account,
        on_account: locked.on_account,
        open: invoice.open,
    };
    let amount = decide_apply(&facts, wish.amount).map_err(|refusal| PaymentError::Refused {
        receipt: receipt.clone(),
        refusal,
    })?;
    let today = rows::business_day(tx, ctx.now).await?;
    let id = rows::insert_application(tx, ctx, &locked.id, &invoice.id, amount, today).await?;
    let event = advance_applied::AdvanceApplied {
        application: id.clone(),
        customer: locked.account.clone(),
        dated: today,
        number: invoice.number.clone(),
        amount,
    };
    let entry = advance_applied::entry(&event).map_err(LedgerError::from)?;
    ledger::append(tx, ctx, &entry).await?;
    let change = audit::Change {
        noun: "receipt",
        subject: receipt.as_str(),
        verb: "apply",
        before: Some(locked.version),
        after: locked.version + 1,
        detail: json!({ "invoice_id": invoice.id, "amount": amount }),
    };
    audit::record(tx, ctx, change).await?;
    let applied = AppliedToInvoice {
        id,
        invoice_id: invoice.id,
        invoice_number: invoice.number,
        amount,
        paid: amount == invoice.open,
    };
    if applied.paid {
        announce_paid(tx, ctx, &locked.account, receipt, &applied).await?;
    }
    Ok(applied)
}

/// Applies once per key: a repeat gets the first answer, another body is a conflict.
///
/// **Errors**: as [`apply_receipt`], and a key that stands for another request.
pub async fn apply_receipt_once(
    db: &Db,
    ctx: &Ctx,
    key: &Key,
    receipt: &ReceiptId,
    expected: Option<i64>,
    wish: &ApplyReceipt,
) -> Result<Answer, PaymentError> {
    db.write(|tx| {
        Box::pin(async move {
            if let Some(answer) = idempotency::claim(tx, key).await? {
                return Ok::<_, PaymentError>(answer);
            }
            let body = json!(apply_receipt(tx, ctx, receipt, expected, wish).await?);
            idempotency::keep(tx, ctx, key, 200, &body).await?;
            Ok(Answer {
                status: 200,
                body,
                repeated: false,
            })
        })
    })
    .await
}
