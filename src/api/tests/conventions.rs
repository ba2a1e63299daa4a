//! What holds for every route.

use serde_json::json;

use super::world::World;
use crate::api::auth::Access;

const JSON: (&str, &str) = ("content-type", "application/json");

/// One refusal: method, path, headers, body, status, word.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    u16,
    &'static str,
);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("GET", "/api/v1/nowhere", &[], "", 404, "no_such_route"),
    ("GET", "/", &[], "", 404, "no_such_route"),
    ("PATCH", "/api/v1/assets", &[], "", 405, "method_not_allowed"),
    ("GET", "/api/v1/assets?color=red", &[], "", 400, "malformed"),
    ("GET", "/api/v1/assets?limit=many", &[], "", 400, "malformed"),
    ("GET", "/api/v1/assets?limit=0", &[], "", 400, "malformed"),
    ("GET", "/api/v1/assets?limit=501", &[], "", 400, "malformed"),
    ("GET", "/api/v1/assets?cursor=7b", &[], "", 400, "malformed"),
    ("GET", "/api/v1/work-orders?status=lost", &[], "", 400, "malformed"),
    ("GET", "/api/v1/invoices?account=nobody", &[], "", 400, "malformed"),
    ("GET", "/api/v1/events?after=-1", &[], "", 400, "malformed"),
    ("GET", "/api/v1/events?limit=5000", &[], "", 400, "malformed"),
    ("GET", "/api/v1/assets/none", &[], "", 404, "no_such_asset"),
    ("GET", "/api/v1/work-orders/none", &[], "", 404, "not_found"),
    ("GET", "/api/v1/work-orders/wo_00000000000000000000000000000000", &[], "", 404, "no_such_work_order"),
    ("GET", "/api/v1/bookings/bkg_00000000000000000000000000000000", &[], "", 404, "no_such_booking"),
    ("GET", "/api/v1/invoices/inv_00000000000000000000000000000000", &[], "", 404, "not_found"),
    ("GET", "/api/v1/receipts/rcp_00000000000000000000000000000000", &[], "", 404, "not_found"),
    ("GET", "/api/v1/alarms/alm_00000000000000000000000000000000", &[], "", 404, "not_found"),
    ("POST", "/api/v1/assets", &[JSON], "{", 400, "malformed"),
    ("POST", "/api/v1/assets", &[JSON], "{}", 422, "invalid"),
    ("POST", "/api/v1/assets", &[], "{}", 415, "not_json"),
    ("POST", "/api/v1/assets", &[("content-type", "text/plain")], "{}", 415, "not_json"),
    ("POST", "/api/v1/assets", &[JSON], r#"{"tag":"a/b","class":"pump"}"#, 422, "bad_tag"),
    ("POST", "/api/v1/assets", &[JSON], r#"{"tag":"a","class":"readings"}"#, 422, "bad_class"),
    ("POST", "/api/v1/assets", &[JSON], r#"{"tag":"pump-101","class":"fan"}"#, 409, "tag_taken"),
    ("POST", "/api/v1/assets", &[JSON, ("idempotency-key", "a b")], "{}", 400, "malformed"),
    ("POST", "/api/v1/receipts", &[JSON], "{}", 422, "invalid"),
    ("POST", "/api/v1/receipts", &[JSON], r#"{"account_id":"acc_1","amount":{"amount":"1.00","currency":"EUR"}}"#, 400, "idempotency_key_missing"),
    ("POST", "/api/v1/receipts", &[JSON, ("idempotency-key", "k")], r#"{"account_id":"acc_1","amount":{"amount":"1.00","currency":"EUR"}}"#, 422, "invalid"),
    ("POST", "/api/v1/work-orders/wo_00000000000000000000000000000000/post", &[JSON], r#"{"actor":"r","verification":"passed"}"#, 400, "idempotency_key_missing"),
    ("POST", "/api/v1/work-orders/wo_00000000000000000000000000000000/post", &[JSON, ("idempotency-key", "k")], r#"{"actor":"r","verification":"passed"}"#, 428, "precondition_missing"),
    ("POST", "/api/v1/work-orders/wo_00000000000000000000000000000000/post", &[JSON, ("idempotency-key", "k"), ("if-match", "1")], r#"{"actor":"r","verification":"passed"}"#, 400, "malformed"),
    ("POST", "/api/v1/work-orders/wo_00000000000000000000000000000000/post", &[JSON, ("idempotency-key", "k"), ("if-match", "\"1\"")], r#"{"actor":"r","verification":"passed"}"#, 404, "no_such_work_order"),
    ("POST", "/api/v1/work-orders/wo_00000000000000000000000000000000/post", &[JSON, ("idempotency-key", "k"), ("if-match", "\"1\"")], r#"{"actor":"r"}"#, 422, "invalid"),
    ("POST", "/api/v1/work-orders/wo_00000000000000000000000000000000/cancel", &[JSON, ("if-match", "\"1\"")], r#"{"actor":" ","reason":"x"}"#, 422, "invalid"),
    ("POST", "/api/v1/bookings/bkg_00000000000000000000000000000000/travel", &[JSON], r#"{"actor":"t"}"#, 428, "precondition_missing"),
    ("POST", "/api/v1/detect/jobs", &[JSON], r#"{"kind":"train_class","asset":"a","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}"#, 422, "invalid"),
    ("POST", "/api/v1/detect/jobs", &[JSON], r#"{"kind":"train","class":"a","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}"#, 422, "invalid"),
    ("POST", "/api/v1/detect/jobs", &[JSON], r#"{"kind":"train_life","asset":"a","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}"#, 422, "invalid"),
    ("POST", "/api/v1/detect/jobs", &[JSON], r#"{"kind":"train_life","class":"a","then":"shadow","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}"#, 422, "invalid"),
    ("POST", "/api/v1/detect/jobs", &[JSON], r#"{"kind":"train_life","class":"a","version":"v","from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}"#, 422, "invalid"),
    ("POST", "/api/v1/models/lives/promote", &[JSON], r#"{"class":"pump","version":"none"}"#, 404, "not_found"),
    ("POST", "/api/v1/models/classes/promote", &[JSON], r#"{"class":"pump","version":"none"}"#, 404, "not_found"),
    ("POST", "/api/v1/sql", &[JSON], r#"{"query":"DROP TABLE assets"}"#, 403, "sql_not_read_only"),
    ("POST", "/api/v1/sql", &[JSON], r#"{"query":"SELECT nothing FROM nowhere"}"#, 422, "sql_invalid_query"),
    ("POST", "/api/v1/quarantine/q1-0/replay", &[], "", 404, "not_found"),
    ("GET", "/api/v1/receipts/%ff", &[], "", 400, "malformed"),
    ("GET", "/api/v1/assets/a%00", &[], "", 400, "malformed"),
    ("GET", "/api/v1/assets?tag=a%0ab", &[], "", 400, "malformed"),
    ("POST", "/api/v1/assets", &[JSON], r#"["pump-999","pump"]"#, 422, "invalid"),
    ("POST", "/api/v1/receipts", &[JSON, ("idempotency-key", "k")], r#"{"account_id":"acc_1","amount":["1.00","EUR"]}"#, 422, "invalid"),
    ("GET", "/api/v1/clock", &[("host", "localhost"), ("host", "127.0.0.1")], "", 400, "malformed"),
    ("GET", "/api/v1/clock", &[("host", "evil.example")], "", 403, "untrusted_host"),
    ("GET", "/metrics", &[("host", "evil.example")], "", 403, "untrusted_host"),
];

#[tokio::test]
async fn refusals_are_problems_with_their_status() {
    let world = World::new().await;
    for (method, path, headers, body, status, refusal) in CASES {
        let answer = world.send(method, path, headers, body).await;
        let shown = format!("{method} {path} {body}");
        assert_eq!(answer.status.as_u16(), *status, "{shown}: {}", answer.json);
        let answer = answer.refused(*status, refusal);
        let bare = path.split('?').next().unwrap();
        assert_eq!(answer.json["instance"], bare, "{shown}");
        assert!(
            answer.json["detail"]
                .as_str()
                .is_some_and(|text| text.len() > 10),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let world = World::new().await;
    let body = json!({"account_id": "acc_1", "amount": {"amount": 1.5, "currency": "EUR"}});
    let answer = world
        .post("/receipts", "k", &json!(null), body)
        .await
        .refused(422, "invalid");
    assert_eq!(answer.json["errors"][0]["pointer"], "/amount/amount");
}

#[tokio::test]
async fn control_characters_are_named_where_they_stand() {
    let world = World::new().await;
    let nobody = "00000000000000000000000000000000";
    for (path, body, pointer) in [
        (
            "/receipts".to_owned(),
            json!({"account_id": "acc_1", "amount": {"amount": "1.00", "currency": "EUR"}, "reference": "a\0"}),
            "/reference",
        ),
        (
            "/receipts".to_owned(),
            json!({"account_id": "acc_1", "amount": {"amount": "1.00", "currency": "EUR"}, "method": "a\u{1b}"}),
            "/method",
        ),
        (
            "/work-orders".to_owned(),
            json!({"actor": "Ada", "asset": "pump-101", "summary": "a\u{7}"}),
            "/summary",
        ),
        (
            "/work-orders".to_owned(),
            json!({"actor": "A\nda", "asset": "pump-101", "summary": "a"}),
            "/actor",
        ),
        (
            "/assets".to_owned(),
            json!({"tag": "pump-999", "class": "pump", "name": "a\tb"}),
            "/name",
        ),
        (
            format!("/bookings/bkg_{nobody}/complete"),
            json!({"actor": "Ada", "outcome": "fixed", "notes": "a\0b"}),
            "/notes",
        ),
    ] {
        let answer = world.post(&path, "k", &json!(1), body).await;
        let answer = answer.refused(422, "invalid");
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{path}");
    }
    let long = json!({"tag": "pump-999", "class": "pump", "name": "x".repeat(201)});
    let answer = world.post("/assets", "", &json!(null), long).await;
    answer.refused(422, "bad_name");
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_explanation() {
    let world = World::new().await;
    let problem = world
        .get("/assets?limit=0")
        .await
        .refused(400, "malformed")
        .json;
    let told = world
        .send("GET", problem["type"].as_str().unwrap(), &[], "")
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&told["title"], &told["status"]),
        (&problem["title"], &problem["status"])
    );
    let rule = world
        .send("GET", "/api/docs/problems/tag_taken", &[], "")
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&rule["title"], &rule["status"]),
        (&json!("Tag taken"), &json!(null))
    );
    let odd = world.send("GET", "/api/docs/problems/..", &[], "").await;
    odd.refused(404, "not_found");
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let world = World::new().await;
    let body = format!(
        "{{\"query\":\"{}\"}}",
        "x".repeat(crate::api::command::MAX_BODY_BYTES)
    );
    let answer = world.send("POST", "/api/v1/sql", &[JSON], &body).await;
    answer.refused(413, "body_too_large");
}

#[tokio::test]
async fn a_token_guards_everything_but_probes() {
    let world = World::with_access(Access::token("s3cret")).await;
    let token = [("authorization", "Bearer s3cret")];
    for (path, headers, status) in [
        ("/healthz", &[][..], 200),
        ("/readyz", &[], 200),
        ("/metrics", &[], 401),
        ("/api/v1/clock", &[], 401),
        ("/api/v1/service", &[], 401),
        ("/api/v1/nowhere", &[], 401),
        ("/metrics", &token, 200),
        ("/api/v1/clock", &token, 200),
    ] {
        let answer = world.send("GET", path, headers, "").await.expect(status);
        if status == 401 {
            let scheme = answer.headers["www-authenticate"].to_str().unwrap();
            assert!(scheme.starts_with("Bearer"), "{path}");
        }
    }
}

#[tokio::test]
async fn every_asset_is_on_one_page() {
    let world = World::new().await;
    let all = world.items("/assets?limit=500").await;
    assert!(all.len() >= 20, "{}", all.len());
    let (mut seen, mut path) = (Vec::new(), "/api/v1/assets?limit=7".to_owned());
    loop {
        let answer = world.send("GET", &path, &[], "").await.expect(200);
        seen.extend(answer.json["items"].as_array().unwrap().clone());
        let Some(cursor) = answer.json["next_cursor"].as_str() else {
            assert!(!answer.headers.contains_key("link"));
            break;
        };
        path = format!("/api/v1/assets?cursor={cursor}&limit=7");
        assert_eq!(answer.headers["link"], format!("<{path}>; rel=\"next\""));
    }
    assert_eq!(seen, all);
    // A cursor belongs to its list.
    let cursor = world.get("/assets?limit=1").await.json["next_cursor"].clone();
    let foreign = format!("/sites?cursor={}", cursor.as_str().unwrap());
    world.get(&foreign).await.refused(400, "malformed");
}
