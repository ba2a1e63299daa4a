//! A foreign client (sqlx) and a bare socket at the door.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{PostgresConfig, PostgresDoor, PostgresLimits};
use crate::doors::Token;
use crate::sql::SqlEngine;
use crate::sql::tests::pumps;

/// No test waits longer, whatever it waits for.
const PATIENCE: Duration = Duration::from_secs(30);

async fn door(token: Option<&str>, limits: PostgresLimits) -> (PostgresDoor, Arc<SqlEngine>) {
    let engine = pumps();
    let config = PostgresConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        token: Token::new(token),
        tls: None,
        limits,
    };
    let door = PostgresDoor::open(config, Arc::clone(&engine)).await;
    (door.unwrap(), engine)
}

fn options(door: &PostgresDoor) -> PgConnectOptions {
    PgConnectOptions::new()
        .host("127.0.0.1")
        .port(door.local_addr().port())
        .username("anybody")
        .database("fieldwright")
        .ssl_mode(PgSslMode::Prefer)
        .disable_statement_logging()
}

async fn client(door: &PostgresDoor) -> PgConnection {
    options(door).connect().await.unwrap()
}

/// The SQLSTATE that a text is refused with.
async fn state(client: &mut PgConnection, sql: &'static str) -> String {
    let error = client.execute(sqlx::raw_sql(sql)).await.expect_err(sql);
    let error = error.into_database_error().expect(sql);
    error.code().expect(sql).into_owned()
}

#[tokio::test]
async fn a_client_asks_with_parameters_and_binary_values() {
    let (door, _) = door(None, PostgresLimits::default()).await;
    let mut client = client(&door).await;
    let row = sqlx::query(
        "SELECT asset, max(v) AS v, count(*) AS n, max(time) AS t FROM pump \
         WHERE asset = $1 AND v < $2 GROUP BY asset",
    )
    .bind("p-2")
    .bind(10.0_f64)
    .fetch_one(&mut client)
    .await
    .unwrap();
    assert_eq!(row.get::<String, _>("asset"), "p-2");
    assert_eq!(row.get::<f64, _>("v"), 9.5);
    assert_eq!(row.get::<i64, _>("n"), 10);
    // The same prepared statement with other values, and with none that match.
    for (asset, expected) in [("p-3", 1), ("p-9", 0)] {
        let rows = sqlx::query("SELECT v FROM pump WHERE asset = $1 LIMIT 1")
            .bind(asset)
            .fetch_all(&mut client)
            .await
            .unwrap();
        assert_eq!(rows.len(), expected, "{asset}");
    }
    door.close().await;
}

#[tokio::test]
async fn texts_are_answered_one_statement_after_the_other() {
    let (door, _) = door(None, PostgresLimits::default()).await;
    let mut client = client(&door).await;
    let rows =
        sqlx::raw_sql("BEGIN; SELECT 1 AS a; SELECT v FROM pump ORDER BY asset, time; COMMIT")
            .fetch_all(&mut client)
            .await
            .unwrap();
    assert_eq!(rows.len(), 301);
    let shown = sqlx::raw_sql("SHOW standard_conforming_strings")
        .fetch_one(&mut client)
        .await
        .unwrap();
    assert_eq!(shown.get::<String, _>(0), "on");
    door.close().await;
}

#[tokio::test]
async fn nothing_is_written_and_mistakes_have_their_codes() {
    let (door, _) = door(None, PostgresLimits::default()).await;
    let mut client = client(&door).await;
    for (sql, expected) in [
        ("INSERT INTO pump VALUES ('x')", "25006"),
        ("DROP TABLE pump", "25006"),
        ("CREATE TABLE a (b int)", "25006"),
        ("COPY pump TO '/tmp/never'", "25006"),
        ("COPY pump FROM STDIN", "25006"),
        ("SELECT 1; DELETE FROM pump", "25006"),
        ("SELECT * FROM nope", "42P01"),
        ("SELECT nope FROM pump", "42703"),
        ("SELEC 1", "42601"),
        ("SELECT repeat('x', 1000000)", "0A000"),
        (
            "SET statement_timeout = '20ms'; SELECT count(*) FROM generate_series(1, 1000000) a \
          CROSS JOIN generate_series(1, 1000000) b",
            "57014",
        ),
    ] {
        assert_eq!(state(&mut client, sql).await, expected, "{sql}");
    }
    // The connection goes on.
    assert_eq!(state(&mut client, "SELECT * FROM nope").await, "42P01");
    door.close().await;
}

#[tokio::test]
async fn the_password_is_the_token() {
    let (door, _) = door(Some("s3cret"), PostgresLimits::default()).await;
    for (password, admitted) in [
        (None, false),
        (Some("wrong"), false),
        (Some("s3cret"), true),
    ] {
        let options = match password {
            Some(password) => options(&door).password(password),
            None => options(&door),
        };
        let connected = options.connect().await;
        assert_eq!(connected.is_ok(), admitted, "{password:?}: {connected:?}");
    }
    door.close().await;
}

#[tokio::test]
async fn clients_find_the_tables_and_their_columns() {
    let (door, _) = door(None, PostgresLimits::default()).await;
    let mut client = client(&door).await;
    let rows = sqlx::raw_sql(
        "SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
         WHERE n.nspname = 'public' AND c.relname = 'pump' AND a.attnum > 0 ORDER BY a.attnum",
    )
    .fetch_all(&mut client)
    .await
    .unwrap();
    let columns: Vec<(String, String)> = rows.iter().map(|row| (row.get(1), row.get(2))).collect();
    let expected = [
        ("asset", "text"),
        ("time", "timestamp with time zone"),
        ("received_at", "timestamp with time zone"),
        ("v", "double precision"),
        ("w", "double precision"),
    ];
    let expected = expected.map(|(name, kind)| (name.to_owned(), kind.to_owned()));
    assert_eq!(columns, expected);
    door.close().await;
}

