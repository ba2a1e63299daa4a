//! `/assets/{id}/health`, `/sites/{id}/health`, `/accounts/{id}/health`: one index from 0 to 100,
//! with its reasons, for an asset, its components, and the places above it.

use axum::Json;
use axum::extract::{Path, State};
use fieldwright_analytics::detect::{
    AssetDegradation, Condition, Degradation, NoDegradation, NoRemainingLife,
};
use fieldwright_condition::health::{Below, HealthIndex, of_place};
use fieldwright_workorders::registry::assets::{self, AssetFilter};
use fieldwright_workorders::registry::{RegistryError, accounts, sites};
use fieldwright_workorders::store::ids::AccountId;
use fieldwright_workorders::store::page::{MAX_LIMIT, PageRequest};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::Parameters;
use super::problem::{MALFORMED, Problem};
use super::state::ApiState;
use super::wire::Instant;
use super::words;

/// How far ahead a failure may be asked about.
const FARTHEST: chrono::TimeDelta = chrono::TimeDelta::days(3_653);

/// How an asset is.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssetHealth {
    /// The asset's tag.
    asset: String,
    /// In one word: learning, normal, alarm, stale or unknown.
    state: &'static str,
    /// In `unit`. None before anything was judged.
    index: Option<f64>,
    /// The unit of every index.
    unit: &'static str,
    /// Why it is not higher, the weightiest first.
    reasons: Vec<HealthReason>,
    /// Its components, as its class declares them.
    components: Vec<PartHealth>,
    /// Where the index is going.
    outlook: HealthOutlook,
    /// How long it will last, learned from assets of its class that failed; null where its class
    /// declares nothing that tells of it.
    remaining_life: Option<RemainingLife>,
    /// Event time of the end of the window that this is of; UTC, as all instants.
    as_of: Option<Instant>,
    /// How old that is by the business clock. **Units**: seconds.
    age_s: Option<i64>,
    /// Time zone of the asset's site, by its IANA name, to show instants to people; UTC without a
    /// site.
    time_zone: String,
    /// Whether its model still describes it.
    drift: Option<ModelDrift>,
}

/// Where a health index is going: the line through its course since it began to fall.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct HealthOutlook {
    /// The index at which the asset counts as failing, as its class declares; none when nobody can
    /// say when it is reached.
    failing_index: Option<f64>,
    /// Event time since which it has been falling.
    falling_since: Option<Instant>,
    /// When the failing index is reached, as likely before as after; none when that is farther ahead
    /// than can be said.
    expected_at: Option<Instant>,
    /// Reached before with a probability of 5 %, likewise.
    lower_at: Option<Instant>,
    /// Reached before with a probability of 95 %, likewise.
    upper_at: Option<Instant>,
    /// One sentence: the same, or why nobody can say.
    text: String,
}

/// How long an asset will last: hours of its age from `as_of` on, and the dates that they make.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = AssetRemainingLife)]
pub struct RemainingLife {
    /// Version of the class's model that says so; none when nobody can say.
    model: Option<String>,
    /// The best single number. **Units**: hours.
    expected_h: Option<f64>,
    /// Lower end of the interval. **Units**: hours.
    lower_h: Option<f64>,
    /// Upper end of the interval; at `cap_h` it means that or more. **Units**: hours.
    upper_h: Option<f64>,
    /// Longest remaining life that the model tells apart. **Units**: hours.
    cap_h: Option<f64>,
    /// Share of truths that such intervals shall hold, 0 to 1.
    coverage: Option<f64>,
    /// When it is expected to fail; none when that is at the cap or farther ahead.
    expected_at: Option<Instant>,
    /// The early end of the interval, likewise.
    lower_at: Option<Instant>,
    /// The late end of the interval, likewise.
    upper_at: Option<Instant>,
    /// Event time of the newest reading that it stands on.
    as_of: Option<Instant>,
    /// How old that is by the business clock. **Units**: seconds.
    age_s: Option<i64>,
    /// One sentence: the same, or why nobody can say.
    text: String,
}

/// How likely an asset is to fail before a date.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailureProbability {
    /// Tag of the asset.
    asset: String,
    /// The date.
    before: Instant,
    /// Probability of a failure before it, 0 to 1; none when nobody can say.
    probability: Option<f64>,
    /// What it stands on.
    #[schema(value_type = Option<words::ForecastBasis>)]
    basis: Option<&'static str>,
    /// Event time of what is known; the instant of the question for what goes by age.
    as_of: Option<Instant>,
    /// One sentence: where it comes from, or why nobody can say.
    text: String,
}

