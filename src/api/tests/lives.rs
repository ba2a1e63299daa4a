//! Remaining life over the API: from confirmed close-outs to a version, and what it says.

use chrono::{DateTime, TimeDelta, Utc};
use fieldwright_workorders::orders::intake::{self, AlarmReport, Intake};
use serde_json::{Value, json};

use super::limits::{until, wired};
use super::reading::publish_all;
use super::world::World;

const NONE: Value = Value::Null;

/// Minutes that a mill lasts.
const LASTS: i64 = 80;

/// A reading every minute of a life that began then: `a` rises over the last hour of it.
async fn readings(world: &World, tag: &str, began: DateTime<Utc>, minutes: i64) {
    let reading = |minute: i64| {
        let wear = (minute - (LASTS - 60)).max(0) as f64 / 20.0;
        let noise = f64::from(((minute * 7919) % 101) as i32) / 101.0 - 0.5;
        let time = began + TimeDelta::minutes(minute) + TimeDelta::seconds(1);
        json!({ "time": time, "metrics": { "a": 1.0 + wear + 0.2 * noise, "b": noise } })
            .to_string()
    };
    let payloads: Vec<String> = (0..minutes).map(reading).collect();
    publish_all(world, &format!("fieldwright/mill/{tag}"), &payloads).await;
}

/// A failure that a person confirms now.
async fn confirmed(world: &World, tag: &str, name: &str) {
    let ctx = world.state.acting(name);
    let report = AlarmReport {
        alarm_id: format!("alm_{name}"),
        asset_tag: tag.to_owned(),
        class: "mill".to_owned(),
        cause: "worn".to_owned(),
        severity: "medium".to_owned(),
        raised_at: ctx.now,
        summary: "it is worn".to_owned(),
        evidence: json!({}),
        began_at: Some(ctx.now - TimeDelta::minutes(9)),
        confidence_bp: 5_000,
        failure_ppm: None,
        watching: 1,
        model: None,
        ratio_milli: None,
        forecast: None,
    };
    let case = match intake::alarm(&world.state.db, &ctx, report).await.unwrap() {
        Intake::Kept(case, _) => case,
        other => panic!("{name}: {other:?}"),
    };
    let seen = world.get(&format!("/cases/{case}")).await.expect(200).json;
    let body = json!({ "actor": "Ada", "close_out": "confirmed", "reason": "looked at it" });
    let path = format!("/cases/{case}/close");
    world
        .post(&path, name, &seen["version"], body)
        .await
        .expect(200);
}

/// Runs a mill to failure so many times, each a life of its own.
async fn fail(world: &World, tag: &str, times: std::ops::Range<usize>) {
    for number in times {
        let began = world.state.clock.now();
        world.pass_minutes(LASTS);
        readings(world, tag, began, LASTS).await;
        confirmed(world, tag, &format!("{tag}-{number}")).await;
    }
}

/// A training and its end.
async fn training(world: &World, key: &str) -> Value {
    let body = json!({
        "kind": "train_life", "class": "mill",
        "from": "2026-03-02T00:00:00Z", "to": "2026-04-02T00:00:00Z",
    });
    let begun = world.post("/detect/jobs", key, &NONE, body).await;
    let begun = begun.expect(200).json;
    assert_eq!(
        (&begun["kind"], &begun["class"], &begun["asset"]),
        (&json!("train_life"), &json!("mill"), &NONE)
    );
    let path = format!("/detect/jobs/{}", begun["number"]);
    until("the job has ended", async || {
        world.get(&path).await.json["ended_at"].is_string()
    })
    .await;
    world.get(&path).await.json
}

