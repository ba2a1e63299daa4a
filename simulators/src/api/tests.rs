use super::records::{AssetName, Booking, Money, Page};
use super::*;

#[test]
fn queries_and_segments_are_escaped() {
    assert_eq!(with_query("/assets", &[]), "/assets");
    assert_eq!(
        with_query("/assets", &[("tag", "a b&c")]),
        "/assets?tag=a+b%26c"
    );
    assert_eq!(path_segment("a/b c"), "a%2Fb%20c");
}

#[test]
fn an_answer_is_judged_by_its_status() {
    let judge = |status: u16, body: &str| {
        judge(
            &Method::GET,
            "/x",
            StatusCode::from_u16(status).unwrap(),
            body.as_bytes(),
        )
    };
    assert!(matches!(judge(200, "{}"), Attempt::Done(_)));
    assert!(matches!(judge(204, ""), Attempt::Done(Value::Null)));
    assert!(matches!(
        judge(200, "<html>"),
        Attempt::Failed(ApiError::Unreadable { .. })
    ));
    assert!(matches!(judge(503, ""), Attempt::Again(_)));
    assert!(matches!(judge(429, "{}"), Attempt::Again(_)));
    let Attempt::Failed(error) = judge(412, r#"{"detail":"version 3 is old","request_id":"r1"}"#)
    else {
        panic!("a refusal is final");
    };
    assert!(error.is_stale() && error.is_refused() && !error.is_not_found());
    assert_eq!(
        error.to_string(),
        "GET /x was refused with 412 Precondition Failed: version 3 is old (request r1)"
    );
    let Attempt::Failed(error) = judge(404, "gone") else {
        panic!("final")
    };
    assert!(error.is_not_found());
    assert!(error.to_string().ends_with(": gone"));
}

#[tokio::test]
async fn patience_ends_with_a_message_that_names_the_address() {
    // Port 9 of loopback: a listener that is certainly not ours refuses at once.
    let api = Api::new("http://127.0.0.1:9".into(), None).with_patience(Duration::from_millis(60));
    let error = api.get::<Value>("/clock", &[]).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(error.to_string().contains("http://127.0.0.1:9"), "{error}");
}

#[tokio::test]
async fn an_address_that_cannot_work_is_not_tried_again() {
    let api = Api::new("localhost:80".into(), None);
    let error = api.get::<Value>("/clock", &[]).await.unwrap_err();
    assert!(matches!(error, ApiError::Unsendable { .. }), "{error}");
}

#[tokio::test]
async fn a_stop_ends_the_wait() {
    let (source, cancel) = crate::cancel::CancelSource::new();
    source.cancel();
    let api = Api::new(Endpoint::callback(|| None), None).with_cancel(cancel);
    let error = api.get::<Value>("/clock", &[]).await.unwrap_err();
    assert!(matches!(error, ApiError::Canceled { .. }), "{error}");
}

#[test]
fn records_read_what_the_contract_promises() {
    let page: Page<Booking> = serde_json::from_str(
        r#"{"items":[{"id":"bkg_1","work_order_id":"wo_1","resource_id":"res_1",
            "status":"scheduled","travel_from":"2026-10-05T07:00:00Z",
            "starts_at":"2026-10-05T07:30:00Z","ends_at":"2026-10-05T08:30:00Z",
            "travel_minutes":30,"asset":{"id":"ast_1","tag":"P-1","class":"pump"},
            "site_id":"sit_1","version":1,"allowed_actions":["travel","cancel"]}],
            "next_cursor":null}"#,
    )
    .unwrap();
    assert_eq!(page.items[0].asset.class.as_deref(), Some("pump"));
    let tag: AssetName = serde_json::from_str(r#""P-1""#).unwrap();
    let both: AssetName = serde_json::from_str(r#"{"id":"ast_1","tag":"P-1"}"#).unwrap();
    assert_eq!((tag.tag(), both.tag()), ("P-1", "P-1"));
}

#[test]
fn nothing_to_pay_is_seen_without_arithmetic() {
    let money = |amount: &str| Money {
        amount: amount.into(),
        currency: "EUR".into(),
    };
    for (amount, nothing) in [
        ("0.00", true),
        ("0", true),
        ("-4.00", true),
        ("0.01", false),
        ("129.50", false),
    ] {
        assert_eq!(money(amount).is_nothing(), nothing, "{amount}");
    }
}
