//! The Skoltech anomaly benchmark: a water rig, one file an experiment, one reading a second.
//!
//! Every file is an asset of its own that learns from its first readings.

use std::fmt::Write as _;
use std::path::Path;

use super::orders::Desk;
use super::time::Times;
use super::{BenchError, Done, Feed, Places, files_below, read_text, settings, table, write};
use crate::episode::Turn;
use crate::settings::Kinds;

/// What the labels of the public set are called; they are not read.
const LABELS: [&str; 2] = ["anomaly", "changepoint"];
/// Name of the detector that says whether the state is normal.
const STATE: &str = "state";
/// Name of the detector that says that something has just happened.
const CHANGE: &str = "changepoint";

/// Predictions for every file below a folder, under the same name:
/// `timestamp,score,flag,changepoint`.
///
/// **Errors**: see [`BenchError`].
pub fn run(places: &Places, kinds: &Kinds, desk: &mut dyn Desk) -> Result<Done, BenchError> {
    let settings = settings(kinds, "machine")?;
    let files = files_below(&places.data, |path| {
        let name = path.to_string_lossy();
        path.components().count() > 1 && (name.ends_with(".csv") || name.ends_with(".csv.gz"))
    })?;
    if files.is_empty() {
        return Err(BenchError::Nothing {
            set: "skab",
            folder: places.data.clone(),
        });
    }
    let mut done = Done::default();
    for path in files {
        let name = path.strip_prefix(&places.data).unwrap_or(&path);
        let name = name.to_string_lossy().replace('\\', "/");
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let asset = name.strip_suffix(".csv").unwrap_or(name).to_owned();
        let readings = Readings::of(&path)?;
        let mut feed = Feed::fresh(asset, readings.metrics, &settings);
        let mut text = String::from("timestamp,score,flag,changepoint\n");
        let (mut score, mut flag) = (0.0, 0);
        for (time, shown, values) in &readings.rows {
            let said = feed.take_and_tell((*time, shown), values, desk);
            let mut changed = 0;
            let watch = feed.monitor().watch();
            if let (Some((_, judgement)), Some(watch)) = (said, watch) {
                for (name, verdict) in watch.names().zip(&judgement.verdicts) {
                    match (name, verdict) {
                        (STATE, Some(verdict)) => {
                            score = verdict.score();
                            flag = i32::from(verdict.alarm);
                        }
                        (CHANGE, Some(verdict)) => {
                            changed = i32::from(matches!(verdict.turn, Turn::Raise { .. }));
                        }
                        _ => {}
                    }
                }
            }
            // A row that is not judged has the state of the row before.
            let _ = writeln!(text, "{shown},{score:.6},{flag},{changed}");
        }
        done.files += 1;
        done.rows += readings.rows.len();
        write(&places.out.join(name), &text)?;
    }
    Ok(done)
}

/// One file.
struct Readings {
    metrics: Vec<String>,
    /// Instant, as it is written, one value per metric.
    rows: Vec<(i64, String, Vec<f64>)>,
}

impl Readings {
    fn of(path: &Path) -> Result<Self, BenchError> {
        let text = read_text(path)?;
        let header = text.lines().next().unwrap_or_default();
        let delimiter = if header.contains(';') { b';' } else { b',' };
        let table = table(path, &text, delimiter)?;
        let named = |name: &str| table.header.iter().position(|column| column == name);
        let clock = named("datetime")
            .or_else(|| named("timestamp"))
            .unwrap_or(0);
        let is_metric = |at: &usize| {
            *at != clock && !LABELS.contains(&table.header[*at].to_ascii_lowercase().as_str())
        };
        let chosen: Vec<usize> = (0..table.header.len()).filter(is_metric).collect();
        let mut rows = Vec::with_capacity(table.rows.len());
        let mut times = Times::default();
        for cells in &table.rows {
            let shown = cells.get(clock).cloned().unwrap_or_default();
            let time = times.next(Some(&shown));
            let value = |at: &usize| {
                let cell = cells.get(*at).map(|cell| cell.parse::<f64>());
                cell.and_then(Result::ok).unwrap_or(f64::NAN)
            };
            rows.push((time, shown, chosen.iter().map(value).collect()));
        }
        let metrics = chosen.iter().map(|at| table.header[*at].clone()).collect();
        Ok(Self { metrics, rows })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::{DateTime, TimeDelta};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::orders::NoDesk;
    use super::*;

    /// Two metrics a second; the first falls by a tenth from row 600 to row 800.
    fn file(rows: u32, labels: bool) -> String {
        let mut generator = ChaCha8Rng::seed_from_u64(5);
        let mut text = String::from("datetime;Flow;Vibration");
        text += if labels {
            ";anomaly;changepoint\n"
        } else {
            "\n"
        };
        for row in 0..rows {
            let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(row.into());
            let [a, b] = [(); 2].map(|()| generator.random::<f64>() - 0.5);
            let is_faulty = (600..800).contains(&row);
            let flow = if is_faulty { 27.0 } else { 30.0 } + 0.5 * a;
            let _ = write!(text, "{};{flow};{}", at.format("%F %T"), 1.0 + 0.02 * b);
            let label = u8::from(is_faulty);
            text += &if labels {
                format!(";{label};0\n")
            } else {
                "\n".to_owned()
            };
        }
        text
    }

    #[test]
    fn a_fault_is_flagged_labels_change_nothing_and_nothing_looks_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let judge = |name: &str, text: &str| {
            let data = folder.path().join(name);
            super::super::write(&data.join("group/7.csv"), text).unwrap();
            let places = Places {
                data,
                train: None,
                out: folder.path().join("out").join(name),
            };
            let done = run(&places, &Kinds::shipped(), &mut NoDesk).unwrap();
            assert_eq!(done.files, 1);
            fs::read_to_string(places.out.join("group/7.csv")).unwrap()
        };
        let whole = judge("whole", &file(1_000, true));
        assert_eq!(whole, judge("blind", &file(1_000, false)));
        assert!(whole.starts_with(&judge("cut", &file(700, false))));
        let column = |row: usize, at: usize| {
            let line = whole.lines().nth(row + 1).unwrap();
            line.split(',').nth(at).unwrap().to_owned()
        };
        let flagged = |from: usize, to: usize| (from..to).filter(|r| column(*r, 2) == "1").count();
        assert_eq!(flagged(0, 600), 0);
        assert!(flagged(600, 800) > 150, "{}", flagged(600, 800));
        assert!(flagged(820, 1_000) < 20, "{}", flagged(820, 1_000));
        let marks: Vec<usize> = (400..1_000).filter(|r| column(*r, 3) == "1").collect();
        assert!(marks.iter().any(|r| (600..610).contains(r)), "{marks:?}");
        assert!(marks.iter().any(|r| (800..810).contains(r)), "{marks:?}");
        assert!(marks.iter().all(|r| *r >= 600), "{marks:?}");
    }

    #[test]
    fn a_folder_without_files_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            data: folder.path().to_owned(),
            train: None,
            out: folder.path().join("out"),
        };
        let error = run(&places, &Kinds::shipped(), &mut NoDesk).unwrap_err();
        assert!(error.to_string().contains("no files of skab"), "{error}");
    }
}
