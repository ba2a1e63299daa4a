//! Sparkplug through the whole pipeline: what is stored, and that a replay knows the same births.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use prost::Message as _;
use tokio::sync::oneshot;

use super::wire::{Metric, MetricValue, Payload, PropertyContent, PropertySet, PropertyValue};
use crate::clock::ManualClock;
use crate::commands::Commands;
use crate::config::MappingRule;
use crate::readings;
use crate::source::{Delivery, Envelope, Receipt};
use crate::{Feed, Ingest, IngestConfig};

const T: i64 = 1_772_434_800_000;

fn config() -> IngestConfig {
    let rule = "topic = 'spBv1.0/plant1/#'\ncodec = 'sparkplug_b'\nclass = 'press'\n\
                [sparkplug]\nassets = { press1 = 'P-1' }\n";
    IngestConfig {
        rules: vec![toml::from_str::<MappingRule>(rule).unwrap()],
        batch_ms: 0,
        ..IngestConfig::default()
    }
}

struct World {
    ingest: Ingest,
    commands: Commands,
    _feed: Feed,
}

impl World {
    fn start(folder: &Path) -> Self {
        let now = DateTime::<Utc>::from_timestamp_millis(T + 3_600_000).unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let (ingest, feed) = Ingest::start(config(), folder, clock).unwrap();
        let commands = ingest.commands().unwrap();
        Self {
            ingest,
            commands,
            _feed: feed,
        }
    }

    /// Sends a message and waits until it is durable.
    async fn put(&self, topic: &str, payload: Payload) {
        let (acknowledge, acknowledged) = oneshot::channel();
        let envelope = Envelope {
            topic: Bytes::from(format!("spBv1.0/plant1/{topic}")),
            payload: payload.encode_to_vec().into(),
            received_at: DateTime::from_timestamp_millis(T + 3_600_000).unwrap(),
        };
        let receipt = Receipt::new(move || {
            let _ = acknowledge.send(());
        });
        let envelopes = vec![envelope];
        let delivery = Delivery { envelopes, receipt };
        self.ingest.intake().send(delivery).await.unwrap();
        acknowledged.await.unwrap();
    }

    /// `asset seconds metric value`, sorted.
    fn seen(&self) -> Vec<String> {
        let found = readings::of(&self.ingest.snapshot());
        let line = |((class, asset, time, metric), value): (&readings::Key, &readings::Value)| {
            assert_eq!(&**class, "press");
            let value = match value {
                readings::Value::Number(number) => number.to_string(),
                other => format!("{other:?}"),
            };
            format!("{asset} {} {metric} {value}", (time / 1000 - T) / 1000)
        };
        let mut lines: Vec<String> = found.iter().map(line).collect();
        lines.sort();
        lines
    }

    fn rejected(&self, reason: &str) -> u64 {
        self.ingest.stats().rejected[reason]
    }

    fn asked(&mut self) -> Option<String> {
        self.commands.try_recv().ok().map(|command| command.topic)
    }
}

fn birth(seq: u64, metrics: &[(&str, u64, f64)]) -> Payload {
    let metrics = metrics.iter().map(|(name, alias, value)| Metric {
        name: Some((*name).to_owned()),
        alias: Some(*alias),
        datatype: Some(10),
        value: Some(MetricValue::Double(*value)),
        properties: Some(PropertySet {
            keys: vec!["engUnit".into()],
            values: vec![PropertyValue {
                datatype: Some(12),
                is_null: None,
                value: Some(PropertyContent::Text("bar".into())),
            }],
        }),
        ..Metric::default()
    });
    Payload {
        timestamp: Some(T as u64),
        seq: Some(seq),
        metrics: metrics.collect(),
        ..Payload::default()
    }
}

/// Values by alias at a second; without a datatype, as the specification advises.
fn data(seq: u64, second: u64, metrics: &[(u64, f64)]) -> Payload {
    let metrics = metrics.iter().map(|(alias, value)| Metric {
        alias: Some(*alias),
        value: Some(MetricValue::Double(*value)),
        ..Metric::default()
    });
    Payload {
        timestamp: Some(T as u64 + second * 1000),
        seq: Some(seq),
        metrics: metrics.collect(),
        ..Payload::default()
    }
}

fn copied(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("cp")
        .arg("-r")
        .arg(folder.join("."))
        .arg(copy.path())
        .status();
    assert!(status.unwrap().success());
    copy
}

