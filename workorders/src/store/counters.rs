//! Counters whose order is the order of commits, without a gap.

use sqlx::Row;

use super::{StoreError, Tx};

/// Takes the next number of the counter `name`, beginning with 1.
///
/// The counter's row stays locked until the transaction ends, so a number that is given is
/// committed before the next one is given, and a number that was rolled back is given again.
///
/// **Errors** when the store fails.
pub async fn next(tx: &mut Tx<'_>, name: &str) -> Result<i64, StoreError> {
    let row = sqlx::query(
        "INSERT INTO counters (name, value) VALUES ($1, 1) \
         ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value",
    )
    .bind(name)
    .fetch_one(tx.conn())
    .await?;
    Ok(row.try_get(0)?)
}
