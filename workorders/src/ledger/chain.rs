//! The hash chain over the journal: each entry seals its lines and the entry before it.

use std::collections::HashMap;

use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::AnyConnection;

use crate::store::StoreError;
use crate::store::columns::{int, text, text_opt};

/// What stands before the first entry.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Entries that are read at once while the chain is checked.
const PAGE: i64 = 500;

/// An entry as it is sealed: whatever changes here changes the hash.
#[derive(Debug, Serialize)]
pub(super) struct ChainedEntry {
    pub seq: i64,
    pub id: String,
    pub rule: String,
    pub source_id: String,
    pub dated: String,
    pub posted_at: i64,
    pub currency: String,
    pub text: String,
    pub previous_hash: String,
    pub lines: Vec<ChainedLine>,
}

/// A line as it is sealed.
#[derive(Debug, Serialize)]
pub(super) struct ChainedLine {
    pub id: String,
    pub position: i64,
    pub ledger_account: String,
    pub amount_minor: i64,
    pub currency: String,
    pub account_id: Option<String>,
    pub tax_code: Option<String>,
}

/// Where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainBreak {
    /// The position of the entry.
    pub seq: i64,
    /// What is wrong with it.
    pub reason: String,
}

impl ChainedEntry {
    /// SHA-256 over the entry's JSON, in lower-case hexadecimal.
    pub(super) fn hash(&self) -> String {
        let sealed = serde_json::to_vec(self).expect("texts and integers always serialize");
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(&sealed) {
            hex.push_str(&format!("{byte:02x}"));
        }
        hex
    }
}

/// Follows the chain from the first entry to the newest, all read in the caller's transaction.
///
/// Returns how many entries there are and the first break.
///
/// **Errors** when the store fails.
pub async fn check_chain(
    conn: &mut AnyConnection,
) -> Result<(i64, Option<ChainBreak>), StoreError> {
    let (mut seq, mut previous) = (0, GENESIS.to_owned());
    loop {
        let page = read_page(conn, seq).await?;
        if page.is_empty() {
            break;
        }
        for (entry, hash) in page {
            let broken = |reason: &str| {
                Some(ChainBreak {
                    seq: entry.seq,
                    reason: reason.to_owned(),
                })
            };
            if entry.seq != seq + 1 {
                return Ok((seq, broken("the entry before it is missing")));
            }
            if entry.previous_hash != previous {
                return Ok((
                    seq,
                    broken("it does not name the hash of the entry before it"),
                ));
            }
            if entry.hash() != hash {
                return Ok((seq, broken("its content does not match its hash")));
            }
            (seq, previous) = (entry.seq, hash);
        }
    }
    let given = sqlx::query("SELECT value FROM counters WHERE name = $1")
        .bind(super::journal::COUNTER)
        .fetch_optional(&mut *conn)
        .await?;
    let given = given
        .map(|row| int(&row, "value"))
        .transpose()?
        .unwrap_or(0);
    let cut = ChainBreak {
        seq: seq + 1,
        reason: format!("{given} entries were made, it is gone"),
    };
    Ok((seq, (given != seq).then_some(cut)))
}

/// Up to [`PAGE`] entries after `seq` with their stored hashes.
async fn read_page(
    conn: &mut AnyConnection,
    seq: i64,
) -> Result<Vec<(ChainedEntry, String)>, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, id, rule, source_id, dated, posted_at, currency, text, previous_hash, hash \
         FROM journal_entries WHERE seq > $1 ORDER BY seq LIMIT $2",
    )
    .bind(seq)
    .bind(PAGE)
    .fetch_all(&mut *conn)
    .await?;
    let Some(last) = rows.last() else {
        return Ok(Vec::new());
    };
    let mut lines = read_lines(conn, seq, int(last, "seq")?).await?;
    let mut page = Vec::with_capacity(rows.len());
    for row in &rows {
        let seq = int(row, "seq")?;
        let entry = ChainedEntry {
            seq,
            id: text(row, "id")?,
            rule: text(row, "rule")?,
            source_id: text(row, "source_id")?,
            dated: text(row, "dated")?,
            posted_at: int(row, "posted_at")?,
            currency: text(row, "currency")?,
            text: text(row, "text")?,
            previous_hash: text(row, "previous_hash")?,
            lines: lines.remove(&seq).unwrap_or_default(),
        };
        page.push((entry, text(row, "hash")?));
    }
    Ok(page)
}

/// The lines of the entries after `from` up to `to`, in their order.
async fn read_lines(
    conn: &mut AnyConnection,
    from: i64,
    to: i64,
) -> Result<HashMap<i64, Vec<ChainedLine>>, StoreError> {
    let rows = sqlx::query(
        "SELECT entry_seq, id, position, ledger_account, amount_minor, currency, account_id, \
         tax_code FROM postings WHERE entry_seq > $1 AND entry_seq <= $2 \
         ORDER BY entry_seq, position",
    )
    .bind(from)
    .bind(to)
    .fetch_all(conn)
    .await?;
    let mut lines: HashMap<i64, Vec<ChainedLine>> = HashMap::new();
    for row in &rows {
        lines
            .entry(int(row, "entry_seq")?)
            .or_default()
            .push(ChainedLine {
                id: text(row, "id")?,
                position: int(row, "position")?,
                ledger_account: text(row, "ledger_account")?,
                amount_minor: int(row, "amount_minor")?,
                currency: text(row, "currency")?,
                account_id: text_opt(row, "account_id")?,
                tax_code: text_opt(row, "tax_code")?,
            });
    }
    Ok(lines)
}
