//! Commands to an order: load, decide, save with the expected version, event, audit.

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::creation::merge;
use super::lifecycle::{Basis, Command, Event, Verb};
use super::{OrderError, WorkOrder, rows};
use crate::cases::{CloseOut, labels};
use crate::execution;
use crate::invoicing::{self, PostedOrder, WorkLine};
use crate::lifecycle::Outcome;
use crate::registry::{accounts, sites};
use crate::store::audit::{self, Change};
use crate::store::columns::{parsed, text};
use crate::store::ids::{InvoiceId, WorkOrderId};
use crate::store::{Ctx, StoreError, Tx, outbox};

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Done {
    /// The order as it is now.
    pub order: WorkOrder,
    /// Whether anything changed; a repeat changes nothing.
    pub changed: bool,
}

/// What posting left behind.
#[derive(Debug, Clone)]
pub struct Reviewed {
    /// The order as it is now.
    pub order: WorkOrder,
    /// The invoice of the order.
    pub invoice: InvoiceId,
    /// Whether anything changed; a repeat changes nothing.
    pub changed: bool,
}

/// Runs one command against an order.
///
/// `facts` go into event and audit row beside what every move tells.
///
/// **Errors** when the order does not exist, refuses, was changed meanwhile, or the store fails.
pub async fn perform(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &WorkOrderId,
    command: &Command,
    expected_version: Option<i64>,
    facts: Value,
) -> Result<Done, OrderError> {
    let mut order = rows::load(tx.conn(), id).await?;
    let event = match order.decide(command, ctx.now) {
        Ok(Outcome::AlreadySo) => {
            return Ok(Done {
                order,
                changed: false,
            });
        }
        decided => {
            order.check_version(expected_version)?;
            let Outcome::Changed(event) = decided? else {
                unreachable!("a repeat returned above")
            };
            event
        }
    };
    let before = order.version;
    order.apply(&event, &ctx.actor);
    reclaim(tx, &order).await?;
    rows::save(tx, &order, before).await?;
    tell(tx, ctx, &order, before, &event, facts).await?;
    Ok(Done {
        order,
        changed: true,
    })
}

/// A technician travels or works.
///
/// **Errors** as [`perform`].
pub async fn begin(tx: &mut Tx<'_>, ctx: &Ctx, id: &WorkOrderId) -> Result<Done, OrderError> {
    perform(tx, ctx, id, &Command::Begin, None, json!({})).await
}

/// The visit ended without a repair, or its booking was canceled: the order needs another one.
///
/// **Errors** as [`perform`].
pub async fn release(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &WorkOrderId,
    reason: &str,
) -> Result<Done, OrderError> {
    let command = Command::Release {
        reason: reason.to_owned(),
    };
    perform(tx, ctx, id, &command, None, json!({})).await
}

/// The work is done; `facts` say by whom and how long.
///
/// **Errors** as [`perform`].
pub async fn complete(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &WorkOrderId,
    outcome: &str,
    facts: Value,
) -> Result<Done, OrderError> {
    let command = Command::Complete {
        outcome: outcome.to_owned(),
    };
    perform(tx, ctx, id, &command, None, facts).await
}

/// The reviewer wants more work; the order needs another visit.
///
/// **Errors** as [`perform`].
pub async fn send_back(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &WorkOrderId,
    reason: &str,
    expected_version: Option<i64>,
) -> Result<Done, OrderError> {
    let command = Command::SendBack {
        reason: reason.to_owned(),
    };
    let done = perform(tx, ctx, id, &command, expected_version, json!({})).await?;
    reopen_tasks(tx, &done).await?;
    Ok(Done {
        order: rows::load(tx.conn(), id).await?,
        ..done
    })
}

/// Gives an order up, with its live booking.
///
/// **Errors** as [`perform`].
pub async fn cancel(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &WorkOrderId,
    reason: &str,
    expected_version: Option<i64>,
) -> Result<Done, OrderError> {
    let command = Command::Cancel {
        reason: reason.to_owned(),
    };
    let done = perform(tx, ctx, id, &command, expected_version, json!({})).await?;
    if done.changed {
        execution::withdraw(tx, ctx, id, reason).await?;
    }
    Ok(done)
}

/// Posts an order: freezes its facts and sends its invoice, in one transaction.
///
/// `close_out` is what the reviewer says it was; without it the technician's outcome counts.
/// It labels the alarms behind the order.
///
/// A repeat returns the invoice that the first time made.
///
/// **Errors** as [`perform`], and when the invoice cannot be made; nothing is posted then.
pub async fn post(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    id: &WorkOrderId,
    basis: Basis,
    close_out: Option<CloseOut>,
    expected_version: Option<i64>,
) -> Result<Reviewed, OrderError> {
    let mut facts = match &basis {
        Basis::Passed => json!({ "basis": "passed" }),
        Basis::Unverified { reason } => {
            json!({ "basis": "unverified", "unverified_reason": reason })
        }
    };
    let close_out = match close_out {
        Some(code) => Some(code),
        None => reported(tx, id).await?,
    };
    merge(&mut facts, json!({ "close_out": close_out }));
    let command = Command::Post { basis };
    let done = perform(tx, ctx, id, &command, expected_version, facts).await?;
    let invoice = if done.changed {
        if let Some(code) = close_out {
            close_out_order(tx, ctx, &done.order, code).await?;
        }
        let posted = posted_order(tx, &done.order).await?;
        invoicing::invoice_posted_order(tx, ctx, &posted)
            .await
            .map_err(|source| OrderError::Invoice {
                number: done.order.number.clone(),
                source: Box::new(source),
            })?
    } else {
        invoice_of(tx, &done.order).await?
    };
    Ok(Reviewed {
        order: done.order,
        invoice,
        changed: done.changed,
    })
}

