//! Alarms come in: each alarm once, one open order per asset and failure mode.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::creation::{self, Draft};
use super::order::open_key;
use super::rows;
use super::{OrderError, Priority, Severity, Verification, WorkOrder, priority};
use crate::cases;
use crate::registry::assets::{self, Asset};
use crate::registry::catalog;
use crate::store::audit::{self, Change};
use crate::store::columns::{int, micros, parsed, text};
use crate::store::ids::{CaseId, WorkOrderId};
use crate::store::{Ctx, Db, StoreError, Tx, outbox};
use crate::triage::{Forecast, Tier};

/// Alarms that wait for one asset at most; a later one is logged and not kept.
const MAX_WAITING_PER_ASSET: i64 = 1_000;

/// An alarm, as the part that watches tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmReport {
    /// The alarm's identity: an alarm that is told twice counts once.
    pub alarm_id: String,
    /// The asset's tag.
    pub asset_tag: String,
    /// The class under which the asset reports.
    pub class: String,
    /// The detector or rule that found it.
    pub cause: String,
    /// How bad, in the teller's word.
    pub severity: String,
    /// When it was raised.
    pub raised_at: DateTime<Utc>,
    /// One sentence for people.
    pub summary: String,
    /// What was seen: window, contributions, model.
    pub evidence: Value,
    /// When the asset left its band; as it was raised when nobody says.
    #[serde(default)]
    pub began_at: Option<DateTime<Utc>>,
    /// Probability that there is something to be found. **Units** basis points.
    #[serde(default = "unsaid_confidence")]
    pub confidence_bp: u32,
    /// Probability of failure within the horizon of triage, where there is a prognosis.
    /// **Units** millionths.
    #[serde(default)]
    pub failure_ppm: Option<u32>,
    /// How many detectors and rules watch the asset.
    #[serde(default)]
    pub watching: u32,
    /// The very model or rule behind it.
    #[serde(default)]
    pub model: Option<String>,
    /// How far over its own limit the detector is. **Units** thousandths of the limit.
    #[serde(default)]
    pub ratio_milli: Option<i64>,
    /// The forecast of the asset just then, within the horizon of triage.
    #[serde(default)]
    pub forecast: Option<Forecast>,
}

/// What is believed of a teller who does not say how sure it is. **Units** basis points.
pub const UNSAID_CONFIDENCE_BP: u32 = 8_000;

fn unsaid_confidence() -> u32 {
    UNSAID_CONFIDENCE_BP
}

/// What became of an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intake {
    /// It raised this order.
    Created(WorkOrderId),
    /// It is evidence on this order, which works on its condition already.
    Attached(WorkOrderId),
    /// It is kept as this case, which is worth no order (yet).
    Kept(CaseId, Tier),
    /// It waits, for this reason.
    Waiting(String),
    /// It was told before.
    AlreadySo,
}

/// Takes an alarm in.
///
/// **Errors** when the store fails; nothing is taken in then, and the alarm may be told again.
pub async fn alarm(db: &Db, ctx: &Ctx, report: AlarmReport) -> Result<Intake, OrderError> {
    let report = &report;
    db.write(|tx| Box::pin(async move { alarm_in(tx, ctx, report).await }))
        .await
}

/// Takes an alarm in, inside the caller's transaction.
///
/// **Errors** as [`alarm`].
pub async fn alarm_in(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    report: &AlarmReport,
) -> Result<Intake, OrderError> {
    if is_known(tx, "work_order_alarms", &report.alarm_id).await?
        || is_known(tx, "case_alarms", &report.alarm_id).await?
        || is_known(tx, "waiting_alarms", &report.alarm_id).await?
    {
        return Ok(Intake::AlreadySo);
    }
    let asset = assets::find(tx.conn(), &report.asset_tag)
        .await?
        .filter(|asset| asset.tag == report.asset_tag);
    match asset {
        Some(asset) if asset.site_id.is_some() => take_in(tx, ctx, report, &asset).await,
        Some(_) => wait(tx, ctx, report, "the asset has no site").await,
        None => wait(tx, ctx, report, "the asset is not registered").await,
    }
}

