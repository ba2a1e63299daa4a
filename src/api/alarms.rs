//! `/alarms`: what detectors and rules have found.

use axum::extract::{Path, State};
use fieldwright_analytics::alarms::{
    self as domain, AlarmFilter, AlarmId, Command as Verb, SuppressionFilter,
};
use fieldwright_workorders::registry;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::command::Command;
use super::idempotency::KeyOptional;
use super::page::{Page, Parameters, Window};
use super::precondition::{IfMatch, Versioned};
use super::problem::{self, Problem};
use super::state::ApiState;
use super::wire::{Instant, filter, id};
use super::words;

/// Suppressions that are looked at for a list of alarms.
const HOLDING: usize = 1000;

/// An alarm: active or returned, acknowledged or not, shelved until an instant.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alarm {
    /// Identity.
    #[schema(example = "alm_0198c5a8f3c07b52a7a0d1c2b3a4f5e6")]
    id: String,
    /// Tag of the asset.
    asset: String,
    /// Class of the asset.
    class: String,
    /// The detector or rule that raised it.
    cause: String,
    /// How much it matters: the worst while it was open.
    #[schema(value_type = words::Severity)]
    severity: &'static str,
    /// One sentence for people.
    summary: String,
    /// What it was concluded from: window, contributions per metric, version of the model.
    evidence: Value,
    /// Whether the condition is there now; otherwise it has returned to normal.
    active: bool,
    /// Whether somebody has seen the present occurrence.
    acknowledged: bool,
    /// Who has.
    acknowledged_by: Option<String>,
    /// Until when it is shelved.
    shelved_until: Option<Instant>,
    /// Why.
    shelved_reason: Option<String>,
    /// Event time since which it comes and goes too often; null while it does not.
    chattering_since: Option<Instant>,
    /// The alarm of the same asset that was raised first in the window before, or this one.
    first_out: Option<String>,
    /// What would keep it from being raised now: maintenance, out of service, by design.
    suppression: Option<Suppressing>,
    /// The three facts as one word.
    #[schema(value_type = words::AlarmStatus)]
    status: &'static str,
    /// Event time at which the condition began.
    began_at: Instant,
    /// Event time of the first raise.
    raised_at: Instant,
    /// Event time of the last return, while returned.
    returned_at: Option<Instant>,
    /// When it was closed.
    closed_at: Option<Instant>,
    /// How often it was raised while open.
    occurrences: u32,
    /// Grows with every change.
    version: i64,
    /// What a person may do now.
    allowed_actions: Vec<&'static str>,
}

/// A suppression that holds now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlarmSuppression)]
pub struct Suppressing {
    /// Identity of the suppression.
    id: String,
    /// Its kind.
    #[schema(value_type = words::SuppressionKind)]
    kind: &'static str,
    /// Its reason.
    reason: String,
    /// Event time before which it holds; null: until it is ended.
    until: Option<Instant>,
}

/// Which alarms.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Of the asset with this id or tag.
    asset: Option<String>,
    /// Raised by this detector or rule.
    cause: Option<String>,
    /// Only active ones, or only those that have returned.
    active: Option<bool>,
    /// Only open ones, or only closed ones.
    open: Option<bool>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Who acts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlarmAction)]
pub struct Acting {
    /// Name of the person.
    actor: String,
}

/// Who puts an alarm aside, and until when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShelveAlarm)]
pub struct Shelving {
    /// Name of the person.
    actor: String,
    /// Until when, business clock; at most seven days ahead.
    until: Instant,
    /// Why, one sentence for people.
    #[schema(max_length = 500)]
    reason: String,
}

/// Lists the alarms, newest first.
#[utoipa::path(get, path = "/alarms", operation_id = "list_alarms", tag = "telemetry",
    params(Which), responses((status = 200, body = Page<Alarm>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<Alarm>, Problem> {
    let window = Window::read("alarms", which.limit, which.cursor.as_deref())?;
    let asset = match which.asset {
        Some(asset) if asset.starts_with("ast_") => Some(tag_of(&state, asset).await?),
        other => other,
    };
    let found = AlarmFilter {
        asset,
        cause: which.cause,
        active: which.active,
        open: which.open,
        before: filter("cursor", window.after.as_deref())?,
        limit: window.fetch(),
        ..AlarmFilter::default()
    };
    let alarms = state
        .alarms
        .list(&found)
        .await
        .map_err(problem::of_alarm_store)?;
    let holding = SuppressionFilter {
        holding_at: Some(state.clock.now()),
        limit: HOLDING,
        ..SuppressionFilter::default()
    };
    let holding = state.alarms.suppressions(&holding).await;
    let holding = holding.map_err(problem::of_alarm_store)?;
    let page = window.page(alarms, |alarm| alarm.id.to_string());
    Ok(page.map(|alarm| shown(&state, alarm, &holding)))
}

/// Reads one alarm with its evidence.
#[utoipa::path(get, path = "/alarms/{id}", operation_id = "get_alarm", tag = "telemetry",
    params(("id" = String, Path, description = "Id of the alarm")),
    responses((status = 200, body = Alarm)))]
