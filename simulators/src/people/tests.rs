//! People against a tiny service that forgets to answer every third request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::api::Api;
use crate::cancel::CancelSource;
use crate::clock::process_now;
use crate::world::World;

#[test]
fn verbs_are_allowed_when_listed_or_when_nothing_is() {
    let actions = ["send_back".to_owned(), "post".to_owned()];
    for (list, verb, expected) in [
        (&actions[..], "post", true),
        (&actions[..], "send-back", true),
        (&actions[..], "cancel", false),
        (&[][..], "cancel", true),
    ] {
        assert_eq!(allowed(list, verb), expected, "{verb}");
    }
}

#[test]
fn a_refusal_rests_and_a_stale_decision_does_not() {
    let now: DateTime<Utc> = "2026-10-05T07:00:00Z".parse().unwrap();
    let refused = |status: u16| ApiError::Refused {
        method: reqwest::Method::POST,
        path: "/x".into(),
        status: reqwest::StatusCode::from_u16(status).unwrap(),
        problem: Box::default(),
    };
    let mut patience = Patience::default();
    for (status, rests) in [(409, false), (412, false), (422, true)] {
        let outcome: Result<(), _> = Err(refused(status));
        assert!(
            patience
                .judge("Ann", "x", now, outcome, &Talk::silent())
                .is_none()
        );
        assert_eq!(patience.rests("x", now), rests, "{status}");
    }
    assert!(!patience.rests("x", now + SECOND_TRY));
}

/// One booking, one order, one invoice.
#[derive(Debug)]
struct Books {
    booking: &'static str,
    order: &'static str,
    verification: &'static str,
    invoice: &'static str,
    /// Grows with every change, as the version of all three.
    version: i64,
    /// Every effect, in order.
    effects: Vec<String>,
    /// Answers by key.
    answers: HashMap<String, Value>,
    requests: usize,
    readings_after: u64,
}

impl Books {
    fn answer(&mut self, method: &str, target: &str, head: &Headers, body: &Value) -> (u16, Value) {
        let start = "2026-10-05T07:00:00Z";
        let path = target.strip_prefix("/api/v1").unwrap();
        let list = |shown: bool, item: Value| {
            (
                200,
                json!({ "items": if shown { vec![item] } else { vec![] }, "next_cursor": null }),
            )
        };
        let asked = |filter: &str, value: &str| path.contains(&format!("{filter}={value}&"));
        match (method, path.split('?').next().unwrap()) {
            ("GET", "/resources") => list(true, json!({ "id": "res_1", "name": "Ayşe" })),
            ("GET", "/bookings") => list(
                asked("status", self.booking),
                json!({ "id": "bkg_1", "work_order_id": "wo_1", "resource_id": "res_1",
                    "status": self.booking, "travel_from": start, "starts_at": start,
                    "ends_at": start, "version": self.version,
                    "asset": { "id": "ast_1", "tag": "P-1", "class": "pump" } }),
            ),
            ("GET", "/work-orders") => list(
                asked("status", self.order),
                json!({ "id": "wo_1", "number": "WO-1", "status": self.order,
                    "verification": self.verification, "created_at": start,
                    "completed_at": start, "version": self.version,
                    "asset": { "id": "ast_1", "tag": "P-1", "class": "pump" } }),
            ),
            ("GET", "/invoices") => list(
                asked("settlement", self.invoice),
                json!({ "id": "inv_1", "number": "FW-1", "account_id": "acc_1",
                    "status": "posted", "settlement": self.invoice, "version": self.version,
                    "open": { "amount": "129.50", "currency": "EUR" } }),
            ),
            ("POST", "/sql") => (200, json!({ "rows": [[self.readings_after]] })),
            ("POST", path) => self.command(path, head, body),
            other => panic!("nobody asks for {other:?}"),
        }
    }

    fn command(&mut self, path: &str, head: &Headers, body: &Value) -> (u16, Value) {
        let key = head["idempotency-key"].clone();
        if let Some(answer) = self.answers.get(&key) {
            return (200, answer.clone());
        }
        let expected = format!("\"{}\"", self.version);
        if path != "/receipts" && head.get("if-match") != Some(&expected) {
            return (412, json!({ "detail": "somebody changed it" }));
        }
        let from = (self.booking, self.order, self.invoice);
        (self.booking, self.order, self.invoice) = match (path, from) {
            ("/bookings/bkg_1/travel", ("scheduled", o, i)) => ("traveling", o, i),
            ("/bookings/bkg_1/start", ("traveling", o, i)) => ("in_progress", o, i),
            ("/bookings/bkg_1/complete", ("in_progress", _, i)) => ("completed", "completed", i),
            ("/work-orders/wo_1/post", (b, "completed", _)) => (b, "posted", "open"),
            ("/receipts", (b, o, "open")) => (b, o, "paid"),
            _ => return (409, json!({ "detail": "not in this state" })),
        };
        self.version += 1;
        self.effects.push(format!("{path} {body}"));
        let answer = json!({ "id": "x", "version": self.version });
        self.answers.insert(key, answer.clone());
        (200, answer)
    }
}

type Headers = HashMap<String, String>;

