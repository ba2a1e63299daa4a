//! The work order as the decisions know it.

use chrono::{DateTime, Utc};

use super::lifecycle::{Event, Status, Verb, Verification};
use crate::store::ids::{AccountId, AssetId, SiteId, WorkOrderId};

/// A work order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkOrder {
    /// Identity.
    pub id: WorkOrderId,
    /// What people call it, such as `WO-000007`.
    pub number: String,
    /// The machine.
    pub asset_id: AssetId,
    /// Where the machine stood when the order was made.
    pub site_id: SiteId,
    /// Who pays.
    pub account_id: AccountId,
    /// The template of the work.
    pub incident_type: String,
    /// What is wrong.
    pub failure_mode: String,
    /// Where it stands.
    pub status: Status,
    /// Whether telemetry confirms the repair.
    pub verification: Verification,
    /// One sentence for people.
    pub summary: String,
    /// 1 most urgent to 5.
    pub priority: i64,
    /// What came out of the work.
    pub outcome: Option<String>,
    /// How often it was reopened or sent back.
    pub reopen_count: i64,
    /// The reason of the last move that had one.
    pub last_reason: Option<String>,
    /// Tasks that are not done.
    pub open_tasks: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When a technician first traveled or worked.
    pub started_at: Option<DateTime<Utc>>,
    /// When the work was last completed.
    pub completed_at: Option<DateTime<Utc>>,
    /// When it was posted.
    pub posted_at: Option<DateTime<Utc>>,
    /// Who posted it.
    pub posted_by: Option<String>,
    /// When it was given up.
    pub canceled_at: Option<DateTime<Utc>>,
    /// Grows with every change.
    pub version: i64,
}

impl WorkOrder {
    /// Takes over what happened; the version grows by one.
    pub fn apply(&mut self, event: &Event, actor: &str) {
        self.status = event.status;
        self.verification = event.verification;
        if event.reason.is_some() {
            self.last_reason.clone_from(&event.reason);
        }
        match event.verb {
            Verb::Begin => {
                self.started_at.get_or_insert(event.at);
            }
            Verb::Complete => {
                self.completed_at = Some(event.at);
                self.outcome.clone_from(&event.outcome);
            }
            Verb::Reopen | Verb::SendBack => {
                self.completed_at = None;
                self.outcome = None;
                self.reopen_count += 1;
            }
            Verb::Post => {
                self.posted_at = Some(event.at);
                self.posted_by = Some(actor.to_owned());
            }
            Verb::Cancel => self.canceled_at = Some(event.at),
            Verb::Schedule | Verb::Release | Verb::Pass => {}
        }
        self.version += 1;
    }

    /// What the unique index holds while the condition is in work.
    ///
    /// A completed order keeps it until telemetry has judged the repair: until then a new alarm
    /// tells of the same condition.
    pub fn open_key(&self) -> Option<String> {
        let is_open = match self.status {
            Status::Unscheduled | Status::Scheduled | Status::InProgress => true,
            Status::Completed => self.verification == Verification::Pending,
            Status::Posted | Status::Canceled => false,
        };
        is_open.then(|| open_key(&self.asset_id, &self.failure_mode))
    }
}

/// The key of a condition: an asset and a failure mode.
pub(super) fn open_key(asset: &AssetId, failure_mode: &str) -> String {
    format!("{asset}|{failure_mode}")
}
