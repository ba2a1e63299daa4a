//! What is known of the lives of all assets: installed, failed, mended. No money.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::Row as _;

use crate::store::columns::{instant, instant_opt, text};
use crate::store::{Db, StoreError};

/// The lives of one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lives {
    /// Its tag.
    pub tag: String,
    /// Its class.
    pub class: String,
    /// When it was installed, where somebody said so.
    pub installed_at: Option<DateTime<Utc>>,
    /// When it was registered: earlier failures are not known of.
    pub registered_at: DateTime<Utc>,
    /// When a failure was mended: the ends of orders that were posted as confirmed, and of cases
    /// that a person closed as confirmed without an order. Ascending.
    pub failures: Vec<DateTime<Utc>>,
}

/// The lives of all assets, in the order of their tags.
///
/// **Errors** when the store fails.
pub async fn all(db: &Db) -> Result<Vec<Lives>, StoreError> {
    let failures = sqlx::query(
        "SELECT asset_id, completed_at AS at FROM work_orders \
         WHERE close_out = 'confirmed' AND completed_at IS NOT NULL UNION ALL \
         SELECT asset_id, closed_at AS at FROM cases \
         WHERE close_out = 'confirmed' AND closed_at IS NOT NULL AND work_order_id IS NULL \
         ORDER BY at",
    )
    .fetch_all(db.pool())
    .await?;
    let mut by_asset: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
    for row in &failures {
        let asset = text(row, "asset_id")?;
        by_asset.entry(asset).or_default().push(instant(row, "at")?);
    }
    let assets =
        sqlx::query("SELECT id, tag, class, installed_at, created_at FROM assets ORDER BY tag")
            .fetch_all(db.pool())
            .await?;
    let lives = assets.iter().map(|row| {
        let id: String = row.try_get("id")?;
        Ok(Lives {
            tag: text(row, "tag")?,
            class: text(row, "class")?,
            installed_at: instant_opt(row, "installed_at")?,
            registered_at: instant(row, "created_at")?,
            failures: by_asset.remove(&id).unwrap_or_default(),
        })
    });
    lives.collect()
}
