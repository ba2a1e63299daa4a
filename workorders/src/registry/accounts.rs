//! Accounts: the customers who pay.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::RegistryError;
use crate::store::columns::{instant, int, int_opt, parsed, text};
use crate::store::ids::AccountId;
use crate::store::page::{Page, PageRequest};
use crate::store::{Db, StoreError};

/// A customer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// Identity.
    pub id: AccountId,
    /// Name for people.
    pub name: String,
    /// ISO 4217 code of the currency that the customer is billed in.
    pub currency: String,
    /// Days until an invoice is due; none takes the terms of the billing entity.
    pub terms_days: Option<i64>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Grows with every change.
    pub version: i64,
}

const COLUMNS: &str = "SELECT id, name, currency, terms_days, created_at, version FROM accounts";

/// A page of accounts.
///
/// **Errors** when the store fails.
pub async fn list(db: &Db, page: &PageRequest) -> Result<Page<Account>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} WHERE id > $1 ORDER BY id LIMIT $2"
    )))
    .bind(page.after_or_start())
    .bind(page.fetch_limit())
    .fetch_all(db.pool())
    .await?;
    let items = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page::cut(page, items, |account: &Account| {
        account.id.to_string()
    }))
}

/// One account.
///
/// **Errors** when there is none, or the store fails.
pub async fn get(conn: &mut AnyConnection, id: &AccountId) -> Result<Account, RegistryError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE id = $1")))
        .bind(id.as_str())
        .fetch_optional(conn)
        .await?;
    match row {
        Some(row) => Ok(read(&row)?),
        None => Err(RegistryError::NoSuchAccount(id.to_string())),
    }
}

fn read(row: &AnyRow) -> Result<Account, StoreError> {
    Ok(Account {
        id: parsed(row, "id")?,
        name: text(row, "name")?,
        currency: text(row, "currency")?,
        terms_days: int_opt(row, "terms_days")?,
        created_at: instant(row, "created_at")?,
        version: int(row, "version")?,
    })
}
