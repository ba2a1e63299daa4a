use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::problem::{Family, Problem};
use crate::store::idempotency::{self, Key, KeyError};
use crate::store::test_store::{TestStore, at, ctx};
use crate::store::{Ctx, counters, outbox};

async fn publish_one(db: &Db, ctx: &Ctx, number: i64) -> Result<i64, StoreError> {
    db.write(|tx| {
        Box::pin(async move {
            outbox::publish(tx, ctx, "test.happened", "x", json!({ "number": number })).await
        })
    })
    .await
}

#[tokio::test]
async fn opening_again_changes_nothing() {
    for store in TestStore::all().await {
        let again = Db::open(&store.url).await.unwrap();
        assert_eq!(outbox::newest_seq(&again).await.unwrap(), 0);
        again.close().await;
        store.drop_all().await;
    }
}

#[tokio::test]
async fn a_newer_schema_and_another_history_are_refused() {
    for store in TestStore::all().await {
        let set = |sql: &'static str| sqlx::raw_sql(sql).execute(store.db.pool());
        set("INSERT INTO schema_migrations VALUES (999, 'later', 'x')")
            .await
            .unwrap();
        let refused = Db::open(&store.url).await.unwrap_err();
        assert_eq!(refused.code(), "store_schema_too_new", "{refused}");
        set("DELETE FROM schema_migrations WHERE version = 999")
            .await
            .unwrap();
        set("UPDATE schema_migrations SET checksum = 'other' WHERE version = 1")
            .await
            .unwrap();
        let refused = Db::open(&store.url).await.unwrap_err();
        assert_eq!(refused.code(), "store_migration_differs", "{refused}");
        store.drop_all().await;
    }
}

#[tokio::test]
async fn wrong_urls_are_refused_without_their_password() {
    let refused = Db::open("mysql://me:secret@host/db").await.unwrap_err();
    assert_eq!(refused.family(), Family::Invalid);
    assert!(!refused.to_string().contains("secret"), "{refused}");
    let refused = Db::open("postgres://me:hu/sh@host/db").await.unwrap_err();
    let said = format!("{refused} {refused:?}");
    assert!(!said.contains("hu/sh"), "{said}");
    let refused = Db::open("sqlite:/nowhere/at/all/store.db")
        .await
        .unwrap_err();
    assert_eq!(refused.family(), Family::Unavailable);
}

#[tokio::test]
async fn sqlite_is_durable_and_checks_references() {
    let store = TestStore::sqlite().await;
    let pragma = async |sql: &'static str| -> String {
        use sqlx::Row;
        let row = sqlx::query(sql).fetch_one(store.db.pool()).await.unwrap();
        row.try_get::<String, _>(0)
            .or_else(|_| row.try_get::<i64, _>(0).map(|value| value.to_string()))
            .unwrap()
    };
    assert_eq!(pragma("PRAGMA journal_mode").await, "wal");
    assert_eq!(pragma("PRAGMA synchronous").await, "2");
    assert_eq!(pragma("PRAGMA foreign_keys").await, "1");
}

#[tokio::test]
async fn a_path_with_odd_letters_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b?c#d%20.db");
    Db::open_file(&path).await.unwrap().close().await;
    assert!(path.exists());
}

/// Many writers at once: no number is given twice, none is left out, the order is the commits'.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_have_no_gap_under_concurrency() {
    for store in TestStore::all().await {
        // A second pool stands for another process: only the store keeps them apart.
        let other = Db::open(&store.url).await.unwrap();
        let ctx = ctx(at("2026-03-02T08:00:00Z"));
        let mut told = store.db.events();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..40 {
            let db = if number % 2 == 0 { &store.db } else { &other }.clone();
            let ctx = ctx.clone();
            tasks.spawn(async move { publish_one(&db, &ctx, number).await.unwrap() });
        }
        let mut given = tasks.join_all().await;
        given.sort_unstable();
        assert_eq!(given, (1..=40).collect::<Vec<_>>(), "{}", store.kind);
        let feed = outbox::events_after(&store.db, 0, 1_000).await.unwrap();
        assert!(feed.iter().map(|event| event.seq).eq(1..=40));
        assert!(
            *told.borrow_and_update() > 0,
            "this pool's writers were told"
        );
        let newest = publish_one(&store.db, &ctx, 41).await.unwrap();
        assert!(told.has_changed().unwrap());
        assert_eq!(*told.borrow_and_update(), newest, "told after the commit");
        let tail = outbox::events_after(&store.db, 38, 1).await.unwrap();
        assert_eq!(tail.iter().map(|event| event.seq).collect::<Vec<_>>(), [39]);
        other.close().await;
        store.drop_all().await;
    }
}

