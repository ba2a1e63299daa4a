//! The rows of an invoice.

use chrono::NaiveDate;

use super::build_up::PricedDocument;
use super::lifecycle::DocumentStatus;
use super::numbers::Numbered;
use super::work::{PostedOrder, WorkLineKind};
use crate::money::{Currency, Money};
use crate::store::columns::{int, micros, parsed, text};
use crate::store::ids::{AccountId, InvoiceId, InvoiceLineId, WorkOrderId};
use crate::store::{Ctx, StoreError, Tx};

/// What posting needs to know of a draft.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub id: InvoiceId,
    pub status: DocumentStatus,
    pub version: i64,
    pub legal_entity: String,
    pub account: AccountId,
    pub work_order: WorkOrderId,
    pub terms_days: u16,
    pub total: Money,
    pub net: Vec<(WorkLineKind, Money)>,
    pub tax: Vec<(String, Money)>,
}

/// Who bills and on which terms.
pub(super) struct Terms<'a> {
    pub legal_entity: &'a str,
    pub terms_days: u16,
    pub supplied_on: NaiveDate,
}

/// Writes a draft with its lines and taxes.
pub(super) async fn insert_draft(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &PostedOrder,
    priced: &PricedDocument,
    terms: &Terms<'_>,
) -> Result<InvoiceId, sqlx::Error> {
    let id = InvoiceId::new(ctx);
    sqlx::query(
        "INSERT INTO invoice_documents (id, status, legal_entity, account_id, site_id, \
         work_order_id, currency, net_minor, tax_minor, total_minor, terms_days, supplied_on, \
         created_at, version) \
         VALUES ($1, 'draft', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1)",
    )
    .bind(id.as_str())
    .bind(terms.legal_entity)
    .bind(order.account.as_str())
    .bind(order.site.as_str())
    .bind(order.id.as_str())
    .bind(priced.total.currency().code())
    .bind(priced.net.minor())
    .bind(priced.tax.minor())
    .bind(priced.total.minor())
    .bind(i64::from(terms.terms_days))
    .bind(terms.supplied_on.to_string())
    .bind(micros(ctx.now))
    .execute(tx.conn())
    .await?;
    for (position, (work, line)) in (1_i64..).zip(order.lines.iter().zip(&priced.lines)) {
        let steps = serde_json::to_string(&line.steps).expect("texts always serialize");
        sqlx::query(
            "INSERT INTO invoice_lines (id, invoice_id, position, work_line_id, live, kind, code, \
             description, quantity, unit, unit_price, net_minor, tax_code, steps) \
             VALUES ($1, $2, $3, $4, 1, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(InvoiceLineId::new(ctx).as_str())
        .bind(id.as_str())
        .bind(position)
        .bind(work.id.as_str())
        .bind(line.kind.as_str())
        .bind(line.code.as_str())
        .bind(line.description.as_str())
        .bind(line.quantity.to_string())
        .bind(line.unit)
        .bind(line.unit_price.to_string())
        .bind(line.net.minor())
        .bind(line.tax_code.as_str())
        .bind(steps)
        .execute(tx.conn())
        .await?;
    }
    for tax in &priced.taxes {
        sqlx::query(
            "INSERT INTO invoice_taxes (invoice_id, code, name, rate, base_minor, tax_minor) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id.as_str())
        .bind(tax.code.as_str())
        .bind(tax.name.as_str())
        .bind(tax.rate.to_string())
        .bind(tax.base.minor())
        .bind(tax.tax.minor())
        .execute(tx.conn())
        .await?;
    }
    Ok(id)
}

/// The invoice of an order that is not given up.
pub(super) async fn live_of_order(
    tx: &mut Tx<'_>,
    order: &WorkOrderId,
) -> Result<Option<InvoiceId>, StoreError> {
    let row = sqlx::query(
        "SELECT id FROM invoice_documents WHERE work_order_id = $1 AND status <> 'discarded'",
    )
    .bind(order.as_str())
    .fetch_optional(tx.conn())
    .await?;
    row.map(|row| parsed(&row, "id")).transpose()
}

/// Reads a document for a decision about it.
pub(super) async fn load(tx: &mut Tx<'_>, id: &InvoiceId) -> Result<Option<Draft>, StoreError> {
    let row = sqlx::query(
        "SELECT status, version, legal_entity, account_id, work_order_id, currency, total_minor, \
         terms_days FROM invoice_documents WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let currency: Currency = parsed(&row, "currency")?;
    let line_rows = sqlx::query(
        "SELECT kind, net_minor FROM invoice_lines WHERE invoice_id = $1 ORDER BY position",
    )
    .bind(id.as_str())
    .fetch_all(tx.conn())
    .await?;
    let tax_rows = sqlx::query(
        "SELECT code, tax_minor FROM invoice_taxes WHERE invoice_id = $1 ORDER BY code",
    )
    .bind(id.as_str())
    .fetch_all(tx.conn())
    .await?;
    let mut net = Vec::with_capacity(line_rows.len());
    for line in &line_rows {
        net.push((
            parsed(line, "kind")?,
            Money::from_minor(int(line, "net_minor")?, currency),
        ));
    }
    let mut tax = Vec::with_capacity(tax_rows.len());
    for rate in &tax_rows {
        tax.push((
            text(rate, "code")?,
            Money::from_minor(int(rate, "tax_minor")?, currency),
        ));
    }
    Ok(Some(Draft {
        id: id.clone(),
        status: parsed(&row, "status")?,
        version: int(&row, "version")?,
        legal_entity: text(&row, "legal_entity")?,
        account: parsed(&row, "account_id")?,
        work_order: parsed(&row, "work_order_id")?,
        terms_days: u16::try_from(int(&row, "terms_days")?)
            .map_err(|error| StoreError::unreadable("invoice_documents.terms_days", error))?,
        total: Money::from_minor(int(&row, "total_minor")?, currency),
        net,
        tax,
    }))
}

/// Turns a draft into a posted document; the store refuses every later change of it.
pub(super) async fn mark_posted(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    draft: &Draft,
    numbered: &Numbered,
    due_on: NaiveDate,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE invoice_documents SET status = 'posted', series_year = $2, series_number = $3, \
         number = $4, issued_on = $5, due_on = $6, posted_at = $7, version = version + 1 \
         WHERE id = $1 AND status = 'draft'",
    )
    .bind(draft.id.as_str())
    .bind(numbered.year)
    .bind(numbered.series_number)
    .bind(numbered.number.as_str())
    .bind(numbered.issued_on.to_string())
    .bind(due_on.to_string())
    .bind(micros(ctx.now))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Gives a draft up: its lines let go of the work, then the document is final.
pub(super) async fn mark_discarded(tx: &mut Tx<'_>, id: &InvoiceId) -> Result<(), StoreError> {
    sqlx::query("UPDATE invoice_lines SET live = 0 WHERE invoice_id = $1")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "UPDATE invoice_documents SET status = 'discarded', version = version + 1 \
         WHERE id = $1 AND status = 'draft'",
    )
    .bind(id.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}
