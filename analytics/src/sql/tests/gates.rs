//! Nothing can be changed, nothing can run away, every refusal says why.

use std::time::Duration;

use fieldwright_ingest::clock::process_sleep;

use futures::StreamExt;

use super::super::{SqlErrorFamily, SqlLimits};
use super::world::World;
use super::{engine, engine_with, refusal};

fn world() -> World {
    let mut world = World::new("pump");
    for step in 0..1_000 {
        world.receive("p-1", step * 1_000_000, &[("v", 1.0), ("Temp.C", 20.0)]);
    }
    world.flush(false);
    world
}

async fn check(sql: &str, code: &str, words: &[&str]) {
    let mut world = world();
    let engine = engine(world.snapshot());
    let error = refusal(&engine, sql).await;
    assert_eq!(error.code(), code, "{sql}: {error}");
    assert_eq!(error.family(), SqlErrorFamily::Refused, "{sql}");
    for word in words {
        assert!(error.to_string().contains(word), "{sql}: {error}");
    }
}

#[tokio::test]
async fn nothing_is_written_or_read_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.csv");
    let out = out.to_str().unwrap();
    check(
        &format!("COPY pump TO '{out}'"),
        "not_read_only",
        &["COPY", "SELECT"],
    )
    .await;
    check(
        &format!("EXPLAIN ANALYZE COPY pump TO '{out}'"),
        "not_read_only",
        &["COPY"],
    )
    .await;
    check(
        "INSERT INTO pump SELECT * FROM pump",
        "not_read_only",
        &["INSERT"],
    )
    .await;
    check("SELECT * INTO copied FROM pump", "not_read_only", &[]).await;
    check(
        "SET datafusion.execution.batch_size = 1",
        "not_read_only",
        &["SET"],
    )
    .await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    check(
        "SELECT * FROM \"/etc/passwd\"",
        "invalid_query",
        &["not found"],
    )
    .await;
    check("SELECT * FROM '/etc/passwd'", "invalid_query", &[]).await;
    check(
        "SELECT * FROM \"file:///etc/hosts.csv\"",
        "invalid_query",
        &["not found"],
    )
    .await;
    check(
        "SELECT * FROM read_csv('/etc/passwd')",
        "invalid_query",
        &[],
    )
    .await;
    check(
        "SELECT * FROM other.public.pump",
        "invalid_query",
        &["not found"],
    )
    .await;
    check(
        "WITH x AS (INSERT INTO pump VALUES (1)) SELECT 1",
        "invalid_query",
        &["INSERT"],
    )
    .await;
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    check("SELECT 1; SELECT 2", "several_statements", &["one by one"]).await;
    check(
        "SELECT nothing FROM pump",
        "invalid_query",
        &["nothing", "asset"],
    )
    .await;
    check("SELECT Temp FROM pump", "invalid_query", &["temp"]).await;
    check("SELECT * FROM pumps", "invalid_query", &["pumps"]).await;
    check("SELEC 1", "invalid_query", &["SELEC"]).await;
    check("SELECT 1 / 0", "failed_on_data", &["ivide by zero"]).await;
    check("SELECT CAST('x' AS INT)", "failed_on_data", &["x"]).await;
    check(
        "SELECT no_such_function(1)",
        "invalid_query",
        &["no_such_function"],
    )
    .await;
}

