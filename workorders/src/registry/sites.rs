//! Sites: where assets stand and technicians travel to.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::RegistryError;
use crate::store::columns::{instant, int, parsed, text};
use crate::store::ids::{AccountId, SiteId};
use crate::store::page::{Page, PageRequest};
use crate::store::{Db, StoreError};

/// A place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Site {
    /// Identity.
    pub id: SiteId,
    /// The customer who owns it.
    pub account_id: AccountId,
    /// Name for people.
    pub name: String,
    /// **Units** degrees north.
    pub latitude: f64,
    /// **Units** degrees east.
    pub longitude: f64,
    /// ISO 3166 country, which decides about taxes.
    pub country: String,
    /// The zone of its clocks.
    #[serde(serialize_with = "zone_name")]
    pub time_zone: Tz,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Grows with every change.
    pub version: i64,
}

const COLUMNS: &str = "SELECT id, account_id, name, latitude, longitude, country, time_zone, \
     created_at, version FROM sites";

/// A page of sites, of one account or of all.
///
/// **Errors** when the store fails.
pub async fn list(
    db: &Db,
    account: Option<&AccountId>,
    page: &PageRequest,
) -> Result<Page<Site>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} WHERE id > $1 AND ($2 = '' OR account_id = $2) ORDER BY id LIMIT $3"
    )))
    .bind(page.after_or_start())
    .bind(account.map_or("", AccountId::as_str))
    .bind(page.fetch_limit())
    .fetch_all(db.pool())
    .await?;
    let items = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page::cut(page, items, |site: &Site| site.id.to_string()))
}

/// The site with this id or key.
///
/// **Errors** when there is none, or the store fails.
pub async fn get(conn: &mut AnyConnection, id_or_key: &str) -> Result<Site, RegistryError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} WHERE id = $1 OR key = $1"
    )))
    .bind(id_or_key)
    .fetch_optional(conn)
    .await?;
    match row {
        Some(row) => Ok(read(&row)?),
        None => Err(RegistryError::NoSuchSite(id_or_key.to_owned())),
    }
}

/// The first site ever made, under which an outside tool may register an asset.
///
/// **Errors** when the store fails.
pub async fn first(db: &Db) -> Result<Option<Site>, StoreError> {
    Ok(list(db, None, &PageRequest::new(Some(1), None))
        .await?
        .items
        .pop())
}

fn read(row: &AnyRow) -> Result<Site, StoreError> {
    Ok(Site {
        id: parsed(row, "id")?,
        account_id: parsed(row, "account_id")?,
        name: text(row, "name")?,
        latitude: parsed(row, "latitude")?,
        longitude: parsed(row, "longitude")?,
        country: text(row, "country")?,
        time_zone: parsed(row, "time_zone")?,
        created_at: instant(row, "created_at")?,
        version: int(row, "version")?,
    })
}

/// A time zone as its name in the zone database.
pub(super) fn zone_name<S: serde::Serializer>(zone: &Tz, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(zone.name())
}
