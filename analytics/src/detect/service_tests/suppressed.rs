//! Delays that survive a kill, and findings that are suppressed.

use super::*;
use crate::alarms::{
    Declaration, SuppressedFilter, SuppressedOutcome, Suppression, SuppressionKind,
};

const TOO_HOT: &str = "[rules.too_hot]\nclass = 'rig'\nseverity = 'critical'\nevery = '10ms'\n\
    min_duration = '3m'\noff_delay = '2m'\n\
    sql = \"SELECT asset FROM rig WHERE time > now() - INTERVAL '1 minutes' \
    GROUP BY asset HAVING max(b) > 60\"";

/// Waits until the rule has said something about the present minute.
async fn evaluated(detection: &Detection) {
    let before = detection.stats().rules["too_hot"].evaluations;
    wait_for("the rule is evaluated", async || {
        (detection.stats().rules["too_hot"].evaluations >= before + 2).then_some(())
    })
    .await;
}

/// Instants of began, raised and returned of the one alarm; killed after these minutes.
async fn run(killed_after: &[i64]) -> (DateTime<Utc>, DateTime<Utc>, Option<DateTime<Utc>>) {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let mut detection = wire.start(&book, folder.path(), TOO_HOT).await;
    for minute in 1..=12 {
        let fault = if (2..=7).contains(&minute) { 20.0 } else { 0.0 };
        wire.send(1, fault).await;
        evaluated(&detection).await;
        if killed_after.contains(&minute) {
            detection.kill().await;
            detection = wire.start(&book, folder.path(), TOO_HOT).await;
        }
    }
    let returned = async || {
        let all = AlarmFilter {
            limit: 100,
            ..AlarmFilter::default()
        };
        let [alarm] = &book.list(&all).await.unwrap()[..] else {
            return None;
        };
        (!alarm.active).then_some((alarm.began_at, alarm.raised_at, alarm.returned_at))
    };
    let instants = wait_for("the one alarm has returned", returned).await;
    detection.shutdown().await;
    instants
}

#[tokio::test]
async fn a_rule_that_is_killed_while_its_delays_run_fires_at_the_same_event_time() {
    let whole = run(&[]).await;
    let (began, raised, returned) = whole;
    assert_eq!(raised - began, TimeDelta::minutes(3));
    assert!(returned.is_some_and(|returned| returned > raised));
    assert_eq!(run(&[3]).await, whole, "killed while it was pending");
    assert_eq!(run(&[2, 4, 9]).await, whole, "and while its return was");
}

fn maintenance(from: i64, until: i64) -> Declaration {
    Declaration {
        key: "k".into(),
        fingerprint: String::new(),
        kind: SuppressionKind::Maintenance,
        asset: Some("R-1".into()),
        class: None,
        cause: None,
        during: None,
        from: at(from),
        until: Some(at(until)),
        reason: "bearing is changed".into(),
        by: "Ada".into(),
    }
}

async fn standing(book: &AlarmBook) -> usize {
    let filter = SuppressedFilter {
        standing: Some(true),
        limit: 10,
        ..SuppressedFilter::default()
    };
    book.suppressed(&filter).await.unwrap().len()
}

async fn learned(book: &Arc<AlarmBook>, folder: &Path) -> (Wire, Detection) {
    let mut wire = Wire::new();
    let detection = wire.start(book, folder, "").await;
    wire.send(35, 0.0).await;
    wire.settle(&detection).await;
    (wire, detection)
}

#[tokio::test]
async fn what_is_found_in_maintenance_is_raised_when_it_ends_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let (mut wire, detection) = learned(&book, folder.path()).await;
    let until = wire.second + 600;
    let wanted = maintenance(wire.second, until);
    let declared: Suppression = book
        .declare(wanted, at(wire.second))
        .await
        .unwrap()
        .suppression;
    wire.send(8, 20.0).await;
    wire.settle(&detection).await;
    wait_for("it is found and suppressed", async || {
        (standing(&book).await == 1).then_some(())
    })
    .await;
    assert_eq!(alarms(&book).await, []);
    assert_eq!(book.store().last_seq().await.unwrap(), 0, "no news");

    detection.kill().await;
    let detection = wire.start(&book, folder.path(), "").await;
    wire.send(6, 20.0).await;
    let alarm = wait_for("it is raised", async || {
        book.store().open_alarm("R-1", "pca").await.unwrap()
    })
    .await;
    assert_eq!(alarm.raised_at, at(until));
    assert!(alarm.began_at < at(until));
    assert_eq!(
        alarm.evidence["suppressed"]["suppression"],
        declared.id.as_str()
    );
    wire.send(10, 0.0).await;
    wait_for("it returns", async || {
        (!book.get(&alarm.id).await.unwrap().active).then_some(())
    })
    .await;
    detection.shutdown().await;
}

#[tokio::test]
async fn what_returns_in_maintenance_is_history_and_no_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let (mut wire, detection) = learned(&book, folder.path()).await;
    let wanted = maintenance(wire.second, wire.second + 3600);
    book.declare(wanted, at(wire.second)).await.unwrap();
    wire.send(8, 20.0).await;
    wire.send(12, 0.0).await;
    wire.settle(&detection).await;
    let over = wait_for("it is found and returns", async || {
        let filter = SuppressedFilter {
            standing: Some(false),
            limit: 10,
            ..SuppressedFilter::default()
        };
        book.suppressed(&filter).await.unwrap().pop()
    })
    .await;
    assert!(matches!(over.outcome, SuppressedOutcome::Returned { .. }));
    assert_eq!(alarms(&book).await, []);
    detection.shutdown().await;
}

#[tokio::test]
async fn what_the_configuration_has_no_more_returns_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let book = memory_book().await;
    let mut wire = Wire::new();
    let hot = |name: &str| {
        format!(
            "[classes.rig.thresholds.{name}]\nmetric = 'b'\nabove = 60.0\nmin_duration = '0s'\n\
             severity = 'high'\n"
        )
    };
    let class = CLASS.replace("[classes.rig]", "");
    let configured = |names: [&str; 2]| {
        let own = names.map(hot).concat();
        format!("[classes.rig]\n{class}\n{own}")
    };
    let detection = wire
        .start(&book, folder.path(), &configured(["kept", "gone"]))
        .await;
    wire.send(2, 20.0).await;
    wire.settle(&detection).await;
    detection.shutdown().await;
    let up = async || {
        let filter = AlarmFilter {
            active: Some(true),
            limit: 9,
            ..AlarmFilter::default()
        };
        let alarms = book.list(&filter).await.unwrap();
        let mut causes: Vec<String> = alarms.into_iter().map(|alarm| alarm.cause).collect();
        causes.sort();
        causes
    };
    assert_eq!(up().await, ["gone", "kept"]);
    let detection = wire
        .start(&book, folder.path(), &configured(["kept", "new"]))
        .await;
    wire.send(1, 20.0).await;
    wire.settle(&detection).await;
    assert_eq!(up().await, ["kept", "new"]);
    detection.shutdown().await;
}
