//! Reading the ledger: the journal page by page, and the trial balance.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::any::AnyRow;

use super::account::{AccountKind, LedgerAccount};
use super::journal::LedgerError;
use super::rules::Rule;
use crate::money::{Currency, Money, Total};
use crate::store::columns::{instant, int, parsed, parsed_opt, text, text_opt};
use crate::store::ids::{AccountId, JournalEntryId, JournalLineId};
use crate::store::page::{Page, PageRequest};
use crate::store::{Db, StoreError};

/// A journal entry as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JournalEntryView {
    /// Its id.
    pub id: JournalEntryId,
    /// Its position in the chain, 1..n.
    pub seq: i64,
    /// The posting rule that made it.
    pub rule: Rule,
    /// The id of the document that it stands for.
    pub source_id: String,
    /// The day it belongs to.
    pub dated: NaiveDate,
    /// When it was written, on the business clock.
    pub posted_at: DateTime<Utc>,
    /// What happened, in words.
    pub text: String,
    /// The currency of its lines.
    pub currency: Currency,
    /// Its lines.
    pub lines: Vec<JournalLineView>,
    /// The seal over the entry and the one before it.
    pub hash: String,
}

/// A line of an entry: either a debit or a credit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JournalLineView {
    /// Its id.
    pub id: JournalLineId,
    /// The account of the ledger.
    pub ledger_account: LedgerAccount,
    /// The debit, if it is one.
    pub debit: Option<Money>,
    /// The credit, if it is one.
    pub credit: Option<Money>,
    /// The customer whose sub-ledger it belongs to.
    pub account_id: Option<AccountId>,
    /// The tax code of a tax line.
    pub tax_code: Option<String>,
}

/// Every account's debits and credits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialBalance {
    /// One row per account and currency that was ever moved.
    pub rows: Vec<TrialBalanceRow>,
    /// True when debits equal credits in every currency.
    pub balanced: bool,
}

/// One account in one currency.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrialBalanceRow {
    /// The account of the ledger.
    pub ledger_account: LedgerAccount,
    /// On which side of the books it stands.
    pub kind: AccountKind,
    /// The currency.
    pub currency: Currency,
    /// The sum of all debits.
    pub debit: Total,
    /// The sum of all credits.
    pub credit: Total,
    /// Debits minus credits.
    pub balance: Total,
}

/// The entries after the cursor, oldest first; the cursor is the position of the last one seen.
///
/// **Errors** when the cursor is none of ours or the store fails.
pub async fn journal_entries(
    db: &Db,
    request: &PageRequest,
) -> Result<Page<JournalEntryView>, LedgerError> {
    let after = match request.after.as_deref() {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| LedgerError::Cursor(text.to_owned()))?,
    };
    let items = entries(db, after, request.fetch_limit()).await?;
    Ok(Page::cut(request, items, |entry| entry.seq.to_string()))
}

