//! What every store of alarms must do; each adapter passes all of it.

use std::sync::Arc;

use sqlx::any::AnyPoolOptions;
use tokio::sync::Mutex;

use super::suppression_tests::*;
use super::tests::{at, occurrence};
use super::*;
use crate::sql::TableSource;

/// Runs every check on a fresh store each.
async fn conforms<S: AlarmStore + 'static>(mut fresh: impl AsyncFnMut() -> S) {
    raises_once(Arc::new(fresh().await)).await;
    keeps_every_fact(Arc::new(fresh().await)).await;
    refuses_old_versions(Arc::new(fresh().await)).await;
    feeds_in_order(Arc::new(fresh().await)).await;
    lists_newest_first(Arc::new(fresh().await)).await;
    saves_progress_with_the_alarm(Arc::new(fresh().await)).await;
    raises_once_under_contention(Arc::new(fresh().await)).await;
    unshelves_by_time(Arc::new(fresh().await)).await;
    keeps_suppressions(Arc::new(fresh().await)).await;
    keeps_down_and_releases(Arc::new(fresh().await)).await;
    suppresses_while_a_condition_is_there(Arc::new(fresh().await)).await;
    returns_unseen(Arc::new(fresh().await)).await;
    marks_chattering_and_first_out(Arc::new(fresh().await)).await;
    remembers_rules(Arc::new(fresh().await)).await;
}

async fn book(store: Arc<dyn AlarmStore>) -> AlarmBook {
    AlarmBook::open(store).await.unwrap()
}

fn on(asset: &str, minute: i64) -> Occurrence {
    Occurrence {
        asset: asset.into(),
        ..occurrence(minute)
    }
}

fn progress(asset: &str, minute: i64) -> Progress {
    let state = format!("{{\"minute\":{minute}}}");
    Progress {
        asset: asset.into(),
        class: "pump".into(),
        scored_through: at(minute),
        state,
    }
}

async fn raises_once(store: Arc<dyn AlarmStore>) {
    let book = book(store).await;
    let first = book.raise(occurrence(0), None, at(0)).await.unwrap();
    let again = book.raise(occurrence(5), None, at(5)).await.unwrap();
    assert_eq!(first, again, "an active alarm is raised once");
    let gone = Command::Return { at: at(10) };
    book.tell("P-101", "pca", &gone, None, at(10))
        .await
        .unwrap()
        .unwrap();
    let second = book.raise(occurrence(20), None, at(20)).await.unwrap();
    assert_eq!(
        (&second.id, second.occurrences),
        (&first.id, 2),
        "open: the same alarm"
    );
    book.tell("P-101", "pca", &gone, None, at(30))
        .await
        .unwrap();
    let verified = Command::CloseVerified { by: "wo_1".into() };
    book.command(&first.id, &verified, None, at(31))
        .await
        .unwrap();
    let known = book.raise(occurrence(0), None, at(32)).await.unwrap();
    assert_eq!(
        known.state(),
        State::Closed,
        "the same occurrence found again stays closed"
    );
    let third = book.raise(occurrence(40), None, at(40)).await.unwrap();
    assert_ne!(third.id, first.id, "closed: a new alarm");
    let other = Occurrence {
        cause: "hot".into(),
        ..occurrence(40)
    };
    assert_ne!(
        book.raise(other, None, at(40)).await.unwrap().id,
        third.id,
        "another cause"
    );
    assert_eq!(
        book.tell("nobody", "pca", &gone, None, at(41))
            .await
            .unwrap(),
        None
    );
}

