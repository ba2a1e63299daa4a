//! Assets: the machines that are watched and serviced.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::{RegistryError, naming, sites};
use crate::orders::intake;
use crate::store::audit::{self, Change};
use crate::store::columns::{
    instant, instant_opt, int, micros, micros_opt, parsed, parsed_opt, text,
};
use crate::store::ids::{AssetId, SiteId};
use crate::store::page::{Page, PageRequest};
use crate::store::{Ctx, Db, StoreError, Tx};

/// Criticality of an asset when nobody says.
pub const DEFAULT_CRITICALITY: i64 = 3;

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Asset {
    /// Identity.
    pub id: AssetId,
    /// What it is called on the wire; unique.
    pub tag: String,
    /// Its kind, such as `pump`.
    pub class: String,
    /// Name for people.
    pub name: String,
    /// Where it stands; an asset without a site raises no work order.
    pub site_id: Option<SiteId>,
    /// 1 nobody notices a failure, 5 production stops.
    pub criticality: i64,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was installed, where somebody said so.
    pub installed_at: Option<DateTime<Utc>>,
    /// Grows with every change.
    pub version: i64,
}

/// A request for a new asset.
#[derive(Debug, Clone, Default)]
pub struct NewAsset {
    /// The tag.
    pub tag: String,
    /// The class, in any case.
    pub class: String,
    /// Name for people; the tag when it is missing.
    pub name: Option<String>,
    /// Id or key of its site.
    pub site: Option<String>,
    /// 1 to 5.
    pub criticality: Option<i64>,
    /// When it was installed; its age counts from then.
    pub installed_at: Option<DateTime<Utc>>,
}

/// Which assets to list; an empty filter lists all.
#[derive(Debug, Clone, Default)]
pub struct AssetFilter {
    /// Of this class.
    pub class: Option<String>,
    /// At the site with this id or key.
    pub site: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
}

const COLUMNS: &str = "SELECT a.id, a.tag, a.class, a.name, a.site_id, a.criticality, \
     a.created_at, a.installed_at, a.version FROM assets a";

/// Registers an asset, or returns it when it is registered just so; tells whether it is new.
///
/// An asset that is known without a site takes the site that is given now.
///
/// **Errors** when tag, class, name or site are wrong, the tag is taken, or the store fails.
pub async fn create(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    new: &NewAsset,
) -> Result<(Asset, bool), RegistryError> {
    let tag = naming::tag(&new.tag)?;
    let class = naming::class(&new.class)?;
    let name = new.name.as_deref().map_or(Ok(tag), naming::name)?;
    let site = match &new.site {
        Some(site) => Some(sites::get(tx.conn(), site).await?.id),
        None => None,
    };
    if let Some(known) = find(tx.conn(), tag).await? {
        let same_site = site.is_none() || known.site_id.is_none() || known.site_id == site;
        if known.class != class || !same_site {
            return Err(RegistryError::TagTaken {
                tag: known.tag,
                id: known.id.to_string(),
                class: known.class,
            });
        }
        return match site.filter(|_| known.site_id.is_none()) {
            Some(site) => Ok((place(tx, ctx, known, site).await?, false)),
            None => Ok((known, false)),
        };
    }
    let asset = Asset {
        id: AssetId::new(ctx),
        tag: tag.to_owned(),
        class,
        name: name.to_owned(),
        site_id: site,
        criticality: new.criticality.unwrap_or(DEFAULT_CRITICALITY).clamp(1, 5),
        created_at: ctx.now,
        installed_at: new.installed_at,
        version: 1,
    };
    insert(tx, &asset).await?;
    audit_change(tx, ctx, &asset, "create", None).await?;
    take_up_waiting(tx, ctx, &asset).await?;
    Ok((asset, true))
}

/// Gives an asset its site, and takes up the alarms that waited for that.
///
/// **Errors** when asset or site do not exist, the version is older, or the store fails.
pub async fn assign_site(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id_or_tag: &str,
    site: &str,
    expected_version: Option<i64>,
) -> Result<Asset, RegistryError> {
    let asset = get(tx.conn(), id_or_tag).await?;
    let site = sites::get(tx.conn(), site).await?.id;
    if asset.site_id.as_ref() == Some(&site) {
        return Ok(asset);
    }
    if let Some(expected) = expected_version.filter(|expected| *expected != asset.version) {
        return Err(RegistryError::Stale {
            id: asset.id.to_string(),
            expected,
            actual: asset.version,
        });
    }
    place(tx, ctx, asset, site).await
}

