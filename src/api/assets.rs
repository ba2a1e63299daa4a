//! `/assets`: the machines that are watched and serviced.

use axum::extract::{Path, State};
use chrono::{Datelike as _, SecondsFormat};
use fieldwright_workorders::registry::RegistryError;
use fieldwright_workorders::registry::assets::{self as registry, AssetFilter, NewAsset};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::command::Command;
use super::idempotency::KeyOptional;
use super::once::{Answer, once};
use super::page::{Page, Parameters, Window};
use super::precondition::Versioned;
use super::problem::{INVALID, Problem};
use super::state::ApiState;
use super::wire::Instant;
use super::words;

/// A machine.
#[derive(Debug, Serialize, ToSchema)]
pub struct Asset {
    /// Identity.
    #[schema(example = "ast_0198c5a8f3c07b52a7a0d1c2b3a4f5e6")]
    id: String,
    /// What it is called on the wire; unique.
    tag: String,
    /// Name for people.
    name: String,
    /// Its kind, such as `pump`; also the name of its table in SQL.
    class: String,
    /// Where it stands; an asset without a site raises no work order.
    site_id: Option<String>,
    /// 1 nobody notices a failure, 5 production stops.
    criticality: i64,
    /// What its telemetry says.
    #[schema(value_type = words::AssetHealth)]
    health: &'static str,
    /// Event time of its newest reading.
    last_reading_at: Option<Instant>,
    /// How much of the learning period is over, 0 to 1, while it is learning.
    learned: Option<f64>,
    /// Its latest score, 0 to 1; one half is the alarm limit.
    score: Option<f64>,
    /// The model behind the score.
    model: Option<String>,
    /// When it was installed, where somebody said so; its age counts from then.
    installed_at: Option<Instant>,
    /// When it was registered.
    created_at: Instant,
    /// Grows with every change.
    version: i64,
}

/// An asset to register.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetRequest {
    /// The tag, as in its topic `fieldwright/CLASS/TAG`.
    #[schema(example = "P-101", max_length = 128)]
    tag: String,
    /// The class, in any case.
    #[schema(example = "pump", max_length = 63)]
    class: String,
    /// Name for people; the tag when it is missing.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// Id or key of its site.
    site: Option<String>,
    /// 1 to 5; 3 when nobody says.
    #[schema(minimum = 1, maximum = 5)]
    criticality: Option<i64>,
    /// When it was installed; its age counts from then. As it is registered when nobody says.
    installed_at: Option<Instant>,
}

/// Which assets.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Of this class.
    class: Option<String>,
    /// At the site with this id or key.
    site: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the assets.
#[utoipa::path(get, path = "/assets", operation_id = "list_assets", tag = "registry",
    params(Which), responses((status = 200, body = Page<Asset>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<Asset>, Problem> {
    let window = Window::read("assets", which.limit, which.cursor.as_deref())?;
    let filter = AssetFilter {
        class: which.class,
        site: which.site,
        tag: which.tag,
    };
    let page = registry::list(&state.db, &filter, &window.request()).await?;
    Ok(window.shown(page, |asset| shown(&state, asset)))
}

/// Reads one asset.
#[utoipa::path(get, path = "/assets/{id}", operation_id = "get_asset", tag = "registry",
    params(("id" = String, Path, description = "Id or tag of the asset")),
    responses((status = 200, body = Asset)))]
pub async fn get(
    State(state): State<ApiState>,
    Path(id_or_tag): Path<String>,
) -> Result<Versioned<Asset>, Problem> {
    let mut connection = state.connection().await?;
    let asset = registry::get(&mut connection, &id_or_tag).await?;
    Ok(Versioned::ok(asset.version, shown(&state, asset)))
}

/// Registers an asset.
///
/// An asset that is registered just so is returned as it is; one that is known without a site
/// takes the site that is given now, and the alarms that waited for that are taken up.
#[utoipa::path(post, path = "/assets", operation_id = "create_asset", tag = "registry",
    params(KeyOptional), request_body = AssetRequest,
    responses((status = 201, body = Asset), (status = 200, body = Asset)))]
pub async fn create(
    State(state): State<ApiState>,
    command: Command<AssetRequest>,
) -> Result<Answer, Problem> {
    let request = &command.body;
    if request
        .criticality
        .is_some_and(|value| !(1..=5).contains(&value))
    {
        let detail = "criticality lies between 1 and 5";
        return Err(Problem::new(INVALID, detail).field("/criticality", detail));
    }
    let new = NewAsset {
        tag: request.tag.clone(),
        class: request.class.clone(),
        name: request.name.clone(),
        site: request.site.clone(),
        criticality: request.criticality,
        installed_at: request.installed_at.map(|at| at.0),
    };
    let ctx = state.acting("api");
    if let Some(at) = new
        .installed_at
        .filter(|at| *at > ctx.now || at.year() < 1900)
    {
        let detail = format!(
            "installed_at is {}, but must lie between 1900 and now, {}, by the business clock",
            at.to_rfc3339_opts(SecondsFormat::Secs, true),
            ctx.now.to_rfc3339_opts(SecondsFormat::Secs, true)
        );
        return Err(Problem::new(INVALID, detail.clone()).field("/installed_at", detail));
    }
    let answer = once(&state.db, &ctx, command.key(), "/assets", &|tx| {
        Box::pin(async {
            let (asset, is_new) = registry::create(tx, &ctx, &new).await?;
            Ok::<_, RegistryError>((is_new, shown(&state, asset)))
        })
    })
    .await?;
    Ok(answer)
}

fn shown(state: &ApiState, asset: registry::Asset) -> Asset {
    let health = state.detection.health(&asset.tag);
    Asset {
        id: asset.id.to_string(),
        tag: asset.tag,
        name: asset.name,
        class: asset.class,
        site_id: asset.site_id.map(|id| id.to_string()),
        criticality: asset.criticality,
        health: health.state.as_str(),
        last_reading_at: health.newest.map(Instant),
        learned: health.learned,
        score: health.score,
        model: health.model,
        installed_at: asset.installed_at.map(Instant),
        created_at: asset.created_at.into(),
        version: asset.version,
    }
}
