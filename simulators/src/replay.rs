//! Replaying a recorded file as an asset, over MQTT.
//!
//! *Now* is the service's business clock. The first row becomes now; a replay that is faster than
//! that clock is shifted so that its last row falls at the instant at which it is sent. So no row
//! ever lies ahead of the business clock.

pub mod recording;
pub mod timetable;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::records::Asset;
use crate::api::{Api, ApiError, Command};
use crate::cancel::Cancel;
use crate::clock::within;
use crate::endpoint::Endpoint;
use crate::mqtt::{Outbound, Publisher, PublisherOptions, Stopped};
use crate::plant::topic;
use crate::seeded;
use crate::talk::Talk;
use crate::world::World;
use recording::{Recording, RecordingError, Row, Summary};
pub use timetable::{Speed, Timetable};

/// Messages that wait for their acknowledgement at a time.
const WINDOW: usize = 500;
/// How long the service and the broker may be away at the start.
const PATIENCE: Duration = Duration::from_secs(15);
/// Progress is told after this share of the rows.
const PROGRESS_PARTS: u64 = 10;

/// What to replay, as what, where and how fast.
#[derive(Debug, Clone)]
pub struct ReplayConfig {
    /// The recorded file.
    pub file: PathBuf,
    /// Tag of the asset.
    pub asset: String,
    /// Class of the asset.
    pub class: String,
    /// How fast; as fast as the business clock when nothing is said.
    pub speed: Option<Speed>,
    /// Keeps the recorded times instead of shifting them.
    pub keep_times: bool,
    /// Where to publish.
    pub broker: Endpoint,
    /// The service's HTTP address.
    pub api: Endpoint,
    /// Token for the API, if it asks for one.
    pub token: Option<String>,
    /// Where lines for people go.
    pub talk: Talk,
}

/// What a replay did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayReport {
    /// The asset.
    pub asset: String,
    /// Rows in the file.
    pub rows: u64,
    /// Rows that were published.
    pub published: u64,
    /// Messages that were acknowledged.
    pub acknowledged: u64,
    /// Rows without a readable time or without any number.
    pub skipped_rows: u64,
    /// Cells that are not numbers.
    pub skipped_cells: u64,
    /// How far the recorded times were moved. **Units**: seconds.
    pub shift_seconds: f64,
    /// Time of the first published row, as published.
    pub first: Option<DateTime<Utc>>,
    /// Time of the last published row, as published.
    pub last: Option<DateTime<Utc>>,
    /// True when the asset was registered by this replay.
    pub registered: bool,
}

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be replayed.
    #[error("the recording cannot be replayed")]
    Recording(#[from] RecordingError),
    /// The service refused or was away.
    #[error("the service did not take part in the replay")]
    Api(#[from] ApiError),
    /// The asset exists with another class.
    #[error(
        "asset {tag} is registered as a {registered}; replay with --class {registered} or choose another --asset"
    )]
    OtherClass {
        /// The tag.
        tag: String,
        /// The class in the registry.
        registered: String,
    },
    /// There is no site to register the asset under.
    #[error(
        "asset {tag} is unknown and there is no site to register it under; seed the store with a site"
    )]
    NoSite {
        /// The tag.
        tag: String,
    },
    /// The MQTT endpoint let nobody in.
    #[error("the MQTT endpoint could not be reached: {failure}")]
    NoBroker {
        /// What the last attempt said.
        failure: String,
    },
    /// The caller stopped it.
    #[error(
        "the replay was stopped after {published} of {rows} rows; {acknowledged} are acknowledged"
    )]
    Stopped {
        /// Rows handed over.
        published: u64,
        /// Rows in the file.
        rows: u64,
        /// Messages acknowledged.
        acknowledged: u64,
    },
}

/// Replays the file and waits until every row is acknowledged.
///
/// **Errors**: unreadable file, service away, class mismatch, stopped.
pub async fn replay(config: ReplayConfig, cancel: Cancel) -> Result<ReplayReport, ReplayError> {
    // The file is read twice: its end must be known before its first row can be timed.
    let recording = Recording::open(&config.file)?;
    let summary = recording.summarize()?;
    let class = config.class.trim().to_lowercase();

    let api = Api::new(config.api.clone(), config.token.clone())
        .with_patience(PATIENCE)
        .with_cancel(cancel.clone());
    let world = World::meet(api).await?;
    let registered = register(&world, &config.asset, &class, &config.talk).await?;

    let publisher = Publisher::open(
        config.broker.clone(),
        PublisherOptions {
            client_id: format!("replay-{}", config.asset),
            window: WINDOW,
        },
        cancel.clone(),
        |()| (),
    );
    let run = Run {
        config: &config,
        class: &class,
        summary: &summary,
        world: &world,
        cancel: &cancel,
    };
    let mut report = run.send(&recording, publisher).await?;
    report.registered = registered;
    Ok(report)
}

