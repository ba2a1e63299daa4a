//! `fieldwright simulate`.

mod year;

use std::path::PathBuf;

use clap::Args;
use fieldwright_simulators::{Endpoint, Report, Simulation, SimulationConfig, Talk, scenario};

use super::serve::stop_signal;
use super::target::Target;
use super::{Failure, Output};

/// Drive a running service with a simulated world that speaks MQTT and HTTP like any stranger.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fieldwright simulate small_plant --data DIR --seed 3\n  \
    fieldwright simulate people --api http://127.0.0.1:8080\n  \
    fieldwright simulate small_plant --api http://127.0.0.1:8080 --broker mqtt://127.0.0.1:1883\n  \
    fieldwright simulate year --seed 7\n\n\
    Scenarios:\n  small_plant  a plant whose one asset breaks, technicians, a reviewer, customers\n  \
    people       technicians, a reviewer and customers, for telemetry that comes from elsewhere\n  \
    no_fault     a plant on a simulated day on which nothing breaks\n  \
    year         100 assets for 365 days with 66 faults, in half an hour, with a service of its own\n               \
    unless --api and --broker name one; its report says what was found in time\n\n\
    Ctrl-C ends it with a report: detection delay, missed faults and false alarms against the truth.")]
pub struct Simulate {
    /// small_plant, people, no_fault or year.
    scenario: String,
    #[command(flatten)]
    target: Target,
    /// Where the plant publishes; the service's own endpoint when --data finds it.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Which world: the seed draws asset, fault and onset.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File in which the simulator keeps the truth; in the data folder when --data names one.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Machines of `year`; less is for trying out.
    #[arg(long, default_value_t = year::ASSETS, hide = true)]
    assets: usize,
    /// Days of `year`; less is for trying out.
    #[arg(long, default_value_t = year::DAYS, hide = true)]
    days: f64,
    /// How fast business time runs in the own service of `year`.
    #[arg(long, default_value = year::CLOCK, hide = true)]
    clock: String,
}

impl Simulate {
    /// Runs the scenario to its end or until told to stop, then reports.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        if self.scenario == "year" {
            return self.year(output).await;
        }
        let scenario =
            scenario(&self.scenario).map_err(|error| Failure::Usage(error.to_string()))?;
        let (http, mqtt) = self.target.endpoints().await?;
        let broker = match self.broker.map(Endpoint::Fixed).or(mqtt) {
            Some(broker) => broker,
            None if scenario.plant.is_none() => Endpoint::Fixed(String::new()),
            None => {
                return Err(Failure::Usage(
                    "the plant needs to know where to publish: name --broker URL, or --data DIR"
                        .into(),
                ));
            }
        };
        let truth_path = self.truth.unwrap_or_else(|| {
            let folder = self.target.data.clone().unwrap_or_else(std::env::temp_dir);
            folder.join("simulated-truth.json")
        });
        let world = Simulation::start(SimulationConfig {
            scenario,
            seed: self.seed,
            api: http,
            token: self.target.token()?,
            broker,
            truth_path,
            fault: true,
            talk: Talk::stderr(),
        });
        let stage = world.stage();
        tokio::select! {
            () = over(stage) => {}
            () = stop_signal() => world.cancel(),
        }
        let report = world.finish().await.map_err(Failure::failed)?;
        print_report(output, &report);
        Ok(())
    }
}

/// The report: an object for programs on stdout, text for people on stderr.
pub fn print_report(output: Output, report: &Report) {
    match output {
        Output::Json => output.line("", &serde_json::json!(report)),
        Output::Text => eprint!("{report}"),
    }
}

async fn over(mut stage: tokio::sync::watch::Receiver<fieldwright_simulators::simulation::Stage>) {
    use fieldwright_simulators::simulation::Stage;
    while *stage.borrow_and_update() != Stage::Over {
        if stage.changed().await.is_err() {
            return;
        }
    }
}
