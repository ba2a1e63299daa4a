//! Operational tables: declared, read in one transaction, joined with readings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, AssertSqlSafe};
use tempfile::TempDir;

use super::super::operational::{
    ColumnKind, Operational, OperationalColumn, OperationalTable, TableSource,
};
use super::super::{SqlEngine, SqlLimits};
use super::world::World;
use super::{engine_with, refusal, rows};

const fn column(name: &'static str, kind: ColumnKind) -> OperationalColumn {
    OperationalColumn::new(name, kind)
}

fn tables() -> Vec<OperationalTable> {
    let assets = OperationalTable {
        name: "assets",
        source: TableSource::Table("assets"),
        columns: vec![
            column("id", ColumnKind::Text),
            column("tag", ColumnKind::Text),
            column("critical", ColumnKind::Bool).from_source("is_critical"),
            column("created_at", ColumnKind::Timestamp),
            column("weight", ColumnKind::Float).with_unit("kg"),
        ],
    };
    let invoices = OperationalTable {
        name: "invoices",
        source: TableSource::Select(
            "SELECT i.number AS n, i.total AS t, i.currency AS c, i.rate AS r, i.due AS d, \
             a.tag AS tag FROM invoices i JOIN assets a ON a.id = i.asset",
        ),
        columns: vec![
            column("number", ColumnKind::Int).from_source("n"),
            column("total", ColumnKind::Money { digits: 2 })
                .from_source("t")
                .with_unit("EUR"),
            column("currency", ColumnKind::Text).from_source("c"),
            column("rate", ColumnKind::Decimal { digits: 4 }).from_source("r"),
            column("due_on", ColumnKind::Date).from_source("d"),
            column("asset", ColumnKind::Text).from_source("tag"),
        ],
    };
    vec![assets, invoices]
}

const STORE: [&str; 6] = [
    "CREATE TABLE assets (id TEXT NOT NULL, tag TEXT NOT NULL, is_critical BIGINT, created_at BIGINT, weight DOUBLE PRECISION)",
    "CREATE TABLE invoices (number BIGINT, total BIGINT, currency TEXT, rate TEXT, due TEXT, asset TEXT)",
    "INSERT INTO assets VALUES ('ast_1', 'p-1', 1, 1936000000000000, 2.5)",
    "INSERT INTO assets VALUES ('ast_2', 'p-''2', 0, NULL, 3)",
    "INSERT INTO invoices VALUES (1, 12950, 'EUR', '0.19', '2031-06-01', 'ast_1')",
    "INSERT INTO invoices VALUES (2, -5, 'EUR', NULL, NULL, 'ast_2')",
];

struct Store {
    folder: Option<TempDir>,
    pool: AnyPool,
}

async fn sqlite() -> Store {
    let folder = tempfile::tempdir().unwrap();
    let url = format!(
        "sqlite:{}?mode=rwc",
        folder.path().join("store.db").display()
    );
    let pool = pool(&url).await;
    sqlx::query("PRAGMA journal_mode = WAL")
        .execute(&pool)
        .await
        .unwrap();
    filled(Some(folder), pool).await
}

async fn filled(folder: Option<TempDir>, pool: AnyPool) -> Store {
    for statement in STORE {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    Store { folder, pool }
}

async fn postgres(url: &str) -> Store {
    static SCHEMAS: AtomicU64 = AtomicU64::new(0);
    let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
    let schema = format!("sql_{}_{number}", std::process::id());
    let admin = pool(url).await;
    for statement in [
        format!("DROP SCHEMA IF EXISTS {schema} CASCADE"),
        format!("CREATE SCHEMA {schema}"),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&admin)
            .await
            .unwrap();
    }
    let joint = if url.contains('?') { '&' } else { '?' };
    let pool = pool(&format!("{url}{joint}options=-c%20search_path%3D{schema}")).await;
    filled(None, pool).await
}

async fn pool(url: &str) -> AnyPool {
    sqlx::any::install_default_drivers();
    AnyPoolOptions::new()
        .max_connections(3)
        .connect(url)
        .await
        .unwrap()
}

fn engine(store: &Store, limits: SqlLimits) -> SqlEngine {
    let mut pump = World::new("pump");
    pump.receive("p-1", 1_936_000_000_000_000, &[("v", 4.0)]);
    // A class may never hide a table of the product.
    let mut snapshot = pump.snapshot();
    let hiding = World::new("assets").table();
    snapshot.tables.insert(hiding.class.clone(), hiding);
    let operational = Operational {
        pool: store.pool.clone(),
        tables: tables(),
    };
    engine_with(snapshot, Some(operational), limits)
}

