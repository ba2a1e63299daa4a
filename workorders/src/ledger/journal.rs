//! Writing to the journal: an entry is chained to the one before and never touched again.

use super::chain::{self, ChainedEntry, ChainedLine};
use super::entry::{Entry, EntryError};
use crate::problem::{Family, Problem};
use crate::store::columns::{micros, text};
use crate::store::ids::{JournalEntryId, JournalLineId};
use crate::store::{Ctx, StoreError, Tx, counters};

/// The counter that numbers entries in the order of their commits.
pub(crate) const COUNTER: &str = "journal";

/// Why the ledger did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The posting rule made lines that are no entry.
    #[error("the ledger refused an entry that does not balance")]
    MakeEntry(#[from] EntryError),
    /// The cursor of a list is not one that was given out.
    #[error("{0:?} is no cursor of the journal: pass `next_cursor` of the page before")]
    Cursor(String),
    /// The store failed.
    #[error("the ledger could not be written or read")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Problem for LedgerError {
    fn family(&self) -> Family {
        match self {
            Self::MakeEntry(_) => Family::Bug,
            Self::Cursor(_) => Family::Invalid,
            Self::Store(error) => error.family(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::MakeEntry(_) => "ledger_entry_unbalanced",
            Self::Cursor(_) => "ledger_cursor",
            Self::Store(error) => error.code(),
        }
    }
}

/// Appends the entry to the journal inside the caller's transaction.
///
/// The counter's row and the head of the chain stay locked until the transaction ends.
///
/// **Errors** when the store fails; a second entry of the same rule and document is refused by it.
pub async fn append(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    entry: &Entry,
) -> Result<JournalEntryId, LedgerError> {
    let seq = counters::next(tx, COUNTER).await?;
    let chained = ChainedEntry {
        seq,
        id: JournalEntryId::new(ctx).to_string(),
        rule: entry.rule().as_str().to_owned(),
        source_id: entry.source().to_owned(),
        dated: entry.dated().to_string(),
        posted_at: micros(ctx.now),
        currency: entry.currency().code().to_owned(),
        text: entry.text().to_owned(),
        previous_hash: hash_before(tx, seq).await?,
        lines: chained_lines(ctx, entry),
    };
    write(tx, &chained).await?;
    chained
        .id
        .parse()
        .map_err(|error| StoreError::unreadable("journal_entries.id", error).into())
}

fn chained_lines(ctx: &Ctx, entry: &Entry) -> Vec<ChainedLine> {
    let line = |(position, line): (i64, &super::entry::EntryLine)| ChainedLine {
        id: JournalLineId::new(ctx).to_string(),
        position,
        ledger_account: line.ledger_account.as_str().to_owned(),
        amount_minor: line.amount.minor(),
        currency: line.amount.currency().code().to_owned(),
        account_id: line.customer.as_ref().map(ToString::to_string),
        tax_code: line.tax_code.clone(),
    };
    (1_i64..).zip(entry.lines()).map(line).collect()
}

async fn hash_before(tx: &mut Tx<'_>, seq: i64) -> Result<String, StoreError> {
    if seq == 1 {
        return Ok(chain::GENESIS.to_owned());
    }
    let row = sqlx::query("SELECT hash FROM journal_entries WHERE seq = $1")
        .bind(seq - 1)
        .fetch_optional(tx.conn())
        .await?;
    match row {
        Some(row) => text(&row, "hash"),
        None => {
            let detail = format!("entry {} is missing, the chain can not go on", seq - 1);
            Err(StoreError::unreadable("journal_entries", detail))
        }
    }
}

async fn write(tx: &mut Tx<'_>, entry: &ChainedEntry) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO journal_entries (seq, id, rule, source_id, dated, posted_at, currency, text, \
         previous_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(entry.seq)
    .bind(entry.id.as_str())
    .bind(entry.rule.as_str())
    .bind(entry.source_id.as_str())
    .bind(entry.dated.as_str())
    .bind(entry.posted_at)
    .bind(entry.currency.as_str())
    .bind(entry.text.as_str())
    .bind(entry.previous_hash.as_str())
    .bind(entry.hash())
    .execute(tx.conn())
    .await?;
    for line in &entry.lines {
        sqlx::query(
            "INSERT INTO postings (id, entry_seq, position, ledger_account, amount_minor, \
             currency, account_id, tax_code) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(line.id.as_str())
        .bind(entry.seq)
        .bind(line.position)
        .bind(line.ledger_account.as_str())
        .bind(line.amount_minor)
        .bind(line.currency.as_str())
        .bind(line.account_id.clone())
        .bind(line.tax_code.clone())
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}
