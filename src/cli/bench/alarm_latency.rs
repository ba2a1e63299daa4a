//! The second half of `fieldwright bench latency`: from the PUBLISH that completes an episode to the committed alarm
//! and the committed work order, while readings stream in.
//!
//! A whole service runs in this process. A fleet sends its learning period as fast as it goes,
//! then a paced stream; one asset after the other leaves its band. An episode is complete with
//! the reading that closes the window in which the minimum duration is reached; that PUBLISH
//! starts the watch. The commits are seen where the service's own followers see them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use fieldwright_analytics::alarms::EventKind;
use fieldwright_ingest::clock::{process_now, process_sleep, wall_now};
use fieldwright_workorders::store::outbox;
use rumqttc::{AsyncClient, MqttOptions, QoS};
use serde_json::json;

use super::statistics::quantile;
use super::{Failure, Figure};
use crate::app::App;
use crate::cli::Client;
use crate::config::{Layers, Settings};
use crate::wiring::Parts;

/// How the fleet of this benchmark is watched.
const CLASS: &str = "[detect.classes.bench]\nwindow = \"10s\"\nstep = \"10s\"\n\
    learning = \"300s\"\ndetectors.pca.with.drift_lag = \"60s\"\nmin_samples = 5\nmin_duration = \"20s\"\n\
    features = [\"mean\"]\n";
/// Metrics of one message.
const METRICS: usize = 10;
/// Event seconds of the learning period and a little more.
const LEARNING_SECONDS: i64 = 330;
/// Event seconds that an anomalous asset needs at most until its alarm.
const EPISODE_SECONDS: i64 = 60;

/// p50 and p99 at a steady rate.
#[derive(Debug, Args)]
pub struct AlarmLatency {
    /// Readings (metric values) a second while the watch runs.
    #[arg(long, default_value_t = 5_000)]
    pub readings: u64,
    /// Assets; each has one episode. 0 leaves alarms out.
    #[arg(long, default_value_t = 200)]
    pub assets: usize,
}

type Instants = Arc<Mutex<HashMap<String, Instant>>>;
type Episodes = Arc<Mutex<Vec<(String, DateTime<Utc>, String, Instant)>>>;

impl AlarmLatency {
    /// Runs the fleet until every asset has had its episode.
    pub async fn run(self) -> Result<Vec<Figure>, Failure> {
        let dir = tempfile::tempdir_in(".").map_err(Failure::failed)?;
        let app = App::start(settings(dir.path())?, dir.path()).await?;
        let client = Client::new(&app.endpoints().http, None)?;
        register(&client, self.assets).await?;

        let raised: Episodes = Arc::default();
        let ordered: Instants = Arc::default();
        let followers = [
            tokio::spawn(follow_alarms(app.parts().clone(), Arc::clone(&raised))),
            tokio::spawn(follow_orders(app.parts().clone(), Arc::clone(&ordered))),
        ];
        let published = self.publish(&app).await;
        self.wait_for_orders(&ordered).await;
        for follower in followers {
            follower.abort();
        }
        app.shutdown().await?;
        self.figures(&published?, &raised, &ordered)
    }

    /// Sends everything; gives when each paced message was handed over, by asset and second.
    async fn publish(&self, app: &App) -> Result<HashMap<(usize, i64), Instant>, Failure> {
        let address = app.endpoints().mqtt.replace("mqtt://", "");
        let (host, port) = address.rsplit_once(':').unwrap_or((&address, "1883"));
        let port = port.parse().map_err(Failure::failed)?;
        let mut options = MqttOptions::new("latency", host, port);
        options.set_inflight(2_000);
        options.set_keep_alive(Duration::from_secs(30));
        let (client, mut events) = AsyncClient::new(options, 2_000);
        let poll = tokio::spawn(async move { while events.poll().await.is_ok() {} });

        let start = wall_now() - TimeDelta::hours(3);
        for second in 0..LEARNING_SECONDS {
            for asset in 0..self.assets {
                send(&client, asset, start, second, false).await?;
            }
        }
        self.wait_until_trained(app).await?;
        let per_second = (self.readings / METRICS as u64).max(1);
        let began = process_now();
        let (mut sent, mut instants) = (0u64, HashMap::new());
        // Episodes begin one after the other, so that they do not queue behind each other.
        let stagger = 2;
        let last = self.assets as i64 / stagger + EPISODE_SECONDS;
        for second in 0..last {
            for asset in 0..self.assets {
                let due = Duration::from_secs_f64(sent as f64 / per_second as f64);
                let early = due.saturating_sub(began.elapsed());
                if early > Duration::from_millis(1) {
                    process_sleep(early).await;
                }
                let is_out = second >= asset as i64 / stagger;
                instants.insert((asset, LEARNING_SECONDS + second), process_now());
                send(&client, asset, start, LEARNING_SECONDS + second, is_out).await?;
                sent += 1;
            }
        }
        eprintln!(
            "{:.0} readings/s over {:.0} s",
            (sent * METRICS as u64) as f64 / began.elapsed().as_secs_f64(),
            began.elapsed().as_secs_f64()
        );
        poll.abort();
        Ok(instants
            .into_iter()
            .map(|((asset, second), at)| ((asset, start.timestamp() + second), at))
            .collect())
    }

