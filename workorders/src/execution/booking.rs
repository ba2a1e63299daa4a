//! The booking as the decisions know it.

use chrono::{DateTime, Utc};

use super::lifecycle::BookingStatus;
use crate::store::ids::{BookingId, ResourceId, WorkOrderId};

/// A technician's time set aside for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// Identity.
    pub id: BookingId,
    /// What for.
    pub work_order_id: WorkOrderId,
    /// Who.
    pub resource_id: ResourceId,
    /// Where it stands.
    pub status: BookingStatus,
    /// Planned begin of the travel.
    pub travel_from: DateTime<Utc>,
    /// Planned begin of the work.
    pub starts_at: DateTime<Utc>,
    /// Planned end of the work.
    pub ends_at: DateTime<Utc>,
    /// Planned travel. **Units** minutes.
    pub travel_minutes: i64,
    /// When the technician set out.
    pub traveled_at: Option<DateTime<Utc>>,
    /// When the work began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the visit ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// What came out of the visit.
    pub outcome: Option<String>,
    /// What the technician wrote.
    pub notes: Option<String>,
    /// **Units** minutes.
    pub minutes_worked: Option<i64>,
    /// Grows with every change.
    pub version: i64,
}

impl Booking {
    /// The instant of a device brought between the booking's last event and now.
    ///
    /// A device whose clock is wrong neither works in the future nor before it set out.
    pub fn plausible(
        &self,
        device_time: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let at = device_time.unwrap_or(now).min(now);
        [self.traveled_at, self.started_at, self.ended_at]
            .into_iter()
            .flatten()
            .fold(at, DateTime::max)
    }

    /// How long the technician traveled to this visit; none when travel was never reported.
    ///
    /// **Units** whole minutes, rounded up.
    pub fn minutes_traveled(&self) -> Option<i64> {
        minutes_between(self.traveled_at?, self.started_at?)
    }

    /// How long the work took by the clock.
    ///
    /// **Units** whole minutes, rounded up.
    pub fn minutes_on_site(&self) -> Option<i64> {
        minutes_between(self.started_at?, self.ended_at?)
    }
}

fn minutes_between(from: DateTime<Utc>, until: DateTime<Utc>) -> Option<i64> {
    let micros = (until - from).num_microseconds()?.max(0);
    Some((micros + 59_999_999) / 60_000_000)
}
