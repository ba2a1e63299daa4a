//! `/detect/proposals`: alarm limits that would have cost less, for a person to promote.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use fieldwright_analytics::detect::Detection;
use fieldwright_workorders::store::ids::ProposalId;
use fieldwright_workorders::tuning::{self, Kept, ProposalError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::command::Command;
use super::idempotency::KeyOptional;
use super::once::{Answer, once};
use super::page::{Page, Parameters, Window};
use super::precondition::IfMatch;
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{Instant, Money, filter, id};
use super::words;

/// The name of the collection, for `Location`.
const COLLECTION: &str = "/detect/proposals";

/// An alarm limit that would have cost less over the labeled episodes.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitProposal {
    /// Identity.
    id: String,
    /// Class of the assets.
    class: String,
    /// The detector.
    cause: String,
    /// Where it stands.
    #[schema(value_type = words::ProposalStatus)]
    status: &'static str,
    /// By what to multiply the limit that is in force, in thousandths.
    factor_milli: i64,
    /// Who changes the limit: the detector takes a promoted one over by itself, a threshold or an
    /// SQL rule is changed by hand where it is written.
    #[schema(value_type = words::AppliedBy)]
    applied_by: &'static str,
    /// Whether its factor multiplies the limit now.
    in_force: bool,
    /// Labeled episodes behind it.
    episodes: i64,
    /// Of these, faults.
    confirmed: i64,
    /// Of these, nothing.
    no_fault_found: i64,
    /// What the episodes cost with the limit as it is, as planned.
    cost_now: Money,
    /// What they would have cost.
    cost_proposed: Money,
    /// One sentence for people.
    reason: String,
    /// When it was made.
    created_at: Instant,
    /// When a person decided.
    decided_at: Option<Instant>,
    /// Who.
    decided_by: Option<String>,
    /// When a person took the promoted limit back.
    taken_back_at: Option<Instant>,
    /// Who.
    taken_back_by: Option<String>,
    /// Grows with every change.
    version: i64,
}

/// Which proposals.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// With this status.
    #[param(value_type = Option<words::ProposalStatus>)]
    status: Option<String>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Who acts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProposalAction)]
pub struct Acting {
    /// Name of the person.
    actor: String,
}

/// What a weighing of the labels proposed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Weighed {
    /// The new proposals.
    proposed: Vec<String>,
}

/// Lists the proposals, oldest first.
#[utoipa::path(get, path = "/detect/proposals", operation_id = "list_limit_proposals",
    tag = "telemetry", params(Which), responses((status = 200, body = Page<LimitProposal>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<LimitProposal>, Problem> {
    let window = Window::read("proposals", which.limit, which.cursor.as_deref())?;
    let status = filter("status", which.status.as_deref())?;
    let page = tuning::list(&state.db, status, &window.request()).await?;
    Ok(window.shown(page, |kept| LimitProposal::of(kept, &state.detection)))
}

/// Weighs what the field has labeled, and proposes limits that would have cost less.
#[utoipa::path(post, path = "/detect/proposals", operation_id = "weigh_limit_proposals",
    tag = "telemetry", params(KeyOptional), request_body = Acting,
    responses((status = 200, body = Weighed)))]
pub async fn weigh(
    State(state): State<ApiState>,
    command: Command<Acting>,
) -> Result<Json<Weighed>, Problem> {
    let ctx = &state.acting_for(&command.body.actor)?;
    let made = state
        .db
        .write(|tx| Box::pin(async move { tuning::refresh(tx, ctx).await }))
        .await?;
    let proposed = made.iter().map(ToString::to_string).collect();
    Ok(Json(Weighed { proposed }))
}

/// Puts a proposed limit in force: the detector's limit is multiplied from the next window on.
///
/// A limit that people have written, of a threshold or an SQL rule, is refused: it is changed by
/// hand, and the proposal declined.
#[utoipa::path(post, path = "/detect/proposals/{id}/promote",
    operation_id = "promote_limit_proposal", tag = "telemetry",
    params(("id" = String, Path, description = "Id of the proposal"), IfMatch, KeyOptional),
    request_body = Acting, responses((status = 200, body = LimitProposal)))]
