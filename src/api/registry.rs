//! `/accounts`, `/sites`, `/resources`: who pays, where machines stand, who can be booked.

use axum::extract::State;
use fieldwright_workorders::registry::{accounts, resources, sites as places};
use fieldwright_workorders::store::ids::AccountId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::{Page, Parameters, Part, Window};
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{Instant, filter};

/// A customer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Account {
    /// Identity.
    #[schema(example = "acc_0198c5a8f3c07b52a7a0d1c2b3a4f5e6")]
    id: String,
    /// Name for people.
    name: String,
    /// The currency that the customer is billed in, ISO 4217.
    currency: String,
    /// Days until an invoice is due; null takes the terms of the one who bills.
    terms_days: Option<i64>,
    /// When it was made.
    created_at: Instant,
    /// Grows with every change.
    version: i64,
}

/// A place.
#[derive(Debug, Serialize, ToSchema)]
pub struct Site {
    /// Identity.
    #[schema(example = "sit_0198c5a8f3c07b52a7a0d1c2b3a4f5e6")]
    id: String,
    /// Name for people.
    name: String,
    /// The customer who owns it.
    account_id: String,
    /// Degrees north.
    latitude: f64,
    /// Degrees east.
    longitude: f64,
    /// ISO 3166 country.
    country: String,
    /// The zone of its clocks, such as `Europe/Berlin`.
    time_zone: String,
    /// When it was made.
    created_at: Instant,
    /// Grows with every change.
    version: i64,
}

/// A technician.
#[derive(Debug, Serialize, ToSchema)]
pub struct Resource {
    /// Identity.
    #[schema(example = "res_0198c5a8f3c07b52a7a0d1c2b3a4f5e6")]
    id: String,
    /// Name for people.
    name: String,
    /// What the technician can do.
    skills: Vec<String>,
    /// Home, degrees north.
    latitude: f64,
    /// Home, degrees east.
    longitude: f64,
    /// The zone of the shift times.
    time_zone: String,
    /// Whether new work may be booked.
    active: bool,
    /// When it was made.
    created_at: Instant,
    /// Grows with every change.
    version: i64,
}

/// Which sites.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SiteFilter {
    /// Sites of this account.
    account: Option<String>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the customers.
#[utoipa::path(get, path = "/accounts", operation_id = "list_accounts", tag = "registry",
    params(Part), responses((status = 200, body = Page<Account>)))]
pub async fn list_accounts(
    State(state): State<ApiState>,
    Parameters(part): Parameters<Part>,
) -> Result<Page<Account>, Problem> {
    let window = part.window("accounts")?;
    let page = accounts::list(&state.db, &window.request()).await?;
    Ok(window.shown(page, |account| Account {
        id: account.id.to_string(),
        name: account.name,
        currency: account.currency,
        terms_days: account.terms_days,
        created_at: account.created_at.into(),
        version: account.version,
    }))
}

/// Lists the places.
#[utoipa::path(get, path = "/sites", operation_id = "list_sites", tag = "registry",
    params(SiteFilter), responses((status = 200, body = Page<Site>)))]
pub async fn list_sites(
    State(state): State<ApiState>,
    Parameters(sites): Parameters<SiteFilter>,
) -> Result<Page<Site>, Problem> {
    let window = Window::read("sites", sites.limit, sites.cursor.as_deref())?;
    let account: Option<AccountId> = filter("account", sites.account.as_deref())?;
    let page = places::list(&state.db, account.as_ref(), &window.request()).await?;
    Ok(window.shown(page, |site| Site {
        id: site.id.to_string(),
        name: site.name,
        account_id: site.account_id.to_string(),
        latitude: site.latitude,
        longitude: site.longitude,
        country: site.country,
        time_zone: site.time_zone.to_string(),
        created_at: site.created_at.into(),
        version: site.version,
    }))
}

/// Lists the technicians.
#[utoipa::path(get, path = "/resources", operation_id = "list_resources", tag = "registry",
    params(Part), responses((status = 200, body = Page<Resource>)))]
pub async fn list_resources(
    State(state): State<ApiState>,
    Parameters(part): Parameters<Part>,
) -> Result<Page<Resource>, Problem> {
    let window = part.window("resources")?;
    let page = resources::list(&state.db, &window.request()).await?;
    Ok(window.shown(page, |resource| Resource {
        id: resource.id.to_string(),
        name: resource.name,
        skills: resource.skills,
        latitude: resource.latitude,
        longitude: resource.longitude,
        time_zone: resource.time_zone.to_string(),
        active: resource.active,
        created_at: resource.created_at.into(),
        version: resource.version,
    }))
}
