//! `/assets/{id}/health`, `/sites/{id}/health`, `/accounts/{id}/health`: one index from 0 to 100,
//! with its reasons, for an asset, its components, and the places above it.

use axum::Json;
use axum::extract::{Path, State};
use fieldwright_analytics::detect::Condition;
use fieldwright_condition::health::{Below, HealthIndex, of_place};
use fieldwright_workorders::registry::assets::{self, AssetFilter};
use fieldwright_workorders::registry::{RegistryError, accounts, sites};
use fieldwright_workorders::store::ids::AccountId;
use fieldwright_workorders::store::page::{MAX_LIMIT, PageRequest};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::state::ApiState;
use super::wire::Instant;

/// How an asset is.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssetHealth {
    /// The asset's tag.
    asset: String,
    /// In one word: learning, normal, alarm, stale or unknown.
    state: &'static str,
    /// 0 to 100; 50 is the alarm limit. None before anything was judged.
    index: Option<f64>,
    /// Why it is not higher, the weightiest first.
    reasons: Vec<HealthReason>,
    /// Its components, as its class declares them.
    components: Vec<PartHealth>,
    /// Event time of the end of the window that this is of.
    as_of: Option<Instant>,
    /// Whether its model still describes it.
    drift: Option<ModelDrift>,
}

/// How far what is said of an asset has gone from what was said while it was learned.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelDrift {
    /// Share of the latest scores that are not in band.
    share: f64,
    /// The same share in the learning period.
    learned: f64,
    /// Whether that is so much more that the model no longer describes the asset.
    drifted: bool,
}

/// How a component, or what lies below a place, is.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartHealth {
    /// Its name.
    name: String,
    /// 0 to 100; 50 is the alarm limit.
    index: f64,
    /// Why it is not higher, the weightiest first.
    reasons: Vec<HealthReason>,
}

/// What makes an index low.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthReason {
    /// The metric, or what lies below.
    of: String,
    /// Its share of what is missing, 0 to 1.
    share: f64,
    /// One sentence.
    text: String,
}

/// How a place is: what lies below pulls it down, each in proportion to its criticality.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlaceHealth {
    /// Identity of the site or the account.
    id: String,
    /// Its name.
    name: String,
    /// 0 to 100; none while nothing below has an index.
    index: Option<f64>,
    /// What pulls it down.
    reasons: Vec<HealthReason>,
    /// What lies below and has an index, the lowest first.
    below: Vec<PartHealth>,
    /// How much below has none yet: it is learning, or has never sent anything.
    without_index: usize,
}

/// Reads how an asset is.
#[utoipa::path(get, path = "/assets/{id}/health", operation_id = "get_asset_health",
    tag = "registry", params(("id" = String, Path, description = "Id or tag of the asset")),
    responses((status = 200, body = AssetHealth)))]
pub async fn of_asset(
    State(state): State<ApiState>,
    Path(id_or_tag): Path<String>,
) -> Result<Json<AssetHealth>, Problem> {
    let mut connection = state.connection().await?;
    let asset = assets::get(&mut connection, &id_or_tag).await?;
    drop(connection);
    let health = state.detection.health(&asset.tag);
    let condition = state.detection.condition(&asset.tag);
    let (index, reasons) = match condition.as_ref().map(|condition| &condition.asset) {
        Some(own) => (Some(rounded(own.index)), shown(own)),
        None => (None, Vec::new()),
    };
    let components = condition.iter().flat_map(|condition| &condition.components);
    Ok(Json(AssetHealth {
        asset: asset.tag,
        state: health.state.as_str(),
        index,
        reasons,
        components: components.map(|(name, own)| part(name, own)).collect(),
        as_of: condition.as_ref().map(|own| as_of(own).into()),
        drift: health.drift.map(|drift| ModelDrift {
            share: drift.share,
            learned: drift.learned,
            drifted: drift.drifted,
        }),
    }))
}

/// Reads how a site is.
#[utoipa::path(get, path = "/sites/{id}/health", operation_id = "get_site_health",
    tag = "registry", params(("id" = String, Path, description = "Id or key of the site")),
    responses((status = 200, body = PlaceHealth)))]
