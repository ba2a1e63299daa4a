//! What can be read: readings through SQL, the quarantine, health, figures, assets.

use std::sync::mpsc;

use arrow::ipc::reader::StreamReader;
use chrono::TimeDelta;
use fieldwright_ingest::source::{Delivery, Envelope, Receipt};
use serde_json::{Value, json};

use super::world::World;

/// Publishes one message and waits until it is durable.
async fn publish(world: &World, topic: &str, payload: &str) {
    publish_all(world, topic, &[payload.to_owned()]).await;
}

/// Publishes messages and waits until all are durable.
pub(super) async fn publish_all(world: &World, topic: &str, payloads: &[String]) {
    let (told, durable) = mpsc::channel();
    let envelope = |payload: &String| Envelope {
        topic: topic.to_owned().into(),
        payload: payload.clone().into(),
        received_at: world.state.clock.now(),
    };
    let delivery = Delivery {
        envelopes: payloads.iter().map(envelope).collect(),
        receipt: Receipt::new(move || {
            let _ = told.send(());
        }),
    };
    world.state.ingest.intake().send(delivery).await.unwrap();
    tokio::task::spawn_blocking(move || durable.recv().unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn readings_are_answered_as_json_and_as_arrow() {
    let world = World::new().await;
    let payload = r#"{"time": "2026-03-02T06:59:00Z", "metrics": {"flow": 4.5}}"#;
    publish(&world, "fieldwright/pump/pump-101", payload).await;
    let body = json!({"query": "SELECT asset, time, metric, value FROM readings"});
    let answer = world
        .post("/sql", "", &Value::Null, body.clone())
        .await
        .expect(200)
        .json;
    assert_eq!(
        answer["rows"],
        json!([["pump-101", "2026-03-02T06:59:00Z", "flow", 4.5]])
    );
    assert_eq!(
        answer["columns"][1],
        json!({"name": "time", "type": "timestamp"})
    );
    assert_eq!(answer["truncated"], false);

    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/vnd.apache.arrow.stream"),
    ];
    let answer = world
        .send("POST", "/api/v1/sql", &headers, &body.to_string())
        .await
        .expect(200);
    assert_eq!(
        answer.headers["content-type"],
        "application/vnd.apache.arrow.stream"
    );
    let reader = StreamReader::try_new(answer.bytes.as_slice(), None).unwrap();
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn refused_messages_are_shown_and_replayed() {
    let world = World::new().await;
    let early = r#"{"time": "2026-03-02T08:00:00Z", "metrics": {"flow": 1}}"#;
    publish(&world, "fieldwright/pump/pump-101", early).await;
    publish(&world, "fieldwright/pump/pump-101", "not json").await;
    let items = world.items("/quarantine").await;
    assert_eq!(items.len(), 2, "{items:?}");
    assert_eq!(items[1]["payload"], "not json");
    assert_eq!(items[1]["reason"], "malformed");
    let page = world.get("/quarantine?limit=1").await.expect(200).json;
    let next = format!(
        "/quarantine?limit=1&cursor={}",
        page["next_cursor"].as_str().unwrap()
    );
    assert_eq!(world.items(&next).await, items[1..]);

    let replay = |item: &Value| format!("/quarantine/{}/replay", item["id"].as_str().unwrap());
    let still = world
        .post(&replay(&items[1]), "", &Value::Null, json!({}))
        .await;
    still.refused(409, "still_refused");
    world.pass_minutes(90);
    let path = replay(&items[0]);
    let done = world
        .post(&path, "", &Value::Null, json!({}))
        .await
        .expect(200)
        .json;
    assert_eq!(done, json!({"id": items[0]["id"], "status": "accepted"}));
    world
        .post(&path, "", &Value::Null, json!({}))
        .await
        .refused(404, "not_found");
    assert_eq!(world.items("/quarantine").await, items[1..]);
}

#[tokio::test]
async fn operators_see_health_and_figures() {
    let world = World::new().await;
    let payload = r#"{"time": "2026-03-02T06:59:00Z", "metrics": {"flow": 4.5, "head": 2}}"#;
    publish(&world, "fieldwright/pump/pump-101", payload).await;
    publish(&world, "elsewhere", payload).await;
    let alive = world
        .send("GET", "/healthz", &[], "")
        .await
        .expect(200)
        .json;
    assert_eq!(alive["status"], "alive");
    let ready = world.send("GET", "/readyz", &[], "").await.expect(200).json;
    assert_eq!(
        ready,
        json!({"status": "ready",
        "checks": [{"part": "store", "ok": true, "detail": "open"}]})
    );
    let answer = world.send("GET", "/metrics", &[], "").await.expect(200);
    let text = String::from_utf8(answer.bytes).unwrap();
    for line in [
        "fieldwright_readings_accepted_total 2",
        "fieldwright_readings_rejected_total{reason=\"unknown_topic\"} 1",
        "fieldwright_alarms_active{severity=\"critical\"} 0",
        "fieldwright_outbox_pending 3",
        "fieldwright_http_request_duration_seconds_count{method=\"GET\",route=\"/readyz\",status=\"200\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(text.contains("fieldwright_journal_lag_seconds "), "{text}");
}

#[tokio::test]
async fn a_model_is_trained_by_hand() {
    let world = World::new().await;
    let end = world.state.clock.now();
    let payload = |minute: i64| {
        let time = end - TimeDelta::minutes(minute);
        let wave = (minute as f64 / 7.0).sin() + 0.1 * (minute as f64 * 1.7).cos();
        json!({"time": time, "metrics": {"flow": wave, "head": 2.0 * wave + 0.3 * (minute % 5) as f64}})
    };
    let payloads: Vec<_> = (1..=1200)
        .rev()
        .map(|minute| payload(minute).to_string())
        .collect();
    publish_all(&world, "fieldwright/pump/pump-101", &payloads).await;
    // Detection follows what is committed; it is not part of the acknowledgement.
    while world.state.detection.stats().rows < payloads.len() as u64 {
        tokio::task::yield_now().await;
    }
    let train = async |asset: &str, from: i64, to: i64| {
        let body = json!({"asset": asset, "from": end - TimeDelta::minutes(from),
            "to": end - TimeDelta::minutes(to)});
        world.post("/detect/train", "", &Value::Null, body).await
    };
    let asset = world.get("/assets/pump-101").await.expect(200).json;
    let model = train(asset["id"].as_str().unwrap(), 1200, 0)
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&model["asset"], &model["detectors"]),
        (&json!("pump-101"), &json!(["pca"]))
    );
    assert!(model["windows"].as_u64().unwrap() > 200, "{model}");
    assert_eq!(world.items("/models").await, std::slice::from_ref(&model));
    assert_eq!(
        world.items("/models?asset=pump-102").await,
        [] as [Value; 0]
    );
    let asset = world.get("/assets/pump-101").await.expect(200).json;
    assert_eq!(asset["last_reading_at"], "2026-03-02T06:59:00Z");
    assert_eq!(
        (&asset["health"], &asset["model"]),
        (&json!("normal"), &model["version"])
    );
    let silent = world.get("/assets/pump-102").await.expect(200).json;
    assert_eq!(silent["health"], "unknown");
    train("pump-102", 1200, 0)
        .await
        .refused(404, "asset_without_readings");
    train("pump-101", 0, 1200).await.refused(422, "invalid");
    train("pump-101", 1200, 1190)
        .await
        .refused(409, "not_enough_to_learn");
}

#[tokio::test]
async fn the_clock_and_the_checks_are_shown() {
    let world = World::new().await;
    let clock = world.get("/clock").await.expect(200).json;
    assert_eq!(
        clock,
        json!({"now": "2026-03-02T07:00:00Z", "mode": "scaled", "rate": 1.0})
    );
    let checked = world
        .post("/verify", "", &Value::Null, json!({}))
        .await
        .expect(200)
        .json;
    assert_eq!(checked["ok"], true);
    assert_eq!(checked["items"][0]["name"], "it holds");
    let document = world.get("/openapi.json").await.expect(200).json;
    assert_eq!(document["info"]["title"], "Fieldwright");
}

#[tokio::test]
async fn assets_are_registered_once_and_found_by_tag() {
    let world = World::new().await;
    let body = json!({"tag": "rig 1", "class": "SKAB", "name": "Rig"});
    let made = world
        .post("/assets", "", &Value::Null, body.clone())
        .await
        .expect(201)
        .json;
    assert_eq!(
        (&made["class"], &made["site_id"]),
        (&json!("skab"), &Value::Null)
    );
    let again = world
        .post("/assets", "", &Value::Null, body)
        .await
        .expect(200)
        .json;
    assert_eq!(again, made);
    let found = world.get("/assets/rig%201").await.expect(200).json;
    assert_eq!(found, made);
    let site = &world.items("/sites?limit=1").await[0];
    let body = json!({"tag": "rig 1", "class": "skab", "site": site["id"]});
    let placed = world
        .post("/assets", "", &Value::Null, body)
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&placed["site_id"], &placed["version"]),
        (&site["id"], &json!(2))
    );
    let here = world
        .items(&format!(
            "/assets?site={}&class=skab",
            site["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(here, [placed]);
    for list in ["/accounts", "/sites", "/resources"] {
        for item in world.items(list).await {
            assert!(item["id"].is_string() && item["name"].is_string(), "{item}");
        }
    }
}
