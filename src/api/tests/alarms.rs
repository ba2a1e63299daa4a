//! Alarms over the API.

use fieldwright_analytics::alarms::{Occurrence, Severity};
use serde_json::{Value, json};

use super::world::World;

async fn raise(world: &World, asset: &str, cause: &str) -> String {
    let now = world.state.clock.now();
    let occurrence = Occurrence {
        asset: asset.to_owned(),
        class: "pump".to_owned(),
        cause: cause.to_owned(),
        severity: Severity::High,
        summary: "out of its band".to_owned(),
        evidence: json!({"metrics": ["vibration_mm_s"]}),
        began_at: now,
        raised_at: now,
    };
    let alarm = world
        .state
        .alarms
        .raise(occurrence, None, now)
        .await
        .unwrap();
    alarm.id.to_string()
}

#[tokio::test]
async fn alarms_are_listed_by_asset_and_state() {
    let world = World::new().await;
    let first = raise(&world, "pump-101", "pca").await;
    world.pass_minutes(1);
    let second = raise(&world, "pump-102", "pca").await;
    let check = async |query: &str, expected: &[&str]| {
        let items = world.items(&format!("/alarms{query}")).await;
        let ids: Vec<_> = items
            .iter()
            .map(|item| item["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{query}");
    };
    check("", &[&second, &first]).await;
    check("?asset=pump-101", &[&first]).await;
    let asset = world.get("/assets/pump-101").await.expect(200).json;
    check(
        &format!("?asset={}", asset["id"].as_str().unwrap()),
        &[&first],
    )
    .await;
    check("?active=true&open=true", &[&second, &first]).await;
    check("?active=false", &[]).await;
    let page = world.get("/alarms?limit=1").await.expect(200).json;
    let cursor = page["next_cursor"].as_str().unwrap();
    check(&format!("?limit=1&cursor={cursor}"), &[&first]).await;
}

#[tokio::test]
async fn people_see_and_shelve_alarms() {
    let world = World::new().await;
    let id = raise(&world, "pump-101", "pca").await;
    let path = format!("/alarms/{id}");
    let alarm = world.get(&path).await.expect(200);
    assert_eq!(alarm.headers["etag"], "\"1\"");
    assert_eq!(alarm.json["status"], "active_unacknowledged");
    assert_eq!(alarm.json["evidence"]["metrics"][0], "vibration_mm_s");
    assert_eq!(
        alarm.json["allowed_actions"],
        json!(["acknowledge", "shelve"])
    );
    let act = async |verb: &str, version: Value, body: Value| {
        world
            .post(&format!("{path}/{verb}"), "", &version, body)
            .await
    };
    let ada = json!({"actor": "Ada"});
    act("acknowledge", Value::Null, ada.clone())
        .await
        .refused(428, "precondition_missing");
    act("acknowledge", json!(1), json!({"actor": ""}))
        .await
        .refused(422, "actor_missing");
    let seen = act("acknowledge", json!(1), ada.clone())
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&seen["acknowledged"], &seen["acknowledged_by"]),
        (&json!(true), &json!("Ada"))
    );
    act("acknowledge", json!(1), ada.clone()).await.expect(200);
    let until = |text: &str| json!({"actor": "Ada", "until": text, "reason": "waits for a part"});
    let why = json!({"actor": "Ada", "until": "2026-03-02T09:00:00Z"});
    act("shelve", json!(2), why.clone())
        .await
        .refused(422, "invalid");
    let mut blank = why;
    blank["reason"] = json!(" ");
    act("shelve", json!(2), blank)
        .await
        .refused(422, "reason_missing");
    let stale = act("shelve", json!(1), until("2026-03-02T09:00:00Z")).await;
    stale.refused(412, "stale_version");
    let past = act("shelve", json!(2), until("2026-03-01T09:00:00Z")).await;
    past.refused(422, "shelved_into_the_past");
    let shelved = act("shelve", json!(2), until("2026-03-02T09:00:00Z"))
        .await
        .expect(200)
        .json;
    assert_eq!(shelved["status"], "shelved");
    assert_eq!(shelved["shelved_until"], "2026-03-02T09:00:00Z");
    assert_eq!(shelved["shelved_reason"], "waits for a part");
    assert_eq!(shelved["first_out"], shelved["id"]);
    let back = act("unshelve", json!(3), ada).await.expect(200).json;
    assert_eq!(back["status"], "active_acknowledged");
    assert_eq!(back["shelved_until"], Value::Null);
}