#[tokio::test]
async fn births_data_and_deaths_become_rows_with_units() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::start(folder.path());
    world
        .put("NBIRTH/press1", birth(0, &[("Oil/pressure", 1, 5.0)]))
        .await;
    world
        .put("DBIRTH/press1/pump", birth(1, &[("flow", 9, 1.5)]))
        .await;
    world.put("NDATA/press1", data(2, 10, &[(1, 5.5)])).await;
    world
        .put("DDATA/press1/pump", data(3, 11, &[(9, 1.25)]))
        .await;
    world.put("DDEATH/press1/pump", data(4, 12, &[])).await;
    world.put("NCMD/press1", data(0, 12, &[])).await;
    let expected = [
        "P-1 0 Oil/pressure 5",
        "P-1 10 Oil/pressure 5.5",
        "press1:pump 0 flow 1.5",
        "press1:pump 11 flow 1.25",
    ];
    assert_eq!(world.seen(), expected);
    assert_eq!(world.asked(), None);
    assert_eq!(world.ingest.stats().quarantine_entries, 0);
    let snapshot = world.ingest.snapshot();
    let field = snapshot.tables["press"]
        .schema
        .field_with_name("Oil/pressure")
        .unwrap()
        .clone();
    assert_eq!(field.metadata()["unit"], "bar");
    // After the device's death its aliases mean nothing; the node is asked once.
    world
        .put("DDATA/press1/pump", data(5, 13, &[(9, 2.0)]))
        .await;
    world
        .put("DDATA/press1/pump", data(6, 14, &[(9, 2.0)]))
        .await;
    assert_eq!(world.seen(), expected);
    assert_eq!(world.rejected("sparkplug_session"), 2);
    assert_eq!(world.asked().as_deref(), Some("spBv1.0/plant1/NCMD/press1"));
    assert_eq!(world.asked(), None);
    assert_eq!(world.ingest.stats().rebirth_requests, 1);
    world.ingest.shutdown().await.unwrap();
}

/// Every way in which the service can end, with the births said before and the data after.
#[tokio::test]
async fn a_restart_knows_the_births() {
    for (flush, kill) in [(false, true), (true, true), (false, false), (true, false)] {
        let what = format!("flush {flush}, kill {kill}");
        let folder = tempfile::tempdir().unwrap();
        let world = World::start(folder.path());
        world
            .put("NBIRTH/press1", birth(0, &[("a", 1, 1.0), ("b", 2, 1.0)]))
            .await;
        world.put("NDATA/press1", data(1, 1, &[(1, 2.0)])).await;
        // A birth that is refused says what its aliases mean all the same.
        let mut refused = birth(2, &[("x", 7, 1.0), ("t", 8, 1.0)]);
        refused.metrics[1].datatype = Some(19);
        refused.metrics[1].value = Some(MetricValue::Template(vec![]));
        world.put("DBIRTH/press1/pump", refused).await;
        assert_eq!(world.rejected("unsupported_type"), 1, "{what}");
        if flush {
            world.ingest.flush().await.unwrap();
        }
        let before = world.seen();
        let copy = if kill {
            copied(folder.path())
        } else {
            world.ingest.shutdown().await.unwrap();
            folder
        };
        // Twice: a start that takes no message must not lose what it knows either.
        let idle = World::start(copy.path());
        idle.ingest.shutdown().await.unwrap();
        let mut again = World::start(copy.path());
        assert_eq!(again.seen(), before, "{what}");
        again.put("NDATA/press1", data(3, 3, &[(2, 3.0)])).await;
        again
            .put("DDATA/press1/pump", data(4, 4, &[(7, 4.0)]))
            .await;
        let seen = again.seen();
        for line in ["P-1 3 b 3", "press1:pump 4 x 4"] {
            assert!(seen.iter().any(|known| known == line), "{what}: {seen:?}");
        }
        assert_eq!(again.asked(), None, "{what}: the count goes on");
        again.put("NDATA/press1", data(9, 5, &[(1, 5.0)])).await;
        assert!(again.asked().is_some(), "{what}: a gap is seen");
        again.ingest.shutdown().await.unwrap();
    }
}

/// What was journaled is replayed under the births of its own time, whatever came later.
#[tokio::test]
async fn a_replay_is_what_was_live() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path());
    let mut seq = 0;
    for round in 0..40u64 {
        // Every round the alias means the other metric.
        let (one, other) = if round % 2 == 0 { (1, 2) } else { (2, 1) };
        let again = birth(0, &[("a", one, 0.0), ("b", other, 0.0)]);
        world.put("NBIRTH/press1", again).await;
        for _ in 0..3 {
            seq += 1;
            world
                .put("NDATA/press1", data(seq % 3 + 1, seq, &[(1, seq as f64)]))
                .await;
        }
        if round % 7 == 3 {
            world.ingest.flush().await.unwrap();
        }
        if round % 5 == 0 {
            let copy = copied(folder.path());
            let again = World::start(copy.path());
            assert_eq!(again.seen(), world.seen(), "round {round}");
        }
    }
    world.ingest.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_old_message_is_not_taken_from_the_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path());
    world.put("NDATA/press1", data(1, 1, &[(1, 2.0)])).await;
    let quarantine = world.ingest.quarantine();
    let entry = quarantine.list(None, 10).entries.pop().unwrap();
    world.put("NBIRTH/press1", birth(0, &[("a", 1, 1.0)])).await;
    let said = quarantine.replay(entry.id).await.unwrap_err().to_string();
    assert!(said.contains("rebirth"), "{said}");
    assert_eq!(world.seen(), ["P-1 0 a 1"]);
    world.ingest.shutdown().await.unwrap();
}
