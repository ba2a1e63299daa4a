//! `fieldwright demo`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use clap::Args;
use fieldwright_ingest::clock::process_sleep;
use fieldwright_simulators::simulation::Stage;
use fieldwright_simulators::{
    Endpoint, Simulation, SimulationConfig, SimulationHandle, Talk, scenario,
};

use super::client::Client;
use super::serve::{Serve, stop_signal};
use super::simulate::print_report;
use super::{Failure, Output};
use crate::app::App;
use crate::story::{Narrator, Told};

/// How long a day without a fault lasts. **Units**: business time.
const QUIET_DAY: TimeDelta = TimeDelta::hours(24);
/// How often the end of the quiet day is looked for.
const POLL: Duration = Duration::from_millis(200);

/// A living plant on your screen: the service and a simulated world around it in one process.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fieldwright demo\n  fieldwright demo --until-paid --seed 7\n  \
    fieldwright demo --no-fault\n\n\
    The story goes to stdout, everything else to stderr. While it runs, look at it from another\n\
    terminal with the folder that it prints:\n  \
    fieldwright sql --data DIR \"SELECT number, status FROM work_orders\""
)]
pub struct Demo {
    /// Which world: the seed draws asset, fault and onset.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End after the first full circle: 0 when it closed, 1 when it did not within --timeout.
    #[arg(long)]
    until_paid: bool,
    /// How long --until-paid may take on your clock, such as 90s or 5m.
    #[arg(long, default_value = "5m", value_parser = parse_duration)]
    timeout: Duration,
    /// A simulated day on which nothing breaks: ends by itself, 1 when anything was raised.
    #[arg(long, conflicts_with = "until_paid")]
    no_fault: bool,
    /// Data folder; a fresh one is made and printed when none is named.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the HTTP API listens; a free port by default.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    http: String,
    /// Where the plant connects with MQTT; a free port by default.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    mqtt: String,
    /// Operational store instead of SQLite in the data folder: sqlite:FILE or postgres://…
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// How fast business time runs.
    #[arg(long, value_name = "CLOCK", default_value = "600x")]
    clock: String,
}

/// Why the story ended.
enum Ending {
    Interrupted,
    FirstCircle,
    TimedOut,
    QuietDay,
}

impl Demo {
    /// Runs the world until it is told to stop, or as the flags say.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        let dir = self.folder()?;
        let serve = Serve {
            config: None,
            data: dir.clone(),
            store: self.store.clone(),
            http: Some(self.http.clone()),
            mqtt: Some(self.mqtt.clone()),
            postgres: None,
            flight: None,
            broker: None,
            clock: Some(self.clock.clone()),
            token_file: None,
        };
        let app = App::start(serve.settings()?, &dir).await?;
        eprintln!("data   {}", app.data_dir().display());
        eprintln!("http   {}", app.endpoints().http);
        eprintln!("mqtt   {}", app.endpoints().mqtt);
        for (name, address) in app.endpoints().sql_doors() {
            eprintln!("{name:<6} {address}");
        }
        eprintln!("clock  {} of business time", self.clock);
        eprintln!("ready; Ctrl-C ends it");
        let client = Client::new(&app.endpoints().http, None)?;
        let narrator = Narrator::start(client, output).await?;
        let world = self.start_world(&app)?;
        let ended = self.tell(narrator, &world, &app).await;
        world.cancel();
        let report = world.finish().await;
        let stopped = app.shutdown().await;
        match report {
            Ok(report) => print_report(Output::Text, &report),
            Err(error) => eprintln!("{}", super::output::with_causes(&error)),
        }
        stopped?;
        self.judge(ended?, &dir)
    }

    fn start_world(&self, app: &App) -> Result<SimulationHandle, Failure> {
        let name = if self.no_fault {
            "no_fault"
        } else {
            "small_plant"
        };
        Ok(Simulation::start(SimulationConfig {
            scenario: scenario(name).map_err(Failure::failed)?,
            seed: self.seed,
            api: Endpoint::Fixed(app.endpoints().http.clone()),
            token: None,
            broker: Endpoint::Fixed(app.endpoints().mqtt.clone()),
            truth_path: app.data_dir().join("simulated-truth.json"),
            fault: !self.no_fault,
            talk: Talk::stderr(),
        }))
    }

    async fn tell(
        &self,
        mut narrator: Narrator,
        world: &SimulationHandle,
        app: &App,
    ) -> Result<(Ending, Told), Failure> {
        let story = async {
            while !self.until_paid || narrator.told().circles == 0 {
                narrator.tell_once().await?;
            }
            Ok::<_, Failure>(())
        };
        let timeout = async {
            match self.until_paid {
                true => process_sleep(self.timeout).await,
                false => std::future::pending().await,
            }
        };
        let quiet_day = async {
            match self.no_fault {
                true => quiet_day(world, app).await,
                false => std::future::pending().await,
            }
        };
        let ending = tokio::select! {
            told = story => told.map(|()| Ending::FirstCircle)?,
            () = timeout => Ending::TimedOut,
            () = quiet_day => Ending::QuietDay,
            () = stop_signal() => Ending::Interrupted,
        };
        Ok((ending, narrator.told()))
    }

    fn judge(&self, (ending, told): (Ending, Told), dir: &Path) -> Result<(), Failure> {
        let dir = dir.display();
        eprintln!("the data stays in {dir}; ask it: fieldwright sql --data {dir} \"SHOW TABLES\"");
        match ending {
            Ending::Interrupted => Ok(()),
            Ending::FirstCircle => {
                eprintln!("the first circle is closed: from a growing fault to a balanced ledger");
                Ok(())
            }
            Ending::TimedOut => Err(Failure::Failed(format!(
                "no full circle within {} s: {} alarms, {} work orders, {} paid",
                self.timeout.as_secs(),
                told.alarms,
                told.orders,
                told.circles
            ))),
            Ending::QuietDay if told.alarms + told.orders == 0 => {
                eprintln!("a day without a fault: nothing was raised, as it should be");
                Ok(())
            }
            Ending::QuietDay => Err(Failure::Failed(format!(
                "nothing was broken, but {} alarms and {} work orders were raised",
                told.alarms, told.orders
            ))),
        }
    }

    /// The named folder, or a fresh one that stays: its owner may want to look at it.
    fn folder(&self) -> Result<PathBuf, Failure> {
        if let Some(dir) = &self.data {
            return Ok(dir.clone());
        }
        tempfile::Builder::new()
            .prefix("fieldwright-demo-")
            .tempdir()
            .map(tempfile::TempDir::keep)
            .map_err(|error| Failure::Failed(format!("cannot make a data folder: {error}")))
    }
}

/// Waits until the plant has been live for a day.
async fn quiet_day(world: &SimulationHandle, app: &App) {
    let mut stage = world.stage();
    let clock = &app.parts().clock;
    let live_since = loop {
        if let Stage::Live(since) = &*stage.borrow_and_update() {
            break *since;
        }
        if stage.changed().await.is_err() {
            return;
        }
    };
    while clock.now() - live_since < QUIET_DAY {
        if *stage.borrow() == Stage::Over {
            return;
        }
        process_sleep(POLL).await;
    }
}

/// `90s`, `5m`, `2h`, or plain seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        _ => return Err(format!("`{unit}` is no unit of time; use s, m or h")),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds))
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("`{text}` is no time; say for instance 90s, 5m or 2h"))
}