/// The SQLSTATE that a text is refused with when it is prepared.
async fn prepared_state(client: &mut PgConnection, sql: String) -> Option<String> {
    let asked = sqlx::query(sqlx::AssertSqlSafe(sql.clone()));
    let error = asked.fetch_all(client).await.err()?;
    let error = error.into_database_error().expect(&sql);
    error.code().map(|code| code.into_owned())
}

/// Whoever describes a statement gets a type for each parameter up to the highest number.
#[tokio::test]
async fn parameters_are_bounded_in_questions_about_the_catalog_too() {
    let (door, _) = door(None, PostgresLimits::default()).await;
    let mut client = client(&door).await;
    for number in ["1001", "9999999999999", "18446744073709551615"] {
        let sql = format!("SELECT relname, (SELECT ${number}) FROM pg_catalog.pg_class");
        let state = prepared_state(&mut client, sql).await;
        assert_eq!(state.as_deref(), Some("54023"), "{number}");
    }
    door.close().await;
}

#[tokio::test]
async fn refused_texts_take_no_place_among_the_prepared() {
    let (door, _) = door(None, PostgresLimits::default()).await;
    let mut client = client(&door).await;
    for number in 0..PostgresLimits::default().statements + 10 {
        let state = prepared_state(&mut client, format!("SELEC {number}")).await;
        assert_eq!(state.as_deref(), Some("42601"), "{number}");
    }
    assert_eq!(
        prepared_state(&mut client, "SELECT 1".to_owned()).await,
        None
    );
    door.close().await;
}

#[tokio::test]
async fn the_time_limit_is_shown_as_it_was_set() {
    let (door, _) = door(None, PostgresLimits::default()).await;
    let mut client = client(&door).await;
    for (set, shown) in [
        ("SHOW statement_timeout", "0"),
        ("SET statement_timeout = 5000; SHOW statement_timeout", "5s"),
        (
            "SET statement_timeout = '2min'; SHOW statement_timeout",
            "2min",
        ),
        (
            "SET statement_timeout = 1500; SHOW statement_timeout",
            "1500ms",
        ),
        ("RESET statement_timeout; SHOW statement_timeout", "0"),
    ] {
        let row = sqlx::raw_sql(set).fetch_one(&mut client).await.unwrap();
        assert_eq!(row.get::<String, _>(0), shown, "{set}");
    }
    door.close().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let limits = PostgresLimits {
        connections: 1,
        ..PostgresLimits::default()
    };
    let (door, _) = door(None, limits).await;
    let first = client(&door).await;
    let error = options(&door)
        .connect()
        .await
        .expect_err("there is no place");
    assert!(
        error.to_string().contains("too many connections"),
        "{error}"
    );
    first.close().await.unwrap();
    // The place is free again once the door has seen the end.
    let deadline = tokio::time::timeout(PATIENCE, async {
        while options(&door).connect().await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    deadline.await.unwrap();
    door.close().await;
}

#[tokio::test]
async fn silence_and_endless_messages_are_cut_off() {
    let limits = PostgresLimits {
        startup: Duration::from_millis(50),
        message_bytes: 10_000,
        ..PostgresLimits::default()
    };
    let (door, _) = door(None, limits).await;
    let mut silent = TcpStream::connect(door.local_addr()).await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut rest)).await;
    assert_eq!(read.unwrap().unwrap(), 0);

    let mut endless = TcpStream::connect(door.local_addr()).await.unwrap();
    let mut hello = vec![0, 0, 0, 17, 0, 3, 0, 0];
    hello.extend_from_slice(b"user\0any\0\0"[..9].as_ref());
    hello[3] = u8::try_from(hello.len() + 1).unwrap();
    hello.push(0);
    endless.write_all(&hello).await.unwrap();
    let mut first = [0_u8; 1];
    endless.read_exact(&mut first).await.unwrap();
    assert_eq!(first, *b"R");
    // A query that claims to be half a gigabyte.
    endless.write_all(b"Q\x1f\xff\xff\xff").await.unwrap();
    let flood = async { while endless.write_all(&[b' '; 4_096]).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, flood).await.unwrap();
    door.close().await;
}

#[tokio::test]
async fn whoever_goes_takes_the_query_along() {
    let (door, engine) = door(None, PostgresLimits::default()).await;
    let mut client = client(&door).await;
    let endless = "SELECT count(*) FROM generate_series(1, 1000000) a \
                   CROSS JOIN generate_series(1, 1000000) b";
    let asking =
        tokio::spawn(async move { client.execute(sqlx::raw_sql(endless)).await.map(|_| ()) });
    let running = |engine: &SqlEngine| engine.running().len();
    let wait = async |expected: usize| {
        let waited = tokio::time::timeout(PATIENCE, async {
            while running(&engine) != expected {
                tokio::task::yield_now().await;
            }
        });
        waited.await.unwrap();
    };
    wait(1).await;
    assert_eq!(engine.running()[0].door, "postgres");
    // Dropping the client closes its socket.
    asking.abort();
    wait(0).await;
    door.close().await;
}
