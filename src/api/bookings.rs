//! `/bookings`: a technician's time for a work order, and what the device reports.
//!
//! A command carries the device's key and time, so that an offline day can be replayed: the key
//! makes a repeat harmless, and the table of moves judges the rest. A command without a key comes
//! from somebody who looks at the booking, and must say which version was seen.

mod actions;

use axum::extract::{Path, State};
use fieldwright_workorders::execution::views::{self, BookingFilter, BookingView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::page::{Page, Parameters, Window};
use super::precondition::Versioned;
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{Instant, filter, id};
use super::words;
use super::work_orders::AssetRef;

pub use actions::{
    __path_cancel, __path_complete, __path_no_access, __path_start, __path_travel, cancel,
    complete, no_access, start, travel,
};

/// A technician's time for a work order.
#[derive(Debug, Serialize, ToSchema)]
pub struct Booking {
    /// Identity.
    #[schema(example = "bkg_0198c5a8f3c07b52a7a0d1c2b3a4f5e6")]
    id: String,
    /// What for.
    work_order_id: String,
    /// What people call the order.
    work_order_number: String,
    /// Who.
    resource_id: String,
    /// Who, for people.
    resource_name: String,
    /// The machine.
    asset: AssetRef,
    /// Where.
    site_id: String,
    /// Where it stands.
    #[schema(value_type = words::BookingStatus)]
    status: &'static str,
    /// Planned begin of the travel.
    travel_from: Instant,
    /// Planned begin of the work.
    starts_at: Instant,
    /// Planned end of the work.
    ends_at: Instant,
    /// Planned travel, minutes.
    travel_minutes: i64,
    /// Planned way, meters of road.
    distance_m: i64,
    /// Why this technician at this time, and why none of the others.
    explanation: Value,
    /// When the technician set out.
    traveled_at: Option<Instant>,
    /// When the work began.
    started_at: Option<Instant>,
    /// When the visit ended.
    ended_at: Option<Instant>,
    /// What came out of the visit.
    outcome: Option<String>,
    /// What the technician wrote.
    notes: Option<String>,
    /// Minutes worked.
    minutes_worked: Option<i64>,
    /// When it was made.
    created_at: Instant,
    /// Grows with every change.
    version: i64,
    /// What may be done now.
    allowed_actions: Vec<&'static str>,
}

/// Which bookings.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Of this resource.
    resource: Option<String>,
    /// Of this work order.
    work_order: Option<String>,
    /// With this status.
    #[param(value_type = Option<words::BookingStatus>)]
    status: Option<String>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the bookings, oldest first.
#[utoipa::path(get, path = "/bookings", operation_id = "list_bookings", tag = "work",
    params(Which), responses((status = 200, body = Page<Booking>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<Booking>, Problem> {
    let window = Window::read("bookings", which.limit, which.cursor.as_deref())?;
    let wanted = BookingFilter {
        resource: filter("resource", which.resource.as_deref())?,
        work_order: filter("work_order", which.work_order.as_deref())?,
        status: filter("status", which.status.as_deref())?,
    };
    let page = views::list(&state.db, &wanted, &window.request()).await?;
    Ok(window.shown(page, Booking::from))
}

/// Reads one booking.
#[utoipa::path(get, path = "/bookings/{id}", operation_id = "get_booking", tag = "work",
    params(("id" = String, Path, description = "Id of the booking")),
    responses((status = 200, body = Booking)))]
pub async fn get(
    State(state): State<ApiState>,
    Path(text): Path<String>,
) -> Result<Versioned<Booking>, Problem> {
    let mut connection = state.connection().await?;
    let booking = views::get(&mut connection, &id("booking", &text)?).await?;
    Ok(Versioned::ok(booking.version, booking.into()))
}

impl From<BookingView> for Booking {
    fn from(booking: BookingView) -> Self {
        Self {
            id: booking.id.to_string(),
            work_order_id: booking.work_order_id.to_string(),
            work_order_number: booking.work_order_number,
            resource_id: booking.resource_id.to_string(),
            resource_name: booking.resource_name,
            asset: booking.asset.into(),
            site_id: booking.site_id.to_string(),
            status: booking.status.as_str(),
            travel_from: booking.travel_from.into(),
            starts_at: booking.starts_at.into(),
            ends_at: booking.ends_at.into(),
            travel_minutes: booking.travel_minutes,
            distance_m: booking.distance_m,
            explanation: booking.explanation,
            traveled_at: booking.traveled_at.map(Instant),
            started_at: booking.started_at.map(Instant),
            ended_at: booking.ended_at.map(Instant),
            outcome: booking.outcome,
            notes: booking.notes,
            minutes_worked: booking.minutes_worked,
            created_at: booking.created_at.into(),
            version: booking.version,
            allowed_actions: booking
                .allowed_actions
                .iter()
                .map(|verb| verb.as_str())
                .collect(),
        }
    }
}
