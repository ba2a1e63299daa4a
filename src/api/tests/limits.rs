//! From labels to a limit that is in force: the same readings, before and after a person promoted it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fieldwright_analytics::alarms::AlarmFilter;
use fieldwright_analytics::feedback::FieldFeedback;
use fieldwright_ingest::clock::process_sleep;
use fieldwright_workorders::orders::intake::{self, AlarmReport, Intake};
use serde_json::{Value, json};

use super::reading::publish_all;
use super::world::World;
use crate::wiring::{Parts, Wiring};

const NONE: Value = Value::Null;

pub(super) async fn wired(world: &World) -> Wiring {
    let store = &world.state.db;
    let field = FieldFeedback::open(store.pool().clone(), store.write_gate()).await;
    let wiring = Wiring::start(Parts {
        db: world.state.db.clone(),
        alarms: world.state.alarms.clone(),
        detection: world.state.detection.clone(),
        field: Arc::new(field.unwrap()),
        sql: world.state.sql.clone(),
        clock: world.state.clock.clone(),
        ids: world.state.ids.clone(),
    });
    wiring.await.unwrap()
}

pub(super) async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    for _ in 0..2000 {
        if ready().await {
            return;
        }
        process_sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

/// An hour before the world begins.
pub(super) fn at(second: i64) -> DateTime<Utc> {
    "2026-03-02T06:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(second)
}

/// A reading every six seconds: `calm` minutes, then minutes in which `b` is off by `fault`.
pub(super) async fn readings(world: &World, tag: &str, minutes: std::ops::Range<i64>, fault: f64) {
    let reading = |second: i64| {
        let noise =
            |k: i64| f64::from(((second * 7919 + k * 104_729) % 1000) as i32) / 1000.0 - 0.5;
        let load = (second as f64 / 400.0).sin();
        let metrics = json!({
            "a": 10.0 + load + 0.2 * noise(1),
            "b": 50.0 - 3.0 * load + 0.5 * noise(2) + fault,
        });
        json!({ "time": at(second), "metrics": metrics }).to_string()
    };
    let seconds = (minutes.start * 60..minutes.end * 60).step_by(6);
    let payloads: Vec<String> = seconds.map(reading).collect();
    publish_all(world, &format!("fieldwright/rig/{tag}"), &payloads).await;
    let last = at(minutes.end * 60 - 6);
    let detection = &world.state.detection;
    until("the readings are judged", async || {
        detection.health(tag).newest == Some(last) && detection.stats().unkept == 0
    })
    .await;
}

/// A labeled episode: an alarm that reached so many thousandths of its limit, and what it was.
pub(super) async fn episode(
    world: &World,
    name: &str,
    cause: &str,
    peak_milli: i64,
    close_out: &str,
) {
    let ctx = world.state.acting(cause);
    let report = AlarmReport {
        alarm_id: format!("alm_{name}"),
        asset_tag: "rig-0".to_owned(),
        class: "rig".to_owned(),
        cause: cause.to_owned(),
        severity: "medium".to_owned(),
        raised_at: ctx.now,
        summary: "outside its band".to_owned(),
        evidence: json!({}),
        began_at: Some(ctx.now - TimeDelta::minutes(90)),
        confidence_bp: 5_000,
        failure_ppm: None,
        watching: 1,
        model: None,
        ratio_milli: Some(peak_milli),
        forecast: None,
    };
    let case = match intake::alarm(&world.state.db, &ctx, report).await.unwrap() {
        Intake::Kept(case, _) => case,
        other => panic!("{name}: {other:?}"),
    };
    let seen = world.get(&format!("/cases/{case}")).await.expect(200).json;
    let body = json!({ "actor": "Ada", "close_out": close_out, "reason": "looked at it" });
    let path = format!("/cases/{case}/close");
    let closed = world.post(&path, name, &seen["version"], body).await;
    assert_eq!(closed.expect(200).json["close_out"], close_out);
}

/// Weighs the labels and gives the one new proposal.
async fn weighed(world: &World, key: &str) -> Value {
    let body = json!({ "actor": "Ada" });
    let made = world.post("/detect/proposals", key, &NONE, body).await;
    let made = made.expect(200).json;
    let [id] = &made["proposed"].as_array().unwrap()[..] else {
        panic!("one proposal: {made}");
    };
    let all = world.items("/detect/proposals").await;
    let found = all.into_iter().find(|one| one["id"] == *id);
    found.expect("it is listed")
}

/// Ratio and factor in the evidence of the asset's alarm, if it has one.
async fn alarm(world: &World, tag: &str) -> Option<(f64, f64)> {
    let filter = AlarmFilter {
        asset: Some(tag.to_owned()),
        limit: 10,
        ..AlarmFilter::default()
    };
    let alarms = world.state.alarms.list(&filter).await.unwrap();
    let id = alarms.first()?.id.to_string();
    let shown = world.get(&format!("/alarms/{id}")).await.expect(200).json;
    let data = &shown["evidence"];
    Some((
        data["ratio"].as_f64().expect("a ratio"),
        data["limit_factor"].as_f64().expect("a factor"),
    ))
}

async fn factor(world: &World, tag: &str) -> Value {
    let shown = world.items(&format!("/models?asset={tag}")).await;
    shown[0]["limit_factors"]["pca"].clone()
}

#[tokio::test]
async fn a_promoted_limit_silences_what_was_never_a_fault() {
    let world = World::new().await;
    let site = world.items("/sites").await[0]["id"].clone();
    for tag in ["rig-0", "rig-1", "rig-2"] {
        let body = json!({ "tag": tag, "class": "rig", "site": site });
        world.post("/assets", tag, &NONE, body).await.expect(201);
    }
    let wiring = wired(&world).await;
    for tag in ["rig-1", "rig-2"] {
        readings(&world, tag, 0..45, 0.0).await;
        let detection = &world.state.detection;
        until("it is learned", async || {
            detection.health(tag).model.is_some()
        })
        .await;
    }
    // Small enough to be nothing, large enough to be an alarm with the limit as it was learned.
    readings(&world, "rig-1", 45..55, FAULT).await;
    let (ratio, under) = alarm(&world, "rig-1").await.expect("an alarm");
    assert!(
        (1.0..4.5).contains(&ratio) && under == 1.0,
        "{ratio} {under}"
    );

    for round in 0..9 {
        episode(
            &world,
            &format!("small_{round}"),
            "pca",
            4_900,
            "no_fault_found",
        )
        .await;
    }
    episode(&world, "large", "pca", 5_100, "confirmed").await;
    let proposal = weighed(&world, "weigh-1").await;
    assert_eq!(proposal["factor_milli"], 5_000);
    assert_eq!(proposal["applied_by"], "detector");
    assert_eq!(proposal["in_force"], false);
    assert_eq!(factor(&world, "rig-2").await, NONE);

    let path = |verb: &str| {
        format!(
            "/detect/proposals/{}/{verb}",
            proposal["id"].as_str().unwrap()
        )
    };
    let ada = || json!({ "actor": "Ada" });
    world
        .post(&path("take-back"), "", &json!(1), ada())
        .await
        .refused(409, "not_allowed_now");
    let promoted = world.post(&path("promote"), "p", &json!(1), ada()).await;
    let promoted = promoted.expect(200).json;
    assert_eq!(
        (&promoted["status"], &promoted["in_force"]),
        (&json!("promoted"), &json!(true))
    );
    until("it is in force", async || {
        factor(&world, "rig-2").await == 5.0
    })
    .await;

    readings(&world, "rig-2", 45..55, FAULT).await;
    assert_eq!(alarm(&world, "rig-2").await, None, "the same readings");

    let back = world
        .post(&path("take-back"), "b", &promoted["version"], ada())
        .await;
    let back = back.expect(200).json;
    assert_eq!(
        (&back["in_force"], &back["taken_back_by"]),
        (&json!(false), &json!("Ada"))
    );
    until("it is no longer", async || {
        factor(&world, "rig-2").await == NONE
    })
    .await;
    readings(&world, "rig-2", 55..59, 2.0 * FAULT).await;
    let (_, under) = alarm(&world, "rig-2")
        .await
        .expect("the limit is as it was");
    assert_eq!(under, 1.0);
    wiring.shutdown().await;
}

/// What people wrote, people change.
#[tokio::test]
async fn a_thresholds_limit_is_changed_by_hand() {
    let world = World::new().await;
    let site = world.items("/sites").await[0]["id"].clone();
    let body = json!({ "tag": "rig-0", "class": "rig", "site": site });
    world
        .post("/assets", "rig-0", &NONE, body)
        .await
        .expect(201);
    for round in 0..9 {
        episode(
            &world,
            &format!("t_{round}"),
            "too_hot",
            1_200,
            "no_fault_found",
        )
        .await;
    }
    episode(&world, "t_9", "too_hot", 3_000, "confirmed").await;
    let proposal = weighed(&world, "weigh-1").await;
    assert_eq!(proposal["applied_by"], "hand");
    let path = format!("/detect/proposals/{}", proposal["id"].as_str().unwrap());
    let ada = json!({ "actor": "Ada" });
    let refused = world
        .post(&format!("{path}/promote"), "p", &json!(1), ada.clone())
        .await;
    let refused = refused.refused(409, "limit_changed_by_hand");
    let detail = refused.json["detail"].as_str().unwrap();
    assert!(
        detail.contains("too_hot") && detail.contains("2.100"),
        "{detail}"
    );
    let declined = world
        .post(&format!("{path}/decline"), "d", &json!(1), ada)
        .await;
    assert_eq!(declined.expect(200).json["status"], "declined");
    // Each command says who gives it, and of what.
    let nobody = json!({ "actor": " " });
    world
        .post(&format!("{path}/decline"), "", &json!(2), nobody)
        .await
        .refused(422, "invalid");
    let missing = "/detect/proposals/lpr_00000000000000000000000000000000/promote";
    let answer = world
        .post(missing, "", &json!(1), json!({ "actor": "Ada" }))
        .await;
    assert_eq!(answer.status.as_u16(), 404, "{}", answer.json);
    assert_eq!(
        world
            .get("/detect/proposals?status=maybe")
            .await
            .status
            .as_u16(),
        400
    );
}

/// How far `b` goes off.
const FAULT: f64 = 0.6;