/// Remembers that an alarm is over; one that still waited is forgotten, and a case without an
/// active alarm ends.
///
/// It is over when it returned to normal, and at the latest when it is closed: whoever tells of
/// both loses nothing, the first instant stays. Until then its order does not pass verification.
///
/// **Errors** when the store fails.
pub async fn alarm_returned(
    db: &Db,
    ctx: &Ctx,
    alarm_id: &str,
    returned_at: DateTime<Utc>,
) -> Result<(), OrderError> {
    db.write(|tx| {
        Box::pin(async move {
            sqlx::query("DELETE FROM waiting_alarms WHERE alarm_id = $1")
                .bind(alarm_id)
                .execute(tx.conn())
                .await?;
            sqlx::query(
                "UPDATE work_order_alarms SET returned_at = $1 \
                 WHERE alarm_id = $2 AND returned_at IS NULL",
            )
            .bind(micros(returned_at))
            .bind(alarm_id)
            .execute(tx.conn())
            .await?;
            cases::triage::alarm_ended(tx, ctx, alarm_id, returned_at).await?;
            Ok(())
        })
    })
    .await
}

/// Takes up the alarms that waited until the asset with this tag had a site.
///
/// **Errors** when the store fails.
pub async fn take_up_waiting(tx: &mut Tx<'_>, ctx: &Ctx, tag: &str) -> Result<(), OrderError> {
    let rows = sqlx::query(
        "SELECT alarm_id, report FROM waiting_alarms WHERE asset_tag = $1 \
         ORDER BY waiting_since, alarm_id",
    )
    .bind(tag)
    .fetch_all(tx.conn())
    .await?;
    for row in rows {
        let report: AlarmReport = serde_json::from_str(&text(&row, "report")?)
            .map_err(|error| StoreError::unreadable("waiting_alarms.report", error))?;
        sqlx::query("DELETE FROM waiting_alarms WHERE alarm_id = $1")
            .bind(text(&row, "alarm_id")?)
            .execute(tx.conn())
            .await?;
        alarm_in(tx, ctx, &report).await?;
    }
    Ok(())
}

async fn take_in(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    report: &AlarmReport,
    asset: &Asset,
) -> Result<Intake, OrderError> {
    let mode = catalog::failure_mode(tx.conn(), &asset.class, &report.cause).await?;
    let key = open_key(&asset.id, &mode.key);
    if let Some(order) = rows::find_open(tx.conn(), &key).await? {
        attach(tx, ctx, report, asset, order.clone()).await?;
        return Ok(Intake::Attached(order.id));
    }
    Ok(cases::triage::take_in(tx, ctx, report, asset, &mode, &key).await?)
}

/// What triage makes an order of.
pub(crate) struct CaseOrder<'a> {
    pub case: &'a CaseId,
    pub failure_mode: &'a str,
    pub summary: &'a str,
    pub severity: Severity,
    pub tier: Tier,
    pub reason: &'a str,
    pub due_at: DateTime<Utc>,
    pub alarms: &'a [AlarmReport],
}

/// Makes the order of a case and takes its alarms over.
pub(crate) async fn order_of_case(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    asset: &Asset,
    case: CaseOrder<'_>,
) -> Result<WorkOrderId, OrderError> {
    let site = asset.site_id.as_ref().ok_or_else(|| OrderError::NoSite {
        tag: asset.tag.clone(),
    })?;
    let mode = catalog::failure_mode(tx.conn(), &asset.class, first_cause(case.alarms)).await?;
    let first = case.alarms.first();
    let draft = Draft {
        asset,
        site,
        source: "alarm",
        failure_mode: case.failure_mode.to_owned(),
        incident_type: mode.incident_type,
        verification: Verification::Pending,
        summary: case.summary.chars().take(creation::MAX_SUMMARY).collect(),
        priority: urgency(case.tier, case.severity, asset),
        tier: Some((case.tier, case.due_at)),
        facts: json!({
            "alarm_id": first.map(|alarm| &alarm.alarm_id),
            "cause": first.map(|alarm| &alarm.cause),
            "severity": case.severity,
            "raised_at": first.map(|alarm| alarm.raised_at),
            "case_id": case.case,
            "tier": case.tier,
            "tier_reason": case.reason,
            "due_at": case.due_at,
        }),
    };
    let order = creation::insert(tx, ctx, draft).await?;
    for alarm in case.alarms {
        remember(tx, ctx, alarm, &order.id).await?;
    }
    take_over_ends(tx, &order.id).await?;
    Ok(order.id)
}