/// The entry with this id, none when there is none.
///
/// **Errors** when the store fails.
pub async fn journal_entry(
    db: &Db,
    id: &JournalEntryId,
) -> Result<Option<JournalEntryView>, LedgerError> {
    let row = sqlx::query("SELECT seq FROM journal_entries WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(db.pool())
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(entries(db, int(&row, "seq")? - 1, 1).await?.pop())
}

/// The trial balance over the whole journal.
///
/// High and low halves are summed apart, so no sum overflows whatever the journal holds.
///
/// **Errors** when the store fails.
pub async fn trial_balance(db: &Db) -> Result<TrialBalance, LedgerError> {
    let rows = sqlx::query(
        "SELECT p.ledger_account, p.currency, \
         CAST(SUM(CASE WHEN p.amount_minor > 0 THEN p.amount_minor / 4294967296 ELSE 0 END) \
         AS BIGINT) AS debit_high, \
         CAST(SUM(CASE WHEN p.amount_minor > 0 THEN p.amount_minor % 4294967296 ELSE 0 END) \
         AS BIGINT) AS debit_low, \
         CAST(SUM(CASE WHEN p.amount_minor < 0 THEN p.amount_minor / 4294967296 ELSE 0 END) \
         AS BIGINT) AS credit_high, \
         CAST(SUM(CASE WHEN p.amount_minor < 0 THEN p.amount_minor % 4294967296 ELSE 0 END) \
         AS BIGINT) AS credit_low \
         FROM postings p JOIN ledger_accounts a ON a.code = p.ledger_account \
         GROUP BY p.ledger_account, p.currency, a.position ORDER BY p.currency, a.position",
    )
    .fetch_all(db.pool())
    .await?;
    let rows: Vec<_> = rows.iter().map(read_balance).collect::<Result<_, _>>()?;
    let mut sums: HashMap<Currency, i128> = HashMap::new();
    for row in &rows {
        *sums.entry(row.currency).or_default() += row.balance.minor();
    }
    Ok(TrialBalance {
        balanced: sums.values().all(|sum| *sum == 0),
        rows,
    })
}

fn read_balance(row: &AnyRow) -> Result<TrialBalanceRow, StoreError> {
    let currency: Currency = parsed(row, "currency")?;
    let ledger_account: LedgerAccount = parsed(row, "ledger_account")?;
    let debit = whole(int(row, "debit_high")?, int(row, "debit_low")?);
    let credit = -whole(int(row, "credit_high")?, int(row, "credit_low")?);
    let kind = ledger_account.kind();
    Ok(TrialBalanceRow {
        ledger_account,
        kind,
        currency,
        debit: Total::from_minor(debit, currency),
        credit: Total::from_minor(credit, currency),
        balance: Total::from_minor(debit - credit, currency),
    })
}

/// A sum from the sums of its halves.
fn whole(high: i64, low: i64) -> i128 {
    i128::from(high) * (1_i128 << 32) + i128::from(low)
}

async fn entries(db: &Db, after: i64, limit: i64) -> Result<Vec<JournalEntryView>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, id, rule, source_id, dated, posted_at, currency, text, hash \
         FROM journal_entries WHERE seq > $1 ORDER BY seq LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    let Some(last) = rows.last() else {
        return Ok(Vec::new());
    };
    let line_rows = sqlx::query(
        "SELECT entry_seq, id, ledger_account, amount_minor, currency, account_id, tax_code \
         FROM postings WHERE entry_seq > $1 AND entry_seq <= $2 ORDER BY entry_seq, position",
    )
    .bind(after)
    .bind(int(last, "seq")?)
    .fetch_all(db.pool())
    .await?;
    let mut lines: HashMap<i64, Vec<JournalLineView>> = HashMap::new();
    for row in &line_rows {
        lines
            .entry(int(row, "entry_seq")?)
            .or_default()
            .push(read_line(row)?);
    }
    rows.iter()
        .map(|row| {
            let seq = int(row, "seq")?;
            Ok(JournalEntryView {
                id: parsed(row, "id")?,
                seq,
                rule: parsed(row, "rule")?,
                source_id: text(row, "source_id")?,
                dated: parsed(row, "dated")?,
                posted_at: instant(row, "posted_at")?,
                text: text(row, "text")?,
                currency: parsed(row, "currency")?,
                lines: lines.remove(&seq).unwrap_or_default(),
                hash: text(row, "hash")?,
            })
        })
        .collect()
}

fn read_line(row: &AnyRow) -> Result<JournalLineView, StoreError> {
    let amount = Money::from_minor(int(row, "amount_minor")?, parsed(row, "currency")?);
    let credit = amount
        .negated()
        .map_err(|e| StoreError::unreadable("postings.amount_minor", e))?;
    let is_debit = amount.minor() > 0;
    Ok(JournalLineView {
        id: parsed(row, "id")?,
        ledger_account: parsed(row, "ledger_account")?,
        debit: is_debit.then_some(amount),
        credit: (!is_debit).then_some(credit),
        account_id: parsed_opt(row, "account_id")?,
        tax_code: text_opt(row, "tax_code")?,
    })
}
