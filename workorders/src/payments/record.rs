//! Recording money that has come: receipt, applications, ledger entry and events in one transaction.

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::PaymentError;
use super::lifecycle::ReceiptStatus;
use super::matching::{Plan, plan, reference_numbers};
use super::rows;
use crate::ledger::{self, LedgerError, rules::receipt_recorded};
use crate::money::Money;
use crate::store::columns::micros;
use crate::store::idempotency::{self, Answer, Key, KeyError};
use crate::store::ids::{AccountId, ApplicationId, InvoiceId, ReceiptId};
use crate::store::{Ctx, Db, StoreError, Tx, audit, is_unique_violation, outbox};

/// Characters of a reference at most: what a SEPA transfer carries.
const MAX_REFERENCE: usize = 140;
/// Characters of a method at most.
const MAX_METHOD: usize = 40;

/// Money has not come before this day.
pub(super) const FIRST_DAY: NaiveDate =
    NaiveDate::from_ymd_opt(2000, 1, 1).expect("a day of the calendar");

/// Money that a customer paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewReceipt {
    /// Who paid.
    pub account_id: AccountId,
    /// How much.
    pub amount: Money,
    /// What the payer wrote: one or more invoice numbers, or anything.
    #[serde(default)]
    pub reference: String,
    /// How it was paid, for example `bank_transfer`.
    pub method: String,
    /// The day the money came; today when none is given.
    #[serde(default)]
    pub received_on: Option<NaiveDate>,
}

/// What became of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceiptRecorded {
    /// The receipt.
    pub id: ReceiptId,
    /// Its status.
    pub status: ReceiptStatus,
    /// Its version.
    pub version: i64,
    /// Who paid.
    pub account_id: AccountId,
    /// What came.
    pub amount: Money,
    /// What was applied at once.
    pub applied: Money,
    /// What stays on account.
    pub on_account: Money,
    /// How the reference was read, in words.
    pub matching: String,
    /// What each invoice took.
    pub applications: Vec<AppliedToInvoice>,
}

/// Money that one invoice took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliedToInvoice {
    /// The application.
    pub id: ApplicationId,
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Its number.
    pub invoice_number: String,
    /// How much it took.
    pub amount: Money,
    /// Nothing of it stays open.
    pub paid: bool,
}

/// Records a receipt and applies it to the invoices that its reference names.
///
/// `request_key` is the caller's idempotency key: it stays on the receipt for good, so that one
/// key has one receipt even after its answer is forgotten. The answer of a repeat is not given
/// here: see [`record_receipt_once`].
///
/// **Errors**: an unknown account, an amount in another currency than the account's, an impossible
/// amount, text or day, a used key; a failing store.
pub async fn record_receipt(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    request_key: Option<&str>,
    new: &NewReceipt,
) -> Result<ReceiptRecorded, PaymentError> {
    check(new)?;
    let account = &new.account_id;
    let currency = rows::account_currency(tx, account)
        .await?
        .ok_or_else(|| PaymentError::AccountNotFound(account.clone()))?;
    if currency != new.amount.currency() {
        return Err(PaymentError::CurrencyMismatch {
            account: account.clone(),
            amount: new.amount,
            currency,
        });
    }
    let today = rows::business_day(tx, ctx.now).await?;
    let received_on = received_on(new, today)?;
    let numbers = reference_numbers(&new.reference);
    let mut items = Vec::new();
    for id in rows::find_by_number(tx, &numbers).await? {
        let locked = rows::lock_invoice(tx, &id).await?;
        items.extend(locked.map(|invoice| invoice.for_payer(&new.account_id)));
    }
    let plan = plan(new.amount, &numbers, &items)?;
    let id = insert(tx, ctx, request_key, new, received_on, &plan).await?;
    let mut applications = Vec::with_capacity(plan.matched.len());
    for matched in &plan.matched {
        let (invoice, amount) = (&matched.invoice, matched.amount);
        let application =
            rows::insert_application(tx, ctx, &id, invoice, amount, received_on).await?;
        applications.push(AppliedToInvoice {
            id: application,
            invoice_id: invoice.clone(),
            invoice_number: matched.number.clone(),
            amount,
            paid: matched.settles,
        });
    }
    let event = receipt_recorded::ReceiptRecorded {
        receipt: id.clone(),
        customer: new.account_id.clone(),
        dated: received_on,
        amount: new.amount,
        applied: plan.applied,
    };
    let entry = receipt_recorded::entry(&event).map_err(LedgerError::from)?;
    ledger::append(tx, ctx, &entry).await?;
    let recorded = ReceiptRecorded {
        id,
        status: ReceiptStatus::Recorded,
        version: 1,
        account_id: new.account_id.clone(),
        amount: new.amount,
        applied: plan.applied,
        on_account: plan.on_account,
        matching: plan.explanation,
        applications,
    };
    tell(tx, ctx, new, &recorded).await?;
    Ok(recorded)
}

