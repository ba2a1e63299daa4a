//! A running world: plant and people together, until it is over or told to stop.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::api::{Api, ApiError};
use crate::cancel::{Cancel, CancelSource};
use crate::clock::within;
use crate::endpoint::Endpoint;
use crate::people::PeopleSettings;
use crate::people::customer::Customers;
use crate::people::reviewer::Reviewer;
use crate::people::technician::{OnRepair, Technicians};
use crate::plant::publisher::{SensorOptions, Sensors};
use crate::plant::wear::{FaultPlan, Repair};
use crate::plant::{Plant, SharedPlant};
use crate::report::Report;
use crate::scenario::{PlantSettings, Scenario};
use crate::talk::Talk;
use crate::truth::{Truth, TruthError};
use crate::world::World;

/// How long the service may be away at the start.
const MEETING_PATIENCE: Duration = Duration::from_secs(15);
/// How long people go on while the service is away: it may be restarted.
const PEOPLE_PATIENCE: Duration = Duration::from_secs(600);
/// How long the last look at the service may take.
const REPORT_PATIENCE: Duration = Duration::from_secs(5);
/// How long people may take to put their tools down.
const GOODBYE: Duration = Duration::from_secs(2);
/// A world that is resumed fills at most this gap.
const RESUMED_GAP: TimeDelta = TimeDelta::hours(1);

/// What to simulate, and against what.
#[derive(Debug, Clone)]
pub struct SimulationConfig {
    /// Who takes part.
    pub scenario: Scenario,
    /// One seed replays a world.
    pub seed: u64,
    /// The service's HTTP address.
    pub api: Endpoint,
    /// Token for the API, if it asks for one.
    pub token: Option<String>,
    /// Where the plant publishes; not used by a scenario without a plant.
    pub broker: Endpoint,
    /// File of the truth.
    pub truth_path: PathBuf,
    /// False keeps the scenario's fault away.
    pub fault: bool,
    /// Where lines for people go.
    pub talk: Talk,
}

/// How far a simulation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for the service.
    Meeting,
    /// The plant sends its history.
    History,
    /// Everything runs. Without a plant this is the start.
    Live(DateTime<Utc>),
    /// The run is over.
    Over,
}

