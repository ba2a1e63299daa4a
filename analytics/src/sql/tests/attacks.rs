//! Queries that try to take all memory, all threads or all time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use arrow::array::{ArrayRef, DictionaryArray, NullArray, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::execution::SessionStateBuilder;
use fieldwright_ingest::clock::{process_now, process_sleep};
use futures::StreamExt;
use serde_json::Value;

use super::super::engine::Lane;
use super::super::running::{self, Keeps};
use super::super::threads::Threads;
use super::super::{Answer, SqlErrorFamily, SqlLimits, SqlRequest, offered};
use super::world::World;
use super::{engine, engine_with, refusal, rows};

fn world() -> World {
    let mut world = World::new("pump");
    for step in 0..10 {
        world.receive("p-1", step * 1_000_000, &[("v", 1.0)]);
    }
    world.flush(false);
    world
}

async fn check(sql: &str, code: &str, word: &str) {
    let error = refusal(&engine(world().snapshot()), sql).await;
    let told = &sql[..sql.len().min(100)];
    assert_eq!(error.code(), code, "{told}: {error}");
    assert_eq!(error.family(), SqlErrorFamily::Refused, "{told}");
    assert!(error.to_string().contains(word), "{told}: {error}");
}

#[test]
fn what_is_not_offered_is_not_there() {
    let all = SessionStateBuilder::new_with_default_features().build();
    let all: BTreeSet<String> = offered::names(&all).into_iter().collect();
    let kept = offered::restrict(SessionStateBuilder::new_with_default_features());
    assert!(kept.higher_order_functions().is_empty());
    assert!(!kept.scalar_functions().contains_key("generate_series"));
    let tables: Vec<&String> = kept.table_functions().keys().collect();
    assert_eq!(tables, ["generate_series"]);
    let kept: BTreeSet<String> = offered::names(&kept).into_iter().collect();
    let removed: Vec<&str> = all.difference(&kept).map(String::as_str).collect();
    let expected = [
        "any_match",
        "array_agg",
        "array_any_match",
        "array_filter",
        "array_first",
        "array_repeat",
        "array_resize",
        "array_transform",
        "arrays_zip",
        "arrow_cast",
        "arrow_try_cast",
        "levenshtein",
        "list_any_match",
        "list_filter",
        "list_first",
        "list_repeat",
        "list_resize",
        "list_transform",
        "list_zip",
        "lpad",
        "range",
        "repeat",
        "rpad",
        "string_agg",
    ];
    assert_eq!(removed, expected);
}

