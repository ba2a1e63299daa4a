//! Making, posting and giving up invoices, always inside the caller's transaction.

use chrono::Days;
use serde_json::json;

use super::build_up::price_work;
use super::catalog::{Catalog, LegalEntity};
use super::documents::{self, Draft, Terms};
use super::error::InvoicingError;
use super::lifecycle::{DocumentVerb, decide};
use super::numbers::next_invoice_number;
use super::price_list::list_in_force;
use super::work::PostedOrder;
use crate::ledger::{self, LedgerError, rules};
use crate::lifecycle::Outcome;
use crate::store::ids::InvoiceId;
use crate::store::{Ctx, StoreError, Tx, audit, is_unique_violation, outbox};

/// Bills a posted work order: prices it, makes the invoice and posts it, in one go.
///
/// Everything happens in the caller's transaction, so an order is posted with its invoice or not
/// at all; call it last, because every other posting waits for the number it takes.
/// A repeat returns the invoice that the first time made.
///
/// **Errors**: work that is billed already, that has no price or no tax rate; a failing store.
pub async fn invoice_posted_order(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &PostedOrder,
) -> Result<InvoiceId, InvoicingError> {
    let catalog = Catalog::load(tx).await?;
    let entity = billing_entity(&catalog)?;
    let id = match documents::live_of_order(tx, &order.id).await? {
        Some(id) => id,
        None => draft_from(tx, ctx, order, &catalog, entity).await?,
    };
    post(tx, ctx, &id, entity).await?;
    Ok(id)
}

/// Makes a draft invoice of an order's work; it has no number and touches no ledger yet.
///
/// **Errors**: as [`invoice_posted_order`].
pub async fn create_draft(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &PostedOrder,
) -> Result<InvoiceId, InvoicingError> {
    let catalog = Catalog::load(tx).await?;
    draft_from(tx, ctx, order, &catalog, billing_entity(&catalog)?).await
}

/// Posts a draft: number, due date, ledger entry, event. A repeat does nothing.
///
/// **Errors**: an unknown or discarded invoice; a failing store.
pub async fn post_draft(tx: &mut Tx<'_>, ctx: &Ctx, id: &InvoiceId) -> Result<(), InvoicingError> {
    let catalog = Catalog::load(tx).await?;
    post(tx, ctx, id, billing_entity(&catalog)?).await
}

/// Gives a draft up, so that its work can be billed by another one. A repeat does nothing.
///
/// **Errors**: an unknown or posted invoice; a failing store.
pub async fn discard_draft(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &InvoiceId,
) -> Result<(), InvoicingError> {
    let Some(draft) = decided(tx, id, DocumentVerb::Discard).await? else {
        return Ok(());
    };
    documents::mark_discarded(tx, id).await?;
    let before = Some(draft.version);
    record(tx, ctx, id, "discard", before, draft.version + 1, json!({})).await?;
    Ok(())
}

fn billing_entity(catalog: &Catalog) -> Result<&LegalEntity, InvoicingError> {
    catalog
        .legal_entities
        .first()
        .ok_or(InvoicingError::NoLegalEntity)
}

async fn draft_from(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &PostedOrder,
    catalog: &Catalog,
    entity: &LegalEntity,
) -> Result<InvoiceId, InvoicingError> {
    let supplied_on = order
        .completed_at
        .with_timezone(&order.time_zone)
        .date_naive();
    let list = list_in_force(&catalog.price_lists, order.currency, supplied_on).ok_or(
        InvoicingError::NoPriceList {
            currency: order.currency,
            day: supplied_on,
        },
    )?;
    let priced = price_work(
        &order.lines,
        list,
        &catalog.tax_rates,
        &order.country,
        supplied_on,
    )
    .map_err(|reason| InvoicingError::Price {
        number: order.number.clone(),
        reason,
    })?;
    let terms = Terms {
        legal_entity: &entity.code,
        terms_days: order.terms_days.unwrap_or(entity.terms_days),
        supplied_on,
    };
    let id = match documents::insert_draft(tx, ctx, order, &priced, &terms).await {
        Ok(id) => id,
        Err(error) if is_unique_violation(&error) => {
            return Err(InvoicingError::AlreadyInvoiced {
                number: order.number.clone(),
            });
        }
        Err(error) => return Err(error.into()),
    };
    let detail = json!({ "work_order_id": order.id, "total": priced.total });
    record(tx, ctx, &id, "create", None, 1, detail).await?;
    Ok(id)
}

/// The document when `verb` changes it, none when it is so already.
async fn decided(
    tx: &mut Tx<'_>,
    id: &InvoiceId,
    verb: DocumentVerb,
) -> Result<Option<Draft>, InvoicingError> {
    let draft = documents::load(tx, id).await?;
    let draft = draft.ok_or_else(|| InvoicingError::NotFound(id.clone()))?;
    match decide(draft.status, verb) {
        Ok(Outcome::Changed(_)) => Ok(Some(draft)),
        Ok(Outcome::AlreadySo) => Ok(None),
        Err(refusal) => Err(InvoicingError::Refused {
            invoice: id.clone(),
            refusal,
        }),
    }
}

async fn post(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &InvoiceId,
    entity: &LegalEntity,
) -> Result<(), InvoicingError> {
    let Some(draft) = decided(tx, id, DocumentVerb::Post).await? else {
        return Ok(());
    };
    let today = ctx.now.with_timezone(&entity.time_zone).date_naive();
    let numbered = next_invoice_number(tx, &draft.legal_entity, today).await?;
    let (issued_on, terms_days) = (numbered.issued_on, draft.terms_days);
    let due_on = issued_on
        .checked_add_days(Days::new(u64::from(terms_days)))
        .ok_or(InvoicingError::DueDate {
            issued_on,
            terms_days,
        })?;
    documents::mark_posted(tx, ctx, &draft, &numbered, due_on).await?;
    let event = rules::invoice_posted::InvoicePosted {
        invoice: draft.id.clone(),
        number: numbered.number.clone(),
        customer: draft.account.clone(),
        dated: issued_on,
        net: draft.net.clone(),
        tax: draft.tax.clone(),
        total: draft.total,
    };
    let entry = rules::invoice_posted::entry(&event).map_err(LedgerError::from)?;
    let entry_id = ledger::append(tx, ctx, &entry).await?;
    let detail = json!({ "number": numbered.number, "journal_entry_id": entry_id });
    let before = Some(draft.version);
    record(tx, ctx, id, "post", before, draft.version + 1, detail).await?;
    let data = json!({
        "number": numbered.number,
        "work_order_id": draft.work_order,
        "account_id": draft.account,
        "total": draft.total,
        "issued_on": issued_on,
        "due_on": due_on,
    });
    outbox::publish(tx, ctx, "invoice.posted", id.as_str(), data).await?;
    Ok(())
}

async fn record(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &InvoiceId,
    verb: &'static str,
    before: Option<i64>,
    after: i64,
    detail: serde_json::Value,
) -> Result<(), StoreError> {
    let subject = id.as_str();
    let change = audit::Change {
        noun: "invoice",
        subject,
        verb,
        before,
        after,
        detail,
    };
    audit::record(tx, ctx, change).await
}