/// Why a simulation could not run or end.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The service did not answer at the start.
    #[error("the simulation could not meet the service")]
    Meet(#[source] ApiError),
    /// No registered asset belongs to the plant.
    #[error("no asset of the classes {classes} is registered; register some or seed the store")]
    NoAssets {
        /// The scenario's classes.
        classes: String,
    },
    /// The truth could not be kept.
    #[error("the simulation could not keep its truth")]
    Truth(#[from] TruthError),
    /// Alarms and orders could not be read at the end.
    #[error("the run is over, but its alarms and work orders could not be read for the report")]
    Report(#[source] ApiError),
    /// A part of the simulation broke.
    #[error("a part of the simulation stopped unexpectedly; please report this as a bug")]
    Broken(#[source] tokio::task::JoinError),
}

/// A simulation: start it with [`Simulation::start`].
#[derive(Debug)]
pub struct Simulation;

/// A running simulation. Dropping it stops it without a report.
#[derive(Debug)]
pub struct SimulationHandle {
    source: CancelSource,
    stage: watch::Receiver<Stage>,
    task: JoinHandle<Result<Report, SimulationError>>,
}

impl Simulation {
    /// Starts a world in the background.
    pub fn start(config: SimulationConfig) -> SimulationHandle {
        let (source, cancel) = CancelSource::new();
        let (news, stage) = watch::channel(Stage::Meeting);
        let task = tokio::spawn(run(config, news, cancel));
        SimulationHandle {
            source,
            stage,
            task,
        }
    }
}

impl SimulationHandle {
    /// Tells everybody to stop; [`SimulationHandle::finish`] then reports.
    pub fn cancel(&self) {
        self.source.cancel();
    }

    /// How far it has come; the receiver hears every change.
    pub fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.clone()
    }

    /// Waits for the end of the run, by itself or by [`SimulationHandle::cancel`], and reports.
    ///
    /// **Errors**: it could not start, or the service was away for the report.
    pub async fn finish(self) -> Result<Report, SimulationError> {
        // The source must live as long as the task: dropping it stops the world.
        let Self { source, task, .. } = self;
        let outcome = task.await.map_err(SimulationError::Broken)?;
        drop(source);
        outcome
    }
}

async fn run(
    config: SimulationConfig,
    news: watch::Sender<Stage>,
    cancel: Cancel,
) -> Result<Report, SimulationError> {
    let api = Api::new(config.api.clone(), config.token.clone());
    let patient = |patience| {
        api.clone()
            .with_patience(patience)
            .with_cancel(cancel.clone())
    };
    let mut world = World::meet(patient(MEETING_PATIENCE))
        .await
        .map_err(SimulationError::Meet)?;
    world.api = patient(PEOPLE_PATIENCE);
    let since = world.clock.now();
    // A run that ends by itself sends its people home as well.
    let (stop_people, people_cancel) = CancelSource::new();
    let mut tasks = JoinSet::new();
    let keeper = (world.clone(), people_cancel.clone());
    tasks.spawn(async move { keeper.0.keep_time(keeper.1).await });

    let book = TruthBook::open(&config)?;
    let plant = match &config.scenario.plant {
        Some(settings) => Some(build_plant(&config, settings, &world, since).await?),
        None => None,
    };
    if let Some(people) = config.scenario.people.clone() {
        let on_repair = plant.clone().map(|plant| on_repair(plant, book.clone()));
        spawn_people(
            &mut tasks,
            &config,
            people,
            &world,
            on_repair,
            &people_cancel,
        );
    }
    match (&config.scenario.plant, plant) {
        (Some(settings), Some(plant)) => {
            let sensors = Sensors {
                plant: plant.clone(),
                seed: config.seed,
                broker: config.broker.clone(),
                clock: world.clock.clone(),
                options: book.shorten(settings.sensors(), since),
                talk: config.talk.clone(),
                cancel: cancel.clone(),
            };
            news.send_replace(Stage::History);
            let fault = settings.fault && config.fault;
            let live = |live_since| {
                let plan = fault
                    .then(|| FaultPlan::draw(config.seed, plant.machines()))
                    .flatten();
                book.go_live(&plant, plan, live_since, &config.talk);
                news.send_replace(Stage::Live(live_since));
            };
            if sensors.publish(live).await.is_err() {
                tracing::debug!("the plant was stopped with messages on their way");
            }
        }
        _ => {
            news.send_replace(Stage::Live(since));
            cancel.canceled().await;
        }
    }
    stop_people.cancel();
    put_down(tasks, GOODBYE).await;
    let report = Report::read(&api.with_patience(REPORT_PATIENCE), &book.truth(), since).await;
    news.send_replace(Stage::Over);
    let has_plant = config.scenario.plant.is_some();
    report
        .map(|report| if has_plant { report } else { report.unjudged() })
        .map_err(SimulationError::Report)
}

async fn build_plant(
    config: &SimulationConfig,
    settings: &PlantSettings,
    world: &World,
    since: DateTime<Utc>,
) -> Result<SharedPlant, SimulationError> {
    let assets = world.assets().await.map_err(SimulationError::Meet)?;
    let ours = assets
        .iter()
        .filter(|asset| settings.classes.contains(&asset.class))
        .map(|asset| (asset.tag.as_str(), asset.class.as_str()));
    let plant = Plant::new(config.seed, ours, since);
    if plant.machines().is_empty() {
        return Err(SimulationError::NoAssets {
            classes: settings.classes.join(", "),
        });
    }
    config.talk.say(format!(
        "plant: {} assets, seed {}, {} hours of history",
        plant.machines().len(),
        config.seed,
        settings.history_hours,
    ));
    Ok(Arc::new(plant))
}

fn spawn_people(
    tasks: &mut JoinSet<()>,
    config: &SimulationConfig,
    people: PeopleSettings,
    world: &World,
    on_repair: Option<OnRepair>,
    cancel: &Cancel,
) {
    let (seed, talk) = (config.seed, &config.talk);
    let technicians = Technicians::new(
        world.clone(),
        people.clone(),
        seed,
        on_repair,
        talk.clone(),
        cancel.clone(),
    );
    let reviewer = Reviewer::new(world.clone(), people.clone(), talk.clone(), cancel.clone());
    let customers = Customers::new(world.clone(), people, seed, talk.clone(), cancel.clone());
    tasks.spawn(technicians.run());
    tasks.spawn(reviewer.run());
    tasks.spawn(customers.run());
}

fn on_repair(plant: SharedPlant, book: TruthBook) -> OnRepair {
    Arc::new(move |tag, at| {
        let was_broken = plant.repair(tag, at) != Repair::NothingWrong;
        if was_broken {
            book.note_wear(&plant);
        }
        was_broken
    })
}

/// The truth with its file.
#[derive(Debug, Clone)]
struct TruthBook {
    path: PathBuf,
    truth: Arc<Mutex<Truth>>,
}

impl TruthBook {
    /// Opens the truth; a file of the same world is gone on with.
    fn open(config: &SimulationConfig) -> Result<Self, TruthError> {
        let fresh = Truth::new(config.seed, &config.scenario.name);
        let truth = match Truth::load(&config.truth_path) {
            Ok(old) if old.seed == fresh.seed && old.scenario == fresh.scenario => old,
            Ok(_) | Err(TruthError::Read { .. }) => fresh,
            Err(error) => return Err(error),
        };
        truth.save(&config.truth_path)?;
        Ok(Self {
            path: config.truth_path.clone(),
            truth: Arc::new(Mutex::new(truth)),
        })
    }

    fn truth(&self) -> Truth {
        self.truth.lock().expect("no holder panics").clone()
    }

    /// A resumed world has its history already.
    fn shorten(&self, mut options: SensorOptions, now: DateTime<Utc>) -> SensorOptions {
        if self.truth().live_since.is_some_and(|since| since <= now) {
            options.history = options.history.min(RESUMED_GAP);
        }
        options
    }

    fn go_live(&self, plant: &Plant, plan: Option<FaultPlan>, at: DateTime<Utc>, talk: &Talk) {
        let mut truth = self.truth.lock().expect("no holder panics");
        // A resumed world keeps the fault that it had.
        let wear = truth
            .wear
            .clone()
            .or_else(|| plan.map(|plan| plan.begin(at)));
        truth.live_since.get_or_insert(at);
        plant.set_wear(wear.clone());
        truth.note(wear);
        if let Err(error) = truth.save(&self.path) {
            talk.say(format!("plant: {error}"));
        }
    }

    fn note_wear(&self, plant: &Plant) {
        let mut truth = self.truth.lock().expect("no holder panics");
        truth.note(plant.wear());
        if let Err(error) = truth.save(&self.path) {
            tracing::warn!(%error, "the truth was not kept");
        }
    }
}

/// Waits for those who stop by themselves, then stops the rest.
async fn put_down(mut tasks: JoinSet<()>, limit: Duration) {
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = within(limit, all).await;
    tasks.shutdown().await;
}

#[cfg(test)]
mod tests;
