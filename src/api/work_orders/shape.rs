//! What a work order looks like from outside.

use fieldwright_workorders::cases::CloseOut;
use fieldwright_workorders::orders::views::{self, WorkOrderView};
use fieldwright_workorders::store::ids::InvoiceId;
use fieldwright_workorders::triage::Tier;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::wire::Instant;
use crate::api::words;

/// A work order.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkOrder {
    /// Identity.
    #[schema(example = "wo_0198c5a8f3c07b52a7a0d1c2b3a4f5e6")]
    id: String,
    /// What people call it.
    #[schema(example = "WO-000007")]
    number: String,
    /// `alarm` or `person`.
    source: String,
    /// The machine.
    asset: AssetRef,
    /// Where.
    site_id: String,
    /// Who pays.
    account_id: String,
    /// The template of the work.
    incident_type: String,
    /// What is wrong.
    failure_mode: String,
    /// Where it stands.
    #[schema(value_type = words::WorkOrderStatus)]
    status: &'static str,
    /// Whether telemetry confirms the repair.
    #[schema(value_type = words::Verification)]
    verification: &'static str,
    /// One sentence for people.
    summary: String,
    /// 1 most urgent to 5.
    priority: i64,
    /// Why this priority.
    priority_reason: String,
    /// What triage asks for, where it made the order.
    #[schema(value_type = Option<words::Tier>)]
    tier: Option<&'static str>,
    /// By when somebody should be there, where triage made the order.
    due_at: Option<Instant>,
    /// What it turned out to be, once it is posted.
    #[schema(value_type = Option<words::CloseOut>)]
    close_out: Option<&'static str>,
    /// What came out of the work.
    outcome: Option<String>,
    /// How often it was reopened or sent back.
    reopen_count: i64,
    /// The reason of the last move that had one.
    last_reason: Option<String>,
    /// Why nobody is booked yet, when that was tried.
    unbooked_reason: Option<String>,
    /// The live booking.
    booking_id: Option<String>,
    /// When it was made.
    created_at: Instant,
    /// When a technician first traveled or worked.
    started_at: Option<Instant>,
    /// When the work was last completed.
    completed_at: Option<Instant>,
    /// When it was posted.
    posted_at: Option<Instant>,
    /// Who posted it.
    posted_by: Option<String>,
    /// When it was given up.
    canceled_at: Option<Instant>,
    /// Grows with every change.
    version: i64,
    /// What a person may do now.
    allowed_actions: Vec<&'static str>,
}

/// An asset, as other things name it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssetRef {
    /// Identity.
    id: String,
    /// Tag.
    tag: String,
    /// Class.
    class: String,
}

/// A work order with everything that belongs to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkOrderDetail {
    /// The order.
    #[serde(flatten)]
    order: WorkOrder,
    /// What is to be done.
    tasks: Vec<Task>,
    /// The alarms behind it.
    alarms: Vec<AlarmBehind>,
    /// What the work usually needs, as codes of the price list.
    usual_parts: Vec<String>,
    /// What it was raised on, frozen: decision, alarms, readings, similar cases; none before it is
    /// taken, and none where a person asked for the order.
    evidence: Option<Value>,
    /// What was done, as far as it is billable.
    work_lines: Vec<WorkLine>,
    /// Its invoice.
    invoice_id: Option<String>,
}

/// One task.
#[derive(Debug, Serialize, ToSchema)]
pub struct Task {
    /// Identity.
    id: String,
    /// Place in the list, from 1.
    position: i64,
    /// What is to be done.
    name: String,
    /// When it was done.
    done_at: Option<Instant>,
    /// Who did it.
    done_by: Option<String>,
}

/// An alarm behind an order.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlarmBehind {
    /// The alarm; `#2` and so on tell a later occurrence of the same alarm.
    alarm_id: String,
    /// The detector or rule.
    cause: String,
    /// How bad, in the detector's word.
    severity: String,
    /// One sentence for people.
    summary: String,
    /// What was seen.
    evidence: Value,
    /// When it was raised.
    raised_at: Instant,
    /// When it returned to normal.
    returned_at: Option<Instant>,
}

/// A billable fact.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkLine {
    /// Identity.
    id: String,
    /// `labor`, `part` or `travel`.
    kind: String,
    /// The price list's code.
    code: String,
    /// How much, as a decimal.
    quantity: String,
    /// `minute` or `piece`.
    unit: String,
}

impl From<views::AssetRef> for AssetRef {
    fn from(asset: views::AssetRef) -> Self {
        Self {
            id: asset.id.to_string(),
            tag: asset.tag,
            class: asset.class,
        }
    }
}

impl From<WorkOrderView> for WorkOrder {
    fn from(order: WorkOrderView) -> Self {
        Self {
            id: order.id.to_string(),
            number: order.number,
            source: order.source,
            asset: order.asset.into(),
            site_id: order.site_id.to_string(),
            account_id: order.account_id.to_string(),
            incident_type: order.incident_type,
            failure_mode: order.failure_mode,
            status: order.status.as_str(),
            verification: order.verification.as_str(),
            summary: order.summary,
            priority: order.priority,
            priority_reason: order.priority_reason,
            tier: order.tier.map(Tier::as_str),
            due_at: order.due_at.map(Instant),
            close_out: order.close_out.map(CloseOut::as_str),
            outcome: order.outcome,
            reopen_count: order.reopen_count,
            last_reason: order.last_reason,
            unbooked_reason: order.unbooked_reason,
            booking_id: order.booking_id.map(|id| id.to_string()),
            created_at: order.created_at.into(),
            started_at: order.started_at.map(Instant),
            completed_at: order.completed_at.map(Instant),
            posted_at: order.posted_at.map(Instant),
            posted_by: order.posted_by,
            canceled_at: order.canceled_at.map(Instant),
            version: order.version,
            allowed_actions: order
                .allowed_actions
                .iter()
                .map(|verb| verb.as_str())
                .collect(),
        }
    }
}

impl WorkOrderDetail {
    /// The shape of an order and its invoice.
    pub fn new(detail: views::WorkOrderDetail, invoice: Option<InvoiceId>) -> Self {
        Self {
            order: detail.order.into(),
            tasks: detail.tasks.into_iter().map(Task::from).collect(),
            alarms: detail.alarms.into_iter().map(AlarmBehind::from).collect(),
            usual_parts: detail.usual_parts,
            evidence: detail.evidence,
            work_lines: detail.work_lines.into_iter().map(WorkLine::from).collect(),
            invoice_id: invoice.map(|id| id.to_string()),
        }
    }
}

impl From<views::TaskView> for Task {
    fn from(task: views::TaskView) -> Self {
        Self {
            id: task.id.to_string(),
            position: task.position,
            name: task.name,
            done_at: task.done_at.map(Instant),
            done_by: task.done_by,
        }
    }
}

impl From<views::AlarmEvidence> for AlarmBehind {
    fn from(alarm: views::AlarmEvidence) -> Self {
        Self {
            alarm_id: alarm.alarm_id,
            cause: alarm.cause,
            severity: alarm.severity,
            summary: alarm.summary,
            evidence: alarm.evidence,
            raised_at: alarm.raised_at.into(),
            returned_at: alarm.returned_at.map(Instant),
        }
    }
}

impl From<views::WorkLineView> for WorkLine {
    fn from(line: views::WorkLineView) -> Self {
        Self {
            id: line.id.to_string(),
            kind: line.kind,
            code: line.code,
            quantity: line.quantity,
            unit: line.unit,
        }
    }
}
