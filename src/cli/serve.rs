//! `fieldwright serve`.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use super::target::DEFAULT_DATA_DIR;
use crate::app::App;
use crate::config::{Layers, Settings};

/// Run the service until Ctrl-C or SIGTERM.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  fieldwright serve\n  \
    fieldwright serve --data /var/lib/fieldwright --http 127.0.0.1:0 --mqtt 127.0.0.1:0\n  \
    fieldwright serve --broker mqtt://broker.local:1883\n  \
    fieldwright serve --store postgres://fieldwright@localhost/fieldwright\n\n\
    Send a reading to try it:\n  \
    mosquitto_pub -q 1 -t fieldwright/pump/pump-101 \\\n    \
    -m '{\"time\": 1767225600000, \"metrics\": {\"pressure_bar\": 4.2}}'\n\n\
    The addresses really taken are written to DIR/endpoints.json before the service says `ready`.")]
pub struct Serve {
    /// Configuration file (TOML); see `fieldwright config show --defaults`.
    #[arg(long, value_name = "FILE", env = "FIELDWRIGHT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data folder; made when it does not exist, owned by one service at a time.
    #[arg(long, value_name = "DIR", env = "FIELDWRIGHT_DATA", default_value = DEFAULT_DATA_DIR)]
    pub data: PathBuf,
    /// Operational store instead of SQLite in the data folder: sqlite:FILE or postgres://…
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Where the HTTP API listens, 127.0.0.1:8080 by default; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Where devices connect with MQTT, 127.0.0.1:1883 by default; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub mqtt: Option<String>,
    /// Where PostgreSQL clients ask, a free loopback port by default; "" keeps it closed.
    #[arg(long, value_name = "ADDR")]
    pub postgres: Option<String>,
    /// Where Flight SQL clients ask, a free loopback port by default; "" keeps it closed.
    #[arg(long, value_name = "ADDR")]
    pub flight: Option<String>,
    /// Consume from this broker instead: mqtt://host:1883 or mqtts://host:8883.
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// Business clock of a new folder: `real`, or `600x` for a simulated world.
    #[arg(long, value_name = "CLOCK")]
    pub clock: Option<String>,
    /// File with the bearer token that every request must carry.
    #[arg(long, value_name = "FILE", env = "FIELDWRIGHT_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

impl Serve {
    /// The settings that the layers and these flags make.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let token_file = self
            .token_file
            .as_ref()
            .map(|path| path.display().to_string());
        let flags = [
            ("store.url", self.store.clone(), "--store"),
            ("http.listen", self.http.clone(), "--http"),
            ("mqtt.listen", self.mqtt.clone(), "--mqtt"),
            ("postgres.listen", self.postgres.clone(), "--postgres"),
            ("flight.listen", self.flight.clone(), "--flight"),
            ("mqtt.broker", self.broker.clone(), "--broker"),
            ("clock.mode", self.clock.clone(), "--clock"),
            ("http.token_file", token_file, "--token-file"),
        ];
        let layers = Layers::read(self.config.as_deref(), std::env::vars(), &flags)?;
        Ok(Settings::from_layers(&layers)?)
    }

    /// Serves until told to stop; a second signal stops at once.
    pub async fn run(self) -> Result<(), Failure> {
        let settings = self.settings()?;
        let app = App::start(settings, &self.data).await?;
        eprintln!("data   {}", app.data_dir().display());
        eprintln!("http   {}", app.endpoints().http);
        eprintln!("mqtt   {}", app.endpoints().mqtt);
        if let Some(mqtts) = &app.endpoints().mqtts {
            eprintln!("mqtts  {mqtts}");
        }
        for (name, address) in app.endpoints().sql_doors() {
            eprintln!("{name:<6} {address}");
        }
        let clock = &app.parts().clock;
        eprintln!(
            "clock  {}, now {}",
            crate::business_clock::spec(clock),
            clock.now().format("%Y-%m-%d %H:%M:%SZ")
        );
        eprintln!("ready");
        stop_signal().await;
        eprintln!("stopping: finishing what was received");
        tokio::select! {
            result = app.shutdown() => result.map_err(Failure::from),
            () = stop_signal() => Err(Failure::Failed(
                "stopped at once; what was acknowledged is in the journal".into(),
            )),
        }
    }
}

/// Waits for Ctrl-C or, on Unix, SIGTERM.
pub async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