/// The deepest, longest and fastest growing texts: answered or refused, and soon.
#[tokio::test]
async fn no_text_overflows_the_stack_or_runs_away() {
    let chain = |link: &str, links: usize| format!("SELECT v{} FROM pump", link.repeat(links));
    let levels = |level: &str, levels: usize, end: &str| {
        let levels = (1..=levels).map(|n| {
            let below = format!("c{}", n - 1);
            format!(", c{n} AS ({})", level.replace('#', &below))
        });
        let levels: String = levels.collect();
        format!("WITH c0 AS (SELECT v FROM pump){levels} SELECT {end}")
    };
    let (answered, refused) = (None, Some(SqlErrorFamily::Refused));
    let texts = [
        (chain("+1", 290), answered),
        (chain("*v", 290), answered),
        (chain(" || 'x'", 290), answered),
        (chain("::TEXT::DOUBLE", 70), answered),
        (
            format!(
                "SELECT 1 FROM pump WHERE v > 0{}",
                " AND v <> 2".repeat(900)
            ),
            answered,
        ),
        (
            format!(
                "SELECT 1 FROM pump WHERE v > 0{}",
                " OR v * 2 = 3".repeat(600)
            ),
            answered,
        ),
        (
            format!(
                "SELECT v FROM pump{}",
                " UNION ALL SELECT v FROM pump".repeat(300)
            ),
            answered,
        ),
        (
            format!("SELECT v FROM pump WHERE v IN ({}1)", "1,".repeat(5_000)),
            answered,
        ),
        (
            levels("SELECT v + 1 AS v FROM #", 200, "v FROM c200"),
            answered,
        ),
        (
            levels("SELECT v, count(*) FROM # GROUP BY v", 100, "v FROM c100"),
            answered,
        ),
        // Twice as much at every level.
        (
            levels("SELECT v * v AS v FROM #", 40, "v FROM c40 WHERE v > 2"),
            refused,
        ),
        (
            levels("SELECT a.v FROM # a, # b", 40, "v FROM c40"),
            refused,
        ),
        (
            levels(
                "SELECT v FROM # WHERE v IN (SELECT v FROM #)",
                40,
                "v FROM c40",
            ),
            refused,
        ),
        (chain("+1", 1_990), refused),
        (format!("SELECT {}1", "- ".repeat(1_900)), refused),
        (format!("SELECT {}true", "NOT ".repeat(1_900)), refused),
        (format!("SELECT {}", "(SELECT ".repeat(900)), refused),
        (format!("SELECT {}", "[".repeat(1_900)), refused),
        (format!("SELECT {}", "(".repeat(1_900)), refused),
        (format!("{}SELECT 1", "EXPLAIN ".repeat(1_900)), refused),
        (
            format!(
                "SELECT {}1{}",
                "CASE WHEN true THEN ".repeat(400),
                " END".repeat(400)
            ),
            refused,
        ),
        (
            format!("SELECT {}1{}", "abs(".repeat(900), ")".repeat(900)),
            refused,
        ),
        (
            format!("SELECT 1 FROM pump{}", ", pump".repeat(9_000)),
            refused,
        ),
        (format!("SELECT a{} FROM pump", ".a".repeat(9_000)), refused),
    ];
    let mut world = world();
    let limits = SqlLimits {
        time: Duration::from_secs(120),
        ..SqlLimits::default()
    };
    let engine = engine_with(world.snapshot(), None, limits);
    for (sql, expected) in texts {
        let began = &sql[..60.min(sql.len())];
        let told = engine.query(&sql).await;
        assert_eq!(told.err().map(|error| error.family()), expected, "{began}");
    }
}

#[tokio::test]
async fn long_answers_are_cut_off_and_say_so() {
    let mut world = world();
    let limits = SqlLimits {
        answer_rows: 10,
        ..SqlLimits::default()
    };
    let engine = engine_with(world.snapshot(), None, limits);
    let answer = engine.query("SELECT time FROM pump").await.unwrap();
    assert_eq!((answer.rows(), answer.truncated), (10, true));
    assert!(
        answer
            .to_text()
            .ends_with("only the first 10 rows: there are more\n")
    );
    assert_eq!(answer.to_json_rows()["truncated"], true);
    let answer = engine
        .query("SELECT time FROM pump LIMIT 10")
        .await
        .unwrap();
    assert_eq!((answer.rows(), answer.truncated), (10, false));
    // A stream has no such limit.
    let mut stream = engine.stream("SELECT time FROM pump").await.unwrap();
    let mut streamed = 0;
    while let Some(batch) = stream.next().await {
        streamed += batch.unwrap().num_rows();
    }
    assert_eq!(streamed, 1_000);
}

#[tokio::test]
async fn time_memory_and_places_are_bounded() {
    const FOREVER: &str = "SELECT sum(a.value * b.value) FROM generate_series(1, 100000) a, \
                           generate_series(1, 1000000) b";
    let mut world = world();
    let limits = SqlLimits {
        time: Duration::from_millis(300),
        memory_bytes: 4 * 1024 * 1024,
        concurrent: 1,
        ..SqlLimits::default()
    };
    let engine = engine_with(world.snapshot(), None, limits);
    assert_eq!(refusal(&engine, FOREVER).await.code(), "timed_out");
    let hungry = "SELECT a.value FROM generate_series(1, 1000000) a ORDER BY a.value % 7";
    assert_eq!(refusal(&engine, hungry).await.code(), "out_of_memory");

    // A running query holds the only place; dropping it cancels it and gives the place back.
    let limits = SqlLimits {
        time: Duration::from_secs(600),
        concurrent: 1,
        ..SqlLimits::default()
    };
    let engine = engine_with(world.snapshot(), None, limits);
    let long = "SELECT a.value FROM generate_series(1, 1000000) a, generate_series(1, 1000) b";
    let mut running = engine.stream(long).await.unwrap();
    let mut waiting = Box::pin(engine.query("SELECT 1"));
    for _ in 0..20 {
        assert!(running.next().await.unwrap().is_ok());
        assert!(futures::poll!(&mut waiting).is_pending());
    }
    drop(running);
    assert_eq!(waiting.await.unwrap().rows(), 1);
    // The dropped query ends on its own thread: its memory comes back a moment later.
    for _ in 0..500 {
        if engine.memory_in_use() == 0 {
            return;
        }
        process_sleep(Duration::from_millis(10)).await;
    }
    panic!("{} bytes are not given back", engine.memory_in_use());
}
