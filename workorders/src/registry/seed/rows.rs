//! Writing the seed files into an empty store.

use std::collections::HashMap;

use serde_json::json;

use super::SeedError;
use super::files::{IncidentTypeToml, ResourceToml, World};
use crate::registry::assets::{self, Asset};
use crate::registry::naming;
use crate::store::columns::micros;
use crate::store::ids::{AccountId, AssetId, ResourceId, SiteId};
use crate::store::{Ctx, Tx};

pub(super) async fn insert(tx: &mut Tx<'_>, ctx: &Ctx, world: &World) -> Result<(), SeedError> {
    let accounts = insert_accounts(tx, ctx, world).await?;
    let sites = insert_sites(tx, ctx, world, &accounts).await?;
    insert_assets(tx, ctx, world, &sites).await?;
    for incident_type in &world.catalog.incident_type {
        insert_incident_type(tx, incident_type).await?;
    }
    insert_failure_modes(tx, world).await?;
    for resource in &world.resources.resource {
        insert_resource(tx, ctx, resource).await?;
    }
    Ok(())
}

async fn insert_accounts<'w>(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    world: &'w World,
) -> Result<HashMap<&'w str, AccountId>, SeedError> {
    let mut ids = HashMap::new();
    for account in &world.accounts.account {
        let id = AccountId::new(ctx);
        sqlx::query(
            "INSERT INTO accounts (id, key, name, currency, terms_days, created_at, version) \
             VALUES ($1, $2, $3, $4, $5, $6, 1)",
        )
        .bind(id.as_str())
        .bind(account.key.as_str())
        .bind(account.name.as_str())
        .bind(account.currency.as_str())
        .bind(account.terms_days)
        .bind(micros(ctx.now))
        .execute(tx.conn())
        .await?;
        ids.insert(account.key.as_str(), id);
    }
    Ok(ids)
}

async fn insert_sites<'w>(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    world: &'w World,
    accounts: &HashMap<&str, AccountId>,
) -> Result<HashMap<&'w str, SiteId>, SeedError> {
    let mut ids = HashMap::new();
    for site in &world.accounts.site {
        let account = named("accounts.toml", accounts, &site.account)?;
        let id = SiteId::new(ctx);
        sqlx::query(
            "INSERT INTO sites (id, key, account_id, name, latitude, longitude, country, \
             time_zone, created_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1)",
        )
        .bind(id.as_str())
        .bind(site.key.as_str())
        .bind(account.as_str())
        .bind(site.name.as_str())
        .bind(site.latitude.as_str())
        .bind(site.longitude.as_str())
        .bind(site.country.as_str())
        .bind(site.time_zone.name())
        .bind(micros(ctx.now))
        .execute(tx.conn())
        .await?;
        ids.insert(site.key.as_str(), id);
    }
    Ok(ids)
}

async fn insert_assets(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    world: &World,
    sites: &HashMap<&str, SiteId>,
) -> Result<(), SeedError> {
    for asset in &world.assets.asset {
        let wrong = |detail: String| SeedError::File {
            file: "assets.toml",
            detail,
        };
        let row = Asset {
            id: AssetId::new(ctx),
            tag: naming::tag(&asset.tag)
                .map_err(|error| wrong(error.to_string()))?
                .to_owned(),
            class: naming::class(&asset.class).map_err(|error| wrong(error.to_string()))?,
            name: asset.name.clone(),
            site_id: Some(named("assets.toml", sites, &asset.site)?.clone()),
            criticality: asset.criticality,
            installed_at: None,
            created_at: ctx.now,
            version: 1,
        };
        assets::insert(tx, &row).await?;
    }
    Ok(())
}

async fn insert_incident_type(tx: &mut Tx<'_>, it: &IncidentTypeToml) -> Result<(), SeedError> {
    sqlx::query(
        "INSERT INTO incident_types (key, name, duration_minutes, skills, tasks, parts, \
         labor_code) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(it.key.as_str())
    .bind(it.name.as_str())
    .bind(it.duration_minutes)
    .bind(json!(it.skills).to_string())
    .bind(json!(it.tasks).to_string())
    .bind(json!(it.parts).to_string())
    .bind(it.labor_code.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn insert_failure_modes(tx: &mut Tx<'_>, world: &World) -> Result<(), SeedError> {
    for mode in &world.catalog.failure_mode {
        sqlx::query(
            "INSERT INTO failure_modes (class, cause, failure_mode, name, incident_type) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(mode.class.as_str())
        .bind(mode.cause.as_str())
        .bind(mode.failure_mode.as_str())
        .bind(mode.name.as_str())
        .bind(mode.incident_type.as_str())
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

async fn insert_resource(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    resource: &ResourceToml,
) -> Result<(), SeedError> {
    let id = ResourceId::new(ctx);
    sqlx::query(
        "INSERT INTO resources (id, key, name, skills, latitude, longitude, time_zone, speed_kmh, \
         active, created_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, 1)",
    )
    .bind(id.as_str())
    .bind(resource.key.as_str())
    .bind(resource.name.as_str())
    .bind(json!(resource.skills).to_string())
    .bind(resource.latitude.as_str())
    .bind(resource.longitude.as_str())
    .bind(resource.time_zone.name())
    .bind(resource.speed_kmh)
    .bind(micros(ctx.now))
    .execute(tx.conn())
    .await?;
    for shift in &resource.shift {
        let (from, until) = shift.minutes()?;
        for weekday in shift.weekday_numbers()? {
            sqlx::query(
                "INSERT INTO shifts (resource_id, weekday, from_minute, until_minute) \
                 VALUES ($1, $2, $3, $4)",
            )
            .bind(id.as_str())
            .bind(weekday)
            .bind(from)
            .bind(until)
            .execute(tx.conn())
            .await?;
        }
    }
    Ok(())
}

fn named<'a, T>(
    file: &'static str,
    known: &'a HashMap<&str, T>,
    key: &str,
) -> Result<&'a T, SeedError> {
    known.get(key).ok_or_else(|| SeedError::File {
        file,
        detail: format!("it names `{key}`, which is not defined"),
    })
}