/// An order for a planned inspection becomes one for a visit of its own; whether it did: not when it is
/// over.
pub(crate) async fn dispatch_now(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &WorkOrderId,
    asset: &Asset,
    (reason, due_at): (&str, DateTime<Utc>),
    severity: Severity,
) -> Result<bool, OrderError> {
    let mut order = rows::load(tx.conn(), id).await?;
    if order.open_key().is_none() {
        return Ok(false);
    }
    let urgency = urgency(Tier::Dispatch, severity, asset);
    let before = order.version;
    order.version += 1;
    order.priority = order.priority.min(urgency.level);
    rows::save(tx, &order, before).await?;
    sqlx::query(
        "UPDATE work_orders SET tier = $1, due_at = $2, priority_reason = $3 WHERE id = $4",
    )
    .bind(Tier::Dispatch.as_str())
    .bind(micros(due_at))
    .bind(urgency.reason.as_str())
    .bind(id.as_str())
    .execute(tx.conn())
    .await?;
    let data = json!({
        "number": order.number,
        "asset": { "id": asset.id, "tag": asset.tag, "class": asset.class },
        "tier": Tier::Dispatch,
        "tier_reason": reason,
        "due_at": due_at,
        "priority": order.priority,
    });
    outbox::publish(tx, ctx, "work_order.escalated", id.as_str(), data.clone()).await?;
    let change = Change {
        noun: "work_order",
        subject: id.as_str(),
        verb: "escalate",
        before: Some(before),
        after: order.version,
        detail: data,
    };
    audit::record(tx, ctx, change).await?;
    Ok(true)
}

/// The alarms of a case that a person's order takes over are evidence on that order.
pub(super) async fn hand_over(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &WorkOrder,
) -> Result<bool, OrderError> {
    let Some(key) = order.open_key() else {
        return Ok(false);
    };
    let alarms = cases::order::join_order(tx, ctx, &key, &order.id).await?;
    for alarm in &alarms {
        remember(tx, ctx, alarm, &order.id).await?;
    }
    take_over_ends(tx, &order.id).await?;
    Ok(!alarms.is_empty())
}

