//! An outside witness for crash tests: it publishes readings that exist once in the world and
//! keeps a ledger of those that were acknowledged.
//!
//! What the ledger names must be in SQL exactly once afterwards, whatever was killed meanwhile.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::clock::process_now;
use crate::endpoint::Endpoint;
use crate::mqtt::{Outbound, Publisher, PublisherOptions, Stopped};
use crate::plant::topic;

/// One reading, as the ledger and the payload name it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Tag of the asset.
    pub asset: String,
    /// Metric.
    pub metric: String,
    /// Event time.
    pub time: DateTime<Utc>,
    /// The value, a whole number that no other reading of this publisher has.
    pub value: f64,
}

/// Everything that was acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Acknowledged readings in the order of acknowledgement.
    pub acknowledged: Vec<Entry>,
    /// Readings that were handed to MQTT, acknowledged or not.
    pub sent: u64,
    /// Connections that were made.
    pub connections: u64,
}

/// Asks for the business instant.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What to publish, where and how fast.
#[derive(Clone)]
pub struct LedgerConfig {
    /// The broker, looked up again at every connection.
    pub broker: Endpoint,
    /// MQTT client id.
    pub client_id: String,
    /// Class of the assets.
    pub class: String,
    /// Tags; readings go around.
    pub assets: Vec<String>,
    /// The metric.
    pub metric: String,
    /// Readings per process second.
    pub rate: f64,
    /// Readings in all; without it until told to stop sending.
    pub count: Option<u64>,
    /// Readings that may be unacknowledged at a time.
    pub window: usize,
    /// Business time; event times never repeat nor run ahead of it by more than a millisecond.
    pub now: Now,
    /// File that takes each acknowledged reading as a JSON line.
    pub record: Option<PathBuf>,
}

/// Why a ledger could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be written.
    #[error("cannot write the ledger to {path}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is nothing to publish as.
    #[error("the ledger publisher needs at least one asset and a rate above zero")]
    Nothing,
}

#[derive(Default)]
struct Book {
    ledger: Ledger,
    file: Option<std::fs::File>,
    failure: Option<std::io::Error>,
}

/// Publishes until `count` readings are sent or `enough` stops the sending, then waits until all
/// are acknowledged or `abandon` stops the waiting. Returns what was acknowledged.
///
/// **Errors**: nothing to publish, or the ledger's file cannot be written.
pub async fn publish(
    config: LedgerConfig,
    enough: Cancel,
    abandon: Cancel,
) -> Result<Ledger, LedgerError> {
    if config.assets.is_empty() || config.rate <= 0.0 {
        return Err(LedgerError::Nothing);
    }
    let book = Arc::new(Mutex::new(Book {
        file: open(&config)?,
        ..Book::default()
    }));
    let heard = book.clone();
    let publisher = Publisher::open(
        config.broker.clone(),
        PublisherOptions {
            client_id: config.client_id.clone(),
            window: config.window,
        },
        abandon,
        move |entry| heard.lock().expect("no holder panics").note(entry),
    );
    let progress = publisher.progress();
    let sent = send_all(&config, &publisher, &enough).await;
    // An abandoned wait is a fine end: the ledger holds what was acknowledged until then.
    let _ = publisher.finish().await;
    let mut book = book.lock().expect("no holder panics");
    if let (Some(source), Some(path)) = (book.failure.take(), config.record) {
        return Err(LedgerError::Record { path, source });
    }
    let mut ledger = std::mem::take(&mut book.ledger);
    ledger.sent = sent;
    ledger.connections = progress.borrow().connections;
    Ok(ledger)
}

async fn send_all(config: &LedgerConfig, publisher: &Publisher<Entry>, enough: &Cancel) -> u64 {
    let started = process_now();
    let mut last = DateTime::<Utc>::MIN_UTC;
    let mut sent = 0;
    while config.count.is_none_or(|count| sent < count) {
        let due = Duration::from_secs_f64(sent as f64 / config.rate);
        let early = due.saturating_sub(started.elapsed());
        if enough.is_canceled() || (!early.is_zero() && !enough.sleep(early).await) {
            break;
        }
        let Some(time) = next_time(config, &mut last, enough).await else {
            break;
        };
        let entry = Entry {
            asset: config.assets[(sent % config.assets.len() as u64) as usize].clone(),
            metric: config.metric.clone(),
            time,
            value: (sent + 1) as f64,
        };
        let handed = tokio::select! {
            handed = publisher.send(message(&config.class, entry)) => handed,
            () = enough.canceled() => Err(Stopped),
        };
        if handed.is_err() {
            break;
        }
        sent += 1;
    }
    sent
}

