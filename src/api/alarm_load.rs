//! `/alarms/load` and `/alarms/first-out`: how much alarms ask of people, and which came first.

use axum::Json;
use axum::extract::State;
use chrono::TimeDelta;
use fieldwright_analytics::alarms::{self as domain, Raise};
use fieldwright_workorders::registry::assets::{self, AssetFilter};
use fieldwright_workorders::store::page::PageRequest;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::alarms::tag_of;
use super::page::Parameters;
use super::problem::{self, MALFORMED, Problem};
use super::state::ApiState;
use super::wire::Instant;
use super::words;

/// The time before now that is looked at.
const LOOK_BACK: TimeDelta = TimeDelta::days(1);
/// Assets of a site at most, for the first alarm among them.
const MAX_ASSETS: i64 = 500;

/// How much alarms ask of people, by event time.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlarmLoad {
    /// Raises in the window before now.
    raised: usize,
    /// The window. **Units**: seconds.
    window_seconds: i64,
    /// More raises than this in the window are a flood.
    limit: u32,
    /// Whether there is a flood now.
    flood: bool,
    /// The floods of the last day, oldest first.
    floods: Vec<Flood>,
    /// What raised most in the last day.
    worst: Vec<BadActor>,
    /// Whether there were more raises than are looked at; then the oldest are not counted.
    truncated: bool,
}

/// A time with more alarms than people can answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlarmFlood)]
pub struct Flood {
    /// Event time of the raise that was one too many.
    from: Instant,
    /// Event time at which few enough came; null while it lasts.
    until: Option<Instant>,
    /// Raises that belong to it.
    raises: usize,
}

/// An asset and cause, and how often it raised.
#[derive(Debug, Serialize, ToSchema)]
pub struct BadActor {
    /// Tag of the asset.
    asset: String,
    /// The detector or rule.
    cause: String,
    /// How often.
    raises: usize,
}

/// The raise that came first.
#[derive(Debug, Serialize, ToSchema)]
pub struct FirstOut {
    /// The alarm, or null when none was raised in the window.
    alarm_id: Option<String>,
    /// Tag of its asset.
    asset: Option<String>,
    /// The detector or rule.
    cause: Option<String>,
    /// How much it mattered then.
    #[schema(value_type = Option<words::Severity>)]
    severity: Option<&'static str>,
    /// Event time of the raise.
    raised_at: Option<Instant>,
    /// The window before the instant. **Units**: seconds.
    window_seconds: i64,
}

/// Among which alarms.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Among {
    /// Those of the asset with this id or tag, or
    asset: Option<String>,
    /// those of all assets at the site with this id or key.
    site: Option<String>,
    /// In the window before this event time; now when it is missing.
    at: Option<Instant>,
}

/// Says how many alarms there are for people to answer, and whether they are a flood.
#[utoipa::path(get, path = "/alarms/load", operation_id = "get_alarm_load", tag = "telemetry",
    responses((status = 200, body = AlarmLoad)))]
pub async fn get(State(state): State<ApiState>) -> Result<Json<AlarmLoad>, Problem> {
    let load = state
        .alarms
        .load(LOOK_BACK, state.clock.now())
        .await
        .map_err(problem::of_alarm_store)?;
    let policy = state.alarms.policy();
    Ok(Json(AlarmLoad {
        raised: load.raised,
        window_seconds: policy.flood_within.delta().num_seconds(),
        limit: policy.flood_raises,
        flood: load.flood().is_some(),
        truncated: load.truncated,
        floods: load.floods.into_iter().map(flood).collect(),
        worst: load
            .worst
            .into_iter()
            .map(|one| BadActor {
                asset: one.asset,
                cause: one.cause,
                raises: one.raises,
            })
            .collect(),
    }))
}

/// Says which alarm of an asset or of a site came first in the window before an instant.
#[utoipa::path(get, path = "/alarms/first-out", operation_id = "get_first_out", tag = "telemetry",
    params(Among), responses((status = 200, body = FirstOut)))]
pub async fn first_out(
    State(state): State<ApiState>,
    Parameters(among): Parameters<Among>,
) -> Result<Json<FirstOut>, Problem> {
    let tags = match (among.asset, among.site) {
        (Some(asset), None) if asset.starts_with("ast_") => vec![tag_of(&state, asset).await?],
        (Some(asset), None) => vec![asset],
        (None, Some(site)) => at_site(&state, site).await?,
        _ => {
            let detail = "name one asset or one site among whose alarms the first is asked for";
            return Err(Problem::new(MALFORMED, detail));
        }
    };
    let at = among.at.map_or_else(|| state.clock.now(), |at| at.0);
    let first = state
        .alarms
        .first_out(&tags, at)
        .await
        .map_err(problem::of_alarm_store)?;
    let window = state.alarms.policy().first_out_within.delta();
    Ok(Json(shown(first, window.num_seconds())))
}

async fn at_site(state: &ApiState, site: String) -> Result<Vec<String>, Problem> {
    let filter = AssetFilter {
        site: Some(site),
        ..AssetFilter::default()
    };
    let page = PageRequest {
        limit: MAX_ASSETS,
        after: None,
    };
    let found = assets::list(&state.db, &filter, &page).await?;
    Ok(found.items.into_iter().map(|asset| asset.tag).collect())
}

fn flood(flood: domain::Flood) -> Flood {
    Flood {
        from: flood.from.into(),
        until: flood.until.map(Instant),
        raises: flood.raises,
    }
}

fn shown(first: Option<Raise>, window_seconds: i64) -> FirstOut {
    FirstOut {
        severity: first.as_ref().map(|first| first.severity.as_str()),
        raised_at: first.as_ref().map(|first| first.at.into()),
        alarm_id: first.as_ref().map(|first| first.alarm.to_string()),
        cause: first.as_ref().map(|first| first.cause.clone()),
        asset: first.map(|first| first.asset),
        window_seconds,
    }
}
