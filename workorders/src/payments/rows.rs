//! The rows that payments read and write; invoice rows are locked before receipt rows.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::lifecycle::ReceiptStatus;
use super::matching::OpenItem;
use crate::money::{Currency, Money};
use crate::store::columns::{int, micros, parsed, text};
use crate::store::ids::{AccountId, ApplicationId, InvoiceId, ReceiptId};
use crate::store::{Ctx, StoreError, Tx};

/// An invoice whose row this transaction holds.
#[derive(Debug)]
pub(super) struct LockedInvoice {
    pub id: InvoiceId,
    pub number: String,
    pub account: AccountId,
    pub open: Money,
}

/// A receipt whose row this transaction holds.
#[derive(Debug)]
pub(super) struct LockedReceipt {
    pub id: ReceiptId,
    pub status: ReceiptStatus,
    pub account: AccountId,
    /// The version before it was locked; locking added one.
    pub version: i64,
    pub on_account: Money,
}

/// The day on which the books stand: the zone of the entity that bills, UTC without one.
pub(super) async fn business_day(
    tx: &mut Tx<'_>,
    now: DateTime<Utc>,
) -> Result<NaiveDate, StoreError> {
    let row = sqlx::query("SELECT time_zone FROM legal_entities ORDER BY position LIMIT 1")
        .fetch_optional(tx.conn())
        .await?;
    let zone: Tz = row.map_or(Ok(Tz::UTC), |row| parsed(&row, "time_zone"))?;
    Ok(now.with_timezone(&zone).date_naive())
}

/// The currency in which an account is billed, none when there is no such account.
pub(super) async fn account_currency(
    tx: &mut Tx<'_>,
    account: &AccountId,
) -> Result<Option<Currency>, StoreError> {
    let row = sqlx::query("SELECT currency FROM accounts WHERE id = $1")
        .bind(account.as_str())
        .fetch_optional(tx.conn())
        .await?;
    row.map(|row| parsed(&row, "currency")).transpose()
}

/// The posted invoices with these numbers, found but not locked, in the order of their ids.
pub(super) async fn find_by_number(
    tx: &mut Tx<'_>,
    numbers: &[String],
) -> Result<Vec<InvoiceId>, StoreError> {
    let mut ids: Vec<InvoiceId> = Vec::new();
    for number in numbers {
        let row =
            sqlx::query("SELECT id FROM invoice_documents WHERE number = $1 AND status = 'posted'")
                .bind(number.as_str())
                .fetch_optional(tx.conn())
                .await?;
        if let Some(row) = row {
            ids.push(parsed(&row, "id")?);
        }
    }
    // One order of locking for everyone, so that two receipts never wait for each other.
    ids.sort_unstable();
    Ok(ids)
}

/// Locks a posted invoice's row, so that receipts of one invoice stand in a queue.
pub(super) async fn lock_invoice(
    tx: &mut Tx<'_>,
    id: &InvoiceId,
) -> Result<Option<LockedInvoice>, StoreError> {
    let row = sqlx::query(
        "UPDATE invoice_documents SET version = version + 1 WHERE id = $1 AND status = 'posted' \
         RETURNING number, account_id, currency, total_minor",
    )
    .bind(id.as_str())
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let currency: Currency = parsed(&row, "currency")?;
    // Read after the lock is held: what was applied before is committed and seen.
    let applied = sqlx::query(
        "SELECT COALESCE(CAST(SUM(amount_minor) AS BIGINT), 0) AS applied FROM applications \
         WHERE invoice_id = $1",
    )
    .bind(id.as_str())
    .fetch_one(tx.conn())
    .await?;
    Ok(Some(LockedInvoice {
        id: id.clone(),
        number: text(&row, "number")?,
        account: parsed(&row, "account_id")?,
        open: rest(
            int(&row, "total_minor")?,
            int(&applied, "applied")?,
            currency,
        )?,
    }))
}

/// Locks a receipt's row.
pub(super) async fn lock_receipt(
    tx: &mut Tx<'_>,
    id: &ReceiptId,
) -> Result<Option<LockedReceipt>, StoreError> {
    let row = sqlx::query(
        "UPDATE receipt_documents SET version = version + 1 WHERE id = $1 \
         RETURNING status, account_id, currency, amount_minor, version",
    )
    .bind(id.as_str())
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let currency: Currency = parsed(&row, "currency")?;
    let applied = sqlx::query(
        "SELECT COALESCE(CAST(SUM(amount_minor) AS BIGINT), 0) AS applied FROM applications \
         WHERE receipt_id = $1",
    )
    .bind(id.as_str())
    .fetch_one(tx.conn())
    .await?;
    Ok(Some(LockedReceipt {
        id: id.clone(),
        status: parsed(&row, "status")?,
        account: parsed(&row, "account_id")?,
        version: int(&row, "version")? - 1,
        on_account: rest(
            int(&row, "amount_minor")?,
            int(&applied, "applied")?,
            currency,
        )?,
    }))
}

fn rest(whole: i64, applied: i64, currency: Currency) -> Result<Money, StoreError> {
    Money::from_minor(whole, currency)
        .minus(Money::from_minor(applied, currency))
        .map_err(|error| StoreError::unreadable("applications", error))
}

/// Writes an application of a receipt to an invoice.
pub(super) async fn insert_application(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    receipt: &ReceiptId,
    invoice: &InvoiceId,
    amount: Money,
    day: NaiveDate,
) -> Result<ApplicationId, StoreError> {
    let id = ApplicationId::new(ctx);
    sqlx::query(
        "INSERT INTO applications (id, receipt_id, invoice_id, amount_minor, currency, applied_on, \
         applied_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id.as_str())
    .bind(receipt.as_str())
    .bind(invoice.as_str())
    .bind(amount.minor())
    .bind(amount.currency().code())
    .bind(day.to_string())
    .bind(micros(ctx.now))
    .execute(tx.conn())
    .await?;
    Ok(id)
}

impl LockedInvoice {
    /// The invoice as the matching sees it for a payer.
    pub(super) fn for_payer(&self, account: &AccountId) -> OpenItem {
        OpenItem {
            invoice: self.id.clone(),
            number: self.number.clone(),
            same_account: self.account == *account,
            open: self.open,
        }
    }
}
