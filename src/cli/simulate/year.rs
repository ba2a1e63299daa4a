//! `fieldwright simulate year`.

use std::path::{Path, PathBuf};

use fieldwright_simulators::year::{self, YearConfig, YearReport};
use fieldwright_simulators::{CancelSource, Endpoint, Talk};

use super::Simulate;
use crate::app::App;
use crate::cli::serve::{Serve, stop_signal};
use crate::cli::{Failure, Output};

/// Machines of a whole year.
pub const ASSETS: usize = 100;
/// Days of a whole year.
pub const DAYS: f64 = 365.0;
/// How fast business time runs in the command's own service: 365 days in 28 minutes.
pub const CLOCK: &str = "18750x";

impl Simulate {
    /// Runs the year, against the named service or one of its own, and reports.
    pub(super) async fn year(self, output: Output) -> Result<(), Failure> {
        let whole = self.assets >= ASSETS && self.days >= DAYS;
        let report = match (&self.target.api, &self.broker) {
            (Some(_), Some(broker)) => {
                let (api, _) = self.target.endpoints().await?;
                let broker = Endpoint::Fixed(broker.clone());
                let folder = std::env::temp_dir();
                self.run_year(api, broker, &folder).await?
            }
            (None, None) => self.year_of_its_own().await?,
            _ => {
                return Err(Failure::Usage(
                    "name both --api and --broker, or neither: then the year starts a service of its own"
                        .into(),
                ));
            }
        };
        match output {
            Output::Json => output.line("", &serde_json::json!(report)),
            Output::Text => output.line(report.to_string().trim_end(), &serde_json::Value::Null),
        }
        if whole && !report.is_good() {
            return Err(Failure::Failed(
                "the year is not as good as it must be: 90 % found, 5 days ahead, 0.1 false orders per asset-year".into(),
            ));
        }
        Ok(())
    }

    async fn year_of_its_own(&self) -> Result<YearReport, Failure> {
        let dir = self.folder()?;
        let serve = Serve {
            config: None,
            data: dir.clone(),
            store: None,
            http: Some("127.0.0.1:0".into()),
            mqtt: Some("127.0.0.1:0".into()),
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
        let api = Endpoint::Fixed(app.endpoints().http.clone());
        let broker = Endpoint::Fixed(app.endpoints().mqtt.clone());
        let folder = app.data_dir().to_owned();
        let report = self.run_year(api, broker, &folder).await;
        app.shutdown().await?;
        eprintln!("the data stays in {}", dir.display());
        report
    }

    async fn run_year(
        &self,
        api: Endpoint,
        broker: Endpoint,
        folder: &Path,
    ) -> Result<YearReport, Failure> {
        let truth = self.truth.clone();
        let config = YearConfig {
            seed: self.seed,
            assets: self.assets,
            days: self.days,
            api,
            token: self.target.token()?,
            broker,
            truth_path: truth.unwrap_or_else(|| folder.join("simulated-truth.json")),
            talk: Talk::stderr(),
        };
        let (source, cancel) = CancelSource::new();
        let year = year::run(config, cancel);
        tokio::pin!(year);
        let report = tokio::select! {
            report = &mut year => report,
            () = stop_signal() => {
                source.cancel();
                year.await
            }
        };
        report.map_err(Failure::failed)
    }

    /// The named folder, or a fresh one that stays: its owner may want to look at it.
    fn folder(&self) -> Result<PathBuf, Failure> {
        if let Some(dir) = &self.target.data {
            return Ok(dir.clone());
        }
        tempfile::Builder::new()
            .prefix("fieldwright-year-")
            .tempdir()
            .map(tempfile::TempDir::keep)
            .map_err(|error| Failure::Failed(format!("cannot make a data folder: {error}")))
    }
}
