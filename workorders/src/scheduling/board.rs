//! Who there is and what is booked, read inside the transaction that books.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::AnyConnection;

use super::shift::Span;
use super::solver::{Candidate, Engagement, GRID_MINUTES, up_to_grid};
use super::travel::Place;
use crate::registry::resources::{self, WeeklyShift};
use crate::store::StoreError;
use crate::store::columns::{instant, parsed, text};
use crate::store::ids::ResourceId;

/// Every active resource with its shifts and its live bookings.
pub(super) async fn candidates(
    conn: &mut AnyConnection,
    now: DateTime<Utc>,
) -> Result<Vec<Candidate>, StoreError> {
    let mut shifts: HashMap<ResourceId, Vec<WeeklyShift>> = HashMap::new();
    for (resource, shift) in resources::shifts(conn).await? {
        shifts.entry(resource).or_default().push(shift);
    }
    let mut engagements = live_engagements(conn, now).await?;
    let candidates = resources::active(conn).await?.into_iter().map(|resource| {
        let shifts = shifts.remove(&resource.id).unwrap_or_default();
        let engagements = engagements.remove(&resource.id).unwrap_or_default();
        Candidate {
            name: resource.name,
            skills: resource.skills,
            home: Place {
                latitude: resource.latitude,
                longitude: resource.longitude,
            },
            zone: resource.time_zone,
            speed_kmh: resource.speed_kmh,
            shifts,
            engagements,
            id: resource.id,
        }
    });
    Ok(candidates.collect())
}

async fn live_engagements(
    conn: &mut AnyConnection,
    now: DateTime<Utc>,
) -> Result<HashMap<ResourceId, Vec<Engagement>>, StoreError> {
    let rows = sqlx::query(
        "SELECT b.resource_id, b.status, b.travel_from, b.starts_at, b.ends_at, s.latitude, \
         s.longitude FROM bookings b JOIN work_orders w ON w.id = b.work_order_id \
         JOIN sites s ON s.id = w.site_id WHERE b.live_key IS NOT NULL \
         ORDER BY b.resource_id, b.travel_from",
    )
    .fetch_all(conn)
    .await?;
    let mut engagements: HashMap<ResourceId, Vec<Engagement>> = HashMap::new();
    for row in rows {
        let mut until = instant(&row, "ends_at")?;
        // Work that runs over its plan goes on: the technician is free a grid step from now at best.
        if until <= now && text(&row, "status")? != "scheduled" {
            until = up_to_grid(now + TimeDelta::minutes(GRID_MINUTES));
        }
        let engagement = Engagement {
            span: Span {
                from: instant(&row, "travel_from")?,
                until,
            },
            starts_at: instant(&row, "starts_at")?,
            place: Place {
                latitude: parsed(&row, "latitude")?,
                longitude: parsed(&row, "longitude")?,
            },
        };
        engagements
            .entry(parsed(&row, "resource_id")?)
            .or_default()
            .push(engagement);
    }
    Ok(engagements)
}
