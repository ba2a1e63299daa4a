//! From a case to its order, and what comes to a case that has one.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::case::facts;
use super::lifecycle::CaseVerb;
use super::triage::{asset_of, economics_of, learned, take_over, tell};
use super::{AlarmOfCase, Case, CaseError, CaseStatus, rows};
use crate::orders::intake::{self, AlarmReport, CaseOrder};
use crate::registry::assets::Asset;
use crate::store::audit::{self, Change};
use crate::store::ids::WorkOrderId;
use crate::store::{Ctx, Tx};
use crate::triage::{self, Budget, Forecast, Tier};

/// An order that a person made takes over the open case of its condition.
pub(crate) async fn join_order(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    key: &str,
    order: &WorkOrderId,
) -> Result<Vec<AlarmReport>, CaseError> {
    let Some(mut case) = rows::find_open(tx.conn(), key).await? else {
        return Ok(Vec::new());
    };
    let asset = asset_of(tx.conn(), &case).await?;
    let before = case.version;
    case.status = CaseStatus::Ordered;
    case.again_at = None;
    case.work_order_id = Some(order.clone());
    case.version += 1;
    rows::save(tx, &case, before).await?;
    tell(
        tx,
        ctx,
        &case,
        &asset,
        "case.ordered",
        "order",
        Some(before),
    )
    .await?;
    reports(tx, &case, &asset).await
}

/// A later alarm of a condition that has an order joins the order's case, which may climb.
pub(crate) async fn join_case_of_order(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &WorkOrderId,
    report: &AlarmReport,
    asset: &Asset,
) -> Result<(), CaseError> {
    let Some(case) = rows::of_order(tx.conn(), order).await? else {
        return Ok(());
    };
    rows::insert_alarm(tx, &case.id, &AlarmOfCase::of(report)).await?;
    climb(tx, ctx, case, asset, (report.raised_at, report.forecast)).await
}

/// Makes the one order of a case and hands its alarms over.
pub(super) async fn make_order(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    mut case: Case,
    asset: &Asset,
    verb: CaseVerb,
    tier: Tier,
    by: Option<&str>,
) -> Result<WorkOrderId, CaseError> {
    let economics = economics_of(asset)?;
    let before = case.version;
    let within = match tier {
        Tier::Dispatch => economics.dispatch_within,
        _ => economics.inspection_within,
    };
    let reason = by.map_or_else(|| case.reason.clone(), str::to_owned);
    let made = CaseOrder {
        case: &case.id,
        failure_mode: &case.failure_mode,
        summary: &case.summary,
        severity: case.facts.severity,
        tier,
        reason: &reason,
        due_at: ctx.now + within,
        alarms: &reports(tx, &case, asset).await?,
    };
    let order = intake::order_of_case(tx, ctx, asset, made).await?;
    case.status = CaseStatus::Ordered;
    case.tier = tier;
    case.reason = reason;
    case.again_at = None;
    case.work_order_id = Some(order.clone());
    case.version += 1;
    rows::save(tx, &case, before).await?;
    let change = Change {
        noun: "case",
        subject: case.id.as_str(),
        verb: verb.as_str(),
        before: Some(before),
        after: case.version,
        detail: json!({ "tier": tier, "reason": case.reason, "work_order_id": order }),
    };
    audit::record(tx, ctx, change).await?;
    Ok(order)
}

/// A planned inspection becomes a dispatch where the case is now worth one; never the other way, and
/// not where its order is over: the case says what was ordered.
pub(super) async fn climb(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    mut case: Case,
    asset: &Asset,
    (as_of, forecast): (DateTime<Utc>, Option<Forecast>),
) -> Result<(), CaseError> {
    let alarms = rows::alarms(tx.conn(), &case.id).await?;
    let Some(facts) = facts(&alarms, as_of) else {
        return Ok(());
    };
    let (Tier::PlannedInspection, Some(order)) = (case.tier, case.work_order_id.clone()) else {
        return Ok(());
    };
    let mut facts = learned(tx.conn(), asset, &alarms, facts).await?;
    facts.forecast = forecast;
    let economics = economics_of(asset)?;
    // Its own order is not another one: climbing costs nothing of the budget.
    let decision = triage::decide(&facts, &economics, Budget { used: 0 });
    if decision.tier != Tier::Dispatch {
        return Ok(());
    }
    let before = case.version;
    take_over(&mut case, ctx, facts, &economics, decision);
    case.version += 1;
    let due_at = ctx.now + economics.dispatch_within;
    let urgent = (case.reason.as_str(), due_at);
    if intake::dispatch_now(tx, ctx, &order, asset, urgent, facts.severity).await? {
        rows::save(tx, &case, before).await?;
    }
    Ok(())
}

async fn reports(
    tx: &mut Tx<'_>,
    case: &Case,
    asset: &Asset,
) -> Result<Vec<AlarmReport>, CaseError> {
    let alarms = rows::alarms(tx.conn(), &case.id).await?;
    let report = |alarm: &AlarmOfCase| alarm.report(&asset.tag, &asset.class);
    Ok(alarms.iter().map(report).collect())
}