/// What the technician's outcome says about the alarm.
async fn reported(tx: &mut Tx<'_>, id: &WorkOrderId) -> Result<Option<CloseOut>, OrderError> {
    let order = rows::load(tx.conn(), id).await?;
    let outcome = order.outcome.as_deref().and_then(|text| text.parse().ok());
    Ok(outcome.and_then(execution::Outcome::close_out))
}

/// Keeps what the order turned out to be, and labels the alarms behind it.
async fn close_out_order(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &WorkOrder,
    code: CloseOut,
) -> Result<(), OrderError> {
    sqlx::query("UPDATE work_orders SET close_out = $1 WHERE id = $2")
        .bind(code.as_str())
        .bind(order.id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(labels::of_order(tx, ctx, &order.id, code, order.verification).await?)
}

/// The tasks of an order that came back are open again.
pub(super) async fn reopen_tasks(tx: &mut Tx<'_>, done: &Done) -> Result<(), StoreError> {
    if done.changed {
        sqlx::query(
            "UPDATE work_order_tasks SET done_at = NULL, done_by = NULL WHERE work_order_id = $1",
        )
        .bind(done.order.id.as_str())
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// An order that comes back takes its condition's key again, unless another order has it.
async fn reclaim(tx: &mut Tx<'_>, order: &WorkOrder) -> Result<(), OrderError> {
    let Some(key) = order.open_key() else {
        return Ok(());
    };
    match rows::find_open(tx.conn(), &key).await? {
        Some(other) if other.id != order.id => Err(super::Refusal::AnotherOrderOpen {
            number: other.number,
        }
        .into()),
        _ => Ok(()),
    }
}

async fn tell(
    tx: &mut Tx<'_>,
    ctx: &Ctx,
    order: &WorkOrder,
    before: i64,
    event: &Event,
    facts: Value,
) -> Result<(), OrderError> {
    let row = sqlx::query("SELECT tag, class FROM assets WHERE id = $1")
        .bind(order.asset_id.as_str())
        .fetch_one(tx.conn())
        .await?;
    let mut data = json!({
        "number": order.number,
        "status": order.status,
        "verification": order.verification,
        "asset": {
            "id": order.asset_id,
            "tag": text(&row, "tag")?,
            "class": text(&row, "class")?,
        },
        "reason": event.reason,
        "outcome": order.outcome,
        "reopen_count": order.reopen_count,
        "actor": ctx.actor,
    });
    merge(&mut data, facts);
    let change = Change {
        noun: "work_order",
        subject: order.id.as_str(),
        verb: event.verb.as_str(),
        before: Some(before),
        after: order.version,
        detail: data.clone(),
    };
    audit::record(tx, ctx, change).await?;
    outbox::publish(tx, ctx, event_kind(event.verb), order.id.as_str(), data).await?;
    Ok(())
}

/// The kind under which a move appears in the feed.
fn event_kind(verb: Verb) -> &'static str {
    match verb {
        Verb::Schedule => "work_order.scheduled",
        Verb::Begin => "work_order.started",
        Verb::Release => "work_order.released",
        Verb::Complete => "work_order.completed",
        Verb::Pass => "work_order.verified",
        Verb::Reopen => "work_order.reopened",
        Verb::SendBack => "work_order.sent_back",
        Verb::Post => "work_order.posted",
        Verb::Cancel => "work_order.canceled",
    }
}

/// The invoice that posting made.
async fn invoice_of(tx: &mut Tx<'_>, order: &WorkOrder) -> Result<InvoiceId, StoreError> {
    let row = sqlx::query(
        "SELECT id FROM invoice_documents WHERE work_order_id = $1 AND status <> 'discarded'",
    )
    .bind(order.id.as_str())
    .fetch_optional(tx.conn())
    .await?;
    let place = || format!("invoice of {}", order.number);
    match row {
        Some(row) => parsed(&row, "id"),
        None => Err(StoreError::unreadable(
            place(),
            "the order is posted without one",
        )),
    }
}

/// What invoicing needs to know of an order.
async fn posted_order(tx: &mut Tx<'_>, order: &WorkOrder) -> Result<PostedOrder, OrderError> {
    let account = accounts::get(tx.conn(), &order.account_id).await?;
    let site = sites::get(tx.conn(), order.site_id.as_str()).await?;
    let rows = sqlx::query(
        "SELECT id, kind, code, quantity FROM work_lines WHERE work_order_id = $1 ORDER BY id",
    )
    .bind(order.id.as_str())
    .fetch_all(tx.conn())
    .await?;
    let lines = rows
        .iter()
        .map(|row| {
            Ok(WorkLine {
                id: parsed(row, "id")?,
                kind: parsed(row, "kind")?,
                code: text(row, "code")?,
                quantity: parsed(row, "quantity")?,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    let unreadable = |place: &str, detail: String| StoreError::unreadable(place, detail);
    let currency = account
        .currency
        .parse()
        .map_err(|error| unreadable("accounts.currency", format!("{error}")))?;
    let terms_days = account
        .terms_days
        .map(u16::try_from)
        .transpose()
        .map_err(|error| unreadable("accounts.terms_days", error.to_string()))?;
    let time_zone: Tz = site.time_zone;
    Ok(PostedOrder {
        id: order.id.clone(),
        number: order.number.clone(),
        account: account.id,
        site: site.id,
        country: site.country,
        time_zone,
        currency,
        terms_days,
        lines,
        completed_at: order.completed_at.ok_or_else(|| {
            unreadable(
                "work_orders.completed_at",
                format!("{} is posted but never completed", order.number),
            )
        })?,
    })
}
