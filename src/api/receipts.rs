//! `/receipts`: money that has come, and where it went.

use axum::extract::{Path, State};
use chrono::NaiveDate;
use fieldwright_workorders::payments::{
    self, ApplicationView, ApplyReceipt, NewReceipt, PaymentError, ReceiptFilter, ReceiptView,
};
use fieldwright_workorders::store::Tx;
use fieldwright_workorders::store::ids::ReceiptId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::command::Command;
use super::idempotency::KeyRequired;
use super::once::{Answer, once};
use super::page::{Page, Parameters, Window};
use super::precondition::{IfMatch, Versioned};
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{Instant, Money, body_id, filter, id};

const COLLECTION: &str = "/receipts";

/// Money that has come.
#[derive(Debug, Serialize, ToSchema)]
pub struct Receipt {
    /// Identity.
    #[schema(example = "rcp_0198c5a8f3c07b52a7a0d1c2b3a4f5e6")]
    id: String,
    /// `recorded`: the money is in the ledger.
    status: &'static str,
    /// Who paid.
    account_id: String,
    /// What came.
    amount: Money,
    /// What is applied to invoices.
    applied: Money,
    /// What is left on account.
    on_account: Money,
    /// What the payer wrote.
    reference: String,
    /// How it was paid.
    method: String,
    /// The day the money came.
    #[schema(value_type = String, format = Date)]
    received_on: NaiveDate,
    /// When it was recorded, on the business clock.
    recorded_at: Instant,
    /// How the reference was read, in words.
    matching: String,
    /// Where it went.
    applications: Vec<Application>,
    /// Grows with every application by hand.
    version: i64,
    /// What can be done with it now.
    allowed_actions: Vec<&'static str>,
}

/// Money of a receipt that an invoice took.
#[derive(Debug, Serialize, ToSchema)]
pub struct Application {
    /// Identity.
    id: String,
    /// The invoice.
    invoice_id: String,
    /// The invoice's number.
    invoice_number: String,
    /// How much.
    amount: Money,
    /// The day of the application.
    #[schema(value_type = String, format = Date)]
    applied_on: NaiveDate,
}

/// Money to record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReceiptRequest)]
pub struct Payment {
    /// Who paid.
    account_id: String,
    /// How much.
    amount: Money,
    /// What the payer wrote: invoice numbers, or anything. What it names is applied at once.
    #[serde(default)]
    #[schema(max_length = 140)]
    reference: String,
    /// How it was paid.
    #[serde(default = "bank_transfer")]
    #[schema(default = "bank_transfer", max_length = 40)]
    method: String,
    /// The day the money came; today when it is missing.
    #[schema(value_type = Option<String>, format = Date)]
    received_on: Option<NaiveDate>,
}

/// Money on account to give to an invoice.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApplyReceipt)]
pub struct Applying {
    /// Name of the person.
    actor: String,
    /// The invoice that shall take it.
    invoice_id: String,
    /// How much; as much as fits when it is missing.
    amount: Option<Money>,
}

/// Which receipts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Of this account.
    account: Option<String>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the receipts, oldest first.
#[utoipa::path(get, path = "/receipts", operation_id = "list_receipts", tag = "money",
    params(Which), responses((status = 200, body = Page<Receipt>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<Receipt>, Problem> {
    let window = Window::read("receipts", which.limit, which.cursor.as_deref())?;
    let wanted = ReceiptFilter {
        account: filter("account", which.account.as_deref())?,
    };
    let page = payments::receipts(&state.db, &wanted, &window.request()).await?;
    Ok(window.shown(page, Receipt::from))
}

/// Reads one receipt.
#[utoipa::path(get, path = "/receipts/{id}", operation_id = "get_receipt", tag = "money",
    params(("id" = String, Path, description = "Id of the receipt")),
    responses((status = 200, body = Receipt)))]