#[tokio::test]
async fn what_makes_much_out_of_little_is_refused() {
    for (sql, word) in [
        (
            "SELECT array_length(array_repeat(1, 1000000000))",
            "array_repeat",
        ),
        (
            "SELECT array_length(LIST_REPEAT(1, 1000000000))",
            "list_repeat",
        ),
        (
            "SELECT sum(length(repeat('x', 1000000 + value))) FROM generate_series(1, 100000)",
            "repeat",
        ),
        ("SELECT length(\"repeat\"('x', 1000000000))", "repeat"),
        (
            "SELECT count(*) FROM (SELECT unnest(range(0, 100000)) FROM generate_series(1, 1000000))",
            "unnest",
        ),
        ("SELECT unnest([1, 2, 3])", "unnest"),
        ("SELECT * FROM unnest([1, 2, 3])", "unnest"),
        ("SELECT length(lpad('x', 2147483647, 'y'))", "lpad"),
        ("SELECT length(rpad('x', 2147483647, 'y'))", "rpad"),
        ("SELECT array_length(range(0, 1000000000))", "range"),
        (
            "SELECT array_length(generate_series(0, 1000000000))",
            "generate_series",
        ),
        ("SELECT count(*) FROM range(0, 10)", "range"),
        (
            "SELECT count(*) FROM generate_series(1, 1000001)",
            "1000000",
        ),
        (
            "SELECT count(*) FROM generate_series(9223372036854775807)",
            "1000000",
        ),
        (
            "SELECT count(*) FROM generate_series(TIMESTAMP '2020-01-01', TIMESTAMP '2030-01-01', \
             INTERVAL '1 microsecond')",
            "whole numbers",
        ),
        (
            "SELECT array_length(array_resize([1], 1000000000))",
            "array_resize",
        ),
        ("SELECT levenshtein('a', 'b')", "levenshtein"),
        ("SELECT array_agg(v) OVER () FROM pump", "array_agg"),
        ("SELECT string_agg(asset, ',') FROM pump", "string_agg"),
        ("SELECT arrow_cast('x', 'Dictionary(Int32, Utf8)')", "CAST"),
        (
            "SELECT array_transform([1], x -> [x, x])",
            "array_transform",
        ),
        (
            "WITH RECURSIVE t AS (SELECT 'x' AS v UNION ALL SELECT v || v FROM t) SELECT count(*) FROM t",
            "RECURSIVE",
        ),
        (
            "SELECT approx_percentile_cont(0.5, 1000000000000) WITHIN GROUP (ORDER BY v) FROM pump",
            "10000",
        ),
        (
            "SELECT approx_percentile_cont_with_weight(1, 0.5, 1000000 * 1000000) \
             WITHIN GROUP (ORDER BY v) FROM pump",
            "10000",
        ),
        (
            "SELECT approx_percentile_cont(v, 0.5, 1000000000000) OVER () FROM pump",
            "10000",
        ),
        (
            "SELECT 1 FROM pump GROUP BY CUBE(v+1,v+2,v+3,v+4,v+5,v+6,v+7,v+8,v+9,v+10,v+11,v+12,v+13)",
            "CUBE",
        ),
        // The planner would pass over it.
        (
            "SELECT asset, count(*) FROM pump GROUP BY asset WITH ROLLUP",
            "WITH ROLLUP",
        ),
        ("EXPLAIN SELECT repeat('x', 9)", "repeat"),
        ("SELECT (SELECT repeat('x', 9))", "repeat"),
        ("SELECT * FROM pump TABLESAMPLE (10 PERCENT)", "TABLESAMPLE"),
        (
            "SELECT * FROM pump TABLESAMPLE BERNOULLI (10)",
            "TABLESAMPLE",
        ),
        (
            "SELECT * FROM (SELECT 1) x TABLESAMPLE BERNOULLI (10)",
            "TABLESAMPLE",
        ),
    ] {
        check(sql, "not_offered", word).await;
    }
}

/// The planner makes all groupings of a statement; several multiply.
#[tokio::test]
async fn a_statement_has_so_many_groupings() {
    let cube = |columns: usize| {
        let columns: Vec<String> = (0..columns).map(|n| format!("v + {n}")).collect();
        format!("CUBE({})", columns.join(", "))
    };
    for sql in [
        format!("SELECT 1 FROM pump GROUP BY {}", cube(30)),
        format!("SELECT 1 FROM pump GROUP BY {}, {}", cube(7), cube(6)),
        format!(
            "EXPLAIN SELECT (SELECT max(1) FROM pump GROUP BY {})",
            cube(30)
        ),
    ] {
        check(&sql, "not_offered", "CUBE").await;
    }
    let mut world = world();
    let engine = engine(world.snapshot());
    let sql = "SELECT count(*) FROM (SELECT asset FROM pump GROUP BY CUBE(asset, v))";
    assert_eq!(rows(&engine, sql).await, ["[4]"]);
}

/// A join or a window function holds batches without columns, too.
#[tokio::test]
async fn rows_without_columns_take_memory() {
    let limits = SqlLimits {
        memory_bytes: 1 << 20,
        time: Duration::from_secs(20),
        ..SqlLimits::default()
    };
    let engine = engine_with(world().snapshot(), None, limits);
    let series = "generate_series(1, 1000000)";
    for sql in [
        format!("SELECT count(*) FROM {series} a, {series} b, {series} c"),
        format!(
            "SELECT count(*) FROM (SELECT count(*) OVER () AS n FROM {series} a, {series} b) \
             WHERE n > 0"
        ),
    ] {
        assert_eq!(
            refusal(&engine, &sql).await.code(),
            "out_of_memory",
            "{sql}"
        );
    }
}

