//! Versions of models, jobs, health and forecasts over the API.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::limits::{at, episode, readings, until, wired};
use super::world::World;

const NONE: Value = Value::Null;

/// A world with an asset of the class that is learned in half an hour, and its first 45 minutes.
async fn learned() -> World {
    let world = World::new().await;
    register(&world, "rig-1", NONE).await;
    readings(&world, "rig-1", 0..45, 0.0).await;
    until("it is learned", async || {
        world.state.detection.health("rig-1").model.is_some()
    })
    .await;
    world
}

async fn register(world: &World, tag: &str, installed_at: Value) {
    let site = world.items("/sites").await[0]["id"].clone();
    let body = json!({ "tag": tag, "class": "rig", "site": site, "installed_at": installed_at });
    let made = world.post("/assets", tag, &NONE, body).await.expect(201);
    assert_eq!(made.json["installed_at"], installed_at);
}

/// Begins a job and waits for its end.
async fn done(world: &World, key: &str, body: Value) -> Value {
    let begun = world.post("/detect/jobs", key, &NONE, body.clone()).await;
    let begun = begun.expect(200).json;
    let again = world.post("/detect/jobs", key, &NONE, body).await;
    assert_eq!(
        again.expect(200).json["number"],
        begun["number"],
        "the same key"
    );
    let path = format!("/detect/jobs/{}", begun["number"]);
    until("the job has ended", async || {
        let job = world.get(&path).await.expect(200).json;
        job["ended_at"].is_string()
    })
    .await;
    world.get(&path).await.json
}

fn training(asset: &str, minutes: std::ops::Range<i64>) -> Value {
    let (from, to) = (at(minutes.start * 60), at(minutes.end * 60));
    json!({ "kind": "train", "asset": asset, "from": from, "to": to })
}

