//! The year as it runs: machines, people and the service that watches them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::task::JoinSet;

use super::operator::Operator;
use super::plan::YearPlan;
use super::plant::{SharedYear, YearPlant};
use super::report::{Circumstances, YearReport};
use super::sensors::YearSensors;
use super::truth::YearTruth;
use crate::api::records::{Changed, WorkOrder};
use crate::api::{Api, ApiError, Command};
use crate::cancel::{Cancel, CancelSource};
use crate::clock::process_now;
use crate::endpoint::Endpoint;
use crate::people::PeopleSettings;
use crate::people::customer::Customers;
use crate::people::reviewer::Reviewer;
use crate::people::technician::{OnRepair, Technicians};
use crate::talk::Talk;
use crate::truth::TruthError;
use crate::world::World;

/// How long the service may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// The last orders of the year are given so long to appear.
const LAST_ORDERS: TimeDelta = TimeDelta::days(1);
/// The people of the year, as a scenario writes them.
const PEOPLE: &str = r#"
work_minutes = [60.0, 180.0]
test_run_minutes = 20.0
reviewer = "Ruth Keller"
review_after_minutes = 240.0
no_telemetry_after_hours = 72.0
pay_after_minutes = [2880.0, 20160.0]
look_milliseconds = 100
"#;

/// Which year to run, and against what.
#[derive(Debug, Clone)]
pub struct YearConfig {
    /// One seed replays a year.
    pub seed: u64,
    /// How many machines.
    pub assets: usize,
    /// How many days.
    pub days: f64,
    /// The service's HTTP address.
    pub api: Endpoint,
    /// Token for the API, if it asks for one.
    pub token: Option<String>,
    /// Where the machines publish.
    pub broker: Endpoint,
    /// File of the truth.
    pub truth_path: PathBuf,
    /// Where lines for people go.
    pub talk: Talk,
}

