//! Suppressions, chattering, first-out and the rules' memory, on every store.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::tests::{at, occurrence};
use super::*;

async fn book(store: Arc<dyn AlarmStore>) -> AlarmBook {
    AlarmBook::open(store).await.unwrap()
}

pub(super) fn declaration(key: &str, from: i64, until: Option<i64>) -> Declaration {
    let kind = match until {
        Some(_) => SuppressionKind::Maintenance,
        None => SuppressionKind::OutOfService,
    };
    Declaration {
        key: key.into(),
        fingerprint: format!("{key} {from}"),
        kind,
        asset: Some("P-101".into()),
        class: None,
        cause: None,
        during: None,
        from: at(from),
        until: until.map(at),
        reason: "bearing is changed; it's \"fine\" ✓".into(),
        by: "Ada".into(),
    }
}

fn found(asset: &str, cause: &str, minute: i64) -> Occurrence {
    Occurrence {
        asset: asset.into(),
        cause: cause.into(),
        ..occurrence(minute)
    }
}

fn progress(minute: i64) -> Progress {
    Progress {
        asset: "P-101".into(),
        class: "pump".into(),
        scored_through: at(minute),
        state: "{}".into(),
    }
}

fn suppressed(report: Report) -> Suppressed {
    match report {
        Report::Suppressed(one) => *one,
        Report::Raised(alarm) => panic!("raised: {alarm:?}"),
    }
}

fn raised(report: Report) -> Alarm {
    match report {
        Report::Raised(alarm) => *alarm,
        Report::Suppressed(one) => panic!("suppressed: {one:?}"),
    }
}

async fn all(book: &AlarmBook) -> Vec<Suppressed> {
    let filter = SuppressedFilter {
        limit: 100,
        ..SuppressedFilter::default()
    };
    book.suppressed(&filter).await.unwrap()
}

async fn release(book: &AlarmBook, minute: i64) -> usize {
    let through = move |_: &str, _: &str| Some(at(minute));
    book.release_due(&through, at(minute)).await.unwrap()
}

/// The same request later, when its relative span has become impossible.
async fn repeats_what_is_over(store: Arc<dyn AlarmStore>) {
    let book = book(store).await;
    let first = declaration("over", -20, Some(-10));
    let declared = book.declare(first.clone(), at(-20)).await.unwrap();
    let mut late = first;
    late.from = at(-5);
    let again = book.declare(late.clone(), at(-5)).await.unwrap();
    assert_eq!(
        (again.repeated, again.suppression),
        (true, declared.suppression)
    );
    late.fingerprint = "another".into();
    assert!(book.declare(late, at(-5)).await.is_err());
}

