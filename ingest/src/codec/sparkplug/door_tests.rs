//! A node at a real door: it is asked for a rebirth after a gap, at our endpoint and behind
//! Mosquitto.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};

use super::wire::{Metric, MetricValue, Payload};
use crate::clock::RealClock;
use crate::config::MappingRule;
use crate::mqtt::{Consumer, ConsumerConfig, Endpoint, EndpointConfig};
use crate::{Ingest, IngestConfig};

fn payload(seq: u64, at: u64, name: Option<&str>, value: f64) -> Vec<u8> {
    let metric = Metric {
        name: name.map(str::to_owned),
        alias: Some(1),
        datatype: name.map(|_| 10),
        value: Some(MetricValue::Double(value)),
        ..Metric::default()
    };
    Payload {
        timestamp: Some(1_772_434_800_000 + at),
        seq: Some(seq),
        metrics: vec![metric],
        ..Payload::default()
    }
    .encode_to_vec()
}

/// A node that answers a rebirth request with its birth, against the broker at `port`.
async fn check(ingest: &Ingest, port: u16) {
    let mut options = MqttOptions::new("press1", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(20));
    let (node, mut events) = AsyncClient::new(options, 16);
    node.subscribe("spBv1.0/plant1/NCMD/press1", QoS::AtLeastOnce)
        .await
        .unwrap();
    let send = async |kind: &str, payload: Vec<u8>| {
        let topic = format!("spBv1.0/plant1/{kind}/press1");
        // Quality 1, so that the test knows when it is stored; a node would send at 0.
        node.publish(topic, QoS::AtLeastOnce, false, payload)
            .await
            .unwrap();
    };
    send("NBIRTH", payload(0, 0, Some("a"), 0.0)).await;
    send("NDATA", payload(1, 1, None, 1.0)).await;
    send("NDATA", payload(3, 3, None, 3.0)).await;
    let asked = async {
        loop {
            if let Event::Incoming(Incoming::Publish(command)) = events.poll().await.unwrap() {
                return command;
            }
        }
    };
    let command = tokio::time::timeout(Duration::from_secs(30), asked)
        .await
        .unwrap();
    assert_eq!(command.topic, "spBv1.0/plant1/NCMD/press1");
    let command = Payload::decode(&command.payload[..]).unwrap();
    assert_eq!(
        command.metrics[0].name.as_deref(),
        Some("Node Control/Rebirth")
    );
    assert_eq!(command.metrics[0].value, Some(MetricValue::Boolean(true)));
    send("NBIRTH", payload(0, 4, Some("a"), 4.0)).await;
    send("NDATA", payload(1, 5, None, 5.0)).await;
    let stored = async {
        while ingest.stats().accepted_messages < 5 {
            let _ = tokio::time::timeout(Duration::from_millis(5), events.poll()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), stored)
        .await
        .unwrap();
    let found = crate::readings::of(&ingest.snapshot());
    let values: Vec<String> = found.values().map(|value| format!("{value:?}")).collect();
    assert_eq!(values.len(), 5, "{values:?}");
    assert_eq!(ingest.stats().rebirth_requests, 1);
    assert_eq!(ingest.stats().quarantine_entries, 0);
}

fn pipeline(folder: &std::path::Path) -> (Ingest, crate::Feed) {
    let rule = "topic = 'spBv1.0/plant1/#'\ncodec = 'sparkplug_b'\n";
    let config = IngestConfig {
        rules: vec![toml::from_str::<MappingRule>(rule).unwrap()],
        ..IngestConfig::default()
    };
    Ingest::start(config, folder, Arc::new(RealClock)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_at_our_endpoint_is_asked_for_a_rebirth() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = pipeline(folder.path());
    let config = EndpointConfig::new(([127, 0, 0, 1], 0).into());
    let endpoint = Endpoint::start(config, ingest.intake(), Arc::new(RealClock))
        .await
        .unwrap();
    tokio::spawn(endpoint.publisher().follow(ingest.commands().unwrap()));
    check(&ingest, endpoint.local_addr().port()).await;
    endpoint.shutdown().await;
    ingest.shutdown().await.unwrap();
}

/// The endpoint of another pipeline plays the broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_behind_a_broker_is_asked_for_a_rebirth() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, _feed) = pipeline(folder.path());
    let (intake, mut deliveries) = tokio::sync::mpsc::channel::<crate::source::Delivery>(16);
    tokio::spawn(async move {
        while let Some(delivery) = deliveries.recv().await {
            delivery.receipt.confirm();
        }
    });
    let config = EndpointConfig::new(([127, 0, 0, 1], 0).into());
    let broker = Endpoint::start(config, intake, Arc::new(RealClock))
        .await
        .unwrap();
    let port = broker.local_addr().port();
    let config = ConsumerConfig {
        url: format!("mqtt://127.0.0.1:{port}"),
        topics: vec!["spBv1.0/#".into()],
        client_id: "fieldwright".into(),
        ..ConsumerConfig::default()
    };
    let consumer = Consumer::start(config, ingest.intake(), Arc::new(RealClock)).unwrap();
    tokio::spawn(consumer.publisher().follow(ingest.commands().unwrap()));
    while !consumer.is_connected() {
        tokio::task::yield_now().await;
    }
    check(&ingest, port).await;
    consumer.shutdown().await;
    broker.shutdown().await;
    ingest.shutdown().await.unwrap();
}