/// Records a receipt once per key: a repeat gets the first answer, another body is a conflict.
///
/// **Errors**: as [`record_receipt`], and a key that stands for another request.
pub async fn record_receipt_once(
    db: &Db,
    ctx: &Ctx,
    key: &Key,
    new: &NewReceipt,
) -> Result<Answer, PaymentError> {
    db.write(|tx| {
        Box::pin(async move {
            if let Some(answer) = idempotency::claim(tx, key).await? {
                return Ok::<_, PaymentError>(answer);
            }
            let body = json!(record_receipt(tx, ctx, Some(&key.key), new).await?);
            idempotency::keep(tx, ctx, key, 201, &body).await?;
            Ok(Answer {
                status: 201,
                body,
                repeated: false,
            })
        })
    })
    .await
}

/// Announces an invoice of which nothing stays open.
pub(super) async fn announce_paid(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    account: &AccountId,
    receipt: &ReceiptId,
    applied: &AppliedToInvoice,
) -> Result<(), StoreError> {
    let data = json!({
        "number": applied.invoice_number,
        "account_id": account,
        "receipt_id": receipt,
    });
    outbox::publish(tx, ctx, "invoice.paid", applied.invoice_id.as_str(), data).await?;
    Ok(())
}

fn check(new: &NewReceipt) -> Result<(), PaymentError> {
    if new.amount.minor() <= 0 {
        return Err(PaymentError::NotPositive(new.amount));
    }
    if new.amount.exceeds_document() {
        return Err(PaymentError::TooLarge {
            amount: new.amount,
            most: Money::most(new.amount.currency()),
        });
    }
    for (field, text, least, most) in [
        ("reference", new.reference.as_str(), 0, MAX_REFERENCE),
        ("method", new.method.trim(), 1, MAX_METHOD),
    ] {
        if text.chars().any(char::is_control) {
            return Err(PaymentError::ControlCharacters(field));
        }
        let length = text.chars().count();
        if !(least..=most).contains(&length) {
            return Err(PaymentError::TextLength {
                field,
                length,
                least,
                most,
            });
        }
    }
    Ok(())
}

/// The day the money came; a day ahead is allowed, because the payer's zone may be ahead of ours.
fn received_on(new: &NewReceipt, today: NaiveDate) -> Result<NaiveDate, PaymentError> {
    let received_on = new.received_on.unwrap_or(today);
    let latest = today.checked_add_days(Days::new(1)).unwrap_or(today);
    if received_on < FIRST_DAY {
        return Err(PaymentError::BeforeTheBooks { received_on });
    }
    if received_on > latest {
        return Err(PaymentError::NotYetReceived { received_on, today });
    }
    Ok(received_on)
}

async fn insert(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    request_key: Option<&str>,
    new: &NewReceipt,
    received_on: NaiveDate,
    plan: &Plan,
) -> Result<ReceiptId, PaymentError> {
    let id = ReceiptId::new(ctx);
    let written = sqlx::query(
        "INSERT INTO receipt_documents (id, status, account_id, amount_minor, currency, reference, \
         method, received_on, recorded_at, matching, request_key, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1)",
    )
    .bind(id.as_str())
    .bind(ReceiptStatus::Recorded.as_str())
    .bind(new.account_id.as_str())
    .bind(new.amount.minor())
    .bind(new.amount.currency().code())
    .bind(new.reference.as_str())
    .bind(new.method.trim())
    .bind(received_on.to_string())
    .bind(micros(ctx.now))
    .bind(plan.explanation.as_str())
    .bind(request_key)
    .execute(tx.conn())
    .await;
    match (written, request_key) {
        (Ok(_), _) => Ok(id),
        (Err(error), Some(key)) if is_unique_violation(&error) => Err(KeyError::Reused {
            key: key.to_owned(),
        }
        .into()),
        (Err(error), _) => Err(error.into()),
    }
}

/// Audit row and events.
async fn tell(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    new: &NewReceipt,
    recorded: &ReceiptRecorded,
) -> Result<(), StoreError> {
    let subject = recorded.id.as_str();
    let detail = json!({ "amount": recorded.amount, "matching": recorded.matching });
    let change = audit::Change {
        noun: "receipt",
        subject,
        verb: "record",
        before: None,
        after: 1,
        detail,
    };
    audit::record(tx, ctx, change).await?;
    let data = json!({
        "account_id": recorded.account_id,
        "amount": recorded.amount,
        "applied": recorded.applied,
        "on_account": recorded.on_account,
        "reference": new.reference,
        "applications": recorded.applications,
    });
    outbox::publish(tx, ctx, "receipt.recorded", subject, data).await?;
    for applied in recorded.applications.iter().filter(|applied| applied.paid) {
        announce_paid(tx, ctx, &recorded.account_id, &recorded.id, applied).await?;
    }
    Ok(())
}