pub(super) async fn keeps_suppressions(store: Arc<dyn AlarmStore>) {
    let book = book(Arc::clone(&store)).await;
    let window = declaration("k1", 0, Some(60));
    let first = book.declare(window.clone(), at(1)).await.unwrap();
    assert!(!first.repeated);
    let again = book.declare(window.clone(), at(2)).await.unwrap();
    assert_eq!(
        (again.repeated, &again.suppression),
        (true, &first.suppression)
    );
    let other = Declaration {
        fingerprint: "another".into(),
        ..window
    };
    let refused = book.declare(other, at(2)).await.unwrap_err();
    assert!(
        matches!(refused, AlarmError::Refused(Refusal::KeyReused)),
        "{refused:?}"
    );
    let by_design = Declaration {
        kind: SuppressionKind::ByDesign,
        asset: None,
        class: Some("Pump".into()),
        cause: Some("low_flow".into()),
        during: Some(Condition {
            asset: Some("P-100".into()),
            cause: "stopped".into(),
        }),
        ..declaration("k2", 0, None)
    };
    let second = book.declare(by_design, at(3)).await.unwrap().suppression;
    assert_eq!(second.class.as_deref(), Some("pump"));
    assert_eq!(book.suppression(&second.id).await.unwrap(), second);

    let list = async |filter: SuppressionFilter| {
        let found = book.suppressions(&filter).await.unwrap();
        found.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    let all = SuppressionFilter {
        limit: 10,
        ..SuppressionFilter::default()
    };
    let (first, second) = (first.suppression, second);
    assert_eq!(
        list(all.clone()).await,
        [second.id.clone(), first.id.clone()]
    );
    let of_asset = SuppressionFilter {
        asset: Some("P-101".into()),
        ..all.clone()
    };
    assert_eq!(list(of_asset).await, std::slice::from_ref(&first.id));
    let later = SuppressionFilter {
        holding_at: Some(at(60)),
        class: Some("pump".into()),
        ..all.clone()
    };
    assert_eq!(list(later).await, std::slice::from_ref(&second.id));
    let page = SuppressionFilter {
        before: Some((second.declared.at, second.id.clone())),
        ..all
    };
    assert_eq!(list(page).await, std::slice::from_ref(&first.id));

    let ended = book
        .end_suppression(&second.id, "Grace", at(30), at(31))
        .await
        .unwrap();
    assert_eq!((ended.until, ended.version), (Some(at(30)), 2));
    assert_eq!(book.suppression(&second.id).await.unwrap(), ended);
    let again = book
        .end_suppression(&second.id, "Ada", at(40), at(41))
        .await
        .unwrap();
    assert_eq!(again, ended, "ended once");
    let nobody = SuppressionId::of("nobody");
    let error = book.end_suppression(&nobody, "Ada", at(0), at(0)).await;
    assert!(matches!(error, Err(AlarmError::NoSuppression(_))));
    repeats_what_is_over(store).await;
}

pub(super) async fn keeps_down_and_releases(store: Arc<dyn AlarmStore>) {
    let book = book(Arc::clone(&store)).await;
    let window = declaration("k1", 0, Some(60));
    let window = book.declare(window, at(0)).await.unwrap().suppression;
    // The class is another one's, and a moment before it begins is too early.
    let before = book.report(found("P-101", "hot", -1), None, at(0)).await;
    raised(before.unwrap());
    let other = book.report(found("P-102", "pca", 5), None, at(5)).await;
    raised(other.unwrap());

    let report = book.report(occurrence(5), Some(progress(5)), at(5)).await;
    let one = suppressed(report.unwrap());
    assert_eq!(
        (&one.suppression, &one.outcome),
        (&window.id, &SuppressedOutcome::Standing)
    );
    assert_eq!(store.open_alarm("P-101", "pca").await.unwrap(), None);
    assert_eq!(store.progress().await.unwrap(), [progress(5)]);
    let events = book.events_after(0, 100).await.unwrap();
    assert!(
        events
            .iter()
            .all(|event| event.asset != "P-101" || event.cause != "pca")
    );
    // Found again, as after a crash: nothing changes but the progress.
    let again = book.report(occurrence(5), Some(progress(6)), at(6)).await;
    assert_eq!(suppressed(again.unwrap()), one);
    assert_eq!(store.progress().await.unwrap(), [progress(6)]);
    let worse = Command::AddEvidence {
        at: at(7),
        severity: Severity::Critical,
        summary: "worse".into(),
        evidence: serde_json::json!({"ratio": 9}),
    };
    book.tell("P-101", "pca", &worse, Some(progress(7)), at(7))
        .await
        .unwrap();
    assert_eq!(store.progress().await.unwrap(), [progress(7)]);

    // A second window follows without a gap; then nothing holds it down any more.
    book.declare(declaration("k2", 50, Some(90)), at(50))
        .await
        .unwrap();
    assert_eq!(release(&book, 70).await, 0);
    assert_eq!(release(&book, 89).await, 0);
    assert_eq!(release(&book, 95).await, 1);
    assert_eq!(release(&book, 96).await, 0);
    let alarm = store.open_alarm("P-101", "pca").await.unwrap().unwrap();
    assert_eq!((alarm.raised_at, alarm.began_at), (at(90), at(-5)));
    assert_eq!(
        (alarm.severity, &*alarm.summary),
        (Severity::Critical, "worse")
    );
    assert_eq!(alarm.evidence["ratio"], 9);
    assert_eq!(alarm.evidence["suppressed"]["kind"], "maintenance");
    assert_eq!(
        all(&book).await[0].outcome,
        SuppressedOutcome::Raised {
            at: at(90),
            alarm: alarm.id.clone()
        }
    );
    // What is active stays so, also when a suppression begins.
    book.declare(declaration("k3", 95, None), at(95))
        .await
        .unwrap();
    let again = book.report(occurrence(99), None, at(99)).await.unwrap();
    assert_eq!(raised(again).version, alarm.version);
}

pub(super) async fn suppresses_while_a_condition_is_there(store: Arc<dyn AlarmStore>) {
    let book = book(Arc::clone(&store)).await;
    let by_design = Declaration {
        kind: SuppressionKind::ByDesign,
        asset: None,
        class: Some("pump".into()),
        cause: Some("low_flow".into()),
        during: Some(Condition {
            asset: None,
            cause: "stopped".into(),
        }),
        ..declaration("k", 0, None)
    };
    book.declare(by_design, at(0)).await.unwrap();
    let report = async |cause: &str, minute: i64| {
        let one = found("P-101", cause, minute);
        book.report(one, None, at(minute)).await.unwrap()
    };
    let gone = async |cause: &str, minute: i64| {
        let gone = Command::Return { at: at(minute) };
        book.tell("P-101", cause, &gone, None, at(minute))
            .await
            .unwrap()
    };
    raised(report("low_flow", 1).await);
    gone("low_flow", 2).await;
    raised(report("stopped", 3).await);
    raised(report("pca", 4).await);
    suppressed(report("low_flow", 4).await);
    assert_eq!(release(&book, 5).await, 0);
    gone("stopped", 8).await;
    assert_eq!(release(&book, 7).await, 0, "not known up to there");
    assert_eq!(release(&book, 9).await, 1);
    let alarm = store
        .open_alarm("P-101", "low_flow")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (alarm.active, alarm.occurrences),
        (true, 2),
        "the same open alarm"
    );
    let newest = book.events_after(0, 100).await.unwrap().pop().unwrap();
    assert_eq!((newest.kind, newest.time), (EventKind::Raised, at(8)));
}