/// Makes sure that the asset is registered, under a site where it was unknown.
async fn register(world: &World, tag: &str, class: &str, talk: &Talk) -> Result<bool, ReplayError> {
    if let Some(asset) = world.asset(tag).await? {
        if asset.class != class {
            return Err(ReplayError::OtherClass {
                tag: tag.to_owned(),
                registered: asset.class,
            });
        }
        if asset.site_id.is_none() {
            talk.say(format!(
                "replay: asset {tag} has no site, so its alarms raise no order until it has one"
            ));
        }
        return Ok(false);
    }
    let sites = world.sites().await?;
    let site = sites.first().ok_or_else(|| ReplayError::NoSite {
        tag: tag.to_owned(),
    })?;
    let command = Command {
        path: "/assets".into(),
        body: json!({ "tag": tag, "class": class, "name": tag, "site": site.id }),
        idempotency_key: Some(format!(
            "replay-registers-{:016x}",
            seeded::mark(&format!("{class}/{tag}"))
        )),
        version: None,
    };
    let asset: Asset = match world.api.post(&command).await {
        // Somebody else was quicker.
        Err(error) if error.is_stale() => match world.asset(tag).await? {
            Some(asset) => asset,
            None => return Err(error.into()),
        },
        outcome => outcome?,
    };
    talk.say(format!(
        "replay: registered {} of class {} at {}",
        asset.tag, asset.class, site.name
    ));
    Ok(true)
}

struct Run<'a> {
    config: &'a ReplayConfig,
    class: &'a str,
    summary: &'a Summary,
    world: &'a World,
    cancel: &'a Cancel,
}

impl Run<'_> {
    async fn send(
        &self,
        recording: &Recording,
        publisher: Publisher<()>,
    ) -> Result<ReplayReport, ReplayError> {
        let progress = publisher.progress();
        let stopped = |published| ReplayError::Stopped {
            published,
            rows: self.summary.rows,
            acknowledged: progress.borrow().acknowledged,
        };
        match within(PATIENCE, publisher.connected()).await {
            Some(connected) => connected.map_err(|Stopped| stopped(0))?,
            None => {
                let failure = progress.borrow().last_failure.clone().unwrap_or_default();
                return Err(ReplayError::NoBroker { failure });
            }
        }
        let clock = &self.world.clock;
        let speed = self.config.speed.unwrap_or(Speed::Times(clock.rate()));
        // Now, and not before the connection: the first row becomes *now* when it can be sent.
        let timetable = Timetable::plan(
            self.summary,
            speed,
            clock.rate(),
            clock.now(),
            self.config.keep_times,
        );
        self.tell(&timetable, speed);

        let mut report = self.report(&timetable);
        for row in recording.rows()? {
            let row = row?;
            let Some(recorded) = row.time.filter(|_| !row.values.is_empty()) else {
                report.skipped_rows += 1;
                continue;
            };
            let time = timetable.published_time(recorded);
            if !clock
                .wait_until(timetable.sending_time(recorded), self.cancel)
                .await
            {
                return Err(stopped(report.published));
            }
            let message = self.message(time, &row);
            publisher
                .send(message)
                .await
                .map_err(|Stopped| stopped(report.published))?;
            report.published += 1;
            report.first.get_or_insert(time);
            report.last = Some(time);
            self.tell_progress(report.published);
        }
        let published = report.published;
        report.acknowledged = publisher
            .finish()
            .await
            .map_err(|Stopped| stopped(published))?;
        Ok(report)
    }

    fn report(&self, timetable: &Timetable) -> ReplayReport {
        ReplayReport {
            asset: self.config.asset.clone(),
            rows: self.summary.rows,
            published: 0,
            acknowledged: 0,
            skipped_rows: 0,
            skipped_cells: self.summary.skipped_cells,
            shift_seconds: crate::world::seconds(timetable.shift()),
            first: None,
            last: None,
            registered: false,
        }
    }

    fn message(&self, time: DateTime<Utc>, row: &Row) -> Outbound<()> {
        let metrics: Map<String, Value> = row
            .values
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value)))
            .collect();
        let time = time.to_rfc3339_opts(SecondsFormat::Micros, true);
        Outbound {
            topic: topic(self.class, &self.config.asset),
            payload: json!({ "time": time, "metrics": metrics })
                .to_string()
                .into_bytes()
                .into(),
            tag: (),
        }
    }

    fn tell(&self, timetable: &Timetable, speed: Speed) {
        let Summary {
            rows,
            first,
            newest,
            skipped_cells,
            ..
        } = self.summary;
        let talk = &self.config.talk;
        talk.say(format!(
            "replay: {rows} rows from {first} to {newest}, speed {speed}"
        ));
        match self.config.keep_times {
            true => talk.say("replay: recorded times are kept"),
            false => talk.say(format!(
                "replay: times are shifted by {}; the newest row becomes {}",
                spoken(timetable.shift()),
                timetable.published_time(*newest),
            )),
        }
        if *skipped_cells > 0 {
            talk.say(format!(
                "replay: {skipped_cells} cells are not numbers and are left out"
            ));
        }
    }

    fn tell_progress(&self, published: u64) {
        let part = (self.summary.rows / PROGRESS_PARTS).max(1);
        if published.is_multiple_of(part) {
            let rows = self.summary.rows;
            self.config
                .talk
                .say(format!("replay: {published} of {rows} rows sent"));
        }
    }
}

/// A span as a person would say it.
fn spoken(span: TimeDelta) -> String {
    let sign = if span < TimeDelta::zero() { "-" } else { "+" };
    let span = span.abs();
    let (days, rest) = (span.num_days(), span.num_seconds() % 86_400);
    format!(
        "{sign}{days} d {:02}:{:02}:{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests;
