//! What people do with a case: say what it was, or have it looked at.

use super::lifecycle::{CaseVerb, CloseOut, decide};
use super::order::make_order;
use super::triage::{asset_of, tell};
use super::{Case, CaseError, labels, rows};
use crate::store::ids::{CaseId, WorkOrderId};
use crate::store::{Ctx, Tx};
use crate::triage::Tier;

/// A person says what a condition was; that labels its alarms.
///
/// **Errors** when the case does not exist, refuses, or the store fails.
pub async fn close(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &CaseId,
    close_out: CloseOut,
    reason: &str,
    expected_version: Option<i64>,
) -> Result<Case, CaseError> {
    let mut case = rows::load(tx.conn(), id).await?;
    let before = case.version;
    let state = (case.status, before);
    case.status = decide(state, CaseVerb::Close, reason, expected_version)?;
    case.again_at = None;
    case.close_out = Some(close_out);
    case.closed_at = Some(ctx.now);
    case.closed_by = Some(ctx.actor.clone());
    case.close_reason = Some(reason.trim().to_owned());
    case.version += 1;
    rows::save(tx, &case, before).await?;
    let asset = asset_of(tx.conn(), &case).await?;
    tell(tx, ctx, &case, &asset, "case.closed", "close", Some(before)).await?;
    labels::publish(tx, ctx, &case, &asset, close_out, None).await?;
    Ok(case)
}

/// A person makes an order of a case, whatever triage thinks of it.
///
/// **Errors** as [`close`], and when `tier` is none that makes an order.
pub async fn escalate(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &CaseId,
    tier: Tier,
    reason: &str,
    expected_version: Option<i64>,
) -> Result<WorkOrderId, CaseError> {
    let case = rows::load(tx.conn(), id).await?;
    let state = (case.status, case.version);
    decide(state, CaseVerb::Escalate, reason, expected_version)?;
    let tier = tier.max(Tier::PlannedInspection);
    let asset = asset_of(tx.conn(), &case).await?;
    let reason = format!("escalated by {}: {}", ctx.actor, reason.trim());
    let verb = CaseVerb::Escalate;
    make_order(tx, ctx, case, &asset, verb, tier, Some(&reason)).await
}