pub async fn promote(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Acting>,
) -> Result<Answer, Problem> {
    decide(&state, &text, command, Word::Promote).await
}

/// Says no to a proposed limit.
#[utoipa::path(post, path = "/detect/proposals/{id}/decline",
    operation_id = "decline_limit_proposal", tag = "telemetry",
    params(("id" = String, Path, description = "Id of the proposal"), IfMatch, KeyOptional),
    request_body = Acting, responses((status = 200, body = LimitProposal)))]
pub async fn decline(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Acting>,
) -> Result<Answer, Problem> {
    decide(&state, &text, command, Word::Decline).await
}

/// Takes a promoted limit back: the detector's limit is what it was before.
#[utoipa::path(post, path = "/detect/proposals/{id}/take-back",
    operation_id = "take_back_limit_proposal", tag = "telemetry",
    params(("id" = String, Path, description = "Id of the proposal"), IfMatch, KeyOptional),
    request_body = Acting, responses((status = 200, body = LimitProposal)))]
pub async fn take_back(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    command: Command<Acting>,
) -> Result<Answer, Problem> {
    decide(&state, &text, command, Word::TakeBack).await
}

/// What a person says of a proposal.
#[derive(Debug, Clone, Copy)]
enum Word {
    Promote,
    Decline,
    TakeBack,
}

async fn decide(
    state: &ApiState,
    text: &str,
    command: Command<Acting>,
    word: Word,
) -> Result<Answer, Problem> {
    let version = Some(command.required_version()?);
    let proposal: ProposalId = id("proposal", text)?;
    let ctx = state.acting_for(&command.body.actor)?;
    if let Word::Promote = word {
        let mut connection = state.connection().await?;
        let kept = tuning::get(&mut connection, &proposal).await?;
        if !state.detection.takes_limit(&kept.class, &kept.cause) {
            return Err(by_hand(&kept));
        }
    }
    let answer = once(&state.db, &ctx, command.key(), COLLECTION, &|tx| {
        Box::pin(async {
            let kept = match word {
                Word::Promote => tuning::promote(tx, &ctx, &proposal, version).await?,
                Word::Decline => tuning::decline(tx, &ctx, &proposal, version).await?,
                Word::TakeBack => tuning::take_back(tx, &ctx, &proposal, version).await?,
            };
            Ok::<_, ProposalError>((false, LimitProposal::of(kept, &state.detection)))
        })
    })
    .await?;
    Ok(answer)
}

/// A limit that a person wrote is changed where it is written.
fn by_hand(kept: &Kept) -> Problem {
    const REFUSAL: &str = "limit_changed_by_hand";
    let detail = format!(
        "{cause} is no detector of class {class} but a threshold or an SQL rule: change its limit \
         in the configuration, to {factor}.{thousandths:03} times what it is now, start the service \
         again and decline the proposal",
        cause = kept.cause,
        class = kept.class,
        factor = kept.factor_milli / 1_000,
        thousandths = kept.factor_milli % 1_000,
    );
    Problem::refusal(
        StatusCode::CONFLICT,
        REFUSAL,
        "Limit changed by hand",
        detail,
    )
}

impl LimitProposal {
    fn of(kept: Kept, detection: &Detection) -> Self {
        Self {
            applied_by: match detection.takes_limit(&kept.class, &kept.cause) {
                true => "detector",
                false => "hand",
            },
            in_force: kept.is_in_force(),
            id: kept.id.to_string(),
            class: kept.class,
            cause: kept.cause,
            status: kept.status.as_str(),
            factor_milli: kept.factor_milli,
            episodes: kept.episodes,
            confirmed: kept.confirmed,
            no_fault_found: kept.no_fault_found,
            cost_now: kept.cost_now.into(),
            cost_proposed: kept.cost_proposed.into(),
            reason: kept.reason,
            created_at: kept.created_at.into(),
            decided_at: kept.decided_at.map(Instant),
            decided_by: kept.decided_by,
            taken_back_at: kept.taken_back_at.map(Instant),
            taken_back_by: kept.taken_back_by,
            version: kept.version,
        }
    }
}
