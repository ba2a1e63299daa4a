//! Random worlds against the naive model: rows in order, late, repeated and corrected, values,
//! texts and qualities, split at random between memory and files.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::super::{SqlEngine, SqlLimits};
use super::world::{V_QUALITY, V_TEXT, Values, World, metric_of, shown, word};
use super::{engine_with, rows};

const METRICS: [&str; 4] = ["v", "Temp.C", "load", "rpm"];
const ASSETS: [&str; 3] = ["p-1", "p-2", "ö'3"];
/// 2031-05-08T09:46:40Z in microseconds.
const START: i64 = 1_936_000_000_000_000;
const STEP: i64 = 30_000_000;

type Key = (String, i64);
/// Asset, time, metric, value, text and quality, received at.
type Reading<'a> = (
    &'a String,
    i64,
    &'a str,
    Option<f64>,
    [Option<String>; 2],
    i64,
);

fn random_world(rng: &mut ChaCha8Rng) -> World {
    let mut world = World::new("pump");
    let late_share: f64 = [0.0, 0.05, 0.4][rng.random_range(0..3)];
    let mut steps = [0_i64; ASSETS.len()];
    for receipt in 0..rng.random_range(1..400) {
        let asset = rng.random_range(0..ASSETS.len());
        let step = match rng.random_bool(late_share) {
            true => rng.random_range(0..=steps[asset] + 1),
            false => {
                steps[asset] += rng.random_range(1..4);
                steps[asset]
            }
        };
        // New metrics appear with time, so older files lack columns.
        let known = (receipt / 40 + 1).min(METRICS.len());
        let mut values = Vec::new();
        for metric in &METRICS[..known] {
            if receipt == 0 || rng.random_bool(0.7) {
                // Values follow the time, so a filter can skip whole row groups, wrongly or not;
                // some are corrected far away from their neighbors.
                let near = step as f64 / 40.0 - 5.0;
                let value = match rng.random_bool(0.05) {
                    true => f64::from(rng.random_range(-50..50)) / 10.0,
                    false => near + f64::from(rng.random_range(0..10)) / 10.0,
                };
                match rng.random_range(0..20) {
                    0 if *metric == "v" => values.push((V_TEXT, value)),
                    1 if *metric == "v" => values.push((V_QUALITY, value)),
                    2..6 if *metric == "v" => {
                        values.extend([(*metric, value), (V_QUALITY, value)]);
                    }
                    _ => values.push((*metric, value)),
                }
            }
        }
        world.receive(ASSETS[asset], START + step * STEP, &values);
        match rng.random_range(0..40) {
            0..10 => world.freeze(),
            10 => world.flush(false),
            11 => world.flush(true),
            _ => {}
        }
    }
    world
}

