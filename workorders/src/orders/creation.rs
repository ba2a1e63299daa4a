//! The one way in which an order comes to be, and a person's request for one.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::order::open_key;
use super::rows::{self, Origin};
use super::{OrderError, Priority, Refusal, Status, Verification, WorkOrder, intake};
use crate::registry::assets::{self, Asset};
use crate::registry::{catalog, sites};
use crate::store::audit::{self, Change};
use crate::store::ids::{SiteId, WorkOrderId};
use crate::store::{Ctx, Tx, outbox};
use crate::triage::Tier;

/// Characters of a summary at most.
pub const MAX_SUMMARY: usize = 500;

/// A person's request for an order.
#[derive(Debug, Clone, Default)]
pub struct NewOrder {
    /// Id or tag of the asset.
    pub asset: String,
    /// Key of the incident type; the class's own for its failures when it is missing.
    pub incident_type: Option<String>,
    /// One sentence: what is wrong.
    pub summary: String,
    /// 1 most urgent to 5; 3 when it is missing.
    pub priority: Option<i64>,
}

/// What an order is made from.
pub(super) struct Draft<'a> {
    pub asset: &'a Asset,
    pub site: &'a SiteId,
    pub source: &'static str,
    pub failure_mode: String,
    pub incident_type: String,
    pub verification: Verification,
    pub summary: String,
    pub priority: Priority,
    /// What triage asks for, and by when.
    pub tier: Option<(Tier, DateTime<Utc>)>,
    /// What the event says beside the order's own facts.
    pub facts: Value,
}

/// Makes an order because a person asks for it.
///
/// **Errors** when the asset is unknown or has no site, the condition already has an open order,
/// the request is wrong, or the store fails.
pub async fn create(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    request: &NewOrder,
) -> Result<WorkOrder, OrderError> {
    let summary = request.summary.trim();
    if summary.is_empty() || summary.chars().count() > MAX_SUMMARY {
        return Err(OrderError::Invalid(format!(
            "a summary has 1 to {MAX_SUMMARY} characters"
        )));
    }
    let level = request.priority.unwrap_or(3);
    if !(1..=5).contains(&level) {
        return Err(OrderError::Invalid(format!(
            "priority is 1 (most urgent) to 5, not {level}"
        )));
    }
    let asset = assets::get(tx.conn(), &request.asset).await?;
    let Some(site) = &asset.site_id else {
        return Err(OrderError::NoSite { tag: asset.tag });
    };
    let (failure_mode, incident_type) = match &request.incident_type {
        Some(key) => (format!("requested-{key}"), key.clone()),
        None => {
            let mode = catalog::failure_mode(tx.conn(), &asset.class, catalog::ANY).await?;
            (mode.key, mode.incident_type)
        }
    };
    if let Some(other) = rows::find_open(tx.conn(), &open_key(&asset.id, &failure_mode)).await? {
        return Err(Refusal::AnotherOrderOpen {
            number: other.number,
        }
        .into());
    }
    let draft = Draft {
        asset: &asset,
        site,
        source: "person",
        failure_mode,
        incident_type,
        verification: Verification::NotNeeded,
        summary: summary.to_owned(),
        priority: Priority {
            level,
            reason: format!("asked for by {}", ctx.actor),
        },
        tier: None,
        facts: json!({ "requested_by": ctx.actor }),
    };
    let order = insert(tx, ctx, draft).await?;
    if intake::hand_over(tx, ctx, &order).await? {
        // It repairs a condition that telemetry sees, so telemetry can say whether it did.
        let mut verified = order.clone();
        verified.verification = Verification::Pending;
        verified.version += 1;
        rows::save(tx, &verified, order.version).await?;
        return Ok(verified);
    }
    Ok(order)
}

/// Writes a new order with its tasks, its event and its audit row.
pub(super) async fn insert(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    draft: Draft<'_>,
) -> Result<WorkOrder, OrderError> {
    let incident_type = catalog::incident_type(tx.conn(), &draft.incident_type).await?;
    let site = sites::get(tx.conn(), draft.site.as_str()).await?;
    let order = WorkOrder {
        id: WorkOrderId::new(ctx),
        number: rows::next_number(tx).await?,
        asset_id: draft.asset.id.clone(),
        site_id: site.id,
        account_id: site.account_id,
        incident_type: incident_type.key.clone(),
        failure_mode: draft.failure_mode,
        status: Status::Unscheduled,
        verification: draft.verification,
        summary: draft.summary,
        priority: draft.priority.level,
        outcome: None,
        reopen_count: 0,
        last_reason: None,
        open_tasks: i64::try_from(incident_type.tasks.len()).unwrap_or(i64::MAX),
        created_at: ctx.now,
        started_at: None,
        completed_at: None,
        posted_at: None,
        posted_by: None,
        canceled_at: None,
        version: 1,
    };
    let origin = Origin {
        source: draft.source,
        priority_reason: &draft.priority.reason,
        tier: draft.tier,
        incident_type: &incident_type,
    };
    rows::insert(tx, ctx, &order, &origin).await?;
    let mut data = json!({
        "number": order.number,
        "source": draft.source,
        "asset": { "id": order.asset_id, "tag": draft.asset.tag, "class": draft.asset.class },
        "site_id": order.site_id,
        "account_id": order.account_id,
        "failure_mode": order.failure_mode,
        "incident_type": order.incident_type,
        "summary": order.summary,
        "priority": order.priority,
        "priority_reason": draft.priority.reason,
    });
    merge(&mut data, draft.facts);
    outbox::publish(
        tx,
        ctx,
        "work_order.created",
        order.id.as_str(),
        data.clone(),
    )
    .await?;
    let change = Change {
        noun: "work_order",
        subject: order.id.as_str(),
        verb: "create",
        before: None,
        after: order.version,
        detail: data,
    };
    audit::record(tx, ctx, change).await?;
    Ok(order)
}

/// Adds the members of one JSON object to another.
pub(super) fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}
