//! Queries and the rows they must give.

use super::world::{V_QUALITY, V_TEXT, World, snapshot_of};
use super::{engine, rows};

const SECOND: i64 = 1_000_000;
/// 2031-05-05T06:00:00Z.
const SIX: i64 = 1_935_727_200 * SECOND;

/// Two classes: a pump with a corrected and a late reading, a fan in files only.
fn world() -> Vec<World> {
    let mut pump = World::new("pump");
    pump.receive("p-1", SIX, &[("v", 1.0), ("Temp.C", 20.0)]);
    pump.receive("p-1", SIX + 30 * SECOND, &[("v", 2.0)]);
    pump.flush(false);
    pump.receive("p-1", SIX + 60 * SECOND, &[("v", 3.0), ("Temp.C", 21.0)]);
    pump.receive("p-2", SIX, &[("v", 9.0)]);
    // A correction of one value and a reading that came late.
    pump.receive("p-1", SIX + 30 * SECOND, &[("v", 2.5)]);
    pump.receive("p-2", SIX - 30 * SECOND, &[("v", 8.0)]);
    let mut fan = World::new("fan-2");
    fan.receive("f-1", SIX, &[("rpm", 900.0)]);
    fan.flush(false);
    vec![pump, fan]
}

async fn check(sql: &str, expected: &[&str]) {
    let mut worlds = world();
    let engine = engine(snapshot_of(&mut worlds));
    assert_eq!(rows(&engine, sql).await, expected, "{sql}");
}