#[tokio::test]
async fn versions_are_tried_promoted_and_rolled_back() {
    let world = learned().await;
    let first = world.items("/models/versions?asset=rig-1").await;
    let [one] = &first[..] else {
        panic!("one version: {first:?}");
    };
    assert_eq!(
        (&one["in_use"], &one["made_by"]),
        (&json!(true), &json!("learning"))
    );
    assert_eq!(one["promotions"][0]["by"], "learning");
    assert!(one["evaluation"]["pca"]["median"].is_number(), "{one}");
    assert_eq!(one["parameters"]["learning"], "30m");
    let former = one["version"].clone();

    let job = done(&world, "train-1", training("rig-1", 0..44)).await;
    assert_eq!(
        (&job["state"], &job["progress"]),
        (&json!("done"), &json!(1.0)),
        "{job}"
    );
    let version = job["version"].clone();
    let named = |version: &Value| json!({ "asset": "rig-1", "version": version });
    let in_use = async || {
        let all = world.items("/models/versions?asset=rig-1").await;
        let live: Vec<Value> = all
            .iter()
            .filter(|one| one["in_use"] == true)
            .map(|one| one["version"].clone())
            .collect();
        (all.len(), live)
    };
    assert_eq!(in_use().await, (2, vec![former.clone()]), "it is only kept");

    let begun = world
        .post("/models/shadow", "", &NONE, named(&version))
        .await;
    let begun = begun.expect(200).json;
    assert_eq!((&begun["version"], &begun["in_use"]), (&version, &former));
    readings(&world, "rig-1", 45..50, 0.0).await;
    let compared = world.items("/models/shadow").await;
    assert_eq!(compared.len(), 1);
    assert!(compared[0]["windows"].as_u64() >= Some(3), "{compared:?}");
    let ended = world
        .post("/models/shadow/end", "", &NONE, json!({ "asset": "rig-1" }))
        .await;
    assert_eq!(ended.expect(200).json["version"], version);
    assert!(world.items("/models/shadow").await.is_empty());

    for wanted in [&version, &former] {
        let promoted = world
            .post("/models/promote", "", &NONE, named(wanted))
            .await;
        assert_eq!(promoted.expect(200).json["version"], *wanted);
        assert_eq!(in_use().await, (2, vec![wanted.clone()]));
    }
    let unknown = named(&json!("rig-1-of-yesterday"));
    for path in ["/models/promote", "/models/shadow"] {
        let answer = world.post(path, "", &NONE, unknown.clone()).await;
        let refused = answer.refused(404, "not_found");
        assert!(
            refused.json["detail"]
                .as_str()
                .unwrap()
                .contains("rig-1-of-yesterday")
        );
    }
    assert!(
        world
            .items("/models/versions?asset=nobody")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn jobs_show_their_progress_and_can_be_stopped() {
    let world = learned().await;
    let mut test = training("rig-1", 31..45);
    test["kind"] = json!("back_test");
    let job = done(&world, "test-1", test).await;
    assert_eq!(job["state"], "done", "{job}");
    assert!(job["back_test"]["windows"].as_u64() >= Some(10), "{job}");
    assert_eq!(job["back_test"]["alarms"], 0);
    let failed = done(&world, "train-2", training("nobody", 0..44)).await;
    assert_eq!(failed["state"], "failed");
    assert!(
        failed["failure"].as_str().unwrap().contains("nobody"),
        "{failed}"
    );

    let listed = world.items("/detect/jobs").await;
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0]["number"], job["number"]);
    let page = world.get("/detect/jobs?limit=1").await.expect(200).json;
    assert!(page["next_cursor"].is_string());

    let path = |number: &Value, verb: &str| format!("/detect/jobs/{number}{verb}");
    let late = world
        .post(&path(&job["number"], "/cancel"), "", &NONE, json!({}))
        .await;
    assert_eq!(
        late.expect(200).json["state"],
        "done",
        "what has ended stays"
    );
    for verb in ["", "/cancel"] {
        let answer = match verb {
            "" => world.get(&path(&json!(99), verb)).await,
            _ => {
                world
                    .post(&path(&json!(99), verb), "", &NONE, json!({}))
                    .await
            }
        };
        answer.refused(404, "not_found");
    }
    let mut backwards = training("rig-1", 0..44);
    backwards["to"] = json!("2026-03-01T00:00:00Z");
    let refused = world.post("/detect/jobs", "", &NONE, backwards).await;
    let refused = refused.refused(422, "invalid");
    assert_eq!(
        refused.json["errors"][0]["pointer"], "/to",
        "{}",
        refused.json
    );
    let other = world
        .post("/detect/jobs", "test-1", &NONE, training("rig-1", 0..40))
        .await;
    assert_eq!(
        other.status.as_u16() / 100,
        4,
        "a key belongs to one job: {}",
        other.json
    );

    // Jobs run one at a time: of several the last is still there to be stopped, or has just ended.
    let mut last = NONE;
    for number in 0..6 {
        let key = format!("more-{number}");
        let body = training("rig-1", 0..40 + number % 4);
        last = world
            .post("/detect/jobs", &key, &NONE, body)
            .await
            .expect(200)
            .json;
    }
    let number = last["number"].clone();
    let stopped = world
        .post(&path(&number, "/cancel"), "", &NONE, json!({}))
        .await;
    let stopped = stopped.expect(200).json;
    until("it has ended", async || {
        world.get(&path(&number, "")).await.json["ended_at"].is_string()
    })
    .await;
    let ended = world.get(&path(&number, "")).await.json;
    let expected = match stopped["state"].as_str() {
        Some("done") => "done",
        _ => "canceled",
    };
    assert_eq!(ended["state"], expected, "{ended}");
}

