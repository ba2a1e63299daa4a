//! From alarms to a decided case, and from a case to its order.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::AnyConnection;

use super::case::facts;
use super::lifecycle::CaseVerb;
use super::order::{climb, make_order};
use super::{AlarmOfCase, Case, CaseError, CaseStatus, rows};
use crate::lifecycle::target;
use crate::orders::Severity;
use crate::orders::intake::{AlarmReport, Intake};
use crate::registry::assets::{self, Asset};
use crate::registry::catalog::FailureMode;
use crate::store::audit::{self, Change};
use crate::store::columns::{instant, int, micros, parsed, text};
use crate::store::ids::CaseId;
use crate::store::{Ctx, Db, StoreError, Tx, outbox};
use crate::triage::{self, Budget, Decision, Economics, Facts, Forecast};

/// Orders count against the budget for so long.
const BUDGET_DAYS: i64 = 365;
/// Cases that are looked at again at once, at most.
const MAX_PAGE: i64 = 200;
/// A silent asset's case is not looked at again sooner, in business time.
const NOT_BEFORE: TimeDelta = TimeDelta::minutes(5);

/// More about an alarm that goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Worse {
    /// When it was seen.
    pub at: DateTime<Utc>,
    /// How bad it is now, in the teller's word.
    pub severity: String,
    /// Probability that it is real. **Units** basis points.
    pub confidence_bp: u32,
    /// Probability of failure within the horizon. **Units** millionths.
    pub failure_ppm: Option<u32>,
    /// Multiple of its limit. **Units** thousandths.
    pub ratio_milli: Option<i64>,
    /// One sentence for people.
    pub summary: String,
    /// The forecast of the asset just then.
    pub forecast: Option<Forecast>,
}

/// A case whose decision time alone may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCase {
    /// The case.
    pub case: CaseId,
    /// The asset's tag.
    pub asset_tag: String,
    /// Its class.
    pub class: String,
    /// When it was opened: for an asset whose readings nobody knows.
    pub opened_at: DateTime<Utc>,
}

/// Opens a case for an alarm, or adds the alarm to the open one of its condition, and decides it.
pub(crate) async fn take_in(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    report: &AlarmReport,
    asset: &Asset,
    mode: &FailureMode,
    key: &str,
) -> Result<Intake, CaseError> {
    let alarm = AlarmOfCase::of(report);
    if let Some(case) = rows::find_open(tx.conn(), key).await? {
        rows::insert_alarm(tx, &case.id, &alarm).await?;
        return decide(tx, ctx, case, asset, (report.raised_at, report.forecast)).await;
    }
    let alarms = [alarm];
    let Some(mut facts) = facts(&alarms, report.raised_at) else {
        unreachable!("a new alarm has not returned")
    };
    facts.forecast = report.forecast;
    let (facts, economics, decision) = judge(tx, ctx, asset, &alarms, facts).await?;
    let case = Case {
        id: CaseId::new(ctx),
        asset_id: asset.id.clone(),
        failure_mode: mode.key.clone(),
        status: CaseStatus::Open,
        tier: decision.tier,
        reason: decision.reason,
        summary: report.summary.clone(),
        facts,
        saving: decision.saving,
        visit: economics.dispatch,
        opened_at: ctx.now,
        decided_at: ctx.now,
        again_at: again_at(ctx, report.raised_at, decision.again_after),
        work_order_id: None,
        close_out: None,
        closed_at: None,
        closed_by: None,
        close_reason: None,
        version: 1,
    };
    rows::insert(tx, &case, key).await?;
    rows::insert_alarm(tx, &case.id, &alarms[0]).await?;
    if case.tier.is_order() {
        let tier = case.tier;
        let order = make_order(tx, ctx, case, asset, CaseVerb::Order, tier, None).await?;
        return Ok(Intake::Created(order));
    }
    tell(tx, ctx, &case, asset, "case.opened", "open", None).await?;
    Ok(Intake::Kept(case.id, case.tier))
}

/// Takes in that an alarm goes on and is worse, surer or nearer to a failure.
///
/// An open case is decided again; an order for a planned inspection may become a dispatch.
///
/// **Errors** when the store fails.
pub async fn worse(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    alarm_id: &str,
    worse: &Worse,
) -> Result<(), CaseError> {
    let Some(case) = rows::of_alarm(tx.conn(), alarm_id).await? else {
        return Ok(());
    };
    let alarms = rows::alarms(tx.conn(), &case.id).await?;
    let Some(mut alarm) = alarms.into_iter().find(|one| one.alarm_id == alarm_id) else {
        return Ok(());
    };
    if Severity::from_word(&worse.severity) > Severity::from_word(&alarm.severity) {
        alarm.severity.clone_from(&worse.severity);
    }
    alarm.confidence_bp = alarm.confidence_bp.max(worse.confidence_bp.min(10_000));
    alarm.failure_ppm = worse
        .failure_ppm
        .map(|ppm| ppm.min(1_000_000))
        .or(alarm.failure_ppm);
    alarm.peak_milli = alarm.peak_milli.max(worse.ratio_milli);
    alarm.summary.clone_from(&worse.summary);
    rows::save_alarm(tx, &alarm).await?;
    let asset = asset_of(tx.conn(), &case).await?;
    match case.status {
        CaseStatus::Open => {
            decide(tx, ctx, case, &asset, (worse.at, worse.forecast)).await?;
        }
        CaseStatus::Ordered => {
            climb(tx, ctx, case, &asset, (worse.at, worse.forecast)).await?;
        }
        CaseStatus::Closed => {}
    }
    Ok(())
}

