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
    let until = |text: &str| json!({"actor": "Ada", "until": text});
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
    let back = act("unshelve", json!(3), ada).await.expect(200).json;
    assert_eq!(back["status"], "active_acknowledged");
    assert_eq!(back["shelved_until"], Value::Null);
}