#[tokio::test]
async fn mills_that_failed_tell_how_long_the_next_one_lasts() {
    let world = World::new().await;
    let site = world.items("/sites").await[0]["id"].clone();
    for tag in ["mill-1", "mill-2"] {
        let body = json!({
            "tag": tag, "class": "mill", "site": site, "installed_at": world.state.clock.now(),
        });
        world.post("/assets", tag, &NONE, body).await.expect(201);
    }
    let wiring = wired(&world).await;
    let ask = async |what: &str| {
        let path = format!("/assets/mill-1/{what}");
        world.get(&path).await.expect(200).json
    };
    let told = async |lives: usize| {
        until("the failures are known", async || {
            let before = world.state.clock.now() + TimeDelta::days(30);
            let before = before.format("%Y-%m-%dT%H:%M:%SZ");
            let said = ask(&format!("failure-probability?before={before}")).await;
            let said = said["text"].as_str().unwrap().to_owned();
            said.contains(&format!("{lives} lives of its class ended in a failure"))
        })
        .await;
    };
    fail(&world, "mill-1", 0..2).await;
    told(2).await;
    let failed = training(&world, "few").await;
    assert_eq!(failed["state"], "failed", "{failed}");
    let why = failed["failure"].as_str().unwrap();
    assert!(
        why.contains("at least 4 assets") && why.contains("there are 2"),
        "{why}"
    );
    fail(&world, "mill-1", 2..6).await;
    told(6).await;

    // A version is kept, and says nothing until a person promotes it.
    let job = training(&world, "enough").await;
    assert_eq!(job["state"], "done", "{job}");
    let began = world.state.clock.now();
    world.pass_minutes(70);
    readings(&world, "mill-1", began, 70).await;
    let before = began + TimeDelta::minutes(100);
    let path = format!(
        "failure-probability?before={}",
        before.format("%Y-%m-%dT%H:%M:%SZ")
    );
    let life = &ask("health").await["remaining_life"];
    assert_eq!((&life["model"], &life["expected_h"]), (&NONE, &NONE));
    assert!(
        life["text"].as_str().unwrap().contains("no model"),
        "{life}"
    );
    assert_ne!(ask(&path).await["basis"], "life");
    let [version] = &world.items("/models/lives/versions?class=MILL").await[..] else {
        panic!("one version")
    };
    assert_eq!(
        (&version["version"], &version["in_use"]),
        (&job["version"], &json!(false))
    );
    assert_eq!(
        (&version["lives"], &version["metrics"]),
        (&json!(6), &json!(["a"]))
    );
    let evaluation = &version["evaluation"];
    assert!(evaluation["rmse_h"].as_f64() < Some(0.4), "{version}");
    assert!(evaluation["coverage"].as_f64() > Some(0.5), "{version}");
    let named = json!({ "class": "mill", "version": job["version"] });
    let promoted = world.post("/models/lives/promote", "", &NONE, named).await;
    let promoted = promoted.expect(200).json;
    assert_eq!(promoted["in_use"], true);
    assert_eq!(promoted["promotions"][0]["by"], "api");

    until("it is followed", async || {
        ask("health").await["remaining_life"]["as_of"].is_string()
    })
    .await;
    let life = &ask("health").await["remaining_life"];
    assert_eq!(
        (&life["model"], &life["coverage"]),
        (&job["version"], &json!(0.9))
    );
    let hours = |name: &str| life[name].as_f64().unwrap();
    assert!((0.0..0.5).contains(&hours("expected_h")), "{life}");
    assert!(hours("lower_h") <= hours("expected_h") && hours("expected_h") <= hours("upper_h"));
    assert!(
        life["lower_at"].as_str() <= life["expected_at"].as_str(),
        "{life}"
    );
    assert!(
        life["age_s"]
            .as_i64()
            .is_some_and(|age| (0..600).contains(&age)),
        "{life}"
    );
    let found = ask(&path).await;
    assert_eq!(
        (&found["basis"], &found["as_of"]),
        (&json!("life"), &life["as_of"])
    );
    assert!(found["probability"].as_f64() > Some(0.5), "{found}");

    // One of the class that has sent nothing, and one of a class that declares none.
    let none = world.get("/assets/mill-2/health").await.expect(200).json;
    assert_eq!(none["remaining_life"], NONE);
    let none = world.get("/assets/pump-101/health").await.expect(200).json;
    assert_eq!(none["remaining_life"], NONE);
    wiring.shutdown().await;
}