/// Alarms that returned while their case had no order are over on the order, too.
async fn take_over_ends(tx: &mut Tx<'_>, order: &WorkOrderId) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE work_order_alarms SET returned_at = (SELECT m.returned_at FROM case_alarms m \
         WHERE m.alarm_id = work_order_alarms.alarm_id) \
         WHERE work_order_id = $1 AND returned_at IS NULL",
    )
    .bind(order.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn first_cause(alarms: &[AlarmReport]) -> &str {
    alarms.first().map_or(catalog::ANY, |alarm| &alarm.cause)
}

/// How urgent an order of a tier is: what can go with the next visit is one level less urgent.
fn urgency(tier: Tier, severity: Severity, asset: &Asset) -> Priority {
    let urgency = priority(severity, asset.criticality);
    match tier {
        Tier::PlannedInspection => Priority {
            level: (urgency.level + 1).min(5),
            reason: format!("{}; planned, so one level less", urgency.reason),
        },
        _ => urgency,
    }
}

/// A later alarm of the same condition: evidence, and perhaps more urgency.
async fn attach(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    report: &AlarmReport,
    asset: &Asset,
    mut order: WorkOrder,
) -> Result<(), OrderError> {
    remember(tx, ctx, report, &order.id).await?;
    let tier = rows::tier(tx.conn(), &order.id).await?;
    let severity = Severity::from_word(&report.severity);
    let urgency = urgency(tier.unwrap_or(Tier::Dispatch), severity, asset);
    let before = order.version;
    order.version += 1;
    // A person's order has nothing to verify until an alarm says that it repairs a condition.
    if order.verification == Verification::NotNeeded {
        order.verification = Verification::Pending;
    }
    if urgency.level < order.priority {
        order.priority = urgency.level;
        sqlx::query("UPDATE work_orders SET priority_reason = $1 WHERE id = $2")
            .bind(urgency.reason.as_str())
            .bind(order.id.as_str())
            .execute(tx.conn())
            .await?;
    }
    rows::save(tx, &order, before).await?;
    let data = json!({
        "number": order.number,
        "alarm_id": report.alarm_id,
        "cause": report.cause,
        "severity": report.severity,
        "asset": { "id": asset.id, "tag": asset.tag, "class": asset.class },
        "priority": order.priority,
        "verification": order.verification,
    });
    outbox::publish(
        tx,
        ctx,
        "work_order.attached",
        order.id.as_str(),
        data.clone(),
    )
    .await?;
    let change = Change {
        noun: "work_order",
        subject: order.id.as_str(),
        verb: "attach_alarm",
        before: Some(before),
        after: order.version,
        detail: data,
    };
    audit::record(tx, ctx, change).await?;
    Ok(cases::order::join_case_of_order(tx, ctx, &order.id, report, asset).await?)
}

async fn remember(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    report: &AlarmReport,
    order: &WorkOrderId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO work_order_alarms (alarm_id, work_order_id, cause, severity, summary, \
         evidence, raised_at, attached_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(report.alarm_id.as_str())
    .bind(order.as_str())
    .bind(report.cause.as_str())
    .bind(report.severity.as_str())
    .bind(report.summary.as_str())
    .bind(report.evidence.to_string())
    .bind(micros(report.raised_at))
    .bind(micros(ctx.now))
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn wait(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    report: &AlarmReport,
    reason: &str,
) -> Result<Intake, OrderError> {
    let row = sqlx::query("SELECT COUNT(*) AS waiting FROM waiting_alarms WHERE asset_tag = $1")
        .bind(report.asset_tag.as_str())
        .fetch_one(tx.conn())
        .await?;
    if int(&row, "waiting")? >= MAX_WAITING_PER_ASSET {
        tracing::warn!(
            asset_tag = report.asset_tag,
            alarm_id = report.alarm_id,
            "alarm is not kept for later: {MAX_WAITING_PER_ASSET} alarms of the asset wait already"
        );
        return Ok(Intake::Waiting(
            "too many alarms of the asset wait already".into(),
        ));
    }
    let stored = serde_json::to_string(report)
        .map_err(|error| StoreError::unreadable("waiting_alarms.report", error))?;
    sqlx::query(
        "INSERT INTO waiting_alarms (alarm_id, asset_tag, reason, report, waiting_since) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(report.alarm_id.as_str())
    .bind(report.asset_tag.as_str())
    .bind(reason)
    .bind(stored)
    .bind(micros(ctx.now))
    .execute(tx.conn())
    .await?;
    Ok(Intake::Waiting(reason.to_owned()))
}

async fn is_known(
    tx: &mut Tx<'_>,
    table: &'static str,
    alarm_id: &str,
) -> Result<bool, StoreError> {
    let query = format!("SELECT alarm_id FROM {table} WHERE alarm_id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(alarm_id)
        .fetch_optional(tx.conn())
        .await?;
    Ok(row.is_some())
}

/// The order that an alarm raised or is attached to.
///
/// **Errors** when the store fails.
pub async fn order_of(db: &Db, alarm_id: &str) -> Result<Option<WorkOrderId>, StoreError> {
    let row = sqlx::query("SELECT work_order_id FROM work_order_alarms WHERE alarm_id = $1")
        .bind(alarm_id)
        .fetch_optional(db.pool())
        .await?;
    row.as_ref()
        .map(|row| parsed(row, "work_order_id"))
        .transpose()
}