pub async fn get(
    State(state): State<ApiState>,
    Path(text): Path<String>,
) -> Result<Versioned<Receipt>, Problem> {
    match payments::receipt(&state.db, &id("receipt", &text)?).await? {
        Some(receipt) => Ok(Versioned::ok(receipt.version, receipt.into())),
        None => Err(Problem::not_found("receipt", &text)),
    }
}

/// Records money that has come and applies it to the invoices that its reference names.
#[utoipa::path(post, path = "/receipts", operation_id = "create_receipt", tag = "money",
    params(KeyRequired), request_body = Payment, responses((status = 201, body = Receipt)))]
pub async fn create(
    State(state): State<ApiState>,
    command: Command<Payment>,
) -> Result<Answer, Problem> {
    let key = command.required_key()?;
    let payment = &command.body;
    let new = NewReceipt {
        account_id: body_id("/account_id", &payment.account_id)?,
        amount: payment.amount.read("/amount")?,
        reference: payment.reference.clone(),
        method: payment.method.clone(),
        received_on: payment.received_on,
    };
    let ctx = state.acting("api");
    let answer = once(&state.db, &ctx, Some(key), COLLECTION, &|tx| {
        Box::pin(async {
            let recorded = payments::record_receipt(tx, &ctx, Some(&key.key), &new).await?;
            Ok::<_, PaymentError>((true, reread(tx, &recorded.id).await?))
        })
    })
    .await?;
    Ok(answer)
}

/// Applies money on account to an invoice.
#[utoipa::path(post, path = "/receipts/{id}/apply", operation_id = "apply_receipt", tag = "money",
    params(("id" = String, Path, description = "Id of the receipt"), IfMatch, KeyRequired),
    request_body = Applying, responses((status = 200, body = Receipt)))]
pub async fn apply(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Applying>,
) -> Result<Answer, Problem> {
    let (key, version) = (command.required_key()?, command.required_version()?);
    let receipt: ReceiptId = id("receipt", &text)?;
    let body = &command.body;
    let wish = ApplyReceipt {
        invoice_id: body_id("/invoice_id", &body.invoice_id)?,
        amount: body
            .amount
            .as_ref()
            .map(|amount| amount.read("/amount"))
            .transpose()?,
    };
    let ctx = state.acting_for(&body.actor)?;
    let answer = once(&state.db, &ctx, Some(key), COLLECTION, &|tx| {
        Box::pin(async {
            payments::apply_receipt(tx, &ctx, &receipt, Some(version), &wish).await?;
            Ok::<_, PaymentError>((false, reread(tx, &receipt).await?))
        })
    })
    .await?;
    Ok(answer)
}

async fn reread(tx: &mut Tx<'_>, id: &ReceiptId) -> Result<Receipt, PaymentError> {
    let found = payments::receipt_in(tx.conn(), id).await?;
    found
        .map(Receipt::from)
        .ok_or_else(|| PaymentError::ReceiptNotFound(id.clone()))
}

fn bank_transfer() -> String {
    "bank_transfer".to_owned()
}

impl From<ReceiptView> for Receipt {
    fn from(receipt: ReceiptView) -> Self {
        Self {
            id: receipt.id.to_string(),
            status: receipt.status.as_str(),
            account_id: receipt.account_id.to_string(),
            amount: receipt.amount.into(),
            applied: receipt.applied.into(),
            on_account: receipt.on_account.into(),
            reference: receipt.reference,
            method: receipt.method,
            received_on: receipt.received_on,
            recorded_at: receipt.recorded_at.into(),
            matching: receipt.matching,
            applications: receipt
                .applications
                .into_iter()
                .map(Application::from)
                .collect(),
            version: receipt.version,
            allowed_actions: receipt
                .allowed_actions
                .iter()
                .map(|verb| verb.as_str())
                .collect(),
        }
    }
}

impl From<ApplicationView> for Application {
    fn from(application: ApplicationView) -> Self {
        Self {
            id: application.id.to_string(),
            invoice_id: application.invoice_id.to_string(),
            invoice_number: application.invoice_number,
            amount: application.amount.into(),
            applied_on: application.applied_on,
        }
    }
}