async fn keeps_every_fact(store: Arc<dyn AlarmStore>) {
    let book = book(Arc::clone(&store)).await;
    let alarm = book.raise(occurrence(0), None, at(0)).await.unwrap();
    assert_eq!(store.get(&alarm.id).await.unwrap().unwrap(), alarm);
    let steps = [
        Command::Shelve {
            until: at(60),
            by: "Ada".into(),
            reason: "waits for a part; it's \"fine\"".into(),
        },
        Command::Acknowledge {
            by: "Grace \"'; DROP TABLE alarms; --".into(),
        },
        Command::AddEvidence {
            at: at(3),
            severity: Severity::Critical,
            summary: "schlimmer ✓".into(),
            evidence: serde_json::json!({"x": [1, null, "y"]}),
        },
        Command::Unshelve { by: "Ada".into() },
        Command::Return { at: at(4) },
    ];
    for command in steps {
        let changed = book
            .command(&alarm.id, &command, None, at(2))
            .await
            .unwrap();
        assert_eq!(
            store.get(&alarm.id).await.unwrap().unwrap(),
            changed,
            "{command:?}"
        );
    }
    let unknown = AlarmId::of("nobody", "pca", at(0));
    assert_eq!(store.get(&unknown).await.unwrap(), None);
    assert!(matches!(
        book.get(&unknown).await,
        Err(AlarmError::NotFound(_))
    ));
}

async fn refuses_old_versions(store: Arc<dyn AlarmStore>) {
    let book = book(store).await;
    let alarm = book.raise(occurrence(0), None, at(0)).await.unwrap();
    let ack = Command::Acknowledge { by: "Ada".into() };
    let shelve = Command::Shelve {
        until: at(60),
        by: "Ada".into(),
        reason: "waits for a part".into(),
    };
    book.command(&alarm.id, &ack, Some(1), at(1)).await.unwrap();
    let late = book
        .command(&alarm.id, &shelve, Some(1), at(1))
        .await
        .unwrap_err();
    assert!(
        matches!(
            late,
            AlarmError::Changed {
                expected: 1,
                found: 2
            }
        ),
        "{late:?}"
    );
    book.command(&alarm.id, &ack, Some(1), at(2))
        .await
        .expect("a repeat succeeds");
    let verified = Command::CloseVerified { by: "wo_1".into() };
    let refused = book
        .command(&alarm.id, &verified, Some(2), at(3))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, AlarmError::Refused(Refusal::StillActive)),
        "{refused:?}"
    );
}

async fn feeds_in_order(store: Arc<dyn AlarmStore>) {
    let book = book(Arc::clone(&store)).await;
    let mut news = book.news();
    assert_eq!(
        (store.last_seq().await.unwrap(), *news.borrow_and_update()),
        (0, 0)
    );
    book.raise(occurrence(0), None, at(0)).await.unwrap();
    assert!(news.has_changed().unwrap());
    assert_eq!(*news.borrow_and_update(), 1);
    let gone = Command::Return { at: at(9) };
    book.tell("P-101", "pca", &gone, None, at(10))
        .await
        .unwrap();
    book.tell("P-101", "pca", &gone, None, at(11))
        .await
        .unwrap();
    book.raise(occurrence(20), None, at(20)).await.unwrap();
    let events = book.events_after(0, 100).await.unwrap();
    let shown: Vec<String> = events
        .iter()
        .map(|e| format!("{} {} {} {}", e.seq, e.kind, e.occurrence, e.time == at(9)))
        .collect();
    assert_eq!(
        shown,
        ["1 raised 1 false", "2 returned 1 true", "3 raised 2 false"]
    );
    let first = &events[0];
    assert_eq!(
        (first.asset.as_str(), first.class.as_str()),
        ("P-101", "pump")
    );
    assert_eq!((first.time, first.actor.as_str()), (at(0), "pca"));
    assert_eq!(first.data, occurrence(0).evidence);
    assert_eq!(book.events_after(1, 1).await.unwrap(), events[1..2]);
    assert!(book.events_after(3, 10).await.unwrap().is_empty());
}

