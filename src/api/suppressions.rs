//! `/suppressions`: declared spans in which nothing is raised, and what they kept down.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::TimeDelta;
use fieldwright_analytics::alarms::{
    self as domain, Condition, Declaration, SuppressedFilter, SuppressedOutcome, SuppressionFilter,
    SuppressionId,
};
use fieldwright_analytics::detect::HealthState;
use fieldwright_ingest::clock::wall_now;
use fieldwright_workorders::registry::{RegistryError, assets};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::alarms::tag_of;
use super::command::Command;
use super::idempotency::KeyOptional;
use super::page::{Page, Parameters, Window};
use super::precondition::Versioned;
use super::problem::{self, MALFORMED, Problem};
use super::state::ApiState;
use super::wire::{Instant, body_id, filter, id, plausible};
use super::words;

/// A suppression may lie so far ahead.
const MAX_AHEAD: TimeDelta = TimeDelta::days(366);

/// A declared span in which nothing is raised, and why.
#[derive(Debug, Serialize, ToSchema)]
pub struct Suppression {
    /// Identity.
    #[schema(example = "sup_5f0e6d1cb7a14c5e9a3b2d4f6a7b8c9d")]
    id: String,
    /// Why nothing is raised.
    #[schema(value_type = words::SuppressionKind)]
    kind: &'static str,
    /// Tag of the asset that it is about, or
    asset: Option<String>,
    /// the class that it is about.
    class: Option<String>,
    /// Only what this detector or rule finds; null: all.
    cause: Option<String>,
    /// Only while this alarm is there.
    #[serde(rename = "while")]
    during: Option<While>,
    /// Event time from which it holds.
    from: Instant,
    /// Event time before which it holds; null: until it is ended.
    until: Option<Instant>,
    /// Why, one sentence for people.
    reason: String,
    /// Who declared it.
    declared_by: String,
    /// When.
    declared_at: Instant,
    /// Who ended it.
    ended_by: Option<String>,
    /// When.
    ended_at: Option<Instant>,
    /// Whether the present lies in it; its `while` is not asked.
    holds: bool,
    /// Grows with every change.
    version: i64,
    /// What a person may do now.
    allowed_actions: Vec<&'static str>,
}

/// An alarm that must be there for a suppression by design to hold.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SuppressionCondition)]
pub struct While {
    /// Id or tag of its asset; the very asset that is suppressed when it is missing.
    asset: Option<String>,
    /// The detector or rule that raises it.
    cause: String,
}

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeclareSuppression)]
pub struct Declaring {
    /// Name of the person.
    actor: String,
    /// Why nothing is to be raised.
    #[schema(value_type = words::SuppressionKind)]
    kind: String,
    /// Id or tag of the asset; or
    asset: Option<String>,
    /// a class.
    class: Option<String>,
    /// Only what this detector or rule finds; all when it is missing.
    cause: Option<String>,
    /// Only while this alarm is there; for the kind `by_design`.
    #[serde(rename = "while")]
    during: Option<While>,
    /// Event time from which it holds; now when it is missing.
    from: Option<Instant>,
    /// Event time before which it holds; needed for maintenance and start-up, at most 31 days later.
    until: Option<Instant>,
    /// Why, one sentence for people.
    #[schema(max_length = 500)]
    reason: String,
}

/// Who ends a suppression.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EndSuppression)]
pub struct Ending {
    /// Name of the person.
    actor: String,
    /// Event time at which it ends; now when it is missing.
    at: Option<Instant>,
}

/// Which suppressions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// About the asset with this id or tag.
    asset: Option<String>,
    /// About this class.
    class: Option<String>,
    /// Only those that hold now.
    holding: Option<bool>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Something that was found while it was suppressed: recorded, and not raised.
#[derive(Debug, Serialize, ToSchema)]
pub struct SuppressedOccurrence {
    /// Identity of the occurrence.
    id: String,
    /// Tag of the asset.
    asset: String,
    /// Class of the asset.
    class: String,
    /// The detector or rule that found it.
    cause: String,
    /// How much it matters.
    #[schema(value_type = words::Severity)]
    severity: &'static str,
    /// One sentence for people.
    summary: String,
    /// What it was concluded from.
    evidence: Value,
    /// Event time at which the condition began.
    began_at: Instant,
    /// Event time at which it would have been raised.
    found_at: Instant,
    /// The suppression that kept it down.
    suppression_id: String,
    /// Its kind.
    #[schema(value_type = words::SuppressionKind)]
    kind: &'static str,
    /// Its reason.
    reason: String,
    /// What became of it.
    #[schema(value_type = words::SuppressedOutcome)]
    outcome: &'static str,
    /// Event time of that.
    outcome_at: Option<Instant>,
    /// The alarm that it became when its suppression was over.
    alarm_id: Option<String>,
}

