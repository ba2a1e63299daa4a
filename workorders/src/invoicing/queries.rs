//! Reading invoices: a page of them, one of them, the one of an order.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::build_up::Step;
use super::lifecycle::{DocumentStatus, DocumentVerb, Settlement, allowed_actions};
use super::work::WorkLineKind;
use crate::money::{Currency, Money};
use crate::store::columns::{instant, instant_opt, int, json, parsed, parsed_opt, text, text_opt};
use crate::store::ids::{AccountId, InvoiceId, InvoiceLineId, SiteId, WorkLineId, WorkOrderId};
use crate::store::page::{Page, PageRequest};
use crate::store::{Db, StoreError};

/// Which invoices are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvoiceFilter {
    /// Of this account only.
    pub account: Option<AccountId>,
    /// With this settlement only.
    pub settlement: Option<Settlement>,
    /// Of this work order only.
    pub work_order: Option<WorkOrderId>,
    /// With this number only.
    pub number: Option<String>,
}

/// An invoice as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InvoiceView {
    /// Its id.
    pub id: InvoiceId,
    /// Its number, none before it is posted.
    pub number: Option<String>,
    /// What the document is.
    pub status: DocumentStatus,
    /// How far it is paid, none before it is posted.
    pub settlement: Option<Settlement>,
    /// What can be done to the document now.
    pub allowed_actions: Vec<DocumentVerb>,
    /// Grows with every change and with every application.
    pub version: i64,
    /// Who bills.
    pub legal_entity: String,
    /// Who owes it.
    pub account_id: AccountId,
    /// Where the work was done.
    pub site_id: SiteId,
    /// The order that it bills.
    pub work_order_id: WorkOrderId,
    /// The currency of every amount.
    pub currency: Currency,
    /// The sum of the lines.
    pub net: Money,
    /// The sum of the taxes.
    pub tax: Money,
    /// What was owed when it was posted.
    pub total: Money,
    /// What is still open.
    pub open: Money,
    /// The day of the work.
    pub supplied_on: NaiveDate,
    /// The day of issue, none before it is posted.
    pub issued_on: Option<NaiveDate>,
    /// The day on which it is due, none before it is posted.
    pub due_on: Option<NaiveDate>,
    /// When it was made, on the business clock.
    pub created_at: DateTime<Utc>,
    /// When it was posted, on the business clock.
    pub posted_at: Option<DateTime<Utc>>,
    /// Its lines.
    pub lines: Vec<InvoiceLineView>,
    /// Tax per rate.
    pub taxes: Vec<InvoiceTaxView>,
}

/// A line of an invoice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InvoiceLineView {
    /// Its id.
    pub id: InvoiceLineId,
    /// Its place on the invoice, from 1.
    pub position: i64,
    /// The work that it bills.
    pub work_line_id: WorkLineId,
    /// What kind of work.
    pub kind: WorkLineKind,
    /// The skill or part code.
    pub code: String,
    /// The text on the invoice.
    pub description: String,
    /// How many units, as a decimal text.
    pub quantity: String,
    /// The unit.
    pub unit: String,
    /// Currency units per unit, as a decimal text.
    pub unit_price: String,
    /// Quantity times unit price, rounded once.
    pub net: Money,
    /// The code of the tax rate.
    pub tax_code: String,
    /// How the amount came about.
    pub steps: Vec<Step>,
}

/// Tax of one rate on an invoice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InvoiceTaxView {
    /// The code of the rate.
    pub code: String,
    /// Its name.
    pub name: String,
    /// Tax per unit of the base, as a decimal text.
    pub rate: String,
    /// The sum of the net amounts taxed at this rate.
    pub base: Money,
    /// The tax on that sum.
    pub tax: Money,
}

const COLUMNS: &str = "id, number, status, applied, version, legal_entity, account_id, \
    site_id, work_order_id, currency, net, tax, total, \"open\" AS open_minor, supplied_on, \
    issued_on, due_on, created_at, posted_at";

