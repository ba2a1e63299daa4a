//! `fieldwright replay`.

use std::path::PathBuf;

use clap::Args;
use fieldwright_simulators::replay::{ReplayConfig, ReplayError, Speed, replay};
use fieldwright_simulators::{CancelSource, Endpoint, Talk};
use serde_json::json;

use super::serve::stop_signal;
use super::target::Target;
use super::{Failure, Output};

/// Publish a recorded CSV file over MQTT as if an asset sent it now.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fieldwright replay valve1/0.csv --asset rig-1 --class skab --data DIR\n  \
    fieldwright replay log.csv --asset pump-7 --class pump --speed max --api URL --broker URL\n\n\
    The first row becomes now, on the service's business clock. A replay that is faster than that\n\
    clock is shifted so that its last row falls at the instant it is sent: no row lies ahead.\n\
    The shift is reported; --keep-times shifts nothing. The file may use `,` or `;`; times without\n\
    a zone are UTC; label columns (anomaly, changepoint) are never published. An unknown asset is\n\
    registered under a seeded site.")]
pub struct Replay {
    /// The recorded file.
    file: PathBuf,
    /// Tag of the asset.
    #[arg(long, value_name = "ID")]
    asset: String,
    /// Class of the asset: the table that its readings go to.
    #[arg(long)]
    class: String,
    /// Recorded seconds per real second such as 60x, or max; without it, the business clock's rate.
    #[arg(long, value_name = "SPEED")]
    speed: Option<Speed>,
    /// Publish the recorded times as they are.
    #[arg(long)]
    keep_times: bool,
    #[command(flatten)]
    target: Target,
    /// Where to publish; the service's own endpoint or broker when --data finds it.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
}

impl Replay {
    /// Publishes every row and waits for its acknowledgement.
    pub async fn run(self, output: Output) -> Result<(), Failure> {
        if !self.file.is_file() {
            return Err(Failure::NotFound(format!(
                "there is no file {}; name a recorded CSV file",
                self.file.display()
            )));
        }
        let (http, mqtt) = self.target.endpoints().await?;
        let Some(broker) = self.broker.map(Endpoint::Fixed).or(mqtt) else {
            return Err(Failure::Usage(
                "replay needs to know where to publish: name --broker URL, or --data DIR".into(),
            ));
        };
        let (stop, stopped) = CancelSource::new();
        let config = ReplayConfig {
            file: self.file,
            asset: self.asset,
            class: self.class,
            speed: self.speed,
            keep_times: self.keep_times,
            broker,
            api: http,
            token: self.target.token()?,
            talk: Talk::stderr(),
        };
        let replaying = replay(config, stopped);
        tokio::pin!(replaying);
        let report = tokio::select! {
            report = &mut replaying => report,
            () = stop_signal() => {
                stop.cancel();
                replaying.await
            }
        };
        let report = report.map_err(failure)?;
        let span = |at: Option<chrono::DateTime<chrono::Utc>>| {
            at.map_or_else(
                || "none".to_owned(),
                |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
            )
        };
        output.line(
            format!(
                "{}: {} of {} rows published, {} acknowledged, {} to {}, shifted by {}",
                report.asset,
                report.published,
                report.rows,
                report.acknowledged,
                span(report.first),
                span(report.last),
                shift_text(report.shift_seconds),
            ),
            &json!(report),
        );
        Ok(())
    }
}

/// Days and a clock: nobody reads nine digits of seconds.
fn shift_text(seconds: f64) -> String {
    let whole = seconds.abs() as u64;
    let sign = if seconds < 0.0 { "-" } else { "+" };
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    format!(
        "{sign}{days} d {hours:02}:{minutes:02}:{:06.3}",
        seconds.abs() % 60.0
    )
}

fn failure(error: ReplayError) -> Failure {
    let text = super::output::with_causes(&error);
    match error {
        ReplayError::Recording(_) => Failure::Usage(text),
        ReplayError::Api(_) | ReplayError::NoBroker { .. } => Failure::Unavailable(text),
        ReplayError::OtherClass { .. } => Failure::Refused(text),
        ReplayError::NoSite { .. } => Failure::NotFound(text),
        ReplayError::Stopped { .. } => Failure::Failed(text),
    }
}
