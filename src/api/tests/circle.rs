//! From a request for work to a paid invoice, as people do it over the API.

use std::sync::Arc;
use std::time::Duration;

use fieldwright_analytics::feedback::FieldFeedback;
use fieldwright_ingest::clock::process_sleep;
use serde_json::{Value, json};

use super::world::{Answer, World};
use crate::wiring::{Parts, Wiring};

const NONE: Value = Value::Null;

/// The technician's visit, up to the completed order.
async fn completed_order(world: &World) -> Value {
    let body = json!({"actor": "Ada", "asset": "pump-101", "summary": "it leaks", "priority": 2});
    let made = world
        .post("/work-orders", "make-1", &NONE, body)
        .await
        .expect(201);
    let order = made.json["id"].as_str().unwrap().to_owned();
    assert_eq!(
        made.headers["location"],
        format!("/api/v1/work-orders/{order}")
    );
    assert_eq!(made.headers["etag"], "\"1\"");
    assert_eq!(made.json["status"], "unscheduled");
    assert_eq!(made.json["verification"], "not_needed");
    assert_eq!(made.json["allowed_actions"], json!(["schedule", "cancel"]));

    let path = format!("/work-orders/{order}/schedule");
    let version = &made.json["version"];
    let scheduled = world
        .post(&path, "", version, json!({"actor": "Ada"}))
        .await
        .expect(200);
    let booking = scheduled.json["booking_id"].as_str().unwrap().to_owned();
    for (verb, extra) in [
        ("travel", json!({})),
        ("start", json!({})),
        (
            "complete",
            json!({"outcome": "fixed", "notes": "new seal", "minutes_worked": 50,
                "parts": [{"part": "seal-kit", "quantity": 1}]}),
        ),
    ] {
        let seen = world
            .get(&format!("/bookings/{booking}"))
            .await
            .expect(200)
            .json;
        assert!(
            seen["allowed_actions"]
                .as_array()
                .unwrap()
                .contains(&json!(verb)),
            "{seen}"
        );
        world.pass_minutes(30);
        let mut body = json!({"actor": seen["resource_name"], "device_time": world.get("/clock").await.json["now"]});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let path = format!("/bookings/{booking}/{verb}");
        let key = format!("device-{verb}");
        let done = world
            .post(&path, &key, &seen["version"], body.clone())
            .await
            .expect(200);
        // The device did not hear the answer and sends again; later, another command has its key.
        let again = world
            .post(&path, &key, &seen["version"], body)
            .await
            .expect(200);
        assert_eq!(again.json, done.json);
        assert_eq!(again.headers["idempotency-replayed"], "true");
    }
    world
        .get(&format!("/work-orders/{order}"))
        .await
        .expect(200)
        .json
}

#[tokio::test]
async fn a_visit_suppresses_the_alarms_of_its_asset_until_it_is_over() {
    let world = World::new().await;
    completed_order(&world).await;
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
    let wiring = wiring.await.unwrap();
    let mut found = Vec::new();
    for _ in 0..1000 {
        found = world.items("/suppressions?asset=pump-101").await;
        if found.iter().any(|one| one["ended_at"].is_string()) {
            break;
        }
        process_sleep(Duration::from_millis(10)).await;
    }
    wiring.shutdown().await;
    let [one] = &found[..] else {
        panic!("one visit, one suppression: {found:?}");
    };
    assert_eq!(one["kind"], "maintenance");
    assert_eq!(one["from"], "2026-03-02T08:00:00Z");
    assert_eq!(one["until"], "2026-03-02T08:30:00Z");
    assert_eq!(one["declared_by"], one["ended_by"]);
}

