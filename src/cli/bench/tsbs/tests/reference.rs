//! The 13 queries once more, as loops over rows.

use std::collections::{BTreeMap, BTreeSet};

use super::super::rows::{Row, Table};

/// Rows of texts by query.
pub(super) type Answers = BTreeMap<&'static str, Vec<Vec<String>>>;

const MINUTE: i64 = 60_000_000_000;
const PERIOD: i64 = 10 * MINUTE;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Places among the numbers of a row: three capacities, then the fields of the table.
const LOAD_CAPACITY: usize = 0;
const NOMINAL: usize = 2;
const LATITUDE: usize = 3;
const LONGITUDE: usize = 4;
const VELOCITY: usize = 6;
const FUEL_CONSUMPTION: usize = 9;
const FUEL_STATE: usize = 3;
const CURRENT_LOAD: usize = 4;
const STATUS: usize = 5;
/// Places among the texts.
const FLEET: usize = 0;
const DRIVER: usize = 1;
const MODEL: usize = 2;

type Key = (String, i64);

/// Sum and count.
type Mean = (f64, f64);

fn mean((sum, count): Mean) -> f64 {
    sum / count
}

/// The last known of each truck: what is null in a later row stays.
fn trucks(table: &Table) -> BTreeMap<String, Row> {
    let mut trucks: BTreeMap<String, Row> = BTreeMap::new();
    for row in &table.rows {
        match trucks.get_mut(&*row.name) {
            Some(known) => known.correct(row.clone()),
            None => drop(trucks.insert(row.name.to_string(), row.clone())),
        }
    }
    trucks
}

/// Means of a field by truck and period, of rows that pass.
fn periods(table: &Table, field: usize, passes: impl Fn(&Row) -> bool) -> BTreeMap<Key, Mean> {
    let mut periods: BTreeMap<Key, Mean> = BTreeMap::new();
    for row in table.rows.iter().filter(|row| passes(row)) {
        let period = row.time - row.time.rem_euclid(PERIOD);
        let mean = periods.entry((row.name.to_string(), period)).or_default();
        if let Some(value) = row.numbers[field] {
            mean.0 += value;
            mean.1 += 1.0;
        }
    }
    periods
}

fn text(row: &Row, place: usize) -> String {
    row.texts[place].as_deref().unwrap_or("None").to_owned()
}

fn number(row: &Row, place: usize) -> String {
    row.numbers[place].map_or("None".to_owned(), |value| value.to_string())
}

fn day(instant: i64) -> i64 {
    instant - instant.rem_euclid(DAY)
}