pub(super) async fn returns_unseen(store: Arc<dyn AlarmStore>) {
    let book = book(Arc::clone(&store)).await;
    let id = book
        .declare(declaration("k", 0, None), at(0))
        .await
        .unwrap()
        .suppression
        .id;
    suppressed(book.report(occurrence(5), None, at(5)).await.unwrap());
    let gone = |minute| Command::Return { at: at(minute) };
    book.tell("P-101", "pca", &gone(8), Some(progress(8)), at(8))
        .await
        .unwrap();
    assert_eq!(
        all(&book).await[0].outcome,
        SuppressedOutcome::Returned { at: at(8) }
    );
    assert_eq!(store.progress().await.unwrap(), [progress(8)]);
    assert_eq!(store.last_seq().await.unwrap(), 0, "no news");

    // The end and the return are told in another order than they happened: event time decides.
    suppressed(book.report(occurrence(10), None, at(10)).await.unwrap());
    book.end_suppression(&id, "Ada", at(12), at(20))
        .await
        .unwrap();
    book.tell("P-101", "pca", &gone(15), None, at(20))
        .await
        .unwrap();
    let events = book.events_after(0, 100).await.unwrap();
    let shown: Vec<(EventKind, DateTime<Utc>)> = events
        .iter()
        .map(|event| (event.kind, event.time))
        .collect();
    assert_eq!(
        shown,
        [(EventKind::Raised, at(12)), (EventKind::Returned, at(15))]
    );
    assert_eq!(release(&book, 99).await, 0);
}

pub(super) async fn marks_chattering_and_first_out(store: Arc<dyn AlarmStore>) {
    let book = book(store).await;
    let come_and_go = async |cause: &str, minute: i64| {
        let one = found("P-101", cause, minute);
        let alarm = book.raise(one, None, at(minute)).await.unwrap();
        let gone = Command::Return { at: at(minute + 1) };
        book.tell("P-101", cause, &gone, None, at(minute + 1))
            .await
            .unwrap();
        alarm
    };
    let first = come_and_go("hot", 0).await;
    assert_eq!(first.first_out.as_ref(), Some(&first.id));
    assert_eq!(
        come_and_go("pca", 2).await.first_out,
        Some(first.id.clone())
    );
    assert_eq!(come_and_go("pca", 4).await.chattering_since, None);
    let third = come_and_go("pca", 6).await;
    assert_eq!(third.chattering_since, Some(at(6)));
    assert_eq!(
        book.get(&third.id).await.unwrap().chattering_since,
        Some(at(6))
    );
    assert_eq!(come_and_go("pca", 8).await.chattering_since, Some(at(6)));
    let calm = come_and_go("pca", 30).await;
    assert_eq!((calm.chattering_since, calm.occurrences), (None, 5));
    assert_eq!(calm.first_out.as_ref(), Some(&calm.id));

    let first_out = async |assets: &[&str], minute: i64| {
        let assets: Vec<String> = assets.iter().map(|&asset| asset.into()).collect();
        let first = book.first_out(&assets, at(minute)).await.unwrap();
        first.map(|raise| (raise.asset, raise.cause, raise.at))
    };
    let expected = Some(("P-101".to_owned(), "hot".to_owned(), at(0)));
    assert_eq!(first_out(&["P-101"], 9).await, expected);
    assert_eq!(first_out(&["P-100", "P-101"], 9).await, expected);
    assert_eq!(first_out(&["P-100"], 9).await, None);

    let load = book.load(chrono::TimeDelta::days(1), at(31)).await.unwrap();
    assert_eq!(
        (load.raised, load.flood(), load.truncated),
        (1, None, false)
    );
    let worst = &load.worst[0];
    assert_eq!(
        (&*worst.asset, &*worst.cause, worst.raises),
        ("P-101", "pca", 5)
    );
}