async fn lists_newest_first(store: Arc<dyn AlarmStore>) {
    let book = book(store).await;
    for (minute, asset) in [(0, "A"), (1, "B"), (2, "C"), (3, "D")] {
        book.raise(on(asset, minute), None, at(minute))
            .await
            .unwrap();
    }
    book.tell("B", "pca", &Command::Return { at: at(5) }, None, at(5))
        .await
        .unwrap();
    let check = async |filter: AlarmFilter, expected: &str| {
        let found = book.list(&filter).await.unwrap();
        let assets: String = found.iter().map(|alarm| alarm.asset.as_str()).collect();
        assert_eq!(assets, expected, "{filter:?}");
        found.last().map(|alarm| alarm.id.clone())
    };
    let all = AlarmFilter {
        limit: 10,
        ..AlarmFilter::default()
    };
    check(all.clone(), "DCBA").await;
    check(
        AlarmFilter {
            active: Some(true),
            ..all.clone()
        },
        "DCA",
    )
    .await;
    check(
        AlarmFilter {
            active: Some(false),
            ..all.clone()
        },
        "B",
    )
    .await;
    check(
        AlarmFilter {
            asset: Some("C".into()),
            ..all.clone()
        },
        "C",
    )
    .await;
    check(
        AlarmFilter {
            open: Some(false),
            ..all.clone()
        },
        "",
    )
    .await;
    let cursor = check(
        AlarmFilter {
            limit: 2,
            ..all.clone()
        },
        "DC",
    )
    .await;
    check(
        AlarmFilter {
            before: cursor,
            ..all
        },
        "BA",
    )
    .await;
}

async fn saves_progress_with_the_alarm(store: Arc<dyn AlarmStore>) {
    let book = book(Arc::clone(&store)).await;
    assert!(store.progress().await.unwrap().is_empty());
    book.raise(on("B", 0), Some(progress("B", 0)), at(0))
        .await
        .unwrap();
    store
        .save_progress(&[progress("A", 7), progress("C", 8)])
        .await
        .unwrap();
    store.save_progress(&[]).await.unwrap();
    book.raise(on("B", 1), Some(progress("B", 1)), at(1))
        .await
        .unwrap();
    let expected = [progress("A", 7), progress("B", 1), progress("C", 8)];
    assert_eq!(
        store.progress().await.unwrap(),
        expected,
        "also when nothing else changed"
    );
    let gone = Command::Return { at: at(9) };
    book.tell("B", "pca", &gone, Some(progress("B", 9)), at(9))
        .await
        .unwrap();
    book.tell("Z", "pca", &gone, Some(progress("Z", 9)), at(9))
        .await
        .unwrap();
    let saved = store.progress().await.unwrap();
    assert_eq!(
        saved[1..],
        [progress("B", 9), progress("C", 8), progress("Z", 9)]
    );
}

async fn raises_once_under_contention(store: Arc<dyn AlarmStore>) {
    let book = Arc::new(book(Arc::clone(&store)).await);
    let raising: Vec<_> = (0..8)
        .map(|n| {
            let book = Arc::clone(&book);
            tokio::spawn(async move { book.raise(occurrence(n), None, at(n)).await })
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    for raised in raising {
        ids.insert(raised.await.unwrap().unwrap().id);
    }
    assert_eq!(ids.len(), 1, "one open alarm per asset and cause");
    assert_eq!(store.last_seq().await.unwrap(), 1);
}

async fn unshelves_by_time(store: Arc<dyn AlarmStore>) {
    let book = book(store).await;
    let alarm = book.raise(occurrence(0), None, at(0)).await.unwrap();
    let shelve = Command::Shelve {
        until: at(60),
        by: "Ada".into(),
        reason: "waits for a part".into(),
    };
    book.command(&alarm.id, &shelve, None, at(1)).await.unwrap();
    assert_eq!(book.unshelve_due(at(59)).await.unwrap(), 0);
    assert_eq!(book.unshelve_due(at(60)).await.unwrap(), 1);
    assert_eq!(book.unshelve_due(at(61)).await.unwrap(), 0);
    assert_eq!(book.get(&alarm.id).await.unwrap().shelved, None);
}

async fn sql_store(url: &str) -> SqlAlarmStore {
    sqlx::any::install_default_drivers();
    let pool = AnyPoolOptions::new()
        .max_connections(4)
        .connect(url)
        .await
        .unwrap();
    SqlAlarmStore::open(pool, Arc::new(Mutex::new(())))
        .await
        .unwrap()
}

#[tokio::test]
async fn memory_conforms() {
    conforms(async || MemoryAlarmStore::default()).await;
}

#[tokio::test]
async fn sqlite_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let mut number = 0;
    conforms(async || {
        number += 1;
        sql_store(&format!(
            "sqlite:{}/{number}.db?mode=rwc",
            dir.path().display()
        ))
        .await
    })
    .await;
}

#[tokio::test]
async fn sqlite_keeps_alarms_and_opens_twice() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/store.db?mode=rwc", dir.path().display());
    let first = book(Arc::new(sql_store(&url).await)).await;
    let alarm = first
        .raise(occurrence(0), Some(progress("P-101", 0)), at(0))
        .await
        .unwrap();
    let second = book(Arc::new(sql_store(&url).await)).await;
    assert_eq!(second.get(&alarm.id).await.unwrap(), alarm);
    assert_eq!(*second.news().borrow(), 1);
    assert_eq!(
        second.store().progress().await.unwrap(),
        [progress("P-101", 0)]
    );
}