fn shown(instant: i64) -> String {
    let instant = chrono::DateTime::from_timestamp_nanos(instant);
    instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

fn is_of(row: &Row, fleet: &str) -> bool {
    row.texts[FLEET].as_deref() == Some(fleet)
}

/// Answers over rows that are sorted and of which no two have one key.
pub(super) fn answers(readings: &Table, diagnostics: &Table) -> Answers {
    let (r, d) = (trucks(readings), trucks(diagnostics));
    let newest = readings.rows.iter().map(|row| row.time).max().unwrap();
    let mut answers = Answers::new();

    let place = |(name, row): (&String, &Row)| {
        vec![
            name.clone(),
            text(row, DRIVER),
            number(row, LONGITUDE),
            number(row, LATITUDE),
        ]
    };
    let one = r.iter().filter(|(name, _)| *name == "truck_1").map(place);
    answers.insert("last-loc", one.collect());
    let fleet = r.iter().filter(|(_, row)| is_of(row, "South")).map(place);
    answers.insert("last-loc-fleet", fleet.collect());

    let low = d.iter().filter(|(_, row)| {
        is_of(row, "North") && row.numbers[FUEL_STATE].is_some_and(|fuel| fuel < 0.75)
    });
    let low = low.map(|(name, row)| vec![name.clone(), text(row, DRIVER), number(row, FUEL_STATE)]);
    answers.insert("low-fuel", low.collect());
    let high = d.iter().filter(|(_, row)| {
        let (load, capacity) = (row.numbers[CURRENT_LOAD], row.numbers[LOAD_CAPACITY]);
        is_of(row, "South")
            && load
                .zip(capacity)
                .is_some_and(|(load, most)| load / most > 0.9)
    });
    let high = high.map(|(name, row)| {
        vec![
            name.clone(),
            text(row, DRIVER),
            number(row, LOAD_CAPACITY),
            number(row, CURRENT_LOAD),
        ]
    });
    answers.insert("high-load", high.collect());

    let mut moved: BTreeMap<&str, Mean> = BTreeMap::new();
    for row in readings
        .rows
        .iter()
        .filter(|row| row.time > newest - PERIOD)
    {
        if let Some(velocity) = row.numbers[VELOCITY] {
            let of_truck = moved.entry(&row.name).or_default();
            *of_truck = (of_truck.0 + velocity, of_truck.1 + 1.0);
        }
    }
    let still = moved
        .iter()
        .filter(|(name, of)| is_of(&r[**name], "South") && mean(**of) < 10.0);
    let still = still.map(|(name, _)| vec![(*name).to_owned(), text(&r[*name], DRIVER)]);
    answers.insert("stationary-trucks", still.collect());

    for (query, hours, more_than) in [
        ("long-driving-sessions", 4, 22),
        ("long-daily-sessions", 24, 60),
    ] {
        let mut driven: BTreeMap<String, usize> = BTreeMap::new();
        for ((name, _), of) in periods(readings, VELOCITY, |row| row.time > newest - hours * HOUR) {
            *driven.entry(name).or_default() += usize::from(mean(of) > 20.0);
        }
        let long = driven
            .iter()
            .filter(|(name, count)| is_of(&r[*name], "South") && **count > more_than);
        let long = long.map(|(name, _)| vec![name.clone(), text(&r[name], DRIVER)]);
        answers.insert(query, long.collect());
    }

    let mut fuel: BTreeMap<String, (Mean, Mean)> = BTreeMap::new();
    for row in readings
        .rows
        .iter()
        .filter(|row| row.numbers[VELOCITY].is_some_and(|v| v > 1.0))
    {
        let truck = &r[&*row.name];
        let (real, nominal) = fuel.entry(text(truck, FLEET)).or_default();
        for (of, value) in [
            (real, row.numbers[FUEL_CONSUMPTION]),
            (nominal, truck.numbers[NOMINAL]),
        ] {
            if let Some(value) = value {
                *of = (of.0 + value, of.1 + 1.0);
            }
        }
    }
    let fuel = fuel.iter().map(|(fleet, (real, nominal))| {
        vec![
            fleet.clone(),
            mean(*real).to_string(),
            mean(*nominal).to_string(),
        ]
    });
    answers.insert("avg-vs-projected-fuel-consumption", fuel.collect());

    let velocity = periods(readings, VELOCITY, |_| true);
    let mut days: BTreeMap<Key, f64> = BTreeMap::new();
    for ((name, period), of) in &velocity {
        if mean(*of) > 1.0 {
            *days.entry((name.clone(), day(*period))).or_default() += 1.0;
        }
    }
    let mut hours: BTreeMap<&str, Mean> = BTreeMap::new();
    for ((name, _), periods) in &days {
        let of = hours.entry(name).or_default();
        *of = (of.0 + periods / 6.0, of.1 + 1.0);
    }
    let hours = hours.iter().map(|(name, of)| {
        vec![
            text(&r[*name], FLEET),
            (*name).to_owned(),
            text(&r[*name], DRIVER),
            mean(*of).to_string(),
        ]
    });
    answers.insert("avg-daily-driving-duration", hours.collect());

    let mut sessions: BTreeMap<(String, i64), Mean> = BTreeMap::new();
    for name in r.keys() {
        let of_truck = velocity
            .iter()
            .filter(|((of, _), mean)| of == name && mean.1 > 0.0);
        let driving: Vec<(i64, bool)> = of_truck
            .map(|((_, at), of)| (*at, mean(*of) > 5.0))
            .collect();
        let mut changes = driving.clone();
        changes.dedup_by_key(|(_, driving)| *driving);
        for pair in changes.windows(2) {
            let ((start, driving), (stop, _)) = (pair[0], pair[1]);
            if driving {
                let of = sessions.entry((name.clone(), day(start))).or_default();
                *of = (of.0 + (stop - start) as f64 / MINUTE as f64, of.1 + 1.0);
            }
        }
    }
    let sessions = sessions
        .iter()
        .map(|((name, day), of)| vec![name.clone(), shown(*day), mean(*of).to_string()]);
    answers.insert("avg-daily-driving-session", sessions.collect());

    let mut loads: BTreeMap<Vec<String>, Mean> = BTreeMap::new();
    for (name, truck) in &d {
        let of_truck = diagnostics.rows.iter().filter(|row| *row.name == **name);
        let of_truck: Vec<f64> = of_truck
            .filter_map(|row| row.numbers[CURRENT_LOAD])
            .collect();
        let load = of_truck.iter().sum::<f64>() / of_truck.len() as f64;
        let kind = vec![
            text(truck, FLEET),
            text(truck, MODEL),
            number(truck, LOAD_CAPACITY),
        ];
        let of = loads.entry(kind).or_default();
        *of = (
            of.0 + load / truck.numbers[LOAD_CAPACITY].unwrap(),
            of.1 + 1.0,
        );
    }
    let loads = loads.into_iter().map(|(mut kind, of)| {
        kind.push(mean(of).to_string());
        kind
    });
    answers.insert("avg-load", loads.collect());

    let mut active: BTreeMap<Vec<String>, f64> = BTreeMap::new();
    for ((name, period), of) in periods(diagnostics, STATUS, |_| true) {
        if of.1 > 0.0 && mean(of) < 1.0 {
            let kind = vec![
                text(&d[&name], FLEET),
                text(&d[&name], MODEL),
                shown(day(period)),
            ];
            *active.entry(kind).or_default() += 1.0;
        }
    }
    let active = active.into_iter().map(|(mut kind, periods)| {
        kind.push((periods / 144.0).to_string());
        kind
    });
    answers.insert("daily-activity", active.collect());

    let known = |row: &Row| row.numbers[STATUS].is_some();
    let all = periods(diagnostics, STATUS, known);
    let zero = periods(diagnostics, STATUS, |row| row.numbers[STATUS] == Some(0.0));
    let broken = |key: &Key| zero.get(key).map_or(0.0, |of| of.1) / all[key].1 >= 0.5;
    let keys: Vec<&Key> = all.keys().collect();
    let mut breakdowns: BTreeMap<String, usize> = BTreeMap::new();
    for pair in keys.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        if !broken(pair[0]) && broken(pair[1]) {
            *breakdowns.entry(text(&d[&pair[0].0], MODEL)).or_default() += 1;
        }
    }
    let breakdowns = breakdowns
        .into_iter()
        .map(|(model, count)| vec![model, count.to_string()]);
    answers.insert("breakdown-frequency", breakdowns.collect());
    answers
}

/// The same rows in any order, numbers to nine places.
pub(super) fn assert_same(query: &str, found: &[Vec<String>], expected: &[Vec<String>]) {
    let rounded = |rows: &[Vec<String>]| -> BTreeSet<String> {
        let cell = |cell: &String| match cell.parse::<f64>() {
            Ok(number) => format!("{number:.9e}"),
            Err(_) => cell.clone(),
        };
        let rows = rows
            .iter()
            .map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" | "));
        rows.collect()
    };
    assert_eq!(found.len(), expected.len(), "{query}: rows");
    assert_eq!(rounded(found), rounded(expected), "{query}");
}