async fn check(store: &Store, sql: &str, expected: &[&str]) {
    let engine = engine(store, SqlLimits::default());
    assert_eq!(rows(&engine, sql).await, expected, "{sql}");
}

mod conformance {
    use super::*;

    /// All that the tests below ask of SQLite.
    #[tokio::test]
    async fn postgres_serves_queries_like_sqlite() {
        let Some(url) = crate::outside::postgres() else {
            return;
        };
        reads_and_filters_every_kind(&postgres(&url).await).await;
        joins_readings_and_each_other(&postgres(&url).await).await;
        gets_filters_limits_and_only_the_columns(&postgres(&url).await).await;
        sees_all_of_a_write_or_none(&postgres(&url).await).await;
        tells_faults_apart(&postgres(&url).await).await;
    }
}

#[tokio::test]
async fn every_kind_reads_and_filters() {
    reads_and_filters_every_kind(&sqlite().await).await;
}

async fn reads_and_filters_every_kind(store: &Store) {
    check(
        store,
        "SELECT * FROM assets ORDER BY id",
        &[
            r#"["ast_1","p-1",true,"2031-05-08T09:46:40Z",2.5]"#,
            r#"["ast_2","p-'2",false,null,3.0]"#,
        ],
    )
    .await;
    check(
        store,
        "SELECT * FROM invoices ORDER BY number",
        &[
            r#"[1,"129.50","EUR","0.1900","2031-06-01","p-1"]"#,
            r#"[2,"-0.05","EUR",null,null,"p-'2"]"#,
        ],
    )
    .await;
    for (condition, tags) in [
        ("critical", vec![r#"["p-1"]"#]),
        ("NOT critical", vec![r#"["p-'2"]"#]),
        ("tag = 'p-''2'", vec![r#"["p-'2"]"#]),
        ("tag <> 'p-1'", vec![r#"["p-'2"]"#]),
        ("tag IN ('p-1', 'x')", vec![r#"["p-1"]"#]),
        ("tag > 'p-1'", vec![]),
        ("created_at IS NULL", vec![r#"["p-'2"]"#]),
        ("created_at = '2031-05-08T09:46:40Z'", vec![r#"["p-1"]"#]),
        (
            "created_at > '2031-05-08T09:46:39.999999999Z'",
            vec![r#"["p-1"]"#],
        ),
        ("created_at < now()", vec![]),
        (
            "critical OR tag = 'x' OR id = 'ast_2'",
            vec![r#"["p-1"]"#, r#"["p-'2"]"#],
        ),
        ("critical AND lower(id) = 'ast_1'", vec![r#"["p-1"]"#]),
        ("id = 'a' || chr(0)", vec![]),
    ] {
        check(
            store,
            &format!("SELECT tag FROM assets WHERE {condition} ORDER BY id"),
            &tags,
        )
        .await;
    }
    check(
        store,
        "SELECT number FROM invoices WHERE total > 100.00",
        &["[1]"],
    )
    .await;
    check(
        store,
        "SELECT number FROM invoices WHERE 2 > number",
        &["[1]"],
    )
    .await;
    check(
        store,
        "SELECT count(*), sum(total) FROM invoices",
        &[r#"[2,"129.45"]"#],
    )
    .await;
    check(store, "SELECT count(*) FROM assets", &["[2]"]).await;
    check(
        store,
        "SELECT number FROM invoices ORDER BY number LIMIT 1",
        &["[1]"],
    )
    .await;
}

#[tokio::test]
async fn they_join_readings_and_each_other() {
    joins_readings_and_each_other(&sqlite().await).await;
}

async fn joins_readings_and_each_other(store: &Store) {
    check(
        store,
        "SELECT p.v, i.number, a.id FROM pump p JOIN assets a ON a.tag = p.asset \
         JOIN invoices i ON i.asset = a.tag",
        &[r#"[4.0,1,"ast_1"]"#],
    )
    .await;
    check(
        store,
        "SELECT count(*) FROM readings r LEFT JOIN assets a ON a.tag = r.asset \
         WHERE a.critical",
        &["[1]"],
    )
    .await;
}

#[tokio::test]
async fn the_store_gets_filters_limits_and_only_the_columns() {
    gets_filters_limits_and_only_the_columns(&sqlite().await).await;
}

async fn gets_filters_limits_and_only_the_columns(store: &Store) {
    let engine = engine(store, SqlLimits::default());
    let plan = async |sql: &str| rows(&engine, &format!("EXPLAIN {sql}")).await.join("\n");
    let check = async |sql: &str, select: &str| {
        let plan = plan(sql).await.replace("\\\"", "\"");
        assert!(
            plan.contains(&format!("OperationalExec: {select}")),
            "{sql}\n{plan}"
        );
    };
    check(
        "SELECT tag FROM assets LIMIT 1",
        r#"SELECT "tag" FROM "assets" LIMIT 1"#,
    )
    .await;
    check(
        "SELECT tag FROM assets WHERE id = 'ast_1' AND critical LIMIT 1",
        r#"SELECT "id", "tag", "is_critical" FROM "assets" WHERE "id" = $1 AND "is_critical" = 1 LIMIT 500001"#,
    )
    .await;
    check(
        "SELECT count(*) FROM assets",
        r#"SELECT 1 FROM "assets" LIMIT 500001"#,
    )
    .await;
    check(
        "SELECT id FROM assets WHERE lower(tag) = 'x'",
        r#"SELECT "id", "tag" FROM "assets" LIMIT 500001"#,
    )
    .await;
}

#[tokio::test]
async fn one_transaction_serves_the_whole_query() {
    sees_all_of_a_write_or_none(&sqlite().await).await;
}

async fn sees_all_of_a_write_or_none(store: &Store) {
    let engine = engine(store, SqlLimits::default());
    // Another writer adds a row to both tables in one transaction, again and again; a query that
    // reads them one after the other must see both changes or none.
    let writer = store.pool.clone();
    let begin = if store.folder.is_some() {
        "BEGIN IMMEDIATE"
    } else {
        "BEGIN"
    };
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writing = tokio::spawn(async move {
        for number in 100.. {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            let number: i64 = number;
            let mut tx = writer.begin_with(begin).await.unwrap();
            sqlx::query("INSERT INTO assets VALUES ($1, $2, 0, 0, NULL)")
                .bind(format!("ast_{number}"))
                .bind(format!("x-{number}"))
                .execute(&mut *tx)
                .await
                .unwrap();
            sqlx::query("INSERT INTO invoices VALUES ($1, 1, 'EUR', '1', NULL, 'ast_1')")
                .bind(number)
                .execute(&mut *tx)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
    });
    let mut different = 0;
    let mut seen = std::collections::BTreeSet::new();
    // Until the two have overlapped for a while.
    while seen.len() < 8 {
        let both =
            "SELECT (SELECT count(*) FROM assets) AS a, (SELECT count(*) FROM invoices) AS i";
        let found = rows(&engine, both).await.remove(0);
        let counts: Vec<i64> = serde_json::from_str(&found).unwrap();
        different += usize::from(counts[0] != counts[1]);
        seen.insert(counts[0]);
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    assert_eq!(different, 0);
    // Every transaction ended: all connections of the pool can be had at once.
    let all = [
        store.pool.acquire().await,
        store.pool.acquire().await,
        store.pool.acquire().await,
    ];
    assert!(all.iter().all(Result::is_ok));
}

#[tokio::test]
async fn faults_are_told_apart() {
    tells_faults_apart(&sqlite().await).await;
}

async fn tells_faults_apart(store: &Store) {
    let few = SqlLimits {
        operational_rows: 1,
        ..SqlLimits::default()
    };
    let limited = engine(store, few);
    let error = refusal(&limited, "SELECT sum(number) FROM invoices").await;
    assert_eq!(error.code(), "too_many_rows", "{error}");
    assert!(error.to_string().contains("invoices"));
    assert_eq!(
        rows(&limited, "SELECT id FROM assets LIMIT 1").await.len(),
        1
    );

    let engine = engine(store, SqlLimits::default());
    sqlx::query("UPDATE invoices SET rate = '0.123456'")
        .execute(&store.pool)
        .await
        .unwrap();
    let error = refusal(&engine, "SELECT rate FROM invoices").await;
    assert_eq!(error.code(), "undecodable_value", "{error}");
    assert_eq!(
        rows(&engine, "SELECT number FROM invoices LIMIT 1")
            .await
            .len(),
        1
    );
    sqlx::query("DROP TABLE invoices")
        .execute(&store.pool)
        .await
        .unwrap();
    let error = refusal(&engine, "SELECT number FROM invoices").await;
    assert_eq!(error.code(), "store_unavailable", "{error}");
    assert_eq!(
        refusal(&engine, "DROP TABLE assets").await.code(),
        "not_read_only"
    );
}