/// Takes in that an alarm is over; a case whose alarms are all over ends.
pub(crate) async fn alarm_ended(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    alarm_id: &str,
    at: DateTime<Utc>,
) -> Result<(), CaseError> {
    sqlx::query(
        "UPDATE case_alarms SET returned_at = $1 WHERE alarm_id = $2 AND returned_at IS NULL",
    )
    .bind(micros(at))
    .bind(alarm_id)
    .execute(tx.conn())
    .await?;
    let Some(mut case) = rows::of_alarm(tx.conn(), alarm_id).await? else {
        return Ok(());
    };
    let alarms = rows::alarms(tx.conn(), &case.id).await?;
    let is_over = alarms.iter().all(|alarm| alarm.returned_at.is_some());
    let Some(to) = target(super::MOVES, case.status, CaseVerb::End).filter(|_| is_over) else {
        return Ok(());
    };
    let before = case.version;
    case.status = to;
    case.again_at = None;
    case.closed_at = Some(ctx.now);
    case.closed_by = Some(ctx.actor.clone());
    case.close_reason = Some("returned to normal".to_owned());
    case.version += 1;
    rows::save(tx, &case, before).await?;
    let asset = asset_of(tx.conn(), &case).await?;
    tell(tx, ctx, &case, &asset, "case.closed", "end", Some(before)).await
}

/// The open cases whose decision time alone may change by `now`, most overdue first.
///
/// **Errors** when the store fails.
pub async fn due(db: &Db, now: DateTime<Utc>) -> Result<Vec<DueCase>, StoreError> {
    let rows = sqlx::query(
        "SELECT c.id, c.opened_at, a.tag, a.class FROM cases c JOIN assets a ON a.id = c.asset_id \
         WHERE c.status = 'open' AND c.again_at <= $1 ORDER BY c.again_at, c.id LIMIT $2",
    )
    .bind(micros(now))
    .bind(MAX_PAGE)
    .fetch_all(db.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(DueCase {
                case: parsed(row, "id")?,
                asset_tag: text(row, "tag")?,
                class: text(row, "class")?,
                opened_at: instant(row, "opened_at")?,
            })
        })
        .collect()
}

/// Decides an open case again; `as_of` is how far the asset's readings go, since silence is no
/// proof that a condition lasts, and `forecast` what is expected of it now.
///
/// **Errors** when the store fails.
pub async fn decide_again(
    db: &Db,
    ctx: &Ctx,
    id: &CaseId,
    (as_of, forecast): (DateTime<Utc>, Option<Forecast>),
) -> Result<(), CaseError> {
    db.write(|tx| {
        Box::pin(async move {
            let case = rows::load(tx.conn(), id).await?;
            if case.status == CaseStatus::Open {
                let asset = asset_of(tx.conn(), &case).await?;
                decide(tx, ctx, case, &asset, (as_of.min(ctx.now), forecast)).await?;
            }
            Ok(())
        })
    })
    .await
}

/// Decides an open case on what its active alarms say at `as_of`, and on the asset's forecast.
async fn decide(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    mut case: Case,
    asset: &Asset,
    (as_of, forecast): (DateTime<Utc>, Option<Forecast>),
) -> Result<Intake, CaseError> {
    let alarms = rows::alarms(tx.conn(), &case.id).await?;
    let Some(mut facts) = facts(&alarms, as_of) else {
        return Ok(Intake::Kept(case.id, case.tier));
    };
    // What has lasted has: a clock behind or a silent asset takes nothing back.
    facts.persistence_s = facts.persistence_s.max(case.facts.persistence_s);
    facts.forecast = forecast;
    let (facts, economics, decision) = judge(tx, ctx, asset, &alarms, facts).await?;
    let (before, was) = (case.version, case.tier);
    if let Some(newest) = alarms.last() {
        case.summary.clone_from(&newest.summary);
    }
    case.again_at = again_at(ctx, as_of, decision.again_after);
    take_over(&mut case, ctx, facts, &economics, decision);
    case.version += 1;
    rows::save(tx, &case, before).await?;
    if case.tier.is_order() {
        let tier = case.tier;
        let order = make_order(tx, ctx, case, asset, CaseVerb::Order, tier, None).await?;
        return Ok(Intake::Created(order));
    }
    if case.tier != was {
        tell(
            tx,
            ctx,
            &case,
            asset,
            "case.decided",
            "decide",
            Some(before),
        )
        .await?;
    }
    Ok(Intake::Kept(case.id, case.tier))
}