fn instant(micros: i64) -> String {
    let instant = chrono::DateTime::from_timestamp_micros(micros).unwrap();
    instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// Rows of the model that pass, in key order, shown.
fn expect(
    world: &World,
    passes: impl Fn(&Key, &Values) -> bool,
    show: impl Fn(&Key, i64, &Values) -> Vec<Value>,
) -> Vec<String> {
    let kept = world
        .model
        .iter()
        .filter(|(key, (_, values))| passes(key, values));
    kept.map(|(key, (received, values))| Value::Array(show(key, *received, values)).to_string())
        .collect()
}

async fn check(engine: &SqlEngine, sql: &str, expected: Vec<String>) {
    let found = rows(engine, sql).await;
    if found != expected {
        let plan = rows(engine, &format!("EXPLAIN {sql}")).await.join("\n");
        panic!("{sql}\n{plan}\nexpected {expected:#?}\nfound {found:#?}");
    }
}

async fn check_world(world: &mut World, rng: &mut ChaCha8Rng) {
    // Nothing kept of the files, some of it, all of it: the answers are the same.
    let limits = SqlLimits {
        cache_bytes: [0, 20_000, 1 << 20][rng.random_range(0..3)],
        ..SqlLimits::default()
    };
    let sql = engine_with(world.snapshot(), None, limits);
    let metrics: Vec<&str> = world.metrics().to_vec();
    let world = &*world;
    let value = |values: &Values, column: &str| -> Value {
        let value = values.get(column);
        value.map_or(Value::Null, |value| shown(column, *value))
    };
    let above = |values: &Values, metric: &str, than: f64| {
        values.get(metric).is_some_and(|value| *value > than)
    };
    let quoted: Vec<String> = metrics
        .iter()
        .map(|metric| format!("\"{metric}\""))
        .collect();
    let everything = format!("asset, time, received_at, {}", quoted.join(", "));
    let wide = |(asset, time): &Key, received: i64, values: &Values| {
        let mut row = vec![
            json!(asset),
            json!(instant(*time)),
            json!(instant(received)),
        ];
        row.extend(metrics.iter().map(|metric| value(values, metric)));
        row
    };
    let from = START + rng.random_range(0..400) * STEP;
    let than = f64::from(rng.random_range(-50..50)) / 10.0;

    check(
        &sql,
        &format!("SELECT {everything} FROM pump ORDER BY asset, time"),
        expect(world, |_, _| true, wide),
    )
    .await;
    check(
        &sql,
        "SELECT count(*) FROM pump",
        vec![format!("[{}]", world.model.len())],
    )
    .await;
    check(
        &sql,
        &format!(
            "SELECT v FROM pump WHERE asset = 'ö''3' AND time >= '{}' ORDER BY time",
            instant(from)
        ),
        expect(
            world,
            |(asset, time), _| asset == "ö'3" && *time >= from,
            |_, _, values| vec![value(values, "v")],
        ),
    )
    .await;
    check(
        &sql,
        &format!("SELECT {everything} FROM pump WHERE v > {than} ORDER BY asset, time"),
        expect(world, |_, values| above(values, "v", than), wide),
    )
    .await;
    // A column beside a metric is asked for by itself, and asked about by itself.
    if metrics.contains(&V_QUALITY) {
        check(
            &sql,
            "SELECT v__quality, count(*) FROM pump WHERE v__quality = 'bad' GROUP BY v__quality",
            match expect(
                world,
                |_, values| values.get(V_QUALITY).is_some_and(|value| *value > 0.0),
                |_, _, _| vec![],
            )
            .len()
            {
                0 => vec![],
                count => vec![json!(["bad", count]).to_string()],
            },
        )
        .await;
        check(
            &sql,
            "SELECT time, asset, v FROM pump WHERE v__quality IS NULL ORDER BY asset, time",
            expect(
                world,
                |_, values| !values.contains_key(V_QUALITY),
                |(asset, time), _, values| {
                    vec![json!(instant(*time)), json!(asset), value(values, "v")]
                },
            ),
        )
        .await;
    }
    let mixed = |(asset, time): &Key, values: &Values| {
        (above(values, "v", than) && *time < from) || asset == "p-2"
    };
    check(
        &sql,
        &format!(
            "SELECT count(*) FROM pump WHERE (v > {than} AND time < '{}') OR asset = 'p-2'",
            instant(from)
        ),
        vec![format!(
            "[{}]",
            expect(world, mixed, |_, _, _| vec![]).len()
        )],
    )
    .await;
    check(
        &sql,
        &format!(
            "SELECT count(v) FROM pump WHERE time BETWEEN '{}' AND '{}' AND v IS NOT NULL",
            instant(from),
            instant(from + 20 * STEP)
        ),
        vec![format!(
            "[{}]",
            expect(
                world,
                |(_, time), values| {
                    (from..=from + 20 * STEP).contains(time) && values.contains_key("v")
                },
                |_, _, _| vec![],
            )
            .len()
        )],
    )
    .await;
    check_groups(world, &sql, from, than).await;
    check_limits(world, &sql, rng).await;
    check_readings(world, &sql, from, than).await;
}

async fn check_groups(world: &World, sql: &SqlEngine, from: i64, than: f64) {
    type Groups = BTreeMap<(String, i64), (u64, f64)>;
    let groups = |width: i64, passes: &dyn Fn(i64, &Values) -> bool| -> Vec<String> {
        let mut groups = Groups::new();
        for ((asset, time), (_, values)) in &world.model {
            if passes(*time, values) {
                let bin = time - time.rem_euclid(width);
                let group = groups.entry((asset.clone(), bin)).or_default();
                group.0 += 1;
                group.1 = values.get("v").map_or(group.1, |v| group.1.max(*v));
            }
        }
        let rows = groups.into_iter();
        rows.map(|((asset, bin), (count, most))| {
            json!([asset, instant(bin), count, most]).to_string()
        })
        .collect()
    };
    let by = |bin: &str, condition: &str| {
        format!(
            "SELECT asset, date_bin(INTERVAL '{bin}', time) AS bin, count(*), \
             coalesce(greatest(max(v), 0.0), 0.0) FROM pump WHERE {condition} \
             GROUP BY asset, bin ORDER BY asset, bin"
        )
    };
    let after = format!("time > '{}'", instant(from));
    check(
        sql,
        &by("10 minutes", &after),
        groups(600_000_000, &|time, _| time > from),
    )
    .await;
    let fast = format!("v > {than}");
    let is_fast = |_, values: &Values| values.get("v").is_some_and(|v| *v > than);
    check(sql, &by("1 hour", &fast), groups(3_600_000_000, &is_fast)).await;
    let newest = world.model.keys().map(|(_, time)| *time).max();
    let newest = newest.map(|time| json!([instant(time)]).to_string());
    check(
        sql,
        "SELECT max(time) FROM pump",
        newest.into_iter().collect(),
    )
    .await;
    let late = world
        .model
        .keys()
        .map(|(_, time)| *time)
        .max()
        .map(|max| max - 5 * STEP);
    let late = world
        .model
        .keys()
        .filter(|(_, time)| late.is_some_and(|late| *time > late));
    let joined = "SELECT count(*) FROM pump JOIN (SELECT DISTINCT asset FROM pump WHERE asset <> 'p-1') chosen \
                  ON chosen.asset = pump.asset \
                  WHERE time > (SELECT max(time) FROM pump) - INTERVAL '150 seconds'";
    let count = late.filter(|(asset, _)| asset != "p-1").count();
    check(sql, joined, vec![format!("[{count}]")]).await;
}

async fn check_limits(world: &World, sql: &SqlEngine, rng: &mut ChaCha8Rng) {
    let limit = rng.random_range(0..20);
    let some = rows(sql, &format!("SELECT asset, time FROM pump LIMIT {limit}")).await;
    assert_eq!(some.len(), limit.min(world.model.len()));
    let all = expect(
        world,
        |_, _| true,
        |(asset, time), _, _| vec![json!(asset), json!(instant(*time))],
    );
    assert!(some.iter().all(|row| all.contains(row)), "{some:?}");
    let mut distinct = some.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), some.len(), "no row twice");

    let mut newest = world.model.iter().collect::<Vec<_>>();
    newest.sort_by(|(a, _), (b, _)| (b.1, &a.0).cmp(&(a.1, &b.0)));
    let newest = newest
        .iter()
        .take(limit)
        .map(|((asset, time), (_, values))| {
            json!([instant(*time), asset, values.get("v")]).to_string()
        });
    check(
        sql,
        &format!("SELECT time, asset, v FROM pump ORDER BY time DESC, asset LIMIT {limit}"),
        newest.collect(),
    )
    .await;
}