/// A microsecond that no earlier reading has, at the business clock or a hair after it.
async fn next_time(
    config: &LedgerConfig,
    last: &mut DateTime<Utc>,
    enough: &Cancel,
) -> Option<DateTime<Utc>> {
    loop {
        let now = (config.now)();
        let now = DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now);
        if now > *last {
            *last = now;
            return Some(now);
        }
        if *last - now < TimeDelta::milliseconds(1) {
            *last += TimeDelta::microseconds(1);
            return Some(*last);
        }
        if !enough.sleep(Duration::from_millis(1)).await {
            return None;
        }
    }
}

fn message(class: &str, entry: Entry) -> Outbound<Entry> {
    let time = entry.time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let metrics = serde_json::json!({ entry.metric.as_str(): entry.value });
    let payload = serde_json::json!({ "time": time, "metrics": metrics });
    Outbound {
        topic: topic(class, &entry.asset),
        payload: payload.to_string().into_bytes().into(),
        tag: entry,
    }
}

fn open(config: &LedgerConfig) -> Result<Option<std::fs::File>, LedgerError> {
    let Some(path) = &config.record else {
        return Ok(None);
    };
    std::fs::File::create(path)
        .map(Some)
        .map_err(|source| LedgerError::Record {
            path: path.clone(),
            source,
        })
}

impl Book {
    fn note(&mut self, entry: Entry) {
        if let Some(file) = &mut self.file {
            let line = serde_json::to_string(&entry).expect("plain data is always JSON");
            if let Err(error) = writeln!(file, "{line}") {
                self.failure.get_or_insert(error);
            }
        }
        self.ledger.acknowledged.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cancel::CancelSource;
    use crate::mqtt::tests::TinyBroker;

    fn config(broker: &TinyBroker, count: Option<u64>) -> LedgerConfig {
        let start: DateTime<Utc> = "2026-10-05T07:00:00Z".parse().unwrap();
        let begun = process_now();
        LedgerConfig {
            broker: broker.address.as_str().into(),
            client_id: "ledger".into(),
            class: "probe".into(),
            assets: vec!["L-1".into(), "L-2".into(), "L-3".into()],
            metric: "count".into(),
            rate: 20_000.0,
            count,
            window: 20,
            now: Arc::new(move || start + TimeDelta::from_std(begun.elapsed()).unwrap()),
            record: None,
        }
    }

    #[tokio::test]
    async fn the_ledger_holds_what_the_broker_acknowledged_and_each_reading_once() {
        let broker = TinyBroker::start(70).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let config = LedgerConfig {
            record: Some(path.clone()),
            ..config(&broker, Some(300))
        };
        let (_a, enough) = CancelSource::new();
        let (_b, abandon) = CancelSource::new();
        let ledger = publish(config, enough, abandon).await.unwrap();
        assert_eq!((ledger.sent, ledger.acknowledged.len()), (300, 300));
        assert!(ledger.connections > 3, "the broker hung up again and again");

        let key = |entry: &Entry| (entry.asset.clone(), entry.time);
        let keys: BTreeSet<_> = ledger.acknowledged.iter().map(key).collect();
        assert_eq!(keys.len(), 300, "no identity repeats");
        let lines = std::fs::read_to_string(path).unwrap();
        let recorded: Vec<Entry> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(recorded, ledger.acknowledged);
        let at_broker: BTreeSet<_> = broker.acknowledged().into_iter().collect();
        for entry in &ledger.acknowledged {
            let message = message("probe", entry.clone());
            assert!(
                at_broker.contains(&(message.topic, message.payload.to_vec())),
                "{entry:?}"
            );
        }
    }

    #[tokio::test]
    async fn sending_ends_when_it_is_enough_and_waiting_when_abandoned() {
        let broker = TinyBroker::start(usize::MAX).await;
        let (stop, enough) = CancelSource::new();
        let (_b, abandon) = CancelSource::new();
        let run = tokio::spawn(publish(config(&broker, None), enough, abandon));
        while broker.acknowledged().len() < 50 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        let ledger = run.await.unwrap().unwrap();
        assert_eq!(ledger.sent, ledger.acknowledged.len() as u64);

        let (_a, enough) = CancelSource::new();
        let (leave, abandon) = CancelSource::new();
        leave.cancel();
        let nobody = LedgerConfig {
            broker: Endpoint::callback(|| None),
            ..config(&broker, Some(5))
        };
        assert!(
            publish(nobody, enough, abandon)
                .await
                .unwrap()
                .acknowledged
                .is_empty()
        );
    }
}
