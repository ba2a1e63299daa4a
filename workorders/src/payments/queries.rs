//! Reading receipts with their applications.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::lifecycle::{ReceiptStatus, ReceiptVerb, allowed_actions};
use crate::money::{Currency, Money};
use crate::store::columns::{instant, int, parsed, text};
use crate::store::ids::{AccountId, ApplicationId, InvoiceId, ReceiptId};
use crate::store::page::{Page, PageRequest};
use crate::store::{Db, StoreError};

/// Which receipts are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiptFilter {
    /// Of this account only.
    pub account: Option<AccountId>,
}

/// A receipt as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReceiptView {
    /// Its id.
    pub id: ReceiptId,
    /// What it is.
    pub status: ReceiptStatus,
    /// What can be done with it now.
    pub allowed_actions: Vec<ReceiptVerb>,
    /// Grows with every application by hand.
    pub version: i64,
    /// Who paid.
    pub account_id: AccountId,
    /// What came.
    pub amount: Money,
    /// What is applied to invoices.
    pub applied: Money,
    /// What is left on account.
    pub on_account: Money,
    /// What the payer wrote.
    pub reference: String,
    /// How it was paid.
    pub method: String,
    /// The day the money came.
    pub received_on: NaiveDate,
    /// When it was recorded, on the business clock.
    pub recorded_at: DateTime<Utc>,
    /// How the reference was read, in words.
    pub matching: String,
    /// Where it went.
    pub applications: Vec<ApplicationView>,
}

/// Money of a receipt that an invoice took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApplicationView {
    /// Its id.
    pub id: ApplicationId,
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// The invoice's number.
    pub invoice_number: String,
    /// How much.
    pub amount: Money,
    /// The day of the application.
    pub applied_on: NaiveDate,
}

const COLUMNS: &str = "id, status, account_id, currency, amount, applied, on_account, reference, \
    method, received_on, recorded_at, matching, version";

/// The receipts after the cursor, in the order in which they were recorded.
///
/// **Errors** when the store fails.
pub async fn receipts(
    db: &Db,
    filter: &ReceiptFilter,
    request: &PageRequest,
) -> Result<Page<ReceiptView>, StoreError> {
    let query = format!(
        "SELECT {COLUMNS} FROM receipts WHERE id > $1 AND ($2 = '' OR account_id = $2) \
         ORDER BY id LIMIT $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(request.after_or_start())
        .bind(filter.account.as_ref().map_or("", AccountId::as_str))
        .bind(request.fetch_limit())
        .fetch_all(db.pool())
        .await?;
    let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut page = Page::cut(request, items, |receipt| receipt.id.to_string());
    let mut conn = db.pool().acquire().await?;
    for receipt in &mut page.items {
        receipt.applications = applications_of(&mut conn, &receipt.id).await?;
    }
    Ok(page)
}

/// The receipt with this id, none when there is none.
///
/// **Errors** when the store fails.
pub async fn receipt(db: &Db, id: &ReceiptId) -> Result<Option<ReceiptView>, StoreError> {
    receipt_in(&mut *db.pool().acquire().await?, id).await
}

/// The receipt with this id as the caller's transaction sees it, none when there is none.
///
/// **Errors** when the store fails.
pub async fn receipt_in(
    conn: &mut AnyConnection,
    id: &ReceiptId,
) -> Result<Option<ReceiptView>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM receipts WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(id.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut found = read(&row)?;
    found.applications = applications_of(conn, id).await?;
    Ok(Some(found))
}

fn read(row: &AnyRow) -> Result<ReceiptView, StoreError> {
    let currency: Currency = parsed(row, "currency")?;
    let status: ReceiptStatus = parsed(row, "status")?;
    let money = |column| Ok::<_, StoreError>(Money::from_minor(int(row, column)?, currency));
    let on_account = money("on_account")?;
    Ok(ReceiptView {
        id: parsed(row, "id")?,
        status,
        allowed_actions: allowed_actions(status, on_account),
        version: int(row, "version")?,
        account_id: parsed(row, "account_id")?,
        amount: money("amount")?,
        applied: money("applied")?,
        on_account,
        reference: text(row, "reference")?,
        method: text(row, "method")?,
        received_on: parsed(row, "received_on")?,
        recorded_at: instant(row, "recorded_at")?,
        matching: text(row, "matching")?,
        applications: Vec::new(),
    })
}

async fn applications_of(
    conn: &mut AnyConnection,
    receipt: &ReceiptId,
) -> Result<Vec<ApplicationView>, StoreError> {
    let rows = sqlx::query(
        "SELECT a.id, a.invoice_id, d.number, a.amount_minor, a.currency, a.applied_on \
         FROM applications a JOIN invoice_documents d ON d.id = a.invoice_id \
         WHERE a.receipt_id = $1 ORDER BY a.id",
    )
    .bind(receipt.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ApplicationView {
                id: parsed(row, "id")?,
                invoice_id: parsed(row, "invoice_id")?,
                invoice_number: text(row, "number")?,
                amount: Money::from_minor(int(row, "amount_minor")?, parsed(row, "currency")?),
                applied_on: parsed(row, "applied_on")?,
            })
        })
        .collect()
}