#[tokio::test]
async fn a_failed_body_leaves_nothing_and_no_gap() {
    for store in TestStore::all().await {
        let ctx = &ctx(at("2026-03-02T08:00:00Z"));
        let told = store.db.events();
        let failed: Result<(), StoreError> = store
            .db
            .write(|tx| {
                Box::pin(async move {
                    outbox::publish(tx, ctx, "test.happened", "x", json!({})).await?;
                    counters::next(tx, "invoice").await?;
                    Err(StoreError::unreadable("test", "on purpose"))
                })
            })
            .await;
        assert!(failed.is_err());
        assert!(!told.has_changed().unwrap(), "nobody is told of nothing");
        assert_eq!(publish_one(&store.db, ctx, 1).await.unwrap(), 1);
        store.drop_all().await;
    }
}

/// The effect of one keyed request: an event and an answer.
async fn keyed(db: &Db, ctx: &Ctx, key: &Key) -> Result<(serde_json::Value, bool), KeyError> {
    db.write(|tx| {
        Box::pin(async move {
            if let Some(answer) = idempotency::claim(tx, key).await? {
                return Ok((answer.body, answer.repeated));
            }
            let seq = outbox::publish(tx, ctx, "test.happened", "x", json!({})).await?;
            let body = json!({ "seq": seq });
            idempotency::keep(tx, ctx, key, 201, &body).await?;
            Ok((body, false))
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_has_one_effect_and_one_answer() {
    for store in TestStore::all().await {
        let ctx = Arc::new(ctx(at("2026-03-02T08:00:00Z")));
        let other_process = Db::open(&store.url).await.unwrap();
        let key = Key::new("k1", "POST /receipts", b"{\"amount\":1}");
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..16 {
            let db = if number % 2 == 0 {
                &store.db
            } else {
                &other_process
            }
            .clone();
            let (ctx, key) = (ctx.clone(), key.clone());
            tasks.spawn(async move { keyed(&db, &ctx, &key).await.unwrap() });
        }
        let answers = tasks.join_all().await;
        assert_eq!(answers.iter().filter(|(_, repeated)| !repeated).count(), 1);
        assert!(answers.iter().all(|(body, _)| *body == json!({ "seq": 1 })));
        let other = Key::new("k1", "POST /receipts", b"{\"amount\":2}");
        let refused = keyed(&store.db, &ctx, &other).await.unwrap_err();
        assert_eq!(refused.family(), Family::KeyReused);
        assert_eq!(outbox::newest_seq(&store.db).await.unwrap(), 1);
        let forgotten = idempotency::forget_before(&store.db, at("2027-01-01T00:00:00Z"));
        assert_eq!(forgotten.await.unwrap(), 1);
        other_process.close().await;
        store.drop_all().await;
    }
}

/// Readers outside may hold all their connections for as long as they like.
#[tokio::test]
async fn readers_outside_starve_nobody_and_write_nothing() {
    for store in TestStore::all().await {
        let ctx = ctx(at("2026-03-02T08:00:00Z"));
        let mut readers = Vec::new();
        for _ in 0..MAX_READING_CONNECTIONS {
            let mut reader = store.db.reading_pool().acquire().await.unwrap();
            sqlx::query("SELECT COUNT(*) FROM outbox")
                .fetch_one(&mut *reader)
                .await
                .unwrap();
            readers.push(reader);
        }
        assert!(store.db.reading_pool().try_acquire().is_none());
        assert_eq!(publish_one(&store.db, &ctx, 1).await.unwrap(), 1);
        let refused = sqlx::query("DELETE FROM outbox")
            .execute(&mut *readers[0])
            .await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("read"), "{}: {refused}", store.kind);
        assert_eq!(outbox::newest_seq(&store.db).await.unwrap(), 1);
        drop(readers);
        store.drop_all().await;
    }
}

/// Nobody listens: that is said within seconds, without the password.
#[tokio::test]
async fn a_store_that_is_away_is_an_error_soon() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let url = format!("postgres://me:hush@127.0.0.1:{port}/db?sslpassword=hush");
    let opening = tokio::time::timeout(4 * ACQUIRE_TIMEOUT, Db::open(&url));
    let refused = opening.await.expect("it gives up").unwrap_err();
    assert_eq!(refused.family(), Family::Unavailable);
    let said = format!("{refused} {refused:?}");
    assert!(!said.contains("hush"), "{said}");
}