#[tokio::test]
async fn a_row_has_a_greatest_width() {
    let many = "x".repeat(20_000);
    let levels: String = (1..=10)
        .map(|n| format!(", c{n} AS (SELECT v || v AS v FROM c{})", n - 1))
        .collect();
    for sql in [
        format!("SELECT length(replace(asset, 'p', '{many}')) FROM pump"),
        format!("SELECT length(replace(replace(asset, 'p', '{many}'), 'x', '{many}')) FROM pump"),
        format!("SELECT length(regexp_replace(asset, '.', '{many}', 'g')) FROM pump"),
        format!("SELECT length(array_to_string(string_to_array(asset, NULL), '{many}')) FROM pump"),
        format!("SELECT length(to_char(time, '{many}')) FROM pump"),
        format!("WITH c0 AS (SELECT '{many}' AS v FROM pump){levels} SELECT length(v) FROM c10"),
        format!("WITH c0 AS (SELECT '{many}' AS v){levels} SELECT 1 FROM c5 WHERE length(v) > 1"),
        format!("SELECT 1 FROM pump WHERE length(replace(asset, 'p', '{many}')) > 1"),
        format!("SELECT (SELECT max(replace(asset, 'p', '{many}')) FROM pump)"),
        format!(
            "SELECT 1 FROM pump a JOIN pump b ON replace(a.asset, 'p', '{many}') = \
             replace(b.asset, 'p', '{many}')"
        ),
        format!("SELECT v FROM pump ORDER BY replace(asset, 'p', '{many}')"),
    ] {
        check(&sql, "too_wide", "bytes").await;
    }
    let encoded = (0..40).fold("asset".to_owned(), |of, _| format!("encode({of}, 'hex')"));
    let between = (0..14).fold("asset".to_owned(), |of, _| {
        format!("regexp_replace({of}, '', 'a', 'g')")
    });
    let emptied = (0..20).fold("asset".to_owned(), |of, _| {
        format!("replace({of}, '', 'a')")
    });
    let bytes = "61".repeat(15_000);
    for sql in [
        format!("SELECT length({encoded}) FROM pump"),
        format!("SELECT length({between}) FROM pump"),
        format!("SELECT length({emptied}) FROM pump"),
        format!("SELECT array_to_string(make_array(v, NULL, NULL, NULL), ',', '{many}') FROM pump"),
        format!("SELECT replace(CAST(X'{bytes}' AS VARCHAR), 'a', CAST(X'{bytes}' AS VARCHAR))"),
        // Types that say how long their values are.
        "SELECT CAST(NULL AS INT[2147483647])".to_owned(),
        "SELECT TRY_CAST(make_array(1) AS INT[2147483647]) FROM pump".to_owned(),
        "SELECT CAST(NULL AS STRUCT<a INT[2147483647]>)".to_owned(),
    ] {
        check(&sql, "too_wide", "bytes").await;
    }
    let mut world = world();
    let engine = engine(world.snapshot());
    let plain = (0..12).fold("asset".to_owned(), |of, _| {
        format!("replace({of}, 'x', 'y')")
    });
    for sql in [
        &format!("SELECT replace({plain}, 'p-', 'pump ') FROM pump LIMIT 1"),
        "SELECT replace(asset, 'p-', 'pump ') FROM pump LIMIT 1",
        "SELECT regexp_replace(asset, '^p-([0-9]+)$', 'pump \\1') FROM pump LIMIT 1",
        "SELECT 'pump ' || substr(asset, 3) FROM pump LIMIT 1",
        "SELECT concat_ws(' ', 'pump', split_part(asset, '-', 2)) FROM pump LIMIT 1",
    ] {
        assert_eq!(rows(&engine, sql).await, ["[\"pump 1\"]"], "{sql}");
    }
    let days = "SELECT to_char(time, '%Y-%m-%d') AS day, count(*) FROM pump GROUP BY day";
    assert_eq!(rows(&engine, days).await, ["[\"1970-01-01\",10]"]);
}

/// Memory is laid out for the groups that there are, not for those that LIMIT says.
#[tokio::test]
async fn a_limit_lays_out_nothing() {
    let mut world = world();
    let engine = engine(world.snapshot());
    for (sql, expected) in [
        (
            "SELECT asset FROM pump GROUP BY asset ORDER BY asset LIMIT 1000000000000",
            "[\"p-1\"]",
        ),
        (
            "SELECT asset, min(v) FROM pump GROUP BY asset ORDER BY min(v) LIMIT 1000000000000",
            "[\"p-1\",1.0]",
        ),
        (
            "SELECT approx_percentile_cont(0.5, 200) WITHIN GROUP (ORDER BY v) FROM pump",
            "[1.0]",
        ),
    ] {
        assert_eq!(rows(&engine, sql).await, [expected], "{sql}");
    }
}

#[tokio::test]
async fn what_a_function_says_is_about_the_query() {
    let nested = format!("SELECT regexp_like('x', '{}')", "(a|".repeat(15_000));
    let large = "SELECT regexp_like('x', '((a{1000}){1000}){1000}')";
    let replaced = "SELECT regexp_replace(asset, '(', 'x') FROM pump";
    let column = "SELECT regexp_like(asset, asset || '(') FROM pump";
    for sql in [&nested, large, replaced, column] {
        check(sql, "failed_on_data", "").await;
    }
}

