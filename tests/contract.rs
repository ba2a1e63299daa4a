//! What outside tools rely on: topic, payload, identity of a reading, quarantine, restarts.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};

use crate::service::Service;

/// Publishes with QoS 1 and waits until everything is acknowledged.
fn publish(service: &Service, messages: &[(&str, String)]) {
    let address = service.mqtt();
    let (host, port) = address
        .strip_prefix("mqtt://")
        .unwrap()
        .rsplit_once(':')
        .unwrap();
    let mut options = MqttOptions::new("contract", host, port.parse().unwrap());
    options.set_keep_alive(Duration::from_secs(5));
    options.set_max_packet_size(4 << 20, 4 << 20);
    let (client, mut connection) = Client::new(options, 100);
    for (topic, payload) in messages {
        client
            .publish(*topic, QoS::AtLeastOnce, false, payload.as_bytes())
            .unwrap();
    }
    let mut acknowledged = 0;
    let started = Instant::now();
    for event in connection.iter() {
        if let Event::Incoming(Packet::PubAck(_)) = event.unwrap() {
            acknowledged += 1;
        }
        if acknowledged == messages.len() {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{acknowledged} acknowledged"
        );
    }
    client.disconnect().unwrap();
}

fn reading(time: impl Into<Value>, metrics: Value) -> String {
    json!({ "time": time.into(), "metrics": metrics }).to_string()
}

fn count(service: &Service, query: &str) -> i64 {
    service.sql(query)[0]["n"].as_i64().unwrap()
}

fn get(service: &Service, path: &str) -> Value {
    let url = format!("{}{path}", service.http());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { reqwest::get(url).await.unwrap().json().await.unwrap() })
}

#[test]
fn an_unknown_asset_of_an_unknown_class_is_stored_and_queryable_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let now = Utc::now();
    publish(
        &service,
        &[
            (
                "fieldwright/Tractor/T-1",
                reading(now.to_rfc3339(), json!({"speed": 4.5, "Oil temp": 80})),
            ),
            (
                "fieldwright/tractor/T-1",
                reading(now.timestamp_millis() + 1, json!({"speed": 5})),
            ),
        ],
    );
    assert_eq!(count(&service, "SELECT count(*) AS n FROM tractor"), 2);
    assert_eq!(
        count(
            &service,
            "SELECT count(*) AS n FROM readings WHERE asset = 'T-1'"
        ),
        3
    );
    let rows = service.sql("SELECT \"Oil temp\" AS oil FROM tractor WHERE speed < 5");
    assert_eq!(rows[0]["oil"], 80.0);
    assert_eq!(count(&service, "SELECT count(*) AS n FROM work_orders"), 0);
}

#[test]
fn a_reading_counts_once_and_the_later_receipt_wins() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let time = (Utc::now() - TimeDelta::days(400)).timestamp_millis();
    let same = (
        "fieldwright/probe/p-1",
        reading(time, json!({"a": 1.0, "b": 2.0})),
    );
    publish(&service, &[same.clone(), same.clone(), same]);
    publish(
        &service,
        &[(
            "fieldwright/probe/p-1",
            reading(time, json!({"b": 3.0, "c": 4.0})),
        )],
    );
    let value = |metric: &str| {
        let query =
            format!("SELECT value FROM readings WHERE asset = 'p-1' AND metric = '{metric}'");
        let rows = service.sql(&query);
        assert_eq!(rows.len(), 1, "{metric}: {rows:?}");
        rows[0]["value"].as_f64().unwrap()
    };
    assert_eq!((value("a"), value("b"), value("c")), (1.0, 3.0, 4.0));
    // The same after a kill, and after an ordered stop with everything in files.
    service.kill();
    let service = Service::start(dir.path(), &[]);
    assert_eq!(
        count(
            &service,
            "SELECT count(*) AS n FROM readings WHERE asset = 'p-1'"
        ),
        3
    );
    service.stop();
    let rows = crate::service::sql(dir.path(), "SELECT a, b, c FROM probe");
    assert_eq!(rows, [json!({"a": 1.0, "b": 3.0, "c": 4.0})]);
}

#[test]
fn bad_input_is_acknowledged_once_and_quarantined_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let now = Utc::now();
    let ahead = (now + TimeDelta::minutes(20)).to_rfc3339();
    let large = format!(
        "{{\"time\":1,\"metrics\":{{\"x\":{}1}}}}",
        " ".repeat(700_000)
    );
    let bad = [
        ("fieldwright/pump/p", "{\"time\":".to_owned()),
        ("fieldwright/pump/p", reading(0, json!({"x": 1}))),
        ("fieldwright/pump/p", reading(ahead, json!({"x": 1}))),
        (
            "fieldwright/pump/p",
            reading(now.to_rfc3339(), json!({"x": [1, 2]})),
        ),
        (
            "fieldwright/pump/p",
            "{\"time\":1700000000000,\"metrics\":{\"x\":1e999}}".to_owned(),
        ),
        (
            "fieldwright/pump/p",
            "{\"time\":1700000000000,\"metrics\":{\"x\":NaN}}".to_owned(),
        ),
        (
            "fieldwright/readings/p",
            reading(now.to_rfc3339(), json!({"x": 1})),
        ),
        ("fieldwright/pump/p", large),
    ];
    publish(&service, &bad);
    let entries = get(&service, "/api/v1/quarantine?limit=100");
    let entries = entries["items"].as_array().unwrap();
    assert_eq!(entries.len(), bad.len(), "{entries:#?}");
    assert!(
        entries
            .iter()
            .all(|entry| entry["reason"].as_str().is_some_and(|r| !r.is_empty()))
    );
    // Nothing of a bad message is stored, and the endpoint still serves.
    publish(
        &service,
        &[(
            "fieldwright/pump/p",
            reading(now.to_rfc3339(), json!({"good": 1})),
        )],
    );
    assert_eq!(
        count(
            &service,
            "SELECT count(*) AS n FROM readings WHERE asset = 'p'"
        ),
        1
    );
    // What is quarantined is there once after a kill, too.
    service.kill();
    let service = Service::start(dir.path(), &[]);
    let again = get(&service, "/api/v1/quarantine?limit=100");
    assert_eq!(again["items"].as_array().unwrap().len(), bad.len());
}

#[test]
fn half_written_folders_are_refused_with_a_clear_message() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]);
    let now = Utc::now().to_rfc3339();
    publish(
        &service,
        &[("fieldwright/pump/p", reading(now, json!({"x": 1})))],
    );
    service.stop();
    let entry = dir
        .path()
        .join("lake/pump/_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&entry).unwrap();
    std::fs::write(&entry, &text[..text.len() / 2]).unwrap();
    let data = dir.path().display().to_string();
    let output = crate::service::run(&[
        "serve",
        "--data",
        &data,
        "--http",
        "127.0.0.1:0",
        "--mqtt",
        "127.0.0.1:0",
    ]);
    let talk = crate::service::stderr(&output);
    assert!(!output.status.success());
    assert!(talk.contains("the log of table pump"), "{talk}");
}