/// Which suppressed occurrences.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WhichOccurrences {
    /// Of the asset with this id or tag.
    asset: Option<String>,
    /// Found by this detector or rule.
    cause: Option<String>,
    /// Kept down by this suppression.
    suppression: Option<String>,
    /// Only those that are still there and suppressed, or only the others.
    standing: Option<bool>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the suppressions, the last declared first.
#[utoipa::path(get, path = "/suppressions", operation_id = "list_suppressions", tag = "telemetry",
    params(Which), responses((status = 200, body = Page<Suppression>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<Suppression>, Problem> {
    let window = Window::read("suppressions", which.limit, which.cursor.as_deref())?;
    let before = match window.after.as_deref().map(place) {
        Some(None) => return Err(Problem::new(MALFORMED, "the cursor cannot be read")),
        Some(before) => before,
        None => None,
    };
    let found = SuppressionFilter {
        asset: registered(&state, which.asset).await?,
        class: which.class.map(|class| class.to_lowercase()),
        holding_at: which
            .holding
            .filter(|holding| *holding)
            .map(|_| state.clock.now()),
        before,
        limit: window.fetch(),
    };
    let found = state
        .alarms
        .suppressions(&found)
        .await
        .map_err(problem::of_alarm_store)?;
    let page = window.page(found, |one| {
        format!("{}:{}", one.declared.at.timestamp_micros(), one.id)
    });
    Ok(page.map(|one| shown(&state, one)))
}

/// Declares a span in which nothing is raised for an asset or a class.
///
/// What is found meanwhile is recorded as a suppressed occurrence. When the suppression ends and it
/// is still there, it is raised with the event time of that end.
#[utoipa::path(post, path = "/suppressions", operation_id = "declare_suppression",
    tag = "telemetry", params(KeyOptional), request_body = Declaring,
    responses((status = 201, body = Suppression), (status = 200, body = Suppression)))]
pub async fn create(
    State(state): State<ApiState>,
    command: Command<Declaring>,
) -> Result<Versioned<Suppression>, Problem> {
    let now = state.clock.now();
    let (key, fingerprint) = match command.key() {
        Some(key) => (format!("api:{}", key.key), key.fingerprint.clone()),
        None => (state.ids.uuid(wall_now()).to_string(), String::new()),
    };
    let body = command.body;
    let instant = |pointer, at: Option<Instant>| {
        at.map(|at| plausible(pointer, at, now, MAX_AHEAD))
            .transpose()
    };
    let during = match body.during {
        Some(during) => Some(Condition {
            asset: known(&state, during.asset).await?,
            cause: during.cause,
        }),
        None => None,
    };
    let wanted = Declaration {
        key,
        fingerprint,
        kind: body_id("/kind", &body.kind)?,
        asset: known(&state, body.asset).await?,
        class: body.class,
        cause: body.cause,
        during,
        from: instant("/from", body.from)?.unwrap_or(now),
        until: instant("/until", body.until)?,
        reason: body.reason,
        by: state.person(body.actor)?,
    };
    let declared = state
        .alarms
        .declare(wanted, now)
        .await
        .map_err(problem::of_alarm)?;
    let one = declared.suppression;
    let (version, path) = (
        one.version,
        format!("{}/suppressions/{}", super::BASE, one.id),
    );
    Ok(Versioned {
        status: if declared.repeated {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        },
        version,
        location: (!declared.repeated).then_some(path),
        body: shown(&state, one),
    })
}

/// Reads one suppression.
#[utoipa::path(get, path = "/suppressions/{id}", operation_id = "get_suppression",
    tag = "telemetry", params(("id" = String, Path, description = "Id of the suppression")),
    responses((status = 200, body = Suppression)))]
pub async fn get(
    State(state): State<ApiState>,
    Path(text): Path<String>,
) -> Result<Versioned<Suppression>, Problem> {
    let one = state
        .alarms
        .suppression(&id("suppression", &text)?)
        .await
        .map_err(problem::of_alarm)?;
    Ok(Versioned::ok(one.version, shown(&state, one)))
}

/// Ends a suppression: the asset is put back into service. One that has ended stays as it is.
#[utoipa::path(post, path = "/suppressions/{id}/end", operation_id = "end_suppression",
    tag = "telemetry",
    params(("id" = String, Path, description = "Id of the suppression"), KeyOptional),
    request_body = Ending, responses((status = 200, body = Suppression)))]