/// Every declared table can be selected as it is declared.
async fn tables_can_be_read(pool: &sqlx::AnyPool) {
    for table in SqlAlarmStore::tables() {
        let source = match table.source {
            TableSource::Table(name) => name.to_owned(),
            TableSource::Select(select) => format!("({select}) AS source"),
        };
        let columns: Vec<&str> = table.columns.iter().map(|one| one.source).collect();
        run(pool, format!("SELECT {} FROM {source}", columns.join(", "))).await;
    }
}

#[tokio::test]
async fn sqlite_brings_the_tables_of_a_former_release_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/store.db?mode=rwc", dir.path().display());
    let alarm = {
        let book = book(Arc::new(sql_store(&url).await)).await;
        book.raise(occurrence(0), None, at(0)).await.unwrap()
    };
    let pool = sql_pool(&url).await;
    for statement in [
        "UPDATE alarm_counters SET value = 1 WHERE name = 'schema'",
        "ALTER TABLE alarms DROP COLUMN shelved_reason",
        "ALTER TABLE alarms DROP COLUMN chattering_since",
        "ALTER TABLE alarms DROP COLUMN first_out",
        "DROP INDEX alarm_events_by_kind",
        "DROP TABLE alarm_suppressions",
        "DROP TABLE suppressed_occurrences",
        "DROP TABLE rule_memory",
    ] {
        run(&pool, statement.to_owned()).await;
    }
    let book = book(Arc::new(sql_store(&url).await)).await;
    let expected = Alarm {
        first_out: None,
        ..alarm
    };
    assert_eq!(book.get(&expected.id).await.unwrap(), expected);
    tables_can_be_read(&pool).await;
}

#[tokio::test]
async fn postgres_conforms() {
    let Some(url) = crate::outside::postgres() else {
        return;
    };
    let admin = sql_pool(&url).await;
    let mut number = 0;
    conforms(async || {
        number += 1;
        let schema = format!("alarms_{}_{number}", std::process::id());
        run(&admin, format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).await;
        run(&admin, format!("CREATE SCHEMA {schema}")).await;
        let joint = if url.contains('?') { '&' } else { '?' };
        sql_store(&format!("{url}{joint}options=-c%20search_path%3D{schema}")).await
    })
    .await;
    let joint = if url.contains('?') { '&' } else { '?' };
    let last = format!("alarms_{}_{number}", std::process::id());
    let last = format!("{url}{joint}options=-c%20search_path%3D{last}");
    tables_can_be_read(&sql_pool(&last).await).await;
    for number in 1..=number {
        let schema = format!("alarms_{}_{number}", std::process::id());
        run(&admin, format!("DROP SCHEMA {schema} CASCADE")).await;
    }
}

async fn sql_pool(url: &str) -> sqlx::AnyPool {
    sqlx::any::install_default_drivers();
    AnyPoolOptions::new()
        .max_connections(1)
        .connect(url)
        .await
        .unwrap()
}

async fn run(pool: &sqlx::AnyPool, statement: String) {
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(pool)
        .await
        .unwrap();
}
