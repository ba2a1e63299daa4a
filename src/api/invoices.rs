//! `/invoices`: what customers owe, frozen and numbered.

use axum::extract::{Path, State};
use chrono::NaiveDate;
use fieldwright_workorders::invoicing::{
    self, InvoiceFilter, InvoiceLineView, InvoiceTaxView, InvoiceView, Step,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::{Page, Parameters, Window};
use super::precondition::Versioned;
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{Instant, Money, filter, id};
use super::words;

/// An invoice.
#[derive(Debug, Serialize, ToSchema)]
pub struct Invoice {
    /// Identity.
    #[schema(example = "inv_0198c5a8f3c07b52a7a0d1c2b3a4f5e6")]
    id: String,
    /// Its number in a series without gaps; null before it is posted.
    number: Option<String>,
    /// What the document is.
    #[schema(value_type = words::InvoiceStatus)]
    status: &'static str,
    /// How far it is paid, derived from applications; null before it is posted.
    #[schema(value_type = Option<words::Settlement>)]
    settlement: Option<&'static str>,
    /// Who bills.
    legal_entity: String,
    /// Who owes it.
    account_id: String,
    /// Where the work was done.
    site_id: String,
    /// The order that it bills.
    work_order_id: String,
    /// ISO 4217 code of every amount.
    currency: String,
    /// The sum of the lines.
    net: Money,
    /// The sum of the taxes.
    tax: Money,
    /// What was owed when it was posted.
    total: Money,
    /// What is still open.
    open: Money,
    /// The day of the work.
    #[schema(value_type = String, format = Date)]
    supplied_on: NaiveDate,
    /// The day of issue.
    #[schema(value_type = Option<String>, format = Date)]
    issued_on: Option<NaiveDate>,
    /// The day on which it is due.
    #[schema(value_type = Option<String>, format = Date)]
    due_on: Option<NaiveDate>,
    /// When it was made, on the business clock.
    created_at: Instant,
    /// When it was posted, on the business clock.
    posted_at: Option<Instant>,
    /// Its lines.
    lines: Vec<InvoiceLine>,
    /// Tax per rate.
    taxes: Vec<InvoiceTax>,
    /// Grows with every change and with every application.
    version: i64,
    /// What can be done to the document now.
    allowed_actions: Vec<String>,
}

/// A line of an invoice.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvoiceLine {
    /// Identity.
    id: String,
    /// Its place on the invoice, from 1.
    position: i64,
    /// The work that it bills.
    work_line_id: String,
    /// `labor`, `part` or `travel`.
    kind: &'static str,
    /// The skill or part code.
    code: String,
    /// The text on the invoice.
    description: String,
    /// How many units, a decimal text.
    quantity: String,
    /// The unit.
    unit: String,
    /// Currency units per unit, a decimal text.
    unit_price: String,
    /// Quantity times unit price, rounded once.
    net: Money,
    /// The code of the tax rate.
    tax_code: String,
    /// How the amount came about.
    steps: Vec<PriceStep>,
}

/// One sentence of how a price came about.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceStep {
    /// Which rule spoke.
    rule: String,
    /// What it said.
    text: String,
}

/// Tax of one rate.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvoiceTax {
    /// The code of the rate.
    code: String,
    /// Its name.
    name: String,
    /// Tax per unit of the base, a decimal text.
    rate: String,
    /// The sum of the net amounts taxed at this rate.
    base: Money,
    /// The tax on that sum.
    tax: Money,
}

/// Which invoices.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Of this account.
    account: Option<String>,
    /// With this settlement.
    #[param(value_type = Option<words::Settlement>)]
    settlement: Option<String>,
    /// Of this work order.
    work_order: Option<String>,
    /// With this number.
    number: Option<String>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the invoices, oldest first.
#[utoipa::path(get, path = "/invoices", operation_id = "list_invoices", tag = "money",
    params(Which), responses((status = 200, body = Page<Invoice>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<Invoice>, Problem> {
    let window = Window::read("invoices", which.limit, which.cursor.as_deref())?;
    let wanted = InvoiceFilter {
        account: filter("account", which.account.as_deref())?,
        settlement: filter("settlement", which.settlement.as_deref())?,
        work_order: filter("work_order", which.work_order.as_deref())?,
        number: which.number,
    };
    let page = invoicing::invoices(&state.db, &wanted, &window.request()).await?;
    Ok(window.shown(page, Invoice::from))
}

/// Reads one invoice.
#[utoipa::path(get, path = "/invoices/{id}", operation_id = "get_invoice", tag = "money",
    params(("id" = String, Path, description = "Id of the invoice")),
    responses((status = 200, body = Invoice)))]
pub async fn get(
    State(state): State<ApiState>,
    Path(text): Path<String>,
) -> Result<Versioned<Invoice>, Problem> {
    match invoicing::invoice(&state.db, &id("invoice", &text)?).await? {
        Some(invoice) => Ok(Versioned::ok(invoice.version, invoice.into())),
        None => Err(Problem::not_found("invoice", &text)),
    }
}

impl From<InvoiceView> for Invoice {
    fn from(invoice: InvoiceView) -> Self {
        Self {
            id: invoice.id.to_string(),
            number: invoice.number,
            status: invoice.status.as_str(),
            settlement: invoice.settlement.map(|settlement| settlement.as_str()),
            legal_entity: invoice.legal_entity,
            account_id: invoice.account_id.to_string(),
            site_id: invoice.site_id.to_string(),
            work_order_id: invoice.work_order_id.to_string(),
            currency: invoice.currency.to_string(),
            net: invoice.net.into(),
            tax: invoice.tax.into(),
            total: invoice.total.into(),
            open: invoice.open.into(),
            supplied_on: invoice.supplied_on,
            issued_on: invoice.issued_on,
            due_on: invoice.due_on,
            created_at: invoice.created_at.into(),
            posted_at: invoice.posted_at.map(Instant),
            lines: invoice.lines.into_iter().map(InvoiceLine::from).collect(),
            taxes: invoice.taxes.into_iter().map(InvoiceTax::from).collect(),
            version: invoice.version,
            allowed_actions: invoice
                .allowed_actions
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }
}

impl From<InvoiceLineView> for InvoiceLine {
    fn from(line: InvoiceLineView) -> Self {
        Self {
            id: line.id.to_string(),
            position: line.position,
            work_line_id: line.work_line_id.to_string(),
            kind: line.kind.as_str(),
            code: line.code,
            description: line.description,
            quantity: line.quantity,
            unit: line.unit,
            unit_price: line.unit_price,
            net: line.net.into(),
            tax_code: line.tax_code,
            steps: line.steps.into_iter().map(PriceStep::from).collect(),
        }
    }
}

impl From<Step> for PriceStep {
    fn from(step: Step) -> Self {
        Self {
            rule: step.rule,
            text: step.text,
        }
    }
}

impl From<InvoiceTaxView> for InvoiceTax {
    fn from(tax: InvoiceTaxView) -> Self {
        Self {
            code: tax.code,
            name: tax.name,
            rate: tax.rate,
            base: tax.base.into(),
            tax: tax.tax.into(),
        }
    }
}