/// Why a year could not run or end.
#[derive(Debug, thiserror::Error)]
pub enum YearError {
    /// The service did not answer at the start.
    #[error("the year could not meet the service")]
    Meet(#[source] ApiError),
    /// A machine could not be registered.
    #[error("asset {tag} could not be registered")]
    Register {
        /// Its tag.
        tag: String,
        /// Why.
        source: ApiError,
    },
    /// The service knows no site at which a machine could stand.
    #[error("the service has no site; an asset without a site raises no work order")]
    NoSite,
    /// The truth could not be kept.
    #[error("the year could not keep its truth")]
    Truth(#[from] TruthError),
    /// The orders could not be read at the end.
    #[error("the year is over, but its work orders could not be read for the report")]
    Report(#[source] ApiError),
}

/// Runs the year to its end or until told to stop, and reports.
///
/// **Errors**: see [`YearError`].
pub async fn run(config: YearConfig, cancel: Cancel) -> Result<YearReport, YearError> {
    let started = process_now();
    let api = Api::new(config.api.clone(), config.token.clone()).with_patience(PATIENCE);
    let patient = api.clone().with_cancel(cancel.clone());
    let world = World::meet(patient).await.map_err(YearError::Meet)?;
    let plan = YearPlan::draw(config.seed, config.assets, config.days);
    register(&world, &plan).await?;
    let plant: SharedYear = Arc::new(YearPlant::new(plan, next_step(world.clock.now())));
    YearTruth::of(&plant).save(&config.truth_path)?;
    config.talk.say(format!(
        "plant: {} assets, {} faults, {:.0} days from {} at {:.0} times your clock",
        plant.machines().len(),
        plant.plan().faults.len(),
        config.days,
        plant.time(0),
        world.clock.rate(),
    ));
    let (stop_people, people) = CancelSource::new();
    let mut tasks = spawn_people(&config, &world, &plant, &people);
    let sensors = YearSensors {
        plant: plant.clone(),
        broker: config.broker.clone(),
        clock: world.clock.clone(),
        talk: config.talk.clone(),
        cancel: cancel.clone(),
    };
    let reported = sensors.publish().await;
    if !cancel.is_canceled() {
        let until = world.clock.now() + LAST_ORDERS;
        world.clock.wait_until(until, &cancel).await;
    }
    let ended_at = world.clock.now();
    stop_people.cancel();
    while tasks.join_next().await.is_some() {}
    let truth = YearTruth::of(&plant);
    truth.save(&config.truth_path)?;
    let orders: Vec<WorkOrder> = api
        .list("/work-orders", &[])
        .await
        .map_err(YearError::Report)?;
    let circumstances = Circumstances {
        ended_at,
        readings: reported.readings,
        largest_lag: reported.largest_lag,
        wall_seconds: started.elapsed().as_secs_f64(),
    };
    Ok(YearReport::judge(&truth, &orders, &circumstances))
}

/// Registers the machines that the service does not know, at its sites in turn.
async fn register(world: &World, plan: &YearPlan) -> Result<(), YearError> {
    let known = world.assets().await.map_err(YearError::Meet)?;
    let sites = world.sites().await.map_err(YearError::Meet)?;
    if sites.is_empty() {
        return Err(YearError::NoSite);
    }
    for (number, asset) in plan.assets.iter().enumerate() {
        if known.iter().any(|known| known.tag == asset.tag) {
            continue;
        }
        let site = &sites[number % sites.len()].id;
        let command = Command {
            path: "/assets".to_owned(),
            body: json!({"tag": asset.tag, "class": asset.class.name(), "site": site, "criticality": 4}),
            idempotency_key: Some(format!("year-{}", asset.tag)),
            version: None,
        };
        let outcome = world.api.post::<Changed>(&command).await;
        outcome.map_err(|source| YearError::Register {
            tag: asset.tag.clone(),
            source,
        })?;
    }
    Ok(())
}

/// The first instant of the readings' grid that lies ahead.
fn next_step(now: DateTime<Utc>) -> DateTime<Utc> {
    let step = super::STEP_SECONDS;
    let next = (now.timestamp().div_euclid(step) + 1) * step;
    DateTime::from_timestamp(next, 0).unwrap_or(now)
}

fn spawn_people(
    config: &YearConfig,
    world: &World,
    plant: &SharedYear,
    cancel: &Cancel,
) -> JoinSet<()> {
    let people: PeopleSettings = toml::from_str(PEOPLE).expect("a constant that a test reads");
    let (seed, talk) = (config.seed, &config.talk);
    let mut tasks = JoinSet::new();
    let keeper = (world.clone(), cancel.clone());
    tasks.spawn(async move { keeper.0.keep_time(keeper.1).await });
    let on_repair = on_repair(plant, config.truth_path.clone());
    let technicians = Technicians::new(
        world.clone(),
        people.clone(),
        seed,
        Some(on_repair),
        talk.clone(),
        cancel.clone(),
    );
    tasks.spawn(technicians.run());
    let reviewer = Reviewer::new(world.clone(), people.clone(), talk.clone(), cancel.clone());
    tasks.spawn(reviewer.run());
    let customers = Customers::new(world.clone(), people, seed, talk.clone(), cancel.clone());
    tasks.spawn(customers.run());
    let operator = Operator {
        plant: plant.clone(),
        world: world.clone(),
        talk: talk.clone(),
        cancel: cancel.clone(),
    };
    tasks.spawn(operator.run());
    tasks
}

fn on_repair(plant: &SharedYear, path: PathBuf) -> OnRepair {
    let plant = plant.clone();
    Arc::new(move |tag, at| {
        let was_broken = plant.repair(tag, at).is_some();
        if was_broken && let Err(error) = YearTruth::of(&plant).save(&path) {
            tracing::warn!(%error, "the truth was not kept");
        }
        was_broken
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_people_of_the_year_can_be_read_and_the_first_reading_lies_ahead() {
        let people: PeopleSettings = toml::from_str(PEOPLE).unwrap();
        assert_eq!(people.look_milliseconds, 100);
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(
            next_step(at("2026-01-05T07:00:00Z")),
            at("2026-01-05T07:10:00Z")
        );
        assert_eq!(
            next_step(at("2026-01-05T07:09:59.5Z")),
            at("2026-01-05T07:10:00Z")
        );
    }
}