#[tokio::test]
async fn health_says_unit_age_zone_and_where_it_goes() {
    let world = learned().await;
    let health = async || world.get("/assets/rig-1/health").await.expect(200).json;
    let new = world.get("/assets/pump-101/health").await.expect(200).json;
    assert_eq!((&new["state"], &new["index"]), (&json!("unknown"), &NONE));
    assert_eq!(new["outlook"]["text"], "it has never sent anything");
    assert_eq!((&new["as_of"], &new["age_s"]), (&NONE, &NONE));

    let calm = health().await;
    assert!(calm["index"].as_f64().unwrap() > 60.0, "{calm}");
    assert!(
        calm["unit"]
            .as_str()
            .unwrap()
            .contains("50 is the alarm limit")
    );
    let site = world.items("/sites").await[0].clone();
    assert_eq!(calm["time_zone"], site["time_zone"]);
    // The last window ended a quarter of an hour before seven.
    let age = calm["age_s"].as_i64().unwrap();
    assert!((900..=1_000).contains(&age), "{calm}");
    assert_eq!(calm["outlook"]["expected_at"], NONE);
    assert!(!calm["outlook"]["text"].as_str().unwrap().is_empty());

    for minute in 45..59 {
        readings(
            &world,
            "rig-1",
            minute..minute + 1,
            0.08 * (minute - 44) as f64,
        )
        .await;
    }
    let sick = health().await;
    let outlook = &sick["outlook"];
    assert_eq!(outlook["failing_index"], 20.0, "{sick}");
    assert!(
        outlook["falling_since"].as_str() < sick["as_of"].as_str(),
        "{sick}"
    );
    assert!(
        outlook["lower_at"].as_str() <= outlook["expected_at"].as_str(),
        "{sick}"
    );
    assert!(
        outlook["text"]
            .as_str()
            .unwrap()
            .contains("reaches 20 of 100"),
        "{sick}"
    );
    assert_eq!(sick["components"][0]["name"], "drive");
    assert!(
        sick["components"][0]["outlook"]["text"].is_string(),
        "{sick}"
    );

    let asked = world
        .get("/assets/rig-1/failure-probability?before=2026-03-03T07:00:00Z")
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&asked["basis"], &asked["asset"]),
        (&json!("trend"), &json!("rig-1"))
    );
    assert!(asked["probability"].as_f64() > Some(0.9), "{asked}");

    let place = world
        .get(&format!("/sites/{}/health", site["id"].as_str().unwrap()))
        .await;
    let place = place.expect(200).json;
    let of_rig = place["below"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "rig-1");
    assert_eq!(of_rig.unwrap()["index"], sick["index"]);
    let account = site["account_id"].as_str().unwrap();
    let account = world
        .get(&format!("/accounts/{account}/health"))
        .await
        .expect(200)
        .json;
    assert!(account["index"].is_number(), "{account}");
    for path in [
        "/assets/nobody/health",
        "/sites/nobody/health",
        "/accounts/nobody/health",
    ] {
        let status = world.get(path).await.status.as_u16();
        assert!(matches!(status, 404 | 422), "{path}: {status}");
    }
}

#[tokio::test]
async fn age_foretells_where_nothing_else_does() {
    let world = World::new().await;
    for (tag, installed) in [
        ("rig-0", "2025-03-02T00:00:00Z"),
        ("rig-1", "2025-03-02T00:00:00Z"),
        ("rig-2", "2026-03-01T00:00:00Z"),
    ] {
        register(&world, tag, json!(installed)).await;
    }
    let wiring = wired(&world).await;
    let ask = async |tag: &str| {
        let before = world.state.clock.now() + TimeDelta::days(30);
        let before = before.format("%Y-%m-%dT%H:%M:%SZ");
        let path = format!("/assets/{tag}/failure-probability?before={before}");
        world.get(&path).await.expect(200).json
    };
    // What comes into sight just now has told nothing; two weeks later it has lived.
    world.pass_minutes(14 * 24 * 60);
    until("the lives are known", async || {
        let said = ask("rig-1").await["text"].as_str().unwrap().to_owned();
        said.contains("none of 3 has failed yet")
    })
    .await;
    let none = ask("rig-1").await;
    assert_eq!((&none["probability"], &none["basis"]), (&NONE, &NONE));

    episode(&world, "worn", "pca", 3_000, "confirmed").await;
    until("the failure is known", async || {
        ask("rig-1").await["basis"] == "age"
    })
    .await;
    let found = ask("rig-1").await;
    let chance = found["probability"].as_f64().unwrap();
    assert!((0.01..0.99).contains(&chance), "{found}");
    assert!(
        found["text"]
            .as_str()
            .unwrap()
            .contains("1 lives of its class"),
        "{found}"
    );
    wiring.shutdown().await;

    let refused = async |query: &str, status: u16, word: &str| {
        let path = format!("/assets/rig-1/failure-probability{query}");
        world.get(&path).await.refused(status, word)
    };
    let past = refused("?before=2026-03-01T00:00:00Z", 400, "malformed").await;
    assert!(
        past.json["detail"]
            .as_str()
            .unwrap()
            .contains("2026-03-16T07:00:00Z")
    );
    refused("?before=2046-03-01T00:00:00Z", 400, "malformed").await;
    refused("?before=soon", 400, "malformed").await;
    refused("", 400, "malformed").await;
    let nobody = "/assets/nobody/failure-probability?before=2026-04-01T00:00:00Z";
    world.get(nobody).await.refused(404, "no_such_asset");
    let future = json!({ "tag": "rig-9", "class": "rig", "installed_at": "2027-01-01T00:00:00Z" });
    let refused = world
        .post("/assets", "rig-9", &NONE, future)
        .await
        .refused(422, "invalid");
    assert_eq!(
        refused.json["errors"][0]["pointer"], "/installed_at",
        "{}",
        refused.json
    );
}

