//! C-MAPSS: turbofans run to failure, and others cut off before; remaining cycles of the latter.
//!
//! Every `train_FD…` makes a model, and every `test_FD…` with the same ending is followed cycle by
//! cycle with it: `FD….csv` has the prognosis at each engine's last row. An engine that is likely
//! to fail within the horizon is told to the desk at every cycle.
//!
//! Columns, separated by spaces, without a header: unit, cycle, three settings, sensors.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta};

use super::orders::{Candidate, Desk};
use super::{BenchError, Done, Places, files_below, read_text, stem, write};
use crate::prognosis::course::Course;
use crate::prognosis::life::{Life, LifeModel, LifeReading, LifeSettings, Remaining};
use crate::settings::Severity;

/// Settings of a row, after unit and cycle.
const SETTINGS: usize = 3;

/// A cycle as event time: a row without a time is one minute after the last.
const CYCLE: TimeDelta = TimeDelta::minutes(1);

/// The cause of what the desk is told.
const CAUSE: &str = "remaining_life";

/// An engine with its number.
pub type Engine = (String, Life);

/// Predicts every set that is there.
///
/// **Errors** when files are missing or hold something else.
pub fn run(places: &Places, desk: &mut dyn Desk) -> Result<Done, BenchError> {
    let settings = LifeSettings::shipped();
    let fit_folder = places.train.as_ref().unwrap_or(&places.data);
    let trains = sets(fit_folder, "train_")?;
    let mut done = Done::default();
    for (set, test) in sets(&places.data, "test_")? {
        let content = |path: &Path, reason: String| BenchError::Content {
            path: path.to_owned(),
            reason,
        };
        let train = trains.iter().find(|(name, _)| *name == set);
        let missing = || content(&test, format!("there is no train_{set} to learn from"));
        let (_, train) = train.ok_or_else(missing)?;
        let lives: Vec<Life> = engines(train)?.into_iter().map(|(_, life)| life).collect();
        let model = settings
            .fit(&lives)
            .map_err(|error| content(train, error.to_string()))?;
        let mut text = "unit,rul,lower,upper\n".to_owned();
        for (unit, life) in engines(&test)? {
            let remaining = follow(&model, &settings, (&set, &unit), &life, desk);
            let Some(now) = remaining else {
                return Err(content(&test, format!("unit {unit} is in no known regime")));
            };
            let (expected, lower, upper) = (now.expected, now.lower, now.upper);
            text += &format!("{unit},{expected:.2},{lower:.2},{upper:.2}\n");
            done.rows += 1;
        }
        write(&places.out.join(format!("{set}.csv")), &text)?;
        done.files += 1;
    }
    if done.files == 0 {
        return Err(BenchError::Nothing {
            set: "cmapss",
            folder: places.data.clone(),
        });
    }
    Ok(done)
}

/// Follows an engine to its last row.
fn follow(
    model: &LifeModel,
    settings: &LifeSettings,
    (set, unit): (&str, &str),
    life: &Life,
    desk: &mut dyn Desk,
) -> Option<Remaining> {
    let asset = format!("{set}-{unit}");
    let mut course: Course = model.begin();
    let mut since: Option<i64> = None;
    let mut last = None;
    for reading in &life.readings {
        model.follow(&mut course, reading);
        let Some(remaining) = model.remaining(&course) else {
            continue;
        };
        let minutes = TimeDelta::minutes(reading.age as i64);
        let now = DateTime::UNIX_EPOCH + minutes;
        let horizon = TimeDelta::minutes(settings.horizon as i64);
        let outlook = remaining.outlook(now, CYCLE);
        let failure = outlook.probability_of_failure(now + horizon);
        let ratio = failure / settings.alarm_probability;
        let at = now.timestamp_micros();
        if ratio >= 1.0 {
            let began = *since.get_or_insert(at);
            desk.up(&Candidate {
                asset: asset.clone(),
                time: format!("{}", reading.age),
                at,
                cause: CAUSE.to_owned(),
                severity: Severity::High,
                ratio,
                persistence: at - began,
                agreeing: 1,
                watching: 1,
                failure: Some(failure),
            });
        } else if since.take().is_some() {
            desk.over(&asset, CAUSE);
        }
        last = Some(remaining);
    }
    last
}