fn answer(column: ArrayRef) -> Answer {
    let field = Field::new("a", column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![field]));
    Answer {
        batches: vec![RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap()],
        schema,
        truncated: false,
    }
}

fn written(answer: &Answer, limits: &SqlLimits) -> (usize, bool) {
    let json: Value = serde_json::from_str(&answer.to_json(limits)).unwrap();
    let rows = json["rows"].as_array().unwrap().len();
    (rows, json["truncated"].as_bool().unwrap())
}

#[test]
fn what_is_written_counts_not_what_is_held() {
    let limits = SqlLimits {
        answer_bytes: 100_000,
        answer_cells: 1_000,
        ..SqlLimits::default()
    };
    // One text of 10 kB stands for 500 rows.
    let keys = arrow::array::Int32Array::from(vec![0; 500]);
    let texts = Arc::new(StringArray::from(vec!["x".repeat(10_000)]));
    let shared = answer(Arc::new(DictionaryArray::<Int32Type>::new(keys, texts)));
    assert!(shared.batches[0].get_array_memory_size() < 100_000);
    assert_eq!(written(&shared, &limits), (9, true));
    assert_eq!(written(&shared, &SqlLimits::default()), (500, false));

    let nothing = answer(Arc::new(NullArray::new(1_001)));
    assert_eq!(written(&nothing, &limits), (1_000, true));
    let just = answer(Arc::new(NullArray::new(1_000)));
    assert_eq!(written(&just, &limits), (1_000, false));
    assert_eq!(just.schema.field(0).data_type(), &DataType::Null);
}

