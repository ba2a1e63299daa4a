//! `/cases`: what alarms came to, before they are orders or instead.

use axum::extract::{Path, State};
use fieldwright_workorders::cases::views::{self, CaseFilter, CaseView};
use fieldwright_workorders::cases::{self as domain, CaseError};
use fieldwright_workorders::store::ids::CaseId;
use fieldwright_workorders::triage::Tier;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::command::Command;
use super::idempotency::KeyOptional;
use super::once::{Answer, once};
use super::page::{Page, Parameters, Window};
use super::precondition::{IfMatch, Versioned};
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{Instant, Money, filter, id};
use super::words;
use super::work_orders::AssetRef;

/// The name of the collection, for `Location`.
const COLLECTION: &str = "/cases";

/// A condition of an asset: what triage decided about it last, and how it ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct Case {
    /// Identity.
    id: String,
    /// The machine.
    asset: AssetRef,
    /// What is wrong.
    failure_mode: String,
    /// Where it stands.
    #[schema(value_type = words::CaseStatus)]
    status: &'static str,
    /// What it came to.
    #[schema(value_type = words::Tier)]
    tier: &'static str,
    /// Why, with the figures.
    reason: String,
    /// One sentence for people.
    summary: String,
    /// How bad it is.
    #[schema(value_type = words::Severity)]
    severity: &'static str,
    /// Probability that there is something to be found, in basis points.
    confidence_bp: u32,
    /// Seconds out of band.
    persistence_s: i64,
    /// Probability of failure within the horizon in millionths, where there is a prognosis.
    failure_ppm: Option<u32>,
    /// How likely the asset was to fail within the horizon of triage when the case was decided, in
    /// millionths; none where nobody could say. `reason` says whether it counted.
    forecast_ppm: Option<u32>,
    /// What that stands on.
    #[schema(value_type = Option<words::ForecastBasis>)]
    forecast_basis: Option<&'static str>,
    /// Detectors and rules that see it.
    agreeing: u32,
    /// Detectors and rules that watch the asset.
    watching: u32,
    /// What the decision saves on average, as planned.
    saving: Money,
    /// When its first alarm came in.
    opened_at: Instant,
    /// When it was decided last.
    decided_at: Instant,
    /// When time alone may change the decision.
    again_at: Option<Instant>,
    /// The order that it became or joined.
    work_order_id: Option<String>,
    /// What it turned out to be.
    #[schema(value_type = Option<words::CloseOut>)]
    close_out: Option<&'static str>,
    /// When it was closed.
    closed_at: Option<Instant>,
    /// Who closed it, or what.
    closed_by: Option<String>,
    /// Why.
    close_reason: Option<String>,
    /// The alarms behind it.
    alarms: Vec<CaseAlarm>,
    /// Grows with every change.
    version: i64,
    /// What a person may do now.
    allowed_actions: Vec<&'static str>,
}

/// An alarm behind a case.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaseAlarm {
    /// The alarm; `#2` and so on tell a later occurrence of the same alarm.
    alarm_id: String,
    /// The detector or rule.
    cause: String,
    /// The very model behind it.
    model: Option<String>,
    /// How bad, in the detector's word.
    severity: String,
    /// One sentence for people.
    summary: String,
    /// What was seen.
    evidence: Value,
    /// When the asset left its band.
    began_at: Instant,
    /// When it was raised.
    raised_at: Instant,
    /// When it returned to normal.
    returned_at: Option<Instant>,
}

/// Which cases.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// With this status.
    #[param(value_type = Option<words::CaseStatus>)]
    status: Option<String>,
    /// With this tier.
    #[param(value_type = Option<words::Tier>)]
    tier: Option<String>,
    /// On the asset with this id or tag.
    asset: Option<String>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Who says what a case was.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CloseCase)]
pub struct Closing {
    /// Name of the person.
    actor: String,
    /// What it turned out to be; this labels the alarms.
    #[schema(value_type = words::CloseOut)]
    close_out: domain::CloseOut,
    /// Why.
    reason: String,
}

/// Who makes an order of a case.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EscalateCase)]
pub struct Escalation {
    /// Name of the person.
    actor: String,
    /// Why.
    reason: String,
    /// True for a visit of its own now; false, or nothing, for the next visit that is due.
    #[serde(default)]
    dispatch: bool,
}

/// Lists the cases, oldest first.
#[utoipa::path(get, path = "/cases", operation_id = "list_cases", tag = "work",
    params(Which), responses((status = 200, body = Page<Case>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<Case>, Problem> {
    let window = Window::read("cases", which.limit, which.cursor.as_deref())?;
    let wanted = CaseFilter {
        status: filter("status", which.status.as_deref())?,
        tier: filter("tier", which.tier.as_deref())?,
        asset: which.asset,
    };
    let page = views::list(&state.db, &wanted, &window.request()).await?;
    Ok(window.shown(page, Case::from))
}

/// Reads one case with its alarms.
#[utoipa::path(get, path = "/cases/{id}", operation_id = "get_case", tag = "work",
    params(("id" = String, Path, description = "Id of the case")),
    responses((status = 200, body = Case)))]