pub async fn get(
    State(state): State<ApiState>,
    Path(text): Path<String>,
) -> Result<Versioned<Alarm>, Problem> {
    let alarm = state
        .alarms
        .get(&id("alarm", &text)?)
        .await
        .map_err(problem::of_alarm)?;
    one(&state, alarm).await
}

/// Says that a person has seen the alarm.
#[utoipa::path(post, path = "/alarms/{id}/acknowledge", operation_id = "acknowledge_alarm",
    tag = "telemetry",
    params(("id" = String, Path, description = "Id of the alarm"), IfMatch, KeyOptional),
    request_body = Acting, responses((status = 200, body = Alarm)))]
pub async fn acknowledge(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Acting>,
) -> Result<Versioned<Alarm>, Problem> {
    let version = command.required_version()?;
    act(
        &state,
        &text,
        version,
        Verb::Acknowledge {
            by: state.person(command.body.actor)?,
        },
    )
    .await
}

/// Puts the alarm aside for a time.
#[utoipa::path(post, path = "/alarms/{id}/shelve", operation_id = "shelve_alarm",
    tag = "telemetry",
    params(("id" = String, Path, description = "Id of the alarm"), IfMatch, KeyOptional),
    request_body = Shelving, responses((status = 200, body = Alarm)))]
pub async fn shelve(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Shelving>,
) -> Result<Versioned<Alarm>, Problem> {
    let version = command.required_version()?;
    let Shelving {
        actor,
        until,
        reason,
    } = command.body;
    act(
        &state,
        &text,
        version,
        Verb::Shelve {
            until: until.0,
            by: state.person(actor)?,
            reason,
        },
    )
    .await
}

/// Takes the alarm from the shelf.
#[utoipa::path(post, path = "/alarms/{id}/unshelve", operation_id = "unshelve_alarm",
    tag = "telemetry",
    params(("id" = String, Path, description = "Id of the alarm"), IfMatch, KeyOptional),
    request_body = Acting, responses((status = 200, body = Alarm)))]
pub async fn unshelve(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Acting>,
) -> Result<Versioned<Alarm>, Problem> {
    let version = command.required_version()?;
    act(
        &state,
        &text,
        version,
        Verb::Unshelve {
            by: state.person(command.body.actor)?,
        },
    )
    .await
}

/// A repeat of what is so already succeeds, so these actions need no key to be safe.
async fn act(
    state: &ApiState,
    text: &str,
    version: i64,
    verb: Verb,
) -> Result<Versioned<Alarm>, Problem> {
    let id: AlarmId = id("alarm", text)?;
    let done = state
        .alarms
        .command(&id, &verb, Some(version), state.clock.now())
        .await;
    one(state, done.map_err(problem::of_alarm)?).await
}

async fn one(state: &ApiState, alarm: domain::Alarm) -> Result<Versioned<Alarm>, Problem> {
    let store = state.alarms.store();
    let now = state.clock.now();
    let holding = store.covering(&alarm.asset, &alarm.class, &alarm.cause, now);
    let holding = holding.await.map_err(problem::of_alarm_store)?;
    Ok(Versioned::ok(alarm.version, shown(state, alarm, &holding)))
}

/// The tag of a registered asset; an id that nobody has matches no alarm.
pub(super) async fn tag_of(state: &ApiState, id: String) -> Result<String, Problem> {
    let mut connection = state.connection().await?;
    let asset = registry::assets::find(&mut connection, &id).await?;
    Ok(asset.map_or(id, |asset| asset.tag))
}

fn shown(state: &ApiState, alarm: domain::Alarm, holding: &[domain::Suppression]) -> Alarm {
    let now = state.clock.now();
    // One with a condition is left aside: whether that is there is asked when something is found.
    let suppression = holding
        .iter()
        .filter(|one| one.during.is_none() && alarm.closed.is_none())
        .find(|one| one.covers(&alarm.asset, &alarm.class, &alarm.cause, now))
        .map(|one| Suppressing {
            id: one.id.to_string(),
            kind: one.kind.as_str(),
            reason: one.reason.clone(),
            until: one.until.map(Instant),
        });
    Alarm {
        status: alarm.shown(now).as_str(),
        allowed_actions: alarm.allowed_actions(now),
        id: alarm.id.to_string(),
        asset: alarm.asset,
        class: alarm.class,
        cause: alarm.cause,
        severity: alarm.severity.as_str(),
        summary: alarm.summary,
        evidence: alarm.evidence,
        active: alarm.active,
        acknowledged: alarm.acknowledged.is_some(),
        acknowledged_by: alarm.acknowledged.map(|seen| seen.by),
        shelved_until: alarm.shelved.as_ref().map(|shelving| shelving.until.into()),
        shelved_reason: alarm.shelved.map(|shelving| shelving.reason),
        chattering_since: alarm.chattering_since.map(Instant),
        first_out: alarm.first_out.map(|first| first.to_string()),
        suppression,
        began_at: alarm.began_at.into(),
        raised_at: alarm.raised_at.into(),
        returned_at: alarm.returned_at.map(Instant),
        closed_at: alarm.closed.map(|closed| closed.at.into()),
        occurrences: alarm.occurrences,
        version: alarm.version,
    }
}