#[tokio::test]
async fn wide_tables() {
    check(
        "SELECT asset, time, v, \"Temp.C\" FROM pump ORDER BY asset, time",
        &[
            r#"["p-1","2031-05-05T06:00:00Z",1.0,20.0]"#,
            r#"["p-1","2031-05-05T06:00:30Z",2.5,null]"#,
            r#"["p-1","2031-05-05T06:01:00Z",3.0,21.0]"#,
            r#"["p-2","2031-05-05T05:59:30Z",8.0,null]"#,
            r#"["p-2","2031-05-05T06:00:00Z",9.0,null]"#,
        ],
    )
    .await;
    check(
        "SELECT count(*), sum(v) FROM pump WHERE asset = 'p-1'",
        &["[3,6.5]"],
    )
    .await;
    check("SELECT max(v) FROM PUMP WHERE v = 2", &["[null]"]).await;
    check("SELECT rpm FROM \"fan-2\"", &["[900.0]"]).await;
    check(
        "SELECT date_bin(INTERVAL '1 minute', time) AS minute, avg(v) FROM pump \
         WHERE asset = 'p-1' GROUP BY minute ORDER BY minute",
        &[
            r#"["2031-05-05T06:00:00Z",1.75]"#,
            r#"["2031-05-05T06:01:00Z",3.0]"#,
        ],
    )
    .await;
    check(
        "SELECT time, v - lag(v) OVER (PARTITION BY asset ORDER BY time) FROM pump \
         WHERE asset = 'p-1' ORDER BY time DESC LIMIT 1",
        &[r#"["2031-05-05T06:01:00Z",0.5]"#],
    )
    .await;
}

/// A file's statistics know nothing of a correction that came after it.
#[tokio::test]
async fn a_filter_sees_the_corrected_row_whole() {
    let mut pump = World::new("pump");
    for step in 0..40 {
        pump.receive(
            "p-1",
            SIX + step * SECOND,
            &[("v", 1.0), ("load", step as f64)],
        );
    }
    pump.flush(false);
    pump.receive("p-1", SIX + 20 * SECOND, &[("v", 9.0)]);
    pump.receive("p-1", SIX + 21 * SECOND, &[("load", -1.0)]);
    for flushed in [false, true] {
        if flushed {
            pump.flush(true);
        }
        let engine = engine(pump.snapshot());
        let check = async |sql: &str, expected: &[&str]| {
            assert_eq!(rows(&engine, sql).await, expected, "{sql}");
        };
        check("SELECT v, load FROM pump WHERE v > 5", &["[9.0,20.0]"]).await;
        check("SELECT v, load FROM pump WHERE load < 0", &["[1.0,-1.0]"]).await;
        check("SELECT count(*) FROM pump WHERE v = 1", &["[39]"]).await;
        check("SELECT v FROM pump WHERE load = 21", &[]).await;
        check("SELECT count(*), count(load) FROM pump", &["[40,40]"]).await;
        check(
            "SELECT value FROM readings WHERE metric = 'v' AND value > 5",
            &["[9.0]"],
        )
        .await;
    }
}

/// A late reading takes the place of the earlier one as a whole, as a compaction does it.
#[tokio::test]
async fn a_late_reading_is_one_cell() {
    let mut pump = World::new("pump");
    for (step, said) in [
        vec![("v", 1.0), (V_QUALITY, 1.0)],
        vec![("v", 1.0)],
        vec![(V_TEXT, 7.0), ("load", 2.0)],
        vec![("v", 1.0), ("load", 1.0)],
    ]
    .iter()
    .enumerate()
    {
        pump.receive("p-1", SIX + step as i64 * SECOND, said);
    }
    pump.flush(false);
    // A good value after a bad one, a text after a value, a value after a text, and nothing of it.
    pump.receive("p-1", SIX, &[("v", 2.0)]);
    pump.receive("p-1", SIX + SECOND, &[("v", 3.0), (V_QUALITY, 0.0)]);
    pump.receive("p-1", SIX + SECOND, &[(V_TEXT, 8.0)]);
    pump.receive("p-1", SIX + 2 * SECOND, &[("v", 4.0)]);
    pump.receive("p-1", SIX + 3 * SECOND, &[("load", 5.0)]);
    for flushed in [false, true] {
        if flushed {
            pump.flush(true);
        }
        let engine = engine(pump.snapshot());
        let check = async |sql: &str, expected: &[&str]| {
            assert_eq!(rows(&engine, sql).await, expected, "{sql}");
        };
        check(
            "SELECT v, v__text, v__quality, load FROM pump ORDER BY time",
            &[
                "[2.0,null,null,null]",
                r#"[null,"says 8",null,null]"#,
                "[4.0,null,null,2.0]",
                "[1.0,null,null,5.0]",
            ],
        )
        .await;
        // The other columns of the reading decide although nobody asks for them.
        check("SELECT sum(v), count(*) FROM pump", &["[7.0,4]"]).await;
        check("SELECT count(v__quality) FROM pump", &["[0]"]).await;
        check(
            "SELECT v FROM pump WHERE v__text IS NOT NULL OR v__quality = 'bad'",
            &["[null]"],
        )
        .await;
    }
}

#[tokio::test]
async fn readings_of_all_classes() {
    check(
        "SELECT metric, count(*), avg(value) FROM readings GROUP BY metric ORDER BY metric",
        &[
            r#"["Temp.C",2,20.5]"#,
            r#"["rpm",1,900.0]"#,
            r#"["v",5,4.7]"#,
        ],
    )
    .await;
    check(
        "SELECT asset, value FROM readings WHERE metric = 'rpm'",
        &[r#"["f-1",900.0]"#],
    )
    .await;
    check("SELECT value FROM readings WHERE metric = 'none'", &[]).await;
    check(
        "SELECT p.v, r.value FROM pump p JOIN readings r ON r.asset = p.asset AND r.time = p.time \
         AND r.metric = 'v' WHERE p.asset = 'p-2' ORDER BY 1",
        &["[8.0,8.0]", "[9.0,9.0]"],
    )
    .await;
}

#[tokio::test]
async fn the_clock_is_the_business_clock() {
    check("SELECT now()", &[r#"["2031-05-05T07:00:00Z"]"#]).await;
    check("SELECT current_date", &[r#"["2031-05-05"]"#]).await;
    check(
        "SELECT count(*) FROM pump WHERE time > now() - INTERVAL '1 hour' AND asset = 'p-1'",
        &["[2]"],
    )
    .await;
    check(
        "SELECT count(*) FROM pump WHERE time < now() - INTERVAL '1 hour'",
        &["[1]"],
    )
    .await;
    check(
        "SELECT count(*) FROM readings WHERE time >= TIMESTAMP '2031-05-05 06:00:30'",
        &["[3]"],
    )
    .await;
}

#[tokio::test]
async fn tables_describe_themselves() {
    check(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' \
         ORDER BY table_name",
        &[
            r#"["fan-2"]"#,
            r#"["last_values"]"#,
            r#"["pump"]"#,
            r#"["readings"]"#,
        ],
    )
    .await;
    check(
        "DESCRIBE readings",
        &[
            r#"["asset","Utf8","NO"]"#,
            r#"["time","Timestamp(µs, \"UTC\")","NO"]"#,
            r#"["metric","Utf8","NO"]"#,
            r#"["value","Float64","YES"]"#,
            r#"["text","Utf8","YES"]"#,
            r#"["quality","Utf8","NO"]"#,
            r#"["unit","Utf8","YES"]"#,
            r#"["received_at","Timestamp(µs, \"UTC\")","NO"]"#,
        ],
    )
    .await;
    let mut worlds = world();
    let engine = engine(snapshot_of(&mut worlds));
    assert_eq!(rows(&engine, "SHOW TABLES").await.len(), 11);
    assert_eq!(rows(&engine, "SHOW COLUMNS FROM pump").await.len(), 5);
    assert!(rows(&engine, "SHOW ALL").await.len() > 50);
    assert!(
        !rows(&engine, "EXPLAIN ANALYZE SELECT max(v) FROM pump")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn an_empty_service_answers() {
    let engine = engine(Default::default());
    assert_eq!(
        rows(&engine, "SELECT count(*) FROM readings").await,
        ["[0]"]
    );
    assert_eq!(
        rows(&engine, "SELECT * FROM readings").await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn only_what_can_match_is_read() {
    let mut worlds = world();
    let files = worlds[0].files();
    let snapshot = snapshot_of(&mut worlds);
    let planning = engine(snapshot.clone());
    let plan = |sql: &str| format!("EXPLAIN SELECT v FROM pump WHERE {sql}");
    let plan_of = async |sql: &str| rows(&planning, &plan(sql)).await.join("\n");
    // No late row of that time means no overlay.
    assert!(
        !plan_of("time > '2031-05-05T06:00:45Z'")
            .await
            .contains("OverlayExec")
    );
    assert!(
        plan_of("time > '2031-05-05T06:00:15Z'")
            .await
            .contains("OverlayExec")
    );
    let engine = engine(snapshot);
    for file in &files {
        std::fs::remove_file(file).unwrap();
    }
    // The pump's file ends at 06:00:30, so a later time never opens it (it is gone).
    let later = "SELECT v FROM pump WHERE time > '2031-05-05T06:00:30Z'";
    assert_eq!(rows(&engine, later).await, ["[3.0]"]);
    let later = "SELECT value FROM readings WHERE metric = 'v' AND time > '2031-05-05T06:00:45Z'";
    assert_eq!(rows(&engine, later).await, ["[3.0]"]);
    assert!(engine.query("SELECT v FROM pump").await.is_err());
}

#[tokio::test]
async fn answers_render_for_people_and_programs() {
    let mut worlds = world();
    let engine = engine(snapshot_of(&mut worlds));
    let answer = engine
        .query("SELECT asset, v FROM pump WHERE asset = 'p-2' ORDER BY v")
        .await;
    let answer = answer.unwrap();
    let expected = "\
+-------+----------+
| asset | v [mm/s] |
+-------+----------+
| p-2   | 8.0      |
| p-2   | 9.0      |
+-------+----------+
2 rows
";
    assert_eq!(answer.to_text(), expected);
    let json = answer.to_json_rows();
    assert_eq!(
        json["columns"].to_string(),
        r#"[{"name":"asset","type":"text"},{"name":"v","type":"float","unit":"mm/s"}]"#
    );
    let odd = "SELECT 'NaN'::DOUBLE AS nan, 1.0 / 0.0::DOUBLE AS inf, 12.50::DECIMAL(10, 2) AS d, \
               [1, NULL] AS l, TRUE AS b, NULL AS n, 'x' AS t, DATE '2031-01-02' AS day, \
               {'a': 1} AS s, TIMESTAMP '2031-01-02 03:04:05.678' AS i, INTERVAL '1 hour' AS h";
    assert_eq!(
        rows(&engine, odd).await,
        [concat!(
            r#"[null,null,"12.50",[1,null],true,null,"x","2031-01-02",{"a":1},"#,
            r#""2031-01-02T03:04:05.678Z","1 hours"]"#
        )]
    );
}

#[tokio::test]
async fn fifty_classes_make_one_small_plan() {
    let metrics: Vec<&'static str> = (0..50)
        .map(|m| -> &'static str { Box::leak(format!("m{m}").into_boxed_str()) })
        .collect();
    let mut worlds: Vec<World> = (0..50)
        .map(|class| {
            let mut world = World::new(Box::leak(format!("c{class}").into_boxed_str()));
            let values: Vec<(&'static str, f64)> = metrics.iter().map(|m| (*m, 1.0)).collect();
            for step in 0..4 {
                world.receive(&format!("a{class}"), SIX + step * SECOND, &values);
                if step == 1 {
                    world.flush(false);
                }
            }
            world
        })
        .collect();
    let engine = engine(snapshot_of(&mut worlds));
    assert_eq!(
        rows(&engine, "SELECT count(*) FROM readings").await,
        ["[10000]"]
    );
    assert_eq!(
        rows(
            &engine,
            "SELECT count(*), sum(value) FROM readings WHERE metric = 'm7'"
        )
        .await,
        ["[200,200.0]"]
    );
    let one = "EXPLAIN SELECT * FROM readings WHERE asset = 'a3' AND metric IN ('m1', 'm2')";
    let plan = rows(&engine, one).await.join("\n");
    assert!(
        plan.contains("UnpivotExec: classes=50, metrics=100"),
        "{plan}"
    );
}

/// Files and row groups that a condition on the key rules out are not read, and neither are rows
/// of a row group that only the other side of a join or a subquery rules out.
#[tokio::test]
async fn what_is_skipped_is_counted() {
    let mut pump = World::new("pump");
    for file in 0..3 {
        for asset in ["p-1", "p-2", "p-3"] {
            for step in 0..14 {
                let time = SIX + (file * 100 + step) * SECOND;
                pump.receive(asset, time, &[("v", step as f64)]);
            }
        }
        pump.flush(false);
    }
    let engine = engine(pump.snapshot());
    let plan_of = async |sql: &str| {
        rows(&engine, &format!("EXPLAIN ANALYZE {sql}"))
            .await
            .join("\n")
    };
    let check = async |sql: &str, answer: &str, read: &[&str]| {
        assert_eq!(rows(&engine, sql).await, [answer], "{sql}");
        let plan = plan_of(sql).await;
        for read in read {
            assert!(plan.contains(read), "{sql}: {read} in {plan}");
        }
    };
    // Row groups have 7 rows: two of each asset in each file.
    check(
        "SELECT count(v) FROM pump",
        "[126]",
        &["files=3 of 3, row_groups=18 of 18"],
    )
    .await;
    check(
        "SELECT count(v) FROM pump WHERE asset = 'p-2'",
        "[42]",
        &["files=3 of 3, row_groups=6 of 18"],
    )
    .await;
    check(
        "SELECT count(v) FROM pump WHERE time >= '2031-05-05T06:03:20Z'",
        "[42]",
        &["files=1 of 3, row_groups=6 of 6"],
    )
    .await;
    check(
        "SELECT count(v) FROM pump WHERE asset = 'p-4' AND time < '2031-05-05T06:00:01Z'",
        "[0]",
        &["PlaceholderRowExec"],
    )
    .await;
    check(
        "SELECT count(v) FROM pump WHERE v > 12.5",
        "[9]",
        &["files=3 of 3, row_groups=9 of 18"],
    )
    .await;
    check(
        "SELECT count(v) FROM pump WHERE time > (SELECT max(time) FROM pump) - INTERVAL '3 seconds'",
        "[9]",
        &["rows_skipped=117"],
    )
    .await;
    check(
        "SELECT count(p.v) FROM pump p JOIN (SELECT asset FROM pump WHERE v = 3 AND asset > 'p-2' \
         GROUP BY asset) few ON few.asset = p.asset",
        "[42]",
        &["rows_skipped=84"],
    )
    .await;
    let grouped = "SELECT asset, count(v) FROM pump GROUP BY asset ORDER BY asset LIMIT 1";
    check(grouped, r#"["p-1",42]"#, &["RunAggregateExec"]).await;
    // One asset's rows ascend through files that follow each other.
    let ordered = "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY time) AS r FROM pump WHERE asset = 'p-1')";
    assert!(
        !plan_of(ordered).await.contains("SortExec"),
        "{}",
        plan_of(ordered).await
    );
    check(ordered, "[42]", &["output_ordering=[time@"]).await;
}