/// Before when.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Ahead {
    /// The date, an instant in RFC 3339; later than now by the business clock, by ten years at most.
    #[param(value_type = String, format = DateTime)]
    before: Instant,
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
    /// Where it is going; none for what lies below a place.
    outlook: Option<HealthOutlook>,
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
    let site = match &asset.site_id {
        Some(site) => Some(sites::get(&mut connection, site.as_str()).await?),
        None => None,
    };
    drop(connection);
    let degradation = state.detection.degradation(&asset.tag);
    let health = state.detection.health(&asset.tag);
    let remaining_life = remaining_life(&state, &asset.tag);
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
        unit: "points, 0 to 100; 50 is the alarm limit",
        components: components
            .map(|(name, own)| PartHealth {
                outlook: Some(of_component(name, degradation.as_ref())),
                ..part(name, own)
            })
            .collect(),
        outlook: match &degradation {
            Some(found) => outlook(&found.asset),
            None => nothing_sent(),
        },
        remaining_life,
        as_of: condition.as_ref().map(|own| as_of(own).into()),
        age_s: condition
            .as_ref()
            .map(|own| (state.clock.now() - as_of(own)).num_seconds()),
        time_zone: site.map_or_else(|| "UTC".to_owned(), |site| site.time_zone.to_string()),
        drift: health.drift.map(|drift| ModelDrift {
            share: drift.share,
            learned: drift.learned,
            drifted: drift.drifted,
        }),
    }))
}

/// Says how likely an asset is to fail before a date.
///
/// By its remaining life where a model of its class says anything of that date, else by the trend of
/// its health index where that falls, else by its age and the lives of its class; where none says anything the probability is null, and `text` says why.
#[utoipa::path(get, path = "/assets/{id}/failure-probability",
    operation_id = "get_failure_probability", tag = "registry",
    params(("id" = String, Path, description = "Id or tag of the asset"), Ahead),
    responses((status = 200, body = FailureProbability)))]
pub async fn failure_probability(
    State(state): State<ApiState>,
    Path(id_or_tag): Path<String>,
    Parameters(ahead): Parameters<Ahead>,
) -> Result<Json<FailureProbability>, Problem> {
    let (before, now) = (ahead.before.0, state.clock.now());
    if before <= now || before - now > FARTHEST {
        let shown = |at: chrono::DateTime<chrono::Utc>| {
            at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        };
        let detail = format!(
            "before is {}, but must lie after now, {}, by the business clock, by ten years at most",
            shown(before),
            shown(now)
        );
        return Err(Problem::new(MALFORMED, detail));
    }
    let mut connection = state.connection().await?;
    let asset = assets::get(&mut connection, &id_or_tag).await?;
    drop(connection);
    let found = state.detection.failure_probability(&asset.tag, before);
    let (found, text) = match found {
        Ok(found) => (Some(found.clone()), found.text),
        Err(reasons) => (None, reasons.to_string()),
    };
    Ok(Json(FailureProbability {
        asset: asset.tag,
        before: ahead.before,
        probability: found
            .as_ref()
            .map(|one| (one.probability * 1e6).round() / 1e6),
        basis: found.as_ref().map(|one| one.basis.as_str()),
        as_of: found.as_ref().map(|one| one.as_of.into()),
        text,
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
                outlook: None,
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
        outlook: None,
    }
}

fn of_component(name: &str, found: Option<&AssetDegradation>) -> HealthOutlook {
    let components = found.iter().flat_map(|found| &found.components);
    let mut own = components.filter(|(known, _)| known == name);
    own.next()
        .map_or_else(nothing_sent, |(_, found)| outlook(found))
}

fn outlook(found: &Result<Degradation, NoDegradation>) -> HealthOutlook {
    match found {
        Ok(found) => HealthOutlook {
            failing_index: Some(found.failing_index),
            falling_since: Some(found.since.into()),
            expected_at: found.expected.map(Instant),
            lower_at: found.lower.map(Instant),
            upper_at: found.upper.map(Instant),
            text: found.sentence(),
        },
        Err(reason) => HealthOutlook {
            text: reason.to_string(),
            ..HealthOutlook::default()
        },
    }
}

fn remaining_life(state: &ApiState, tag: &str) -> Option<RemainingLife> {
    let life = match state.detection.remaining_life(tag) {
        Ok(life) => life,
        Err(NoRemainingLife::NotDeclared | NoRemainingLife::Unknown) => return None,
        Err(reason) => {
            return Some(RemainingLife {
                text: reason.to_string(),
                ..RemainingLife::default()
            });
        }
    };
    let age = state.clock.now() - life.as_of;
    Some(RemainingLife {
        model: Some(life.version.clone()),
        expected_h: Some(hours(life.remaining.expected)),
        lower_h: Some(hours(life.remaining.lower)),
        upper_h: Some(hours(life.remaining.upper)),
        cap_h: Some(hours(life.cap)),
        coverage: Some(life.coverage),
        expected_at: life.expected_at().map(Instant),
        lower_at: life.lower_at().map(Instant),
        upper_at: life.upper_at().map(Instant),
        as_of: Some(life.as_of.into()),
        age_s: Some(age.num_seconds()),
        text: life.sentence(),
    })
}

fn nothing_sent() -> HealthOutlook {
    HealthOutlook {
        text: "it has never sent anything".to_owned(),
        ..HealthOutlook::default()
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

fn hours(hours: f64) -> f64 {
    (hours * 1000.0).round() / 1000.0
}