/// The files of one kind with the names of their sets.
fn sets(folder: &Path, prefix: &str) -> Result<Vec<(String, PathBuf)>, BenchError> {
    let wanted = |path: &Path| stem(path).starts_with(&format!("{prefix}FD"));
    let name = |path: PathBuf| (stem(&path).trim_start_matches(prefix).to_owned(), path);
    let mut sets: Vec<(String, PathBuf)> =
        files_below(folder, wanted)?.into_iter().map(name).collect();
    // The same set gzipped and plain is one set.
    sets.dedup_by(|a, b| a.0 == b.0);
    Ok(sets)
}

/// The engines of a file in its order, each with its rows.
pub fn engines(path: &Path) -> Result<Vec<Engine>, BenchError> {
    let text = read_text(path)?;
    let mut engines: Vec<Engine> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |reason: &str| BenchError::Content {
            path: path.to_owned(),
            reason: format!("line {}: {reason}", number + 1),
        };
        let mut words = line.split_whitespace();
        let Some(unit) = words.next() else {
            continue;
        };
        let values: Vec<f64> = words
            .map(|word| word.parse().map_err(|_| wrong("not a number")))
            .collect::<Result<_, _>>()?;
        if values.len() <= 1 + SETTINGS {
            return Err(wrong("too few columns"));
        }
        if engines.last().is_none_or(|(last, _)| last != unit) {
            engines.push((unit.to_owned(), Life::default()));
        }
        if let Some((_, life)) = engines.last_mut() {
            life.readings.push(LifeReading {
                age: values[0],
                settings: values[1..=SETTINGS].to_vec(),
                sensors: values[1 + SETTINGS..].to_vec(),
            });
        }
    }
    Ok(engines)
}

#[cfg(test)]
mod tests {
    use super::super::orders::NoDesk;
    use super::*;

    /// Engines whose third sensor rises with age; the last `cut` cycles are missing.
    fn file(lengths: &[u32], cut: u32) -> String {
        let mut text = String::new();
        for (unit, length) in lengths.iter().enumerate() {
            for cycle in 1..=length - cut {
                let jitter = f64::from((cycle * 7919 + unit as u32 * 104_729) % 17) / 17.0;
                let wear = f64::from(200 + cycle - length) / 50.0;
                let third = wear + jitter;
                text += &format!("{} {cycle} 0.1 0.2 100 5 {jitter} {third} \n", unit + 1);
            }
        }
        text
    }

    #[test]
    fn predicts_the_last_row_of_every_engine_and_the_same_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let lengths: Vec<u32> = (0..12).map(|engine| 100 + 7 * engine).collect();
        write(&at("train_FD009.txt"), &file(&lengths, 0)).unwrap();
        write(&at("test_FD009.txt"), &file(&[120, 150], 20)).unwrap();
        let predict = |out: &str| {
            let places = Places {
                data: folder.path().to_owned(),
                train: None,
                out: at(out),
            };
            let done = run(&places, &mut NoDesk).unwrap();
            assert_eq!((done.files, done.rows), (1, 2));
            std::fs::read_to_string(at(out).join("FD009.csv")).unwrap()
        };
        let text = predict("first");
        assert_eq!(text, predict("second"));
        for line in text.lines().skip(1) {
            let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
            assert!((cells[1] - 20.0).abs() < 12.0, "{text}");
            assert!(cells[2] <= cells[1] && cells[1] <= cells[3], "{text}");
        }
    }

    #[test]
    fn a_folder_without_the_set_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            data: folder.path().to_owned(),
            train: None,
            out: folder.path().to_owned(),
        };
        let refused = run(&places, &mut NoDesk);
        assert!(matches!(refused, Err(BenchError::Nothing { .. })));
    }
}
