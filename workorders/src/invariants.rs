//! Every promise that must hold whatever was retried or killed, as questions to the store.
//!
//! A check is a query for what breaks the promise, so it can fail; its tests break the data by raw
//! SQL and see it fail. `fieldwright verify` prints one line each.

mod check;
use check::Check;

mod work;

mod invoices;

mod receipts;

mod journal;

mod guards;

use serde::Serialize;
use sqlx::AnyConnection;

use crate::store::{Db, StoreError};

/// What became of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvariantResult {
    /// Its place in the list, from 1.
    pub number: u32,
    /// A short name in snake_case.
    pub name: &'static str,
    /// Whether the promise holds.
    pub ok: bool,
    /// The promise and what was looked at, or what breaks it.
    pub detail: String,
}

/// Checks every promise in one reading transaction, so that all see the store at one moment.
///
/// **Errors** when the store fails; a broken promise is a result, not an error.
pub async fn verify(db: &Db) -> Result<Vec<InvariantResult>, StoreError> {
    let mut snapshot = db.snapshot().await?;
    let results = verify_in(&mut snapshot, db.is_postgres()).await;
    snapshot.rollback().await?;
    results
}

async fn verify_in(
    conn: &mut AnyConnection,
    is_postgres: bool,
) -> Result<Vec<InvariantResult>, StoreError> {
    let mut results = Vec::new();
    for check in work::CHECKS
        .iter()
        .chain(invoices::CHECKS)
        .chain(receipts::CHECKS)
    {
        results.push(check.run(conn).await?);
    }
    for check in journal::CHECKS {
        results.push(check.run(conn).await?);
    }
    results.push(journal::hash_chain(conn).await?);
    results.push(guards::in_place(conn, is_postgres).await?);
    for (number, result) in (1..).zip(&mut results) {
        result.number = number;
    }
    Ok(results)
}

#[cfg(test)]
mod tests;
