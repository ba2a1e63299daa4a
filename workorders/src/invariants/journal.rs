//! Promises about the ledger itself.

use sqlx::AnyConnection;

use super::check::total;
use super::{Check, InvariantResult};
use crate::ledger::check_chain;
use crate::store::StoreError;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "entries_sum_to_zero",
        promise: "every journal entry has lines in its one currency that sum to zero",
        over: "journal_entries",
        breaks: concat!(
            "SELECT 'entry ' || CAST(e.seq AS TEXT) || ' has ' || CAST(COUNT(p.id) AS TEXT) \
            || ' lines that sum to ' || CAST(",
            total!("p.amount_minor"),
            " AS TEXT) AS detail \
            FROM journal_entries e LEFT JOIN postings p ON p.entry_seq = e.seq GROUP BY e.seq \
            HAVING ",
            total!("p.amount_minor"),
            " <> 0 OR COUNT(p.id) < 2 \
            OR COUNT(CASE WHEN p.currency <> e.currency THEN 1 END) > 0",
        ),
    },
    Check {
        name: "ledger_sums_to_zero",
        promise: "the whole ledger sums to zero in every currency",
        over: "postings",
        breaks: concat!(
            "SELECT currency || ' sums to ' || CAST(",
            total!("amount_minor"),
            " AS TEXT) AS detail \
            FROM postings GROUP BY currency HAVING ",
            total!("amount_minor"),
            " <> 0",
        ),
    },
    Check {
        name: "documents_booked_once",
        promise: "every posted invoice, receipt and later application has one journal entry",
        over: "journal_entries",
        breaks: "SELECT COALESCE(d.id, e.source_id) || ' has ' || CAST(COUNT(e.seq) AS TEXT) \
            || ' entries of ' || COALESCE(d.rule, e.rule || ' without a document') AS detail \
            FROM (SELECT id, 'invoice_posted' AS rule FROM invoice_documents \
            WHERE status = 'posted' \
            UNION ALL SELECT id, 'receipt_recorded' FROM receipt_documents) d \
            LEFT JOIN journal_entries e ON e.source_id = d.id AND e.rule = d.rule \
            GROUP BY d.id, d.rule, e.source_id, e.rule HAVING COUNT(e.seq) <> 1 \
            UNION ALL SELECT e.source_id || ' is booked by ' || e.rule || ' without a document' \
            FROM journal_entries e \
            LEFT JOIN invoice_documents i ON i.id = e.source_id AND i.status = 'posted' \
            LEFT JOIN receipt_documents r ON r.id = e.source_id \
            LEFT JOIN applications a ON a.id = e.source_id \
            WHERE CASE e.rule WHEN 'invoice_posted' THEN i.id WHEN 'receipt_recorded' THEN r.id \
            ELSE a.id END IS NULL",
    },
];

/// The hash chain: each entry seals its lines and the entry before it, none is missing.
pub(super) async fn hash_chain(conn: &mut AnyConnection) -> Result<InvariantResult, StoreError> {
    let (entries, broken) = check_chain(conn).await?;
    let (ok, detail) = match broken {
        None => (
            true,
            format!("the journal's hash chain is unbroken ({entries} entries)"),
        ),
        Some(broken) => (
            false,
            format!("broken at entry {}: {}", broken.seq, broken.reason),
        ),
    };
    Ok(InvariantResult {
        number: 0,
        name: "hash_chain_unbroken",
        ok,
        detail,
    })
}