pub async fn of_site(
    State(state): State<ApiState>,
    Path(id_or_key): Path<String>,
) -> Result<Json<PlaceHealth>, Problem> {
    let mut connection = state.connection().await?;
    let site = sites::get(&mut connection, &id_or_key).await?;
    drop(connection);
    Ok(Json(site_health(&state, &site).await?))
}

/// Reads how an account's sites are.
#[utoipa::path(get, path = "/accounts/{id}/health", operation_id = "get_account_health",
    tag = "registry", params(("id" = String, Path, description = "Id of the account")),
    responses((status = 200, body = PlaceHealth)))]
pub async fn of_account(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Json<PlaceHealth>, Problem> {
    let no_account = || RegistryError::NoSuchAccount(id.chars().take(80).collect());
    let id: AccountId = id.parse().map_err(|_| no_account())?;
    let mut connection = state.connection().await?;
    let account = accounts::get(&mut connection, &id).await?;
    drop(connection);
    let (mut below, mut parts, mut without) = (Vec::new(), Vec::new(), 0);
    let mut request = PageRequest::new(Some(MAX_LIMIT), None);
    loop {
        let page = sites::list(&state.db, Some(&account.id), &request).await?;
        for site in &page.items {
            let own = site_health(&state, site).await?;
            let Some(index) = own.index else {
                without += 1;
                continue;
            };
            // A site has no criticality of its own: its assets' are in its index.
            below.push(Below {
                name: own.name.clone(),
                index,
                criticality: 5,
            });
            parts.push(PartHealth {
                name: own.name,
                index,
                reasons: own.reasons,
            });
        }
        let Some(cursor) = page.next_cursor else {
            break;
        };
        request.after = Some(cursor);
    }
    let (id, name) = (account.id.to_string(), account.name);
    Ok(Json(place((id, name), &below, parts, without)))
}

async fn site_health(state: &ApiState, site: &sites::Site) -> Result<PlaceHealth, Problem> {
    let filter = AssetFilter {
        site: Some(site.id.to_string()),
        ..AssetFilter::default()
    };
    let (mut below, mut parts, mut without) = (Vec::new(), Vec::new(), 0);
    let mut request = PageRequest::new(Some(MAX_LIMIT), None);
    loop {
        let page = assets::list(&state.db, &filter, &request).await?;
        for asset in &page.items {
            let Some(condition) = state.detection.condition(&asset.tag) else {
                without += 1;
                continue;
            };
            below.push(Below {
                name: asset.tag.clone(),
                index: condition.asset.index,
                criticality: asset.criticality,
            });
            parts.push(part(&asset.tag, &condition.asset));
        }
        let Some(cursor) = page.next_cursor else {
            break;
        };
        request.after = Some(cursor);
    }
    let (id, name) = (site.id.to_string(), site.name.clone());
    Ok(place((id, name), &below, parts, without))
}

fn place(
    (id, name): (String, String),
    below: &[Below],
    mut parts: Vec<PartHealth>,
    without_index: usize,
) -> PlaceHealth {
    let own = of_place(below);
    parts.sort_by(|a, b| {
        a.index
            .total_cmp(&b.index)
            .then_with(|| a.name.cmp(&b.name))
    });
    PlaceHealth {
        id,
        name,
        index: own.as_ref().map(|own| rounded(own.index)),
        reasons: own.as_ref().map(shown).unwrap_or_default(),
        below: parts,
        without_index,
    }
}

fn part(name: &str, own: &HealthIndex) -> PartHealth {
    PartHealth {
        name: name.to_owned(),
        index: rounded(own.index),
        reasons: shown(own),
    }
}

fn shown(own: &HealthIndex) -> Vec<HealthReason> {
    let reason = |reason: &fieldwright_condition::health::Reason| HealthReason {
        of: reason.of.clone(),
        share: (reason.share * 1000.0).round() / 1000.0,
        text: reason.text.clone(),
    };
    own.reasons.iter().map(reason).collect()
}

fn as_of(condition: &Condition) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_micros(condition.at).unwrap_or_default()
}

fn rounded(index: f64) -> f64 {
    (index * 10.0).round() / 10.0
}