/// An amount that no sum has room for does not come in, so the books can be read for ever.
#[tokio::test]
async fn receipts_out_of_all_proportion_are_refused() {
    let world = World::new().await;
    let account = world.items("/accounts").await[0]["id"].clone();
    let receipt = |amount: &str, currency: &str, day: &str| {
        json!({"account_id": account, "amount": {"amount": amount, "currency": currency},
            "received_on": day})
    };
    let today = "2026-03-02";
    for (amount, currency, day, status, refusal) in [
        (
            "92233720368547758.07",
            "EUR",
            today,
            422,
            "amount_too_large",
        ),
        ("100000000000.01", "EUR", today, 422, "amount_too_large"),
        ("1.00", "USD", today, 409, "currency_mismatch"),
        ("1.00", "EUR", "1999-12-31", 409, "before_the_books"),
        ("1.00", "EUR", "2026-03-04", 409, "not_yet_received"),
    ] {
        let body = receipt(amount, currency, day);
        let key = format!("{amount}{currency}{day}");
        let answer = world.post("/receipts", &key, &NONE, body).await;
        answer.refused(status, refusal);
    }
    for key in ["one", "two"] {
        let body = receipt("100000000000.00", "EUR", today);
        let answer = world.post("/receipts", key, &NONE, body).await;
        answer.expect(201);
    }
    let balance = world.get("/ledger/trial-balance").await.expect(200).json;
    assert_eq!(balance["balanced"], true);
    assert_eq!(balance["totals"][0]["debit"]["amount"], "200000000000.00");
    let results = fieldwright_workorders::invariants::verify(&world.state.db).await;
    assert!(results.unwrap().iter().all(|result| result.ok));
}

/// A device whose clock is lost tells nothing about when a visit happened.
#[tokio::test]
async fn absurd_times_of_devices_are_refused() {
    let world = World::new().await;
    let path = "/bookings/bkg_00000000000000000000000000000000/travel";
    for (time, status, refusal) in [
        ("1970-01-01T00:00:00Z", 422, "invalid"),
        ("2026-03-03T07:00:01Z", 422, "invalid"),
        ("2026-03-03T07:00:00Z", 404, "no_such_booking"),
    ] {
        let body = json!({"actor": "Ada", "device_time": time});
        let answer = world.post(path, time, &NONE, body).await;
        let answer = answer.refused(status, refusal);
        if status == 422 {
            assert_eq!(answer.json["errors"][0]["pointer"], "/device_time");
        }
    }
}

async fn post(world: &World, order: &Value, key: &str, version: &Value) -> Answer {
    let path = format!("/work-orders/{}/post", order["id"].as_str().unwrap());
    let body = json!({"actor": "Rita", "verification": order["verification"]});
    world.post(&path, key, version, body).await
}

#[tokio::test]
async fn work_becomes_one_paid_invoice() {
    let world = World::new().await;
    let order = completed_order(&world).await;
    assert_eq!(order["status"], "completed");
    assert_eq!(order["work_lines"].as_array().unwrap().len(), 3, "{order}");

    post(&world, &order, "post-0", &json!(1))
        .await
        .refused(412, "stale_version");
    let posted = post(&world, &order, "post-1", &order["version"])
        .await
        .expect(200);
    assert_eq!(posted.json["status"], "posted");
    let again = post(&world, &order, "post-1", &order["version"])
        .await
        .expect(200);
    assert_eq!(again.json, posted.json);
    let path = format!("/work-orders/{}/post", order["id"].as_str().unwrap());
    let other = json!({"actor": "Rita", "unverified": {"reason": "no telemetry"}});
    let reused = world.post(&path, "post-1", &order["version"], other).await;
    reused.refused(422, "idempotency_key_reused");

    let invoices = world.items("/invoices?settlement=open").await;
    let [invoice] = &invoices[..] else {
        panic!("one order, one invoice: {invoices:?}")
    };
    assert_eq!(invoice["id"], posted.json["invoice_id"]);
    assert_eq!(invoice["open"], invoice["total"]);
    assert_eq!(invoice["lines"].as_array().unwrap().len(), 3);

    let body = json!({"account_id": invoice["account_id"], "amount": invoice["open"],
        "reference": invoice["number"]});
    let paid = world
        .post("/receipts", "pay-1", &NONE, body.clone())
        .await
        .expect(201);
    assert_eq!(paid.json["applications"][0]["invoice_id"], invoice["id"]);
    let again = world
        .post("/receipts", "pay-1", &NONE, body.clone())
        .await
        .expect(201);
    assert_eq!(again.json, paid.json);
    let mut doubled = body;
    doubled["amount"]["amount"] = json!("1.00");
    let conflict = world.post("/receipts", "pay-1", &NONE, doubled).await;
    conflict.refused(422, "idempotency_key_reused");
    assert_eq!(world.items("/receipts").await.len(), 1);

    let path = format!("/invoices/{}", invoice["id"].as_str().unwrap());
    let settled = world.get(&path).await.expect(200).json;
    assert_eq!(settled["settlement"], "paid");
    assert_eq!(settled["open"]["amount"], "0.00");
    let balance = world.get("/ledger/trial-balance").await.expect(200).json;
    assert_eq!(balance["balanced"], true);
    assert_eq!(
        balance["totals"][0]["debit"],
        balance["totals"][0]["credit"]
    );
    let entries = world.items("/journal-entries").await;
    assert_eq!(entries.len(), 2, "{entries:?}");
    let path = format!("/journal-entries/{}", entries[0]["id"].as_str().unwrap());
    assert_eq!(world.get(&path).await.expect(200).json, entries[0]);

    let feed = world.get("/events?limit=1000").await.expect(200).json;
    let kinds: Vec<_> = feed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["kind"])
        .collect();
    for kind in [
        "work_order.created",
        "booking.created",
        "booking.traveling",
        "booking.started",
        "booking.completed",
        "work_order.completed",
        "work_order.posted",
        "invoice.posted",
        "receipt.recorded",
        "invoice.paid",
    ] {
        let count = kinds.iter().filter(|found| **found == kind).count();
        assert_eq!(count, 1, "{kind} in {kinds:?}");
    }
    let end = world
        .get(&format!("/events?after={}", feed["next_after"]))
        .await
        .expect(200)
        .json;
    assert_eq!(end, json!({"items": [], "next_after": feed["next_after"]}));
}