async fn serve(listener: TcpListener, books: Arc<Mutex<Books>>) {
    while let Ok((socket, _)) = listener.accept().await {
        // A client may go away in the middle; the next one is served.
        let _ = one_request(socket, &books).await;
    }
}

async fn one_request(mut socket: TcpStream, books: &Mutex<Books>) -> std::io::Result<()> {
    let (read, mut write) = socket.split();
    let mut lines = BufReader::new(read);
    let mut line = String::new();
    lines.read_line(&mut line).await?;
    let mut request = line.split_whitespace().map(str::to_owned);
    let (method, target) = (
        request.next().unwrap_or_default(),
        request.next().unwrap_or_default(),
    );
    let mut head = Headers::new();
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        head.insert(name.to_lowercase(), value.to_owned());
    }
    let length = head
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    lines.read_exact(&mut body).await?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, answer, forget) = {
        let mut books = books.lock().unwrap();
        let (status, answer) = books.answer(&method, &target, &head, &body);
        books.requests += 1;
        (status, answer.to_string(), books.requests.is_multiple_of(3))
    };
    if forget {
        return Ok(());
    }
    let length = answer.len();
    let text = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{answer}"
    );
    write.write_all(text.as_bytes()).await
}

/// Lets the people work until they have had so many effects, and some looks longer.
async fn live(
    verification: &'static str,
    readings_after: u64,
    effects: usize,
) -> (Vec<String>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let books = Arc::new(Mutex::new(Books {
        booking: "scheduled",
        order: "in_progress",
        verification,
        invoice: "none",
        version: 7,
        effects: Vec::new(),
        answers: HashMap::new(),
        requests: 0,
        readings_after,
    }));
    let service = tokio::spawn(serve(listener, books.clone()));
    let (stop, cancel) = CancelSource::new();
    let start: DateTime<Utc> = "2026-10-05T07:00:00Z".parse().unwrap();
    let world = World {
        api: Api::new(address.into(), None).with_cancel(cancel.clone()),
        clock: WorldClock::new(start, 36_000.0, process_now()),
    };
    let settings = crate::scenario::scenario("people").unwrap().people.unwrap();
    let repaired = Arc::new(Mutex::new(Vec::new()));
    let noted = repaired.clone();
    let on_repair: technician::OnRepair = Arc::new(move |tag, _| {
        noted.lock().unwrap().push(tag.to_owned());
        true
    });
    let talk = Talk::silent();
    let technicians = technician::Technicians::new(
        world.clone(),
        settings.clone(),
        1,
        Some(on_repair),
        talk.clone(),
        cancel.clone(),
    );
    let reviewer = reviewer::Reviewer::new(
        world.clone(),
        settings.clone(),
        talk.clone(),
        cancel.clone(),
    );
    let customers = customer::Customers::new(world, settings, 1, talk, cancel.clone());
    let people = [
        tokio::spawn(technicians.run()),
        tokio::spawn(reviewer.run()),
        tokio::spawn(customers.run()),
    ];
    // A few more looks, in which nothing may happen twice.
    let (mut seen, mut more) = (0, 0);
    while seen < effects || books.lock().unwrap().requests < more {
        crate::clock::process_sleep(Duration::from_millis(5)).await;
        let books = books.lock().unwrap();
        if seen < books.effects.len() {
            (seen, more) = (books.effects.len(), books.requests + 25);
        }
    }
    stop.cancel();
    for person in people {
        person.await.unwrap();
    }
    service.abort();
    let effects = std::mem::take(&mut books.lock().unwrap().effects);
    let repaired = std::mem::take(&mut *repaired.lock().unwrap());
    (effects, repaired)
}

#[tokio::test]
async fn the_circle_closes_once_although_answers_get_lost() {
    let (effects, repaired) = live("passed", 0, 5).await;
    let paths: Vec<&str> = effects
        .iter()
        .map(|e| e.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "/bookings/bkg_1/travel",
            "/bookings/bkg_1/start",
            "/bookings/bkg_1/complete",
            "/work-orders/wo_1/post",
            "/receipts",
        ]
    );
    assert_eq!(repaired, ["P-1"]);
    assert!(effects[0].contains(r#""actor":"Ayşe""#), "{}", effects[0]);
    assert!(
        effects[3].contains(r#""verification":"passed""#),
        "{}",
        effects[3]
    );
    assert!(
        effects[4].contains(r#""reference":"FW-1""#),
        "{}",
        effects[4]
    );
}

#[tokio::test]
async fn without_telemetry_the_reviewer_says_so_by_name() {
    let (effects, _) = live("pending", 0, 5).await;
    assert_eq!(effects.len(), 5, "{effects:?}");
    assert!(
        effects[3].contains(r#""unverified":{"reason":"no telemetry"}"#),
        "{}",
        effects[3]
    );
    assert!(
        effects[3].contains(r#""actor":"Ruth Keller""#),
        "{}",
        effects[3]
    );
}

#[tokio::test]
async fn with_telemetry_but_no_verdict_nothing_is_posted() {
    let (effects, _) = live("pending", 12, 3).await;
    assert_eq!(effects.len(), 3, "{effects:?}");
}