/// A page of assets.
///
/// **Errors** when the store fails.
pub async fn list(
    db: &Db,
    filter: &AssetFilter,
    page: &PageRequest,
) -> Result<Page<Asset>, StoreError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} LEFT JOIN sites s ON s.id = a.site_id \
         WHERE a.id > $1 AND ($2 = '' OR a.class = $2) \
         AND ($3 = '' OR s.id = $3 OR s.key = $3) AND ($4 = '' OR a.tag = $4) \
         ORDER BY a.id LIMIT $5"
    )))
    .bind(page.after_or_start())
    .bind(filter.class.as_deref().unwrap_or("").to_lowercase())
    .bind(filter.site.as_deref().unwrap_or(""))
    .bind(filter.tag.as_deref().unwrap_or(""))
    .bind(page.fetch_limit())
    .fetch_all(db.pool())
    .await?;
    let items = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Page::cut(page, items, |asset: &Asset| asset.id.to_string()))
}

/// The asset with this id or tag.
///
/// **Errors** when there is none, or the store fails.
pub async fn get(conn: &mut AnyConnection, id_or_tag: &str) -> Result<Asset, RegistryError> {
    find(conn, id_or_tag)
        .await?
        .ok_or_else(|| RegistryError::NoSuchAsset(id_or_tag.chars().take(80).collect()))
}

/// The asset with this id or tag, if there is one.
///
/// **Errors** when the store fails.
pub async fn find(conn: &mut AnyConnection, id_or_tag: &str) -> Result<Option<Asset>, StoreError> {
    // A tag may look like another asset's id; the id counts first.
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{COLUMNS} WHERE a.id = $1 OR a.tag = $1 ORDER BY CASE WHEN a.id = $1 THEN 0 ELSE 1 END \
         LIMIT 1"
    )))
    .bind(id_or_tag)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn insert(tx: &mut Tx<'_>, asset: &Asset) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO assets (id, tag, class, name, site_id, criticality, created_at, version, \
         installed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(asset.id.as_str())
    .bind(asset.tag.as_str())
    .bind(asset.class.as_str())
    .bind(asset.name.as_str())
    .bind(asset.site_id.as_ref().map(SiteId::as_str))
    .bind(asset.criticality)
    .bind(micros(asset.created_at))
    .bind(asset.version)
    .bind(micros_opt(asset.installed_at))
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn place(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    mut asset: Asset,
    site: SiteId,
) -> Result<Asset, RegistryError> {
    let before = asset.version;
    asset.site_id = Some(site);
    asset.version += 1;
    sqlx::query("UPDATE assets SET site_id = $1, version = $2 WHERE id = $3")
        .bind(asset.site_id.as_ref().map(SiteId::as_str))
        .bind(asset.version)
        .bind(asset.id.as_str())
        .execute(tx.conn())
        .await?;
    audit_change(tx, ctx, &asset, "assign_site", Some(before)).await?;
    take_up_waiting(tx, ctx, &asset).await?;
    Ok(asset)
}

async fn take_up_waiting(tx: &mut Tx<'_>, ctx: &Ctx, asset: &Asset) -> Result<(), RegistryError> {
    if asset.site_id.is_none() {
        return Ok(());
    }
    intake::take_up_waiting(tx, ctx, &asset.tag)
        .await
        .map_err(|error| match error {
            crate::orders::OrderError::Store(error) => RegistryError::Store(error),
            other => RegistryError::TakeUp(other.to_string()),
        })
}

async fn audit_change(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    asset: &Asset,
    verb: &str,
    before: Option<i64>,
) -> Result<(), StoreError> {
    let change = Change {
        noun: "asset",
        subject: asset.id.as_str(),
        verb,
        before,
        after: asset.version,
        detail: json!({ "tag": asset.tag, "site_id": asset.site_id }),
    };
    audit::record(tx, ctx, change).await
}

fn read(row: &AnyRow) -> Result<Asset, StoreError> {
    Ok(Asset {
        id: parsed(row, "id")?,
        tag: text(row, "tag")?,
        class: text(row, "class")?,
        name: text(row, "name")?,
        site_id: parsed_opt(row, "site_id")?,
        criticality: int(row, "criticality")?,
        created_at: instant(row, "created_at")?,
        installed_at: instant_opt(row, "installed_at")?,
        version: int(row, "version")?,
    })
}
