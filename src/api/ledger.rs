//! `/journal-entries` and `/ledger`: double entry, as an auditor reads it.

use axum::Json;
use axum::extract::{Path, State};
use chrono::NaiveDate;
use fieldwright_workorders::ledger::{
    AccountKind, JournalEntryView, JournalLineView, TrialBalanceRow, journal_entries,
    journal_entry, trial_balance,
};
use fieldwright_workorders::money::Total;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{Page, Parameters, Part};
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{Instant, Money, id};

/// An entry: lines that sum to zero, sealed to the entry before.
#[derive(Debug, Serialize, ToSchema)]
pub struct JournalEntry {
    /// Identity.
    id: String,
    /// Position in the chain, 1 to n without a gap.
    seq: i64,
    /// The posting rule that made it.
    rule: String,
    /// The id of the document that it stands for.
    source_id: String,
    /// The day it belongs to.
    #[schema(value_type = String, format = Date)]
    dated: NaiveDate,
    /// When it was written, on the business clock.
    posted_at: Instant,
    /// What happened, in words.
    text: String,
    /// ISO 4217 code of its lines.
    currency: String,
    /// Its lines.
    lines: Vec<JournalLine>,
    /// The seal over the entry and the one before it.
    hash: String,
}

/// A line: a debit or a credit.
#[derive(Debug, Serialize, ToSchema)]
pub struct JournalLine {
    /// Identity.
    id: String,
    /// The account of the ledger.
    ledger_account: String,
    /// The debit, if it is one.
    debit: Option<Money>,
    /// The credit, if it is one.
    credit: Option<Money>,
    /// The customer whose sub-ledger it belongs to.
    account_id: Option<String>,
    /// The tax code of a tax line.
    tax_code: Option<String>,
}

/// Every ledger account's debits and credits.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialBalance {
    /// True when debits equal credits in every currency.
    balanced: bool,
    /// The sums of each currency.
    totals: Vec<BalanceTotal>,
    /// One row per account and currency that was ever moved.
    rows: Vec<BalanceRow>,
}

/// The sums of one currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct BalanceTotal {
    /// ISO 4217 code.
    currency: String,
    /// The sum of all debits.
    debit: Money,
    /// The sum of all credits.
    credit: Money,
}

/// One ledger account in one currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct BalanceRow {
    /// The account of the ledger.
    ledger_account: String,
    /// On which side of the books it stands.
    kind: Side,
    /// ISO 4217 code.
    currency: String,
    /// The sum of all debits.
    debit: Money,
    /// The sum of all credits.
    credit: Money,
    /// Debits minus credits.
    balance: Money,
}

/// A side of the books.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LedgerAccountKind)]
pub enum Side {
    /// What we own.
    Asset,
    /// What we owe.
    Liability,
    /// What we earned.
    Income,
}

/// Lists the journal, oldest entry first.
#[utoipa::path(get, path = "/journal-entries", operation_id = "list_journal_entries",
    tag = "money", params(Part), responses((status = 200, body = Page<JournalEntry>)))]
pub async fn list_entries(
    State(state): State<ApiState>,
    Parameters(part): Parameters<Part>,
) -> Result<Page<JournalEntry>, Problem> {
    let window = part.window("journal")?;
    let page = journal_entries(&state.db, &window.request()).await?;
    Ok(window.shown(page, entry))
}

/// Reads one entry of the journal.
#[utoipa::path(get, path = "/journal-entries/{id}", operation_id = "get_journal_entry",
    tag = "money", params(("id" = String, Path, description = "Id of the entry")),
    responses((status = 200, body = JournalEntry)))]
pub async fn get_entry(
    State(state): State<ApiState>,
    Path(text): Path<String>,
) -> Result<Json<JournalEntry>, Problem> {
    let found = journal_entry(&state.db, &id("journal entry", &text)?).await?;
    match found {
        Some(view) => Ok(Json(entry(view))),
        None => Err(Problem::not_found("journal entry", &text)),
    }
}

/// Adds up the whole ledger.
#[utoipa::path(get, path = "/ledger/trial-balance", operation_id = "get_trial_balance",
    tag = "money", responses((status = 200, body = TrialBalance)))]
pub async fn get_trial_balance(
    State(state): State<ApiState>,
) -> Result<Json<TrialBalance>, Problem> {
    let balance = trial_balance(&state.db).await?;
    Ok(Json(TrialBalance {
        balanced: balance.balanced,
        totals: totals(&balance.rows),
        rows: balance.rows.into_iter().map(row).collect(),
    }))
}

fn totals(rows: &[TrialBalanceRow]) -> Vec<BalanceTotal> {
    let mut totals = Vec::new();
    for of_currency in rows.chunk_by(|a, b| a.currency == b.currency) {
        let currency = of_currency[0].currency;
        let sum = |amount: fn(&TrialBalanceRow) -> Total| {
            let minor = of_currency.iter().map(|row| amount(row).minor()).sum();
            Money::from(Total::from_minor(minor, currency))
        };
        totals.push(BalanceTotal {
            currency: currency.to_string(),
            debit: sum(|row| row.debit),
            credit: sum(|row| row.credit),
        });
    }
    totals
}

fn row(row: TrialBalanceRow) -> BalanceRow {
    BalanceRow {
        ledger_account: row.ledger_account.to_string(),
        kind: match row.kind {
            AccountKind::Asset => Side::Asset,
            AccountKind::Liability => Side::Liability,
            AccountKind::Income => Side::Income,
        },
        currency: row.currency.to_string(),
        debit: row.debit.into(),
        credit: row.credit.into(),
        balance: row.balance.into(),
    }
}

fn entry(view: JournalEntryView) -> JournalEntry {
    JournalEntry {
        id: view.id.to_string(),
        seq: view.seq,
        rule: view.rule.to_string(),
        source_id: view.source_id,
        dated: view.dated,
        posted_at: view.posted_at.into(),
        text: view.text,
        currency: view.currency.to_string(),
        lines: view.lines.into_iter().map(line).collect(),
        hash: view.hash,
    }
}

fn line(view: JournalLineView) -> JournalLine {
    JournalLine {
        id: view.id.to_string(),
        ledger_account: view.ledger_account.to_string(),
        debit: view.debit.map(Money::from),
        credit: view.credit.map(Money::from),
        account_id: view.account_id.map(|id| id.to_string()),
        tax_code: view.tax_code,
    }
}
