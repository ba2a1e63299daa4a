//! The closed sets of words that statuses and verbs come from, for the API's document.
//!
//! The domain decides which word is said; a test holds both lists together.

use serde::Serialize;
use utoipa::ToSchema;

/// Where a work order stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkOrderStatus {
    /// Nobody is booked.
    Unscheduled,
    /// A technician is booked.
    Scheduled,
    /// A technician travels or works.
    InProgress,
    /// The work is done; verification and review follow.
    Completed,
    /// Reviewed and invoiced; final.
    Posted,
    /// Given up; final.
    Canceled,
}

/// Whether telemetry confirms the repair.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// Not judged yet.
    Pending,
    /// The asset is back in its band.
    Passed,
    /// The asset was not back in its band: the order was reopened.
    Failed,
    /// A reviewer posted without a verdict, by name and with a reason.
    Unverified,
    /// No alarm raised the order, so there is nothing to verify.
    NotNeeded,
}

/// Where a case stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaseStatus {
    /// It is decided, and may be decided again.
    Open,
    /// It became an order, or joined one.
    Ordered,
    /// A person closed it, or its alarms ended; final.
    Closed,
}

/// Where a proposed limit stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProposalStatus {
    /// It waits for a person.
    Proposed,
    /// A person put it in force; final.
    Promoted,
    /// A person said no, or a newer proposal took its place; final.
    Declined,
}

/// Who changes the limit of a proposal.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppliedBy {
    /// The detector, once it is promoted.
    Detector,
    /// A person, in the configuration: it is a threshold or an SQL rule.
    Hand,
}

/// What a forecast of failure stands on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForecastBasis {
    /// Its remaining life, as its class has learned it from assets that failed: it knows of the
    /// condition.
    Life,
    /// The trend of the asset's own health: it knows of the condition.
    Trend,
    /// Its age and the lives of its class: it knows nothing of the condition.
    Age,
}

/// What an alarm comes to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// It is recorded; nobody does anything.
    Watch,
    /// A person looks from afar and closes or escalates it.
    RemoteCheck,
    /// An order that goes with the next visit that is due.
    PlannedInspection,
    /// An order for a visit of its own, now.
    Dispatch,
}

/// What an alarm turned out to be.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloseOut {
    /// The fault that it told of was there.
    Confirmed,
    /// Nothing was wrong.
    NoFaultFound,
    /// Something else was wrong.
    OtherFault,
}

/// Where a booking stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BookingStatus {
    /// Planned.
    Scheduled,
    /// The technician is on the way.
    Traveling,
    /// The technician works.
    InProgress,
    /// The visit is over.
    Completed,
    /// Nobody let the technician in.
    NoAccess,
    /// Given up.
    Canceled,
}

/// What an invoice document is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceStatus {
    /// Being prepared: no number, may still change.
    Draft,
    /// Numbered, in the ledger and frozen; final.
    Posted,
    /// Given up before it was posted; final.
    Discarded,
}

/// How far a posted invoice is paid.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// Nothing was applied.
    Open,
    /// Something was applied, something is open.
    PartPaid,
    /// All was applied.
    Paid,
}

/// How much an alarm matters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Look at it when convenient.
    Low,
    /// Plan a visit.
    Medium,
    /// Act today.
    High,
    /// Act now.
    Critical,
}

/// What people see of an alarm.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmStatus {
    /// The condition is there and nobody has seen it.
    ActiveUnacknowledged,
    /// The condition is there and somebody has seen it.
    ActiveAcknowledged,
    /// The condition came and went, and nobody has seen it.
    ReturnedUnacknowledged,
    /// Out of the way until an instant to come.
    Shelved,
    /// Done with.
    Closed,
}

/// Why nothing is raised.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionKind {
    /// Somebody works on the asset.
    Maintenance,
    /// The asset starts and is not itself yet.
    StartUp,
    /// A person has taken it out of service until it is put back.
    OutOfService,
    /// It is meant to be so, for good or while another alarm is there.
    ByDesign,
}

/// What became of what was found while it was suppressed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SuppressedOutcome {
    /// It is still there, and still suppressed.
    Standing,
    /// It returned to normal before its suppression ended.
    Returned,
    /// Its suppression ended and it was still there.
    Raised,
}

/// What the telemetry of an asset says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssetHealth {
    /// What is normal is still being learned; nothing is raised.
    Learning,
    /// In its band.
    Normal,
    /// Out of its band.
    Alarm,
    /// It has sent nothing for too long.
    Stale,
    /// It has never sent anything.
    Unknown,
}