#[tokio::test]
async fn json_text_is_the_same_answer() {
    let mut world = world();
    let engine = engine(world.snapshot());
    let sql = "SELECT asset, time, v, NULL AS n, 'a\"b' AS t FROM pump ORDER BY time";
    let text: Value =
        serde_json::from_str(&engine.json(&SqlRequest::new(sql)).await.unwrap()).unwrap();
    assert_eq!(text, engine.query(sql).await.unwrap().to_json_rows());
    assert_eq!(text["rows"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn a_place_is_kept_until_the_answer_is_written() {
    let limits = SqlLimits {
        concurrent: 1,
        ..SqlLimits::default()
    };
    let engine = engine_with(world().snapshot(), None, limits);
    for (keeps, free) in [(Keeps::ToTheEnd, 0), (Keeps::WhileRunning, 1)] {
        let lane = engine.people();
        let started =
            running::start(engine.shared(), lane, &SqlRequest::new("SELECT 1"), keeps).await;
        let mut answer = started.unwrap();
        while let Some(batch) = answer.next().await {
            batch.unwrap();
        }
        assert_eq!(lane.places.available_permits(), free, "{keeps:?}");
        drop(answer);
        assert_eq!(lane.places.available_permits(), 1, "{keeps:?}");
    }
}

/// Joins that would look at 10^12 pairs without a pause.
#[tokio::test]
async fn no_join_outlives_its_time() {
    let pairs = "generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    for sql in [
        format!("SELECT sum(a.value * b.value) FROM {pairs}"),
        format!("SELECT count(*) FROM {pairs} WHERE a.value * b.value < 0"),
        format!("SELECT sum(a.value * b.value) FROM {pairs} WHERE a.value % 1 = b.value % 1"),
        format!(
            "SELECT count(*) FROM {pairs} WHERE a.value % 1 = b.value % 1 AND a.value * b.value < 0"
        ),
        "SELECT count(*) FROM generate_series(1, 1000000) a WHERE NOT EXISTS \
         (SELECT 1 FROM generate_series(1, 1000000) b WHERE a.value * b.value < 0)"
            .to_owned(),
        "SELECT count(*) FROM generate_series(1, 1000000) a WHERE a.value % 1 IN \
         (SELECT value % 1 FROM generate_series(1, 1000000))"
            .to_owned(),
        "SELECT count(*) FROM generate_series(1, 1000000) a WHERE a.value % 1 NOT IN \
         (SELECT value % 1 FROM generate_series(1, 1000000))"
            .to_owned(),
        "SELECT count(*) FROM generate_series(1, 1000000) a WHERE EXISTS \
         (SELECT 1 FROM generate_series(1, 1000000))"
            .to_owned(),
    ] {
        let limits = SqlLimits {
            time: Duration::from_millis(700),
            concurrent: 1,
            ..SqlLimits::default()
        };
        let engine = engine_with(world().snapshot(), None, limits);
        let asked = process_now();
        let code = refusal(&engine, &sql).await.code();
        assert_eq!(code, "timed_out", "{sql}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{sql}");
        // The only place is free again, and the join ends: it gives its memory back.
        assert_eq!(rows(&engine, "SELECT 1").await, ["[1]"], "{sql}");
        while engine.memory_in_use() > 0 {
            assert!(asked.elapsed() < Duration::from_secs(30), "{sql}");
            process_sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Tasks that keep all threads of the present set busy until told.
async fn stick(threads: &Threads) -> Vec<mpsc::Sender<()>> {
    let set = threads.ready().await;
    let workers = set.handle().metrics().num_workers();
    let stuck = (0..workers).map(|_| {
        let (release, until) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        set.handle().spawn(async move {
            begun.send(()).unwrap();
            _ = until.recv();
        });
        has_begun.recv().unwrap();
        release
    });
    stuck.collect()
}

#[tokio::test]
async fn stuck_threads_are_replaced_up_to_a_bound() {
    let threads = Threads::new(1);
    let mut stuck = Vec::new();
    for _ in 0..4 {
        stuck.push(stick(&threads).await);
    }
    // Four sets are all there may be; now one waits for any thread of the last to be free.
    let mut waiting = Box::pin(threads.ready());
    let patience = Duration::from_millis(1_200);
    assert!(tokio::time::timeout(patience, &mut waiting).await.is_err());
    stuck.pop();
    let set = waiting.await;
    assert_eq!(set.handle().spawn(async { 7 }).await.unwrap(), 7);
}

#[tokio::test]
async fn queries_run_beside_stuck_threads_and_their_time_limit_holds() {
    let limits = SqlLimits {
        time: Duration::from_millis(1_500),
        ..SqlLimits::default()
    };
    let engine = engine_with(world().snapshot(), None, limits);
    let mut stuck = Vec::new();
    for set in 0..4 {
        assert_eq!(rows(&engine, "SELECT 1").await, ["[1]"], "{set}");
        stuck.push(stick(&engine.people().threads).await);
    }
    let asked = process_now();
    assert_eq!(refusal(&engine, "SELECT 1").await.code(), "timed_out");
    assert!(asked.elapsed() < Duration::from_millis(2_500));
    // The rules of alarms notice nothing.
    assert_eq!(engine.query_rule("SELECT 1").await.unwrap().rows(), 1);
}

#[tokio::test]
async fn rules_have_places_of_their_own() {
    let limits = SqlLimits {
        concurrent: 1,
        ..SqlLimits::default()
    };
    let engine = engine_with(world().snapshot(), None, limits);
    let lane: &Lane = engine.people();
    let _taken = lane.places.acquire().await.unwrap();
    assert_eq!(engine.query_rule("SELECT 1").await.unwrap().rows(), 1);
}

/// The conditions that let a join be stopped change nothing about its rows.
#[tokio::test]
async fn joins_that_can_be_stopped_are_the_same_joins() {
    let engine = engine(world().snapshot());
    let (a, b) = ("generate_series(1, 10) a", "generate_series(5, 14)");
    for (condition, expected) in [
        (format!("value IN (SELECT value FROM {b})"), 6),
        (format!("value NOT IN (SELECT value FROM {b})"), 4),
        (
            format!("value NOT IN (SELECT nullif(value, 5) FROM {b})"),
            0,
        ),
        (format!("EXISTS (SELECT 1 FROM {b})"), 10),
        (format!("NOT EXISTS (SELECT 1 FROM {b})"), 0),
        (
            format!("EXISTS (SELECT 1 FROM {b} b WHERE b.value = a.value)"),
            6,
        ),
        (
            format!("NOT EXISTS (SELECT 1 FROM {b} b WHERE b.value = a.value)"),
            4,
        ),
        (
            format!("EXISTS (SELECT 1 FROM {b} b WHERE b.value < a.value)"),
            5,
        ),
        (format!("value = 1 OR value IN (SELECT value FROM {b})"), 7),
    ] {
        let sql = format!("SELECT count(*) FROM {a} WHERE {condition}");
        assert_eq!(
            rows(&engine, &sql).await,
            [format!("[{expected}]")],
            "{sql}"
        );
    }
}