pub(super) fn take_over(
    case: &mut Case,
    ctx: &Ctx,
    facts: Facts,
    economics: &Economics,
    decision: Decision,
) {
    case.facts = facts;
    case.tier = decision.tier;
    case.reason = decision.reason;
    case.saving = decision.saving;
    case.visit = economics.dispatch;
    case.decided_at = ctx.now;
}

async fn judge(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    asset: &Asset,
    alarms: &[AlarmOfCase],
    facts: Facts,
) -> Result<(Facts, Economics, Decision), CaseError> {
    let facts = learned(tx.conn(), asset, alarms, facts).await?;
    let economics = economics_of(asset)?;
    let used = orders_of_the_year(tx.conn(), asset, ctx.now).await?;
    let decision = triage::decide(&facts, &economics, Budget { used });
    Ok((facts, economics, decision))
}

/// The facts with what earlier alarms of the same causes on the class turned out to be.
pub(super) async fn learned(
    conn: &mut AnyConnection,
    asset: &Asset,
    alarms: &[AlarmOfCase],
    mut facts: Facts,
) -> Result<Facts, StoreError> {
    let rows = sqlx::query(
        // A chattering alarm comes many times: its case counts once.
        "SELECT m.cause, COUNT(DISTINCT CASE WHEN c.close_out = 'no_fault_found' THEN NULL \
         ELSE c.id END) AS found, \
         COUNT(DISTINCT c.id) AS all_of_them FROM case_alarms m JOIN cases c ON c.id = m.case_id \
         JOIN assets a ON a.id = c.asset_id WHERE a.class = $1 AND c.close_out IS NOT NULL \
         GROUP BY m.cause",
    )
    .bind(asset.class.as_str())
    .fetch_all(conn)
    .await?;
    let mut surest = 0;
    for alarm in alarms.iter().filter(|alarm| alarm.returned_at.is_none()) {
        let mut confidence = alarm.confidence_bp;
        for row in &rows {
            if text(row, "cause")? == alarm.cause {
                let (found, all) = (int(row, "found")?, int(row, "all_of_them")?);
                confidence = triage::learned_confidence(confidence, found, all);
            }
        }
        surest = surest.max(confidence);
    }
    facts.confidence_bp = surest;
    Ok(facts)
}

/// Orders that alarms raised on the asset within a year, canceled ones left out.
async fn orders_of_the_year(
    conn: &mut AnyConnection,
    asset: &Asset,
    now: DateTime<Utc>,
) -> Result<u32, StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS used FROM work_orders WHERE asset_id = $1 AND source = 'alarm' \
         AND status <> 'canceled' AND created_at > $2",
    )
    .bind(asset.id.as_str())
    .bind(micros(now - TimeDelta::days(BUDGET_DAYS)))
    .fetch_one(conn)
    .await?;
    Ok(u32::try_from(int(&row, "used")?).unwrap_or(u32::MAX))
}

pub(super) fn economics_of(asset: &Asset) -> Result<Economics, StoreError> {
    triage::economics(&asset.class, asset.criticality)
        .map_err(|error| StoreError::unreadable("economics.toml", error))
}

pub(super) async fn asset_of(conn: &mut AnyConnection, case: &Case) -> Result<Asset, CaseError> {
    let asset = assets::get(conn, case.asset_id.as_str()).await;
    asset.map_err(|error| CaseError::Order(error.into()))
}

fn again_at(
    ctx: &Ctx,
    as_of: DateTime<Utc>,
    again_after: Option<TimeDelta>,
) -> Option<DateTime<Utc>> {
    again_after.map(|wait| (as_of + wait).max(ctx.now + NOT_BEFORE))
}

pub(super) async fn tell(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    case: &Case,
    asset: &Asset,
    kind: &str,
    verb: &str,
    before: Option<i64>,
) -> Result<(), CaseError> {
    let data = json!({
        "asset": { "id": asset.id, "tag": asset.tag, "class": asset.class },
        "failure_mode": case.failure_mode,
        "status": case.status,
        "tier": case.tier,
        "reason": case.reason,
        "summary": case.summary,
        "facts": case.facts,
        "work_order_id": case.work_order_id,
        "close_out": case.close_out,
        "close_reason": case.close_reason,
        "actor": ctx.actor,
    });
    let change = Change {
        noun: "case",
        subject: case.id.as_str(),
        verb,
        before,
        after: case.version,
        detail: data.clone(),
    };
    audit::record(tx, ctx, change).await?;
    outbox::publish(tx, ctx, kind, case.id.as_str(), data).await?;
    Ok(())
}
