//! One promise as a query for what breaks it.

use sqlx::AnyConnection;

use super::InvariantResult;
use crate::store::StoreError;
use crate::store::columns::{int, text};

/// The SQL of a sum of amounts that no amount makes fail: SQLite's `SUM` raises an error when it
/// leaves 64 bits, so high and low halves are summed apart; what still leaves them when they are
/// joined turns into a float there and is a `NUMERIC` in PostgreSQL.
macro_rules! total {
    ($amount:literal) => {
        concat!(
            "(COALESCE(SUM((",
            $amount,
            ") / 4294967296), 0) * 4294967296 + COALESCE(SUM((",
            $amount,
            ") % 4294967296), 0))"
        )
    };
}
pub(super) use total;

/// Breaks that one check names at most.
const MAX_SHOWN: i64 = 5;

/// One promise.
pub(super) struct Check {
    /// A short name in snake_case.
    pub name: &'static str,
    /// The promise in words.
    pub promise: &'static str,
    /// What is looked at, counted to show that the check had something to look at.
    pub over: &'static str,
    /// A query with one text column `detail`, a row for everything that breaks the promise.
    pub breaks: &'static str,
}

impl Check {
    /// Asks the store.
    pub(super) async fn run(
        &self,
        conn: &mut AnyConnection,
    ) -> Result<InvariantResult, StoreError> {
        let counting = format!(
            "SELECT COUNT(*) AS rows_found FROM ({}) breaking",
            self.breaks
        );
        let broken = count(conn, counting).await?;
        if broken == 0 {
            let over = format!("SELECT COUNT(*) AS rows_found FROM {}", self.over);
            let looked_at = count(conn, over).await?;
            let detail = format!("{} ({looked_at} rows of {})", self.promise, self.over);
            return Ok(self.result(true, detail));
        }
        let showing = format!(
            "SELECT detail FROM ({}) breaking ORDER BY detail LIMIT {MAX_SHOWN}",
            self.breaks
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(showing))
            .fetch_all(conn)
            .await?;
        let shown: Vec<_> = rows
            .iter()
            .map(|row| text(row, "detail"))
            .collect::<Result<_, _>>()?;
        let more = if broken > MAX_SHOWN { " …" } else { "" };
        let detail = format!("broken {broken} times: {}{more}", shown.join("; "));
        Ok(self.result(false, detail))
    }

    fn result(&self, ok: bool, detail: String) -> InvariantResult {
        InvariantResult {
            number: 0,
            name: self.name,
            ok,
            detail,
        }
    }
}

async fn count(conn: &mut AnyConnection, query: String) -> Result<i64, StoreError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .fetch_one(conn)
        .await?;
    int(&row, "rows_found")
}
