//! How far a follower has come, kept in the same transaction as what it did.

use fieldwright_workorders::store::{Db, StoreError, Tx};
use sqlx::Row as _;

/// Makes the table where it is missing.
pub async fn prepare(db: &Db) -> Result<(), StoreError> {
    db.write(|tx| {
        Box::pin(async move {
            sqlx::query(
                "CREATE TABLE IF NOT EXISTS follower_cursors \
                 (name TEXT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL)",
            )
            .execute(tx.conn())
            .await?;
            Ok::<_, StoreError>(())
        })
    })
    .await
}

/// The seq up to which the follower `name` has done everything.
pub async fn read(db: &Db, name: &str) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT seq FROM follower_cursors WHERE name = $1")
        .bind(name)
        .fetch_optional(db.pool())
        .await?;
    row.map_or(Ok(0), |row| Ok(row.try_get(0)?))
}

/// Moves the cursor.
pub async fn write(tx: &mut Tx<'_>, name: &str, seq: i64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO follower_cursors (name, seq) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET seq = excluded.seq",
    )
    .bind(name)
    .bind(seq)
    .execute(tx.conn())
    .await?;
    Ok(())
}