    async fn wait_until_trained(&self, app: &App) -> Result<(), Failure> {
        let started = process_now();
        while app.parts().detection.models().len() < self.assets {
            if started.elapsed() > Duration::from_secs(120) {
                return Err(Failure::Failed(format!(
                    "only {} of {} models are trained after 120 s",
                    app.parts().detection.models().len(),
                    self.assets
                )));
            }
            process_sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn wait_for_orders(&self, ordered: &Instants) {
        let started = process_now();
        let seen = || ordered.lock().expect("no holder panics").len();
        while seen() < self.assets && started.elapsed() < Duration::from_secs(30) {
            process_sleep(Duration::from_millis(100)).await;
        }
    }

    fn figures(
        &self,
        published: &HashMap<(usize, i64), Instant>,
        raised: &Episodes,
        ordered: &Instants,
    ) -> Result<Vec<Figure>, Failure> {
        let (mut to_alarm, mut to_order) = (Vec::new(), Vec::new());
        let ordered = ordered.lock().expect("no holder panics");
        for (asset, raised_at, alarm, committed) in raised.lock().expect("no holder panics").iter()
        {
            let number = asset
                .trim_start_matches("bench-")
                .parse()
                .unwrap_or(usize::MAX);
            // The first reading at or after the window's end is the one that closes it.
            let closing =
                raised_at.timestamp() + i64::from(raised_at.timestamp_subsec_micros() > 0);
            let Some(sent) = published.get(&(number, closing)) else {
                continue;
            };
            to_alarm.push(millis(committed.saturating_duration_since(*sent)));
            if let Some(order) = ordered.get(alarm) {
                to_order.push(millis(order.saturating_duration_since(*sent)));
            }
        }
        eprintln!(
            "{} alarms and {} work orders of {} episodes; rules run on their own schedule, \
             this path has no period",
            to_alarm.len(),
            to_order.len(),
            self.assets
        );
        let figure = |name, values: &mut Vec<f64>, share| {
            quantile(values, share)
                .map(|value| Figure::plain(name, value, "ms"))
                .ok_or_else(|| Failure::Failed(format!("{name}: nothing was raised")))
        };
        Ok(vec![
            figure("latency/alarm-p50", &mut to_alarm, 0.5)?,
            figure("latency/alarm-p99", &mut to_alarm, 0.99)?,
            figure("latency/work_order-p50", &mut to_order, 0.5)?,
            figure("latency/work_order-p99", &mut to_order, 0.99)?,
        ])
    }
}

fn settings(dir: &std::path::Path) -> Result<Settings, Failure> {
    let path = dir.join("bench.toml");
    std::fs::write(&path, CLASS).map_err(Failure::failed)?;
    let free = Some("127.0.0.1:0".to_owned());
    let flags = [("http.listen", free.clone(), ""), ("mqtt.listen", free, "")];
    let layers = Layers::read(Some(&path), [], &flags)?;
    Ok(Settings::from_layers(&layers)?)
}

/// An asset without a site raises no order.
async fn register(client: &Client, assets: usize) -> Result<(), Failure> {
    let sites = client.get("/api/v1/sites?limit=1").await?;
    let site = sites["items"][0]["id"].clone();
    for asset in 0..assets {
        let body = json!({ "tag": format!("bench-{asset}"), "class": "bench", "site": site });
        client.post("/api/v1/assets", &body).await?;
    }
    Ok(())
}

async fn send(
    client: &AsyncClient,
    asset: usize,
    start: DateTime<Utc>,
    second: i64,
    is_out: bool,
) -> Result<(), Failure> {
    let time = start.timestamp_millis() / 1000 * 1000 + second * 1000;
    let mut payload = format!("{{\"time\":{time},\"metrics\":{{");
    for metric in 0..METRICS {
        let comma = if metric == 0 { "" } else { "," };
        let value = reading(asset, second, metric) + if is_out { 8.0 } else { 0.0 };
        payload.push_str(&format!("{comma}\"metric_{metric}\":{value:.4}"));
    }
    payload.push_str("}}");
    let topic = format!("fieldwright/bench/bench-{asset}");
    client
        .publish(topic, QoS::AtLeastOnce, false, payload)
        .await
        .map_err(Failure::failed)
}

/// Noise between -1 and 1 that repeats from run to run.
fn reading(asset: usize, second: i64, metric: usize) -> f64 {
    let mut x = (asset as u64) << 40 ^ (second as u64) << 8 ^ metric as u64;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    20.0 + ((x ^ (x >> 31)) % 20_000) as f64 / 10_000.0 - 1.0
}

async fn follow_alarms(parts: Parts, raised: Episodes) {
    let mut news = parts.alarms.news();
    let mut after = 0;
    while news.changed().await.is_ok() {
        let committed = process_now();
        while let Ok(events) = parts.alarms.events_after(after, 1_000).await {
            let Some(last) = events.last() else { break };
            after = last.seq;
            let mut raised = raised.lock().expect("no holder panics");
            for event in events
                .iter()
                .filter(|event| event.kind == EventKind::Raised)
            {
                let alarm = event.alarm.as_str().to_owned();
                raised.push((event.asset.clone(), event.time, alarm, committed));
            }
        }
    }
}

async fn follow_orders(parts: Parts, ordered: Instants) {
    let mut news = parts.db.events();
    let mut after = 0;
    while news.changed().await.is_ok() {
        let committed = process_now();
        while let Ok(events) = outbox::events_after(&parts.db, after, 1_000).await {
            let Some(last) = events.last() else { break };
            after = last.seq;
            let mut ordered = ordered.lock().expect("no holder panics");
            for event in events
                .iter()
                .filter(|event| event.kind == "work_order.created")
            {
                if let Some(alarm) = event.data["alarm_id"].as_str() {
                    ordered.insert(alarm.to_owned(), committed);
                }
            }
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