#[tokio::test]
async fn people_declare_that_nothing_is_raised_and_end_it() {
    let world = World::new().await;
    let asset = world.get("/assets/pump-101").await.expect(200).json;
    let body = json!({
        "actor": "Ada", "kind": "out_of_service", "asset": asset["id"], "reason": "drained",
    });
    let none = Value::Null;
    let declared = world
        .post("/suppressions", "k-1", &none, body.clone())
        .await;
    let declared = declared.expect(201);
    let id = declared.json["id"].as_str().unwrap().to_owned();
    assert_eq!(declared.headers["etag"], "\"1\"");
    assert_eq!(
        declared.headers["location"],
        format!("/api/v1/suppressions/{id}")
    );
    assert_eq!(declared.json["asset"], "pump-101");
    assert_eq!(declared.json["holds"], true);
    let again = world
        .post("/suppressions", "k-1", &none, body.clone())
        .await;
    assert_eq!(again.expect(200).json["id"], id.as_str());
    let mut other = body.clone();
    other["reason"] = json!("another");
    let reused = world.post("/suppressions", "k-1", &none, other).await;
    reused.refused(422, "idempotency_key_reused");
    let refused = async |change: &[(&str, Value)], word: &str| {
        let mut body = body.clone();
        for (name, value) in change {
            body[name] = value.clone();
        }
        let answer = world.post("/suppressions", "", &none, body).await;
        answer.refused(422, word);
    };
    refused(&[("actor", json!(""))], "actor_missing").await;
    refused(&[("reason", json!(""))], "reason_missing").await;
    refused(&[("class", json!("pump"))], "scope_unclear").await;
    refused(&[("kind", json!("maintenance"))], "suppressed_without_end").await;
    refused(&[("kind", json!("holiday"))], "invalid").await;
    refused(
        &[("while", json!({"cause": "off"}))],
        "condition_not_by_design",
    )
    .await;
    refused(
        &[("until", json!("2026-03-01T00:00:00Z"))],
        "suppressed_into_the_past",
    )
    .await;

    let now = world.state.clock.now();
    let occurrence = Occurrence {
        asset: "pump-101".into(),
        class: "pump".into(),
        cause: "pca".into(),
        severity: Severity::High,
        summary: "out of its band".into(),
        evidence: json!({}),
        began_at: now,
        raised_at: now,
    };
    let alarms = &world.state.alarms;
    alarms.report(occurrence, None, now).await.unwrap();
    assert!(world.items("/alarms").await.is_empty());
    let found = world.items("/suppressed-occurrences?asset=pump-101").await;
    assert_eq!(found[0]["outcome"], "standing");
    assert_eq!(found[0]["reason"], "drained");
    assert_eq!(found[0]["suppression_id"], id.as_str());
    let held = world
        .items("/suppressions?holding=true&asset=pump-101")
        .await;
    assert_eq!(held.len(), 1);
    assert!(world.items("/suppressions?asset=pump-102").await.is_empty());
    world
        .get("/suppressions?cursor=zz")
        .await
        .refused(400, "malformed");

    world.pass_minutes(5);
    let path = format!("/suppressions/{id}/end");
    let ended = world
        .post(&path, "", &none, json!({"actor": "Grace"}))
        .await;
    let ended = ended.expect(200).json;
    assert_eq!(
        (&ended["ended_by"], &ended["holds"]),
        (&json!("Grace"), &json!(false))
    );
    let again = world.post(&path, "", &none, json!({"actor": "Ada"})).await;
    assert_eq!(again.expect(200).json, ended);
    let one = world.get(&format!("/suppressions/{id}")).await.expect(200);
    assert_eq!(one.json["allowed_actions"], json!([]));
    let nobody = format!("/suppressions/{}", id.replace(['0', '1', '2'], "3"));
    world.get(&nobody).await.refused(404, "not_found");
    world
        .get("/suppressions/none")
        .await
        .refused(404, "not_found");

    world.pass_minutes(5);
    let through = |_: &str, _: &str| Some(world.state.clock.now());
    let released = alarms.release_due(&through, world.state.clock.now()).await;
    assert_eq!(released.unwrap(), 1);
    let raised = world.items("/alarms?cause=pca").await;
    assert_eq!(raised[0]["raised_at"], ended["until"]);
    assert_eq!(raised[0]["suppression"], Value::Null);
    let found = world.items("/suppressed-occurrences?standing=false").await;
    assert_eq!(found[0]["alarm_id"], raised[0]["id"]);

    let mut maintenance = body.clone();
    maintenance["kind"] = json!("maintenance");
    maintenance["until"] = json!("2026-03-02T12:00:00Z");
    world
        .post("/suppressions", "k-2", &none, maintenance)
        .await
        .expect(201);
    let shown = world.items("/alarms").await;
    assert_eq!(shown[0]["suppression"]["kind"], "maintenance");
}

#[tokio::test]
async fn the_load_of_alarms_and_the_first_of_them_are_told() {
    let world = World::new().await;
    let first = raise(&world, "pump-101", "pca").await;
    for number in 0..11 {
        raise(&world, "pump-102", &format!("rule_{number}")).await;
    }
    let load = world.get("/alarms/load").await.expect(200).json;
    assert_eq!(
        (&load["raised"], &load["flood"], &load["limit"]),
        (&json!(12), &json!(true), &json!(10))
    );
    assert_eq!(load["floods"][0]["until"], Value::Null);
    let asked = world.get("/alarms/first-out?asset=pump-101").await;
    assert_eq!(asked.expect(200).json["alarm_id"], first.as_str());
    let asked = world.get("/alarms/first-out?asset=pump-103").await;
    assert_eq!(asked.expect(200).json["alarm_id"], Value::Null);
    world
        .get("/alarms/first-out")
        .await
        .refused(400, "malformed");
    let text = world.send("GET", "/metrics", &[], "").await;
    let text = String::from_utf8(text.bytes).unwrap();
    assert!(text.contains("fieldwright_alarm_flood 1"), "{text}");
}