pub async fn get(
    State(state): State<ApiState>,
    Path(text): Path<String>,
) -> Result<Versioned<Case>, Problem> {
    let id: CaseId = id("case", &text)?;
    let mut connection = state.connection().await?;
    let case = views::get(&mut connection, &id).await?;
    Ok(Versioned::ok(case.case.version, case.into()))
}

/// Closes a case: a person says what the condition was.
#[utoipa::path(post, path = "/cases/{id}/close", operation_id = "close_case", tag = "work",
    params(("id" = String, Path, description = "Id of the case"), IfMatch, KeyOptional),
    request_body = Closing, responses((status = 200, body = Case)))]
pub async fn close(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Closing>,
) -> Result<Answer, Problem> {
    let version = command.required_version()?;
    let case: CaseId = id("case", &text)?;
    let (code, reason) = (command.body.close_out, &command.body.reason);
    let ctx = state.acting_for(&command.body.actor)?;
    let answer = once(&state.db, &ctx, command.key(), COLLECTION, &|tx| {
        Box::pin(async {
            domain::close(tx, &ctx, &case, code, reason, Some(version)).await?;
            let view = views::get(tx.conn(), &case).await?;
            Ok::<_, CaseError>((false, Case::from(view)))
        })
    })
    .await?;
    Ok(answer)
}

/// Makes an order of a case, whatever triage thinks of it.
#[utoipa::path(post, path = "/cases/{id}/escalate", operation_id = "escalate_case", tag = "work",
    params(("id" = String, Path, description = "Id of the case"), IfMatch, KeyOptional),
    request_body = Escalation, responses((status = 200, body = Case)))]
pub async fn escalate(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Escalation>,
) -> Result<Answer, Problem> {
    let version = command.required_version()?;
    let case: CaseId = id("case", &text)?;
    let reason = &command.body.reason;
    let tier = match command.body.dispatch {
        true => Tier::Dispatch,
        false => Tier::PlannedInspection,
    };
    let ctx = state.acting_for(&command.body.actor)?;
    let answer = once(&state.db, &ctx, command.key(), COLLECTION, &|tx| {
        Box::pin(async {
            domain::escalate(tx, &ctx, &case, tier, reason, Some(version)).await?;
            let view = views::get(tx.conn(), &case).await?;
            Ok::<_, CaseError>((false, Case::from(view)))
        })
    })
    .await?;
    Ok(answer)
}

impl From<CaseView> for Case {
    fn from(view: CaseView) -> Self {
        let case = view.case;
        Self {
            id: case.id.to_string(),
            asset: view.asset.into(),
            failure_mode: case.failure_mode,
            status: case.status.as_str(),
            tier: case.tier.as_str(),
            reason: case.reason,
            summary: case.summary,
            severity: case.facts.severity.as_str(),
            confidence_bp: case.facts.confidence_bp,
            persistence_s: case.facts.persistence_s,
            failure_ppm: case.facts.failure_ppm,
            forecast_ppm: case.facts.forecast.map(|one| one.ppm),
            forecast_basis: case.facts.forecast.map(|one| one.basis.as_str()),
            agreeing: case.facts.agreement.agreeing,
            watching: case.facts.agreement.watching,
            saving: case.saving.into(),
            opened_at: case.opened_at.into(),
            decided_at: case.decided_at.into(),
            again_at: case.again_at.map(Instant),
            work_order_id: case.work_order_id.map(|id| id.to_string()),
            close_out: case.close_out.map(domain::CloseOut::as_str),
            closed_at: case.closed_at.map(Instant),
            closed_by: case.closed_by,
            close_reason: case.close_reason,
            alarms: view.alarms.into_iter().map(CaseAlarm::from).collect(),
            version: case.version,
            allowed_actions: view
                .allowed_actions
                .iter()
                .map(|verb| verb.as_str())
                .collect(),
        }
    }
}

impl From<domain::AlarmOfCase> for CaseAlarm {
    fn from(alarm: domain::AlarmOfCase) -> Self {
        Self {
            alarm_id: alarm.alarm_id,
            cause: alarm.cause,
            model: alarm.model,
            severity: alarm.severity,
            summary: alarm.summary,
            evidence: alarm.evidence,
            began_at: alarm.began_at.into(),
            raised_at: alarm.raised_at.into(),
            returned_at: alarm.returned_at.map(Instant),
        }
    }
}
