//! The store's own guards: what is posted can not be updated or deleted, by nobody.

use sqlx::AnyConnection;

use super::InvariantResult;
use crate::store::StoreError;
use crate::store::columns::text;

/// The triggers that stand on the money tables of both stores.
pub(super) const TRIGGERS: &[&str] = &[
    "applications_fit",
    "applications_kept",
    "applications_unchanged",
    "evidence_packs_frozen",
    "evidence_packs_kept",
    "invoice_documents_frozen",
    "invoice_documents_kept",
    "invoice_lines_frozen_delete",
    "invoice_lines_frozen_insert",
    "invoice_lines_frozen_update",
    "invoice_taxes_frozen_delete",
    "invoice_taxes_frozen_insert",
    "invoice_taxes_frozen_update",
    "journal_entries_kept",
    "journal_entries_unchanged",
    "number_series_kept",
    "number_series_rises",
    "postings_kept",
    "postings_of_the_newest_entry",
    "postings_unchanged",
    "receipt_documents_frozen",
    "receipt_documents_kept",
];

/// Whether every guard stands and, on PostgreSQL, is switched on.
pub(super) async fn in_place(
    conn: &mut AnyConnection,
    is_postgres: bool,
) -> Result<InvariantResult, StoreError> {
    // Each store keeps its triggers in a catalog of its own.
    let query = if is_postgres {
        "SELECT CAST(t.tgname AS TEXT) AS name FROM pg_trigger t \
         JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = current_schema() AND t.tgenabled <> 'D' AND NOT t.tgisinternal"
    } else {
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    };
    let rows = sqlx::query(query).fetch_all(conn).await?;
    let standing: Vec<_> = rows
        .iter()
        .map(|row| text(row, "name"))
        .collect::<Result<_, _>>()?;
    let missing: Vec<_> = TRIGGERS
        .iter()
        .filter(|name| !standing.iter().any(|s| s == *name))
        .copied()
        .collect();
    let detail = if missing.is_empty() {
        format!(
            "the store refuses to change what is posted ({} triggers)",
            TRIGGERS.len()
        )
    } else {
        format!("missing triggers: {}", missing.join(", "))
    };
    Ok(InvariantResult {
        number: 0,
        name: "posted_rows_guarded",
        ok: missing.is_empty(),
        detail,
    })
}
