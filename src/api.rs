//! The HTTP API: `/api/v1` and what operators ask.
//!
//! One line of [`routes`] is a route and its place in the OpenAPI document, so that none can be
//! forgotten. Wire types live in these files; no type of a domain crate is serialized outside.
//!
//! A request passes `request.rs` (id, span, limits, count, body of a problem), then `auth.rs`
//! (token, or this machine's name), then its handler.

pub mod admission;
pub mod auth;
pub mod command;
mod condition;
pub mod exposition;
pub mod idempotency;
pub mod once;
pub mod page;
pub mod precondition;
pub mod problem;
pub mod request;
pub mod state;
pub mod wire;
pub mod words;

pub mod alarm_load;
pub mod alarms;
pub mod assets;
pub mod back_tests;
pub mod bookings;
pub mod cases;
pub mod class_models;
pub mod clock;
pub mod detect;
pub mod events;
pub mod gaps;
pub mod health;
pub mod influx;
pub mod invoices;
pub mod lake;
pub mod last_values;
pub mod ledger;
pub mod lives;
pub mod metrics;
pub mod models;
pub mod notices;
pub mod proposals;
pub mod quarantine;
pub mod readings;
pub mod receipts;
pub mod registry;
pub mod scores;
pub mod service;
pub mod sql;
pub mod suppressions;
pub mod verify;
pub mod work_orders;

mod document;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use document::openapi;
pub use state::ApiState;

/// The path before every resource.
pub const BASE: &str = "/api/v1";

/// The whole API as one service.
pub fn router(state: ApiState) -> Router {
    let access = from_fn_with_state(state.access.clone(), auth::layer);
    let admission = from_fn_with_state(state.requests.clone(), admission::layer);
    let requests = from_fn_with_state(state.requests.clone(), request::layer);
    let (router, _document) = routes().split_for_parts();
    router
        .layer(admission)
        .layer(DefaultBodyLimit::max(command::MAX_BODY_BYTES))
        .layer(access)
        .layer(requests)
        .with_state(state)
}

/// Every route, one line each.
fn routes() -> OpenApiRouter<ApiState> {
    let base = OpenApiRouter::new()
        .routes(routes!(service::get))
        .routes(routes!(clock::get))
        .routes(routes!(registry::list_accounts))
        .routes(routes!(registry::list_sites))
        .routes(routes!(registry::list_resources))
        .routes(routes!(assets::list, assets::create))
        .routes(routes!(assets::get))
        .routes(routes!(scores::list))
        .routes(routes!(condition::of_asset))
        .routes(routes!(condition::failure_probability))
        .routes(routes!(condition::of_site))
        .routes(routes!(condition::of_account))
        .routes(routes!(alarms::list))
        .routes(routes!(alarm_load::get))
        .routes(routes!(alarm_load::first_out))
        .routes(routes!(alarms::get))
        .routes(routes!(alarms::acknowledge))
        .routes(routes!(alarms::shelve))
        .routes(routes!(alarms::unshelve))
        .routes(routes!(suppressions::list, suppressions::create))
        .routes(routes!(suppressions::get))
        .routes(routes!(suppressions::end))
        .routes(routes!(suppressions::list_occurrences))
        .routes(routes!(cases::list))
        .routes(routes!(cases::get))
        .routes(routes!(cases::close))
        .routes(routes!(cases::escalate))
        .routes(routes!(work_orders::list, work_orders::create))
        .routes(routes!(work_orders::get))
        .routes(routes!(work_orders::post))
        .routes(routes!(work_orders::send_back))
        .routes(routes!(work_orders::cancel))
        .routes(routes!(work_orders::schedule))
        .routes(routes!(bookings::list))
        .routes(routes!(bookings::get))
        .routes(routes!(bookings::travel))
        .routes(routes!(bookings::start))
        .routes(routes!(bookings::complete))
        .routes(routes!(bookings::no_access))
        .routes(routes!(bookings::cancel))
        .routes(routes!(invoices::list))
        .routes(routes!(invoices::get))
        .routes(routes!(receipts::list, receipts::create))
        .routes(routes!(receipts::get))
        .routes(routes!(receipts::apply))
        .routes(routes!(ledger::list_entries))
        .routes(routes!(ledger::get_entry))
        .routes(routes!(ledger::get_trial_balance))
        .routes(routes!(events::list))
        .routes(routes!(sql::run, sql::list))
        .routes(routes!(sql::cancel))
        .routes(routes!(last_values::list))
        .routes(routes!(last_values::of_asset))
        .routes(routes!(detect::train))
        .routes(routes!(detect::list))
        .routes(routes!(proposals::list, proposals::weigh))
        .routes(routes!(proposals::promote))
        .routes(routes!(proposals::decline))
        .routes(routes!(proposals::take_back))
        .routes(routes!(class_models::versions))
        .routes(routes!(class_models::promote))
        .routes(routes!(lives::versions))
        .routes(routes!(lives::promote))
        .routes(routes!(models::versions))
        .routes(routes!(models::promote))
        .routes(routes!(models::shadows, models::begin_shadow))
        .routes(routes!(models::end_shadow))
        .routes(routes!(models::jobs, models::begin))
        .routes(routes!(models::job))
        .routes(routes!(models::cancel))
        .routes(routes!(readings::create))
        .routes(routes!(gaps::list))
        .routes(routes!(quarantine::list))
        .routes(routes!(notices::list))
        .routes(routes!(quarantine::replay))
        .routes(routes!(verify::run))
        .routes(routes!(lake::get))
        .routes(routes!(lake::compact))
        .routes(routes!(document::get));
    OpenApiRouter::new()
        .nest(BASE, base)
        .routes(routes!(problem::catalog::explain))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(influx::write))
        .routes(routes!(influx::write_v1))
        .routes(routes!(influx::ping))
        .routes(routes!(influx::health))
        .routes(routes!(metrics::get))
}