#[tokio::test]
async fn cases_are_filtered_closed_and_escalated() {
    let world = World::new().await;
    register(&world, "rig-0", NONE).await;
    episode(&world, "first", "pca", 1_500, "no_fault_found").await;
    let all = world.items("/cases").await;
    assert_eq!((all.len(), &all[0]["status"]), (1, &json!("closed")));
    assert_eq!(all[0]["forecast_basis"], NONE);
    assert!(
        all[0]["reason"]
            .as_str()
            .unwrap()
            .contains("there is no forecast"),
        "{}",
        all[0]
    );
    assert_eq!(
        world.items("/cases?status=closed&asset=rig-0").await.len(),
        1
    );
    for query in ["?status=open", "?tier=dispatch", "?asset=pump-101"] {
        assert!(
            world.items(&format!("/cases{query}")).await.is_empty(),
            "{query}"
        );
    }
    world
        .get("/cases?tier=none")
        .await
        .refused(400, "malformed");
    let path = format!("/cases/{}", all[0]["id"].as_str().unwrap());
    let read = world.get(&path).await.expect(200);
    assert_eq!(read.json["allowed_actions"], json!([]));
    assert_eq!(read.json["alarms"][0]["cause"], "pca");
    let version = read.json["version"].clone();
    let body = |reason: &str| json!({ "actor": "Ada", "reason": reason });
    world
        .post(
            &format!("{path}/escalate"),
            "",
            &version,
            body("look at it"),
        )
        .await
        .refused(409, "not_allowed_now");
    world
        .post(&format!("{path}/escalate"), "", &NONE, body("look at it"))
        .await
        .refused(428, "precondition_missing");
    assert_eq!(world.get("/cases/cas_none").await.status.as_u16(), 404);
}

#[tokio::test]
async fn names_and_reasons_have_their_bounds_and_slips_are_told() {
    let world = World::new().await;
    let long = "a".repeat(101);
    let body = |actor: &str, asset: &str| json!({ "actor": actor, "kind": "out_of_service", "asset": asset, "reason": "drained" });
    let declare = async |body: Value| world.post("/suppressions", "", &NONE, body).await;
    let refused = declare(body(&long, "pump-101"))
        .await
        .refused(422, "invalid");
    assert_eq!(
        refused.json["errors"][0]["pointer"], "/actor",
        "{}",
        refused.json
    );
    let slip = declare(body("Ada", "pump-1O1"))
        .await
        .refused(404, "no_such_asset");
    assert!(slip.json["detail"].as_str().unwrap().contains("pump-1O1"));
    let mut design = body("Ada", "pump-101");
    design["kind"] = json!("by_design");
    design["while"] = json!({ "asset": "pump-1O2", "cause": "off" });
    declare(design).await.refused(404, "no_such_asset");
    // What sends without being registered is there.
    readings(&world, "rig-7", 0..1, 0.0).await;
    let made = declare(body("Ada", "rig-7")).await.expect(201).json;
    let end = format!("/suppressions/{}/end", made["id"].as_str().unwrap());
    world
        .post(&end, "", &NONE, json!({ "actor": long }))
        .await
        .refused(422, "invalid");

    register(&world, "rig-0", NONE).await;
    let path = "/cases/cas_00000000000000000000000000000000/close";
    let said = |actor: &str, reason: String| json!({ "actor": actor, "close_out": "confirmed", "reason": reason });
    let answer = world
        .post(path, "", &json!(1), said(&long, "seen".to_owned()))
        .await;
    answer.refused(422, "invalid");
    let open = world.items("/cases?status=open").await;
    assert!(open.is_empty());
}