async fn check_readings(world: &World, sql: &SqlEngine, from: i64, than: f64) {
    let mut all: Vec<Reading<'_>> = Vec::new();
    for ((asset, time), (received, values)) in &world.model {
        let metrics: BTreeSet<&str> = values.keys().map(|column| metric_of(column).0).collect();
        for metric in metrics {
            let beside = [V_TEXT, V_QUALITY].map(|column| {
                let value = values.get(column).filter(|_| metric == "v")?;
                Some(word(column, *value))
            });
            let value = values.get(metric).copied();
            all.push((asset, *time, metric, value, beside, *received));
        }
    }
    let shown = |passes: &dyn Fn(&Reading<'_>) -> bool| -> Vec<String> {
        let kept = all.iter().filter(|reading| passes(reading));
        kept.map(|(asset, time, metric, value, [text, quality], received)| {
            let unit = (*metric == "v").then_some("mm/s");
            let (time, received) = (instant(*time), instant(*received));
            let quality = quality.as_deref().unwrap_or("good");
            json!([asset, time, metric, value, text, quality, unit, received]).to_string()
        })
        .collect()
    };
    let order = "ORDER BY asset, time, metric";
    check(
        sql,
        &format!("SELECT * FROM readings {order}"),
        shown(&|_| true),
    )
    .await;
    check(
        sql,
        &format!("SELECT * FROM readings WHERE metric = 'Temp.C' AND asset <> 'p-1' {order}"),
        shown(&|r| r.2 == "Temp.C" && r.0 != "p-1"),
    )
    .await;
    check(
        sql,
        &format!(
            "SELECT * FROM readings WHERE metric IN ('v', 'rpm', 'none') AND value > {than} \
             AND time < '{}' {order}",
            instant(from)
        ),
        shown(&|r| ["v", "rpm"].contains(&r.2) && r.3 > Some(than) && r.1 < from),
    )
    .await;
    check(
        sql,
        &format!("SELECT * FROM readings WHERE metric LIKE '%o%' OR asset = 'p-1' {order}"),
        shown(&|r| r.2.contains('o') || r.0 == "p-1"),
    )
    .await;
    check(
        sql,
        "SELECT count(*) FROM readings",
        vec![format!("[{}]", all.len())],
    )
    .await;
    let wanted = all.iter().filter(|r| r.2 == "v").count();
    check(
        sql,
        "SELECT count(*) FROM readings WHERE metric = 'v'",
        vec![format!("[{wanted}]")],
    )
    .await;
}

#[tokio::test]
async fn random_worlds_agree_with_the_model() {
    for seed in 0..24 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = random_world(&mut rng);
        println!(
            "seed {seed}: {} rows, {} files",
            world.model.len(),
            world.files().len()
        );
        check_world(&mut world, &mut rng).await;
        // A flush changes no answer.
        world.flush(false);
        world.flush(true);
        check_world(&mut world, &mut rng).await;
        let _ = rng.next_u32();
    }
}
