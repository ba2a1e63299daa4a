//! The 13 answers are those of a slow and obvious reference, whatever the order of arrival.

mod reference;

use std::path::Path;

use super::generate::{Plan, tables};
use super::rows::Table;
use super::{engine, load, queries};

/// Small, but with answers that tell right from wrong.
const PLAN: Plan = Plan {
    trucks: 24,
    hours: 5,
    seed: 7,
};

async fn check(folder: &Path, tables: &[Table], compact: bool, expected: &reference::Answers) {
    let store = load::Store::open(folder).unwrap();
    for table in tables {
        store.load(table).await.unwrap();
    }
    if compact {
        store.settle().await.unwrap();
    }
    let engine = engine(&store, 2);
    for query in queries::all() {
        // Roll-ups are there once the rows are compacted.
        let forms = match compact {
            true => vec![query.sql, query.scan],
            false => vec![query.scan],
        };
        for sql in forms {
            let answer = engine
                .query(sql)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            let found = queries::rows(&answer).unwrap();
            reference::assert_same(&query.name, &found, &expected[query.name.as_str()]);
        }
    }
    // A second round is answered from decoded columns.
    for query in queries::all() {
        let answer = engine.query(query.scan).await.unwrap();
        let found = queries::rows(&answer).unwrap();
        reference::assert_same(&query.name, &found, &expected[query.name.as_str()]);
    }
    store.stop().await.unwrap();
    // A start changes no answer.
    let store = load::Store::open(folder).unwrap();
    let engine = super::engine(&store, 2);
    for query in queries::all() {
        let answer = engine.query(query.scan).await.unwrap();
        let found = queries::rows(&answer).unwrap();
        reference::assert_same(&query.name, &found, &expected[query.name.as_str()]);
    }
    store.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirteen_answers_do_not_depend_on_the_order_of_arrival() {
    let arrived = tables(&PLAN);
    let sorted: Vec<Table> = arrived.iter().cloned().map(Table::sorted).collect();
    let expected = reference::answers(&sorted[0], &sorted[1]);
    let telling = expected.values().filter(|rows| !rows.is_empty()).count();
    assert!(telling >= 8, "{telling} of 13 answers have rows");
    let folder = tempfile::tempdir().unwrap();
    check(&folder.path().join("arrival"), &arrived, true, &expected).await;
    check(
        &folder.path().join("uncompacted"),
        &arrived,
        false,
        &expected,
    )
    .await;
    check(&folder.path().join("sorted"), &sorted, true, &expected).await;
}

#[test]
fn made_data_has_the_faults_of_the_suite() {
    let tables = tables(&PLAN);
    let nominal = (PLAN.trucks * PLAN.hours * 360) as f64;
    for table in &tables {
        let rows = table.rows.len() as f64;
        assert!(
            (0.85..0.95).contains(&(rows / nominal)),
            "{} rows of {nominal}",
            table.rows.len()
        );
        let mut newest = std::collections::HashMap::new();
        let late = table.rows.iter().filter(|row| {
            let newest = newest.entry(&row.name).or_insert(i64::MIN);
            let late = row.time <= *newest;
            *newest = (*newest).max(row.time);
            late
        });
        let late = late.count() as f64 / rows;
        assert!((0.1..0.5).contains(&late), "{late} late");
        let lacking = table
            .rows
            .iter()
            .filter(|row| row.numbers[3..].contains(&None))
            .count();
        assert!((0.08..0.12).contains(&(lacking as f64 / rows)), "{lacking}");
        assert!(
            table.clone().sorted().len() < table.len(),
            "some rows come again"
        );
    }
}

#[test]
fn a_row_is_a_line() {
    let mut table = tables(&Plan {
        trucks: 1,
        hours: 1,
        seed: 1,
    })
    .remove(1);
    table.rows.truncate(1);
    let row = &mut table.rows[0];
    row.time = 1_451_606_400_000_000_000;
    row.texts = [Some("A, B".into()), None, Some("x=y".into()), None];
    row.numbers = vec![Some(1500.0), None, Some(12.0), Some(0.5), None, Some(3.0)];
    let mut line = String::new();
    table.rows[0].write_line(&table, &mut line);
    assert_eq!(
        line,
        "diagnostics,name=truck_0,fleet=A\\,\\ B,model=x\\=y load_capacity=1500,\
         nominal_fuel_consumption=12,fuel_state=0.5,status=3 1451606400000000000\n"
    );
}