/// The invoices after the cursor, in the order in which they were made.
///
/// **Errors** when the store fails.
pub async fn invoices(
    db: &Db,
    filter: &InvoiceFilter,
    request: &PageRequest,
) -> Result<Page<InvoiceView>, StoreError> {
    let query = format!(
        "SELECT {COLUMNS} FROM invoices WHERE id > $1 AND ($2 = '' OR account_id = $2) \
         AND ($3 = '' OR settlement = $3) AND ($4 = '' OR work_order_id = $4) \
         AND ($5 = '' OR number = $5) ORDER BY id LIMIT $6"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(request.after_or_start())
        .bind(filter.account.as_ref().map_or("", AccountId::as_str))
        .bind(filter.settlement.map_or("", Settlement::as_str))
        .bind(filter.work_order.as_ref().map_or("", WorkOrderId::as_str))
        .bind(filter.number.as_deref().unwrap_or(""))
        .bind(request.fetch_limit())
        .fetch_all(db.pool())
        .await?;
    let headers = rows
        .iter()
        .map(read_header)
        .collect::<Result<Vec<_>, _>>()?;
    let mut page = Page::cut(request, headers, |invoice| invoice.id.to_string());
    fill(&mut *db.pool().acquire().await?, &mut page.items).await?;
    Ok(page)
}

/// The invoice with this id, none when there is none.
///
/// **Errors** when the store fails.
pub async fn invoice(db: &Db, id: &InvoiceId) -> Result<Option<InvoiceView>, StoreError> {
    invoice_in(&mut *db.pool().acquire().await?, id).await
}

/// The invoice with this id as the caller's transaction sees it, none when there is none.
///
/// **Errors** when the store fails.
pub async fn invoice_in(
    conn: &mut AnyConnection,
    id: &InvoiceId,
) -> Result<Option<InvoiceView>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM invoices WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(id.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut found = [read_header(&row)?];
    fill(conn, &mut found).await?;
    let [invoice] = found;
    Ok(Some(invoice))
}

/// The invoice of a work order that is not given up, none when there is none.
///
/// **Errors** when the store fails.
pub async fn invoice_of_order(
    db: &Db,
    order: &WorkOrderId,
) -> Result<Option<InvoiceView>, StoreError> {
    let row = sqlx::query(
        "SELECT id FROM invoice_documents WHERE work_order_id = $1 AND status <> 'discarded'",
    )
    .bind(order.as_str())
    .fetch_optional(db.pool())
    .await?;
    match row {
        Some(row) => invoice(db, &parsed(&row, "id")?).await,
        None => Ok(None),
    }
}

fn read_header(row: &AnyRow) -> Result<InvoiceView, StoreError> {
    let currency: Currency = parsed(row, "currency")?;
    let status: DocumentStatus = parsed(row, "status")?;
    let money = |column| Ok::<_, StoreError>(Money::from_minor(int(row, column)?, currency));
    let settlement = match status {
        DocumentStatus::Posted => Some(Settlement::of(money("total")?, money("applied")?)),
        DocumentStatus::Draft | DocumentStatus::Discarded => None,
    };
    Ok(InvoiceView {
        id: parsed(row, "id")?,
        number: text_opt(row, "number")?,
        status,
        settlement,
        allowed_actions: allowed_actions(status),
        version: int(row, "version")?,
        legal_entity: text(row, "legal_entity")?,
        account_id: parsed(row, "account_id")?,
        site_id: parsed(row, "site_id")?,
        work_order_id: parsed(row, "work_order_id")?,
        currency,
        net: money("net")?,
        tax: money("tax")?,
        total: money("total")?,
        open: money("open_minor")?,
        supplied_on: parsed(row, "supplied_on")?,
        issued_on: parsed_opt(row, "issued_on")?,
        due_on: parsed_opt(row, "due_on")?,
        created_at: instant(row, "created_at")?,
        posted_at: instant_opt(row, "posted_at")?,
        lines: Vec::new(),
        taxes: Vec::new(),
    })
}

/// Reads lines and taxes of a page of invoices, two queries for all of them.
async fn fill(conn: &mut AnyConnection, invoices: &mut [InvoiceView]) -> Result<(), StoreError> {
    if invoices.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = invoices.iter().map(|invoice| invoice.id.clone()).collect();
    let places: HashMap<_, _> = ids.iter().map(InvoiceId::as_str).zip(0..).collect();
    let lines = rows_of(
        conn,
        &ids,
        "SELECT invoice_id, id, position, work_line_id, kind, code, description, quantity, unit, \
         unit_price, net_minor, tax_code, steps FROM invoice_lines",
        "position",
    )
    .await?;
    let taxes = rows_of(
        conn,
        &ids,
        "SELECT invoice_id, code, name, rate, base_minor, tax_minor FROM invoice_taxes",
        "code",
    )
    .await?;
    for row in &lines {
        let invoice = &mut invoices[place_of(row, &places)?];
        invoice.lines.push(read_line(row, invoice.currency)?);
    }
    for row in &taxes {
        let invoice = &mut invoices[place_of(row, &places)?];
        invoice.taxes.push(InvoiceTaxView {
            code: text(row, "code")?,
            name: text(row, "name")?,
            rate: text(row, "rate")?,
            base: Money::from_minor(int(row, "base_minor")?, invoice.currency),
            tax: Money::from_minor(int(row, "tax_minor")?, invoice.currency),
        });
    }
    Ok(())
}

async fn rows_of(
    conn: &mut AnyConnection,
    ids: &[InvoiceId],
    select: &str,
    order: &str,
) -> Result<Vec<AnyRow>, StoreError> {
    let places: Vec<_> = (1..=ids.len()).map(|place| format!("${place}")).collect();
    let places = places.join(", ");
    let query = format!("{select} WHERE invoice_id IN ({places}) ORDER BY invoice_id, {order}");
    let mut query = sqlx::query(sqlx::AssertSqlSafe(query));
    for id in ids {
        query = query.bind(id.as_str());
    }
    Ok(query.fetch_all(conn).await?)
}

fn place_of(row: &AnyRow, places: &HashMap<&str, usize>) -> Result<usize, StoreError> {
    let id = text(row, "invoice_id")?;
    let place = places.get(id.as_str()).copied();
    place.ok_or_else(|| StoreError::unreadable("invoice_id", format!("{id} was not asked for")))
}

fn read_line(row: &AnyRow, currency: Currency) -> Result<InvoiceLineView, StoreError> {
    let steps = serde_json::from_value(json(row, "steps")?)
        .map_err(|error| StoreError::unreadable("invoice_lines.steps", error))?;
    Ok(InvoiceLineView {
        id: parsed(row, "id")?,
        position: int(row, "position")?,
        work_line_id: parsed(row, "work_line_id")?,
        kind: parsed(row, "kind")?,
        code: text(row, "code")?,
        description: text(row, "description")?,
        quantity: text(row, "quantity")?,
        unit: text(row, "unit")?,
        unit_price: text(row, "unit_price")?,
        net: Money::from_minor(int(row, "net_minor")?, currency),
        tax_code: text(row, "tax_code")?,
        steps,
    })
}
