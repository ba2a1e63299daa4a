//! What alarms turned out to be, told to whoever learns from it.

use serde_json::json;

use super::lifecycle::CloseOut;
use super::{Case, CaseError, rows};
use crate::orders::Verification;
use crate::registry::assets::{self, Asset};
use crate::store::ids::WorkOrderId;
use crate::store::{Ctx, Tx, outbox};

/// Labels the alarms behind an order that was posted.
pub(crate) async fn of_order(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &WorkOrderId,
    close_out: CloseOut,
    verification: Verification,
) -> Result<(), CaseError> {
    let Some(mut case) = rows::of_order(tx.conn(), order).await? else {
        return Ok(());
    };
    let before = case.version;
    case.close_out = Some(close_out);
    case.version += 1;
    rows::save(tx, &case, before).await?;
    let asset = assets::get(tx.conn(), case.asset_id.as_str()).await;
    let asset = asset.map_err(|error| CaseError::Order(error.into()))?;
    publish(tx, ctx, &case, &asset, close_out, Some(verification)).await
}

/// Tells what every alarm of a case turned out to be: one event an alarm, without any money.
pub(super) async fn publish(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    case: &Case,
    asset: &Asset,
    label: CloseOut,
    verification: Option<Verification>,
) -> Result<(), CaseError> {
    for alarm in rows::alarms(tx.conn(), &case.id).await? {
        let data = json!({
            "asset": { "id": asset.id, "tag": asset.tag, "class": asset.class },
            "cause": alarm.cause,
            "model": alarm.model,
            "label": label,
            "verification": verification,
            "tier": case.tier,
            "raised_at": alarm.raised_at,
            "peak_milli": alarm.peak_milli,
            "case_id": case.id,
            "work_order_id": case.work_order_id,
            "actor": ctx.actor,
        });
        outbox::publish(tx, ctx, "alarm.labeled", &alarm.alarm_id, data).await?;
    }
    Ok(())
}