pub(super) async fn remembers_rules(store: Arc<dyn AlarmStore>) {
    let one = |asset: &str, since: i64, back: Option<i64>| RuleMemory {
        asset: asset.into(),
        since: at(since),
        active: back.is_some(),
        back_since: back.map(at),
    };
    let write = |rule: &str, definition: &str, put: &[RuleMemory], gone: &[&str]| RuleWrite {
        rule: rule.into(),
        definition: definition.into(),
        put: put.to_vec(),
        gone: gone.iter().map(|&asset| asset.into()).collect(),
    };
    let hot = write("hot", "d1", &[one("B", 2, None), one("A", 1, Some(3))], &[]);
    store.save_rule_memory(&hot).await.unwrap();
    let cold = write("cold", "d1", &[one("A", 9, None)], &[]);
    store.save_rule_memory(&cold).await.unwrap();
    let read =
        async |rule: &str, definition: &str| store.rule_memory(rule, definition).await.unwrap();
    assert_eq!(
        read("hot", "d1").await,
        [one("A", 1, Some(3)), one("B", 2, None)]
    );
    assert_eq!(read("hot", "d2").await, [], "another question");
    let change = write(
        "hot",
        "d1",
        &[one("C", 4, None), one("A", 1, None)],
        &["B", "Z"],
    );
    store.save_rule_memory(&change).await.unwrap();
    assert_eq!(
        read("hot", "d1").await,
        [one("A", 1, None), one("C", 4, None)]
    );
    store.keep_rules(&["hot".into()]).await.unwrap();
    assert_eq!(read("cold", "d1").await, []);
    let other = write("hot", "d2", &[one("D", 5, None)], &[]);
    store.save_rule_memory(&other).await.unwrap();
    assert_eq!(read("hot", "d2").await, [one("D", 5, None)]);
    assert_eq!(read("hot", "d1").await, []);
}

/// A declaration is refused with this word, or not at all.
#[track_caller]
fn check(change: impl FnOnce(&mut Declaration), expected: &str) {
    let mut wanted = declaration("k", 0, Some(60));
    change(&mut wanted);
    let found = match Suppression::declare(wanted, at(0)) {
        Ok(_) => "ok",
        Err(refusal) => refusal.code(),
    };
    assert_eq!(found, expected);
}

#[test]
fn declarations_are_decided() {
    let condition = || {
        Some(Condition {
            asset: None,
            cause: "stopped".into(),
        })
    };
    check(|_| {}, "ok");
    check(|wanted| wanted.by = " ".into(), "actor_missing");
    check(|wanted| wanted.reason = "".into(), "reason_missing");
    check(|wanted| wanted.reason = "x".repeat(501), "reason_too_long");
    check(|wanted| wanted.asset = None, "scope_unclear");
    check(|wanted| wanted.class = Some("pump".into()), "scope_unclear");
    check(
        |wanted| wanted.during = condition(),
        "condition_not_by_design",
    );
    check(|wanted| wanted.until = None, "suppressed_without_end");
    check(
        |wanted| wanted.until = Some(at(0)),
        "suppressed_into_the_past",
    );
    check(
        |wanted| wanted.until = Some(at(60 * 24 * 32)),
        "suppressed_too_long",
    );
    check(
        |wanted| {
            wanted.kind = SuppressionKind::OutOfService;
            wanted.until = Some(at(60 * 24 * 32));
        },
        "ok",
    );
    check(
        |wanted| {
            wanted.kind = SuppressionKind::ByDesign;
            wanted.during = condition();
            wanted.until = None;
        },
        "ok",
    );
    check(
        |wanted| {
            wanted.kind = SuppressionKind::StartUp;
            wanted.until = None;
        },
        "suppressed_without_end",
    );
}

#[test]
fn one_that_ends_before_it_begins_has_never_held() {
    let wanted = declaration("k", 10, Some(60));
    let declared = Suppression::declare(wanted, at(0)).unwrap();
    let ended = declared.end("Ada", at(5), at(5)).unwrap().unwrap();
    assert_eq!(ended.until, Some(at(10)));
    assert!(!ended.covers("P-101", "pump", "pca", at(10)));
    assert!(declared.covers("P-101", "pump", "pca", at(10)));
    assert!(!declared.covers("P-101", "pump", "pca", at(60)));
    assert!(declared.end(" ", at(5), at(5)).is_err());
    assert_eq!(declared.end("Ada", at(60), at(60)).unwrap(), None);
}

#[test]
fn identities_of_suppressions_are_read() {
    let id = SuppressionId::of("k");
    assert_eq!(id, SuppressionId::of("k"));
    assert_ne!(id, SuppressionId::of("l"));
    assert_eq!(id.as_str().parse::<SuppressionId>().unwrap(), id);
    for bad in ["", "sup_", "alm_0190a3b4c5d6e7f8091a2b3c4d5e6f70"] {
        assert!(bad.parse::<SuppressionId>().is_err(), "{bad}");
    }
}