pub async fn end(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Ending>,
) -> Result<Versioned<Suppression>, Problem> {
    let now = state.clock.now();
    let id: SuppressionId = id("suppression", &text)?;
    let at = match command.body.at {
        Some(at) => plausible("/at", at, now, MAX_AHEAD)?,
        None => now,
    };
    let actor = state.person(command.body.actor)?;
    let one = state
        .alarms
        .end_suppression(&id, &actor, at, now)
        .await
        .map_err(problem::of_alarm)?;
    Ok(Versioned::ok(one.version, shown(&state, one)))
}

/// Lists what was found while it was suppressed, newest first.
#[utoipa::path(get, path = "/suppressed-occurrences", operation_id = "list_suppressed_occurrences",
    tag = "telemetry", params(WhichOccurrences),
    responses((status = 200, body = Page<SuppressedOccurrence>)))]
pub async fn list_occurrences(
    State(state): State<ApiState>,
    Parameters(which): Parameters<WhichOccurrences>,
) -> Result<Page<SuppressedOccurrence>, Problem> {
    let window = Window::read(
        "suppressed-occurrences",
        which.limit,
        which.cursor.as_deref(),
    )?;
    let found = SuppressedFilter {
        asset: registered(&state, which.asset).await?,
        cause: which.cause,
        suppression: filter("suppression", which.suppression.as_deref())?,
        standing: which.standing,
        before: filter("cursor", window.after.as_deref())?,
        limit: window.fetch(),
    };
    let found = state
        .alarms
        .suppressed(&found)
        .await
        .map_err(problem::of_alarm_store)?;
    let page = window.page(found, |one| one.id.to_string());
    Ok(page.map(occurrence))
}

/// The tag behind an id or tag that something is to be declared about: an asset that is neither
/// registered nor has ever sent anything is a slip of the pen.
///
/// **Errors**: 404 when it is.
async fn known(state: &ApiState, asset: Option<String>) -> Result<Option<String>, Problem> {
    let Some(asset) = asset else { return Ok(None) };
    let mut connection = state.connection().await?;
    if let Some(found) = assets::find(&mut connection, &asset).await? {
        return Ok(Some(found.tag));
    }
    match state.detection.health(&asset).state {
        HealthState::Unknown => Err(RegistryError::NoSuchAsset(asset).into()),
        _ => Ok(Some(asset)),
    }
}

/// The tag behind an id or tag; a tag that is not registered counts as it is.
async fn registered(state: &ApiState, asset: Option<String>) -> Result<Option<String>, Problem> {
    match asset {
        Some(asset) if asset.starts_with("ast_") => Ok(Some(tag_of(state, asset).await?)),
        other => Ok(other),
    }
}

/// The place of a cursor: instant of the declaration and id.
fn place(text: &str) -> Option<(chrono::DateTime<chrono::Utc>, SuppressionId)> {
    let (micros, id) = text.split_once(':')?;
    let at = chrono::DateTime::from_timestamp_micros(micros.parse().ok()?)?;
    Some((at, id.parse().ok()?))
}

fn shown(state: &ApiState, one: domain::Suppression) -> Suppression {
    let now = state.clock.now();
    let is_over = one.ended.is_some() || one.until.is_some_and(|until| until <= now);
    Suppression {
        holds: one.holds_at(now),
        allowed_actions: if is_over { vec![] } else { vec!["end"] },
        id: one.id.to_string(),
        kind: one.kind.as_str(),
        asset: one.asset,
        class: one.class,
        cause: one.cause,
        during: one.during.map(|during| While {
            asset: during.asset,
            cause: during.cause,
        }),
        from: one.from.into(),
        until: one.until.map(Instant),
        reason: one.reason,
        declared_by: one.declared.by,
        declared_at: one.declared.at.into(),
        ended_at: one.ended.as_ref().map(|ended| ended.at.into()),
        ended_by: one.ended.map(|ended| ended.by),
        version: one.version,
    }
}

fn occurrence(one: domain::Suppressed) -> SuppressedOccurrence {
    let outcome = one.outcome.as_str();
    let (outcome_at, alarm) = match one.outcome {
        SuppressedOutcome::Standing => (None, None),
        SuppressedOutcome::Returned { at } => (Some(at), None),
        SuppressedOutcome::Raised { at, alarm } => (Some(at), Some(alarm.to_string())),
    };
    let found = one.occurrence;
    SuppressedOccurrence {
        id: one.id.to_string(),
        asset: found.asset,
        class: found.class,
        cause: found.cause,
        severity: found.severity.as_str(),
        summary: found.summary,
        evidence: found.evidence,
        began_at: found.began_at.into(),
        found_at: found.raised_at.into(),
        suppression_id: one.suppression.to_string(),
        kind: one.kind.as_str(),
        reason: one.reason,
        outcome,
        outcome_at: outcome_at.map(Instant),
        alarm_id: alarm,
    }
}