#[tokio::test]
async fn what_is_not_named_stays_on_account_until_applied() {
    let world = World::new().await;
    let order = completed_order(&world).await;
    let posted = post(&world, &order, "post-1", &order["version"])
        .await
        .expect(200)
        .json;
    let path = format!("/invoices/{}", posted["invoice_id"].as_str().unwrap());
    let invoice = world.get(&path).await.expect(200).json;
    let body = json!({"account_id": invoice["account_id"], "amount": invoice["total"],
        "reference": "thanks", "method": "cash"});
    let receipt = world
        .post("/receipts", "pay-1", &NONE, body)
        .await
        .expect(201)
        .json;
    assert_eq!(receipt["on_account"], invoice["total"]);
    assert_eq!(receipt["allowed_actions"], json!(["apply"]));
    let path = format!("/receipts/{}/apply", receipt["id"].as_str().unwrap());
    let body = json!({"actor": "Fay", "invoice_id": invoice["id"]});
    let missing = world.post(&path, "apply-1", &NONE, body.clone()).await;
    missing.refused(428, "precondition_missing");
    let applied = world
        .post(&path, "apply-1", &receipt["version"], body.clone())
        .await
        .expect(200);
    assert_eq!(applied.json["on_account"]["amount"], "0.00");
    let more = world
        .post(&path, "apply-2", &applied.json["version"], body)
        .await;
    more.refused(409, "nothing_on_account");
}

#[tokio::test]
async fn an_order_can_be_canceled_once_and_only_with_a_reason() {
    let world = World::new().await;
    let body = json!({"actor": "Ada", "asset": "fan-201", "summary": "noise"});
    let asset = &world.items("/assets?class=fan&limit=1").await[0];
    let mut body = body;
    body["asset"] = asset["id"].clone();
    let made = world
        .post("/work-orders", "", &NONE, body.clone())
        .await
        .expect(201)
        .json;
    let second = world.post("/work-orders", "", &NONE, body).await;
    second.refused(409, "another_order_open");
    let path = format!("/work-orders/{}/cancel", made["id"].as_str().unwrap());
    let version = &made["version"];
    let no_reason = json!({"actor": "Ada", "reason": " "});
    world
        .post(&path, "", version, no_reason)
        .await
        .refused(422, "reason_missing");
    let body = json!({"actor": "Ada", "reason": "by mistake"});
    let done = world
        .post(&path, "", version, body.clone())
        .await
        .expect(200)
        .json;
    assert_eq!(
        (&done["status"], &done["allowed_actions"]),
        (&json!("canceled"), &json!([]))
    );
    assert_eq!(done["last_reason"], "by mistake");
    world.post(&path, "", version, body).await.expect(200);
    let path = format!("/work-orders/{}/schedule", made["id"].as_str().unwrap());
    let late = world
        .post(&path, "", &done["version"], json!({"actor": "Ada"}))
        .await;
    late.refused(409, "not_allowed_now");
}
