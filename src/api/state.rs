//! What the handlers of the API work with.

use std::sync::Arc;

use fieldwright_analytics::alarms::AlarmBook;
use fieldwright_analytics::detect::Detection;
use fieldwright_analytics::sql::SqlEngine;
use fieldwright_ingest::Ingest;
use fieldwright_ingest::clock::{SharedClock, wall_now};
use fieldwright_workorders::store::{Ctx, Db, IdSource, StoreError};
use sqlx::Any;
use sqlx::pool::PoolConnection;

use super::auth::Access;
use super::clock::ClockMode;
use super::gaps::GapSource;
use super::health::Readiness;
use super::metrics::Gauges;
use super::problem::{INVALID, Problem};
use super::request::Requests;
use super::verify::Verifier;

/// Characters of a person's name at most.
const MAX_ACTOR: usize = 100;

/// Everything that a handler may use; cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiState {
    /// The name of the data folder.
    pub service_id: Arc<str>,
    /// The business clock.
    pub clock: SharedClock,
    /// Whether that clock is the wall's.
    pub clock_mode: ClockMode,
    /// The operational store.
    pub db: Db,
    /// The pipeline of readings.
    pub ingest: Arc<Ingest>,
    /// The alarms.
    pub alarms: Arc<AlarmBook>,
    /// Health, models and training.
    pub detection: Arc<Detection>,
    /// The engine of queries.
    pub sql: Arc<SqlEngine>,
    /// Where new ids come from.
    pub ids: Arc<dyn IdSource>,
    /// Who may speak to the API.
    pub access: Access,
    /// What must work before the service is ready.
    pub readiness: Readiness,
    /// Checks every invariant.
    pub verifier: Verifier,
    /// Times for which a consumed broker may have dropped messages.
    pub gaps: GapSource,
    /// Figures that the composition root knows.
    pub gauges: Gauges,
    /// Limits and counts of requests.
    pub requests: Arc<Requests>,
}

impl ApiState {
    /// A connection of the operational store, to read one thing.
    ///
    /// **Errors**: 503 when the store is away.
    pub async fn connection(&self) -> Result<PoolConnection<Any>, Problem> {
        Ok(self.db.pool().acquire().await.map_err(StoreError::from)?)
    }

    /// The moment of a command, and the person who gives it.
    ///
    /// **Errors**: 422 when nobody is named.
    pub fn acting_for(&self, person: &str) -> Result<Ctx, Problem> {
        let person = person.trim();
        if !(1..=MAX_ACTOR).contains(&person.chars().count()) {
            let detail = format!("actor names who acts, in 1 to {MAX_ACTOR} characters");
            return Err(Problem::new(INVALID, detail.clone()).field("/actor", detail));
        }
        Ok(self.acting(person))
    }

    /// The name of a person as it was given, for a part of the service that says itself when nobody
    /// is named.
    ///
    /// **Errors**: 422 when it is too long.
    pub fn person(&self, name: String) -> Result<String, Problem> {
        if name.chars().count() <= MAX_ACTOR {
            return Ok(name);
        }
        let detail = format!("actor names who acts, in 1 to {MAX_ACTOR} characters");
        Err(Problem::new(INVALID, detail.clone()).field("/actor", detail))
    }

    /// The moment of a command, and the part of the service that gives it.
    pub fn acting(&self, actor: &str) -> Ctx {
        Ctx::new(self.clock.now(), wall_now(), actor, self.ids.clone())
    }
}
