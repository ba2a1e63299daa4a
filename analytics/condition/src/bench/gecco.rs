//! The drinking water of the GECCO 2018 challenge: one file, one reading a minute.
//!
//! With `--train`, that file comes first: the asset learns from it and goes on into the other, as
//! it would in service. Without, it learns from the first readings.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::settings::{ClassSettings, Kinds};
use super::orders::{Desk, NoDesk};
use super::time::Times;
use super::{BenchError, Done, Feed, Places, files_below, read_table, settings, write};

/// What the labels of the public set are called; they are not read.
const LABEL: &str = "EVENT";
/// The column of times.
const CLOCK: &str = "Time";

/// Writes `gecco.csv` with `row,score,flag`, a row for every row of the file.
///
/// **Errors**: see [`BenchError`].
pub fn run(places: &Places, kinds: &Kinds, desk: &mut dyn Desk) -> Result<Done, BenchError> {
    let settings = settings(kinds, "water")?;
    let readings = Readings::of(&file_of(&places.data)?)?;
    let mut feed = fresh(&readings, &settings);
    if let Some(train) = &places.train {
        let earlier = Readings::of(&file_of(train)?)?;
        let follows = match (earlier.rows.last(), readings.rows.first()) {
            (Some((last, ..)), Some((first, ..))) => last < first,
            _ => false,
        };
        if follows && earlier.metrics == readings.metrics {
            for (time, shown, values) in &earlier.rows {
                feed.take_and_tell((*time, shown), values, &mut NoDesk);
            }
        }
    }
    let mut text = String::from("row,score,flag\n");
    let mut score = 0.0;
    for (row, (time, shown, values)) in readings.rows.iter().enumerate() {
        let said = feed.take_and_tell((*time, shown), values, desk);
        let verdict = said.and_then(|(_, judgement)| judgement.verdicts[0]);
        // A row that is not judged is not flagged: bad data are no event.
        score = verdict.map_or(score, |verdict| verdict.score());
        let flag = i32::from(verdict.is_some_and(|verdict| verdict.alarm));
        let _ = writeln!(text, "{row},{score:.6},{flag}");
    }
    write(&places.out.join("gecco.csv"), &text)?;
    Ok(Done {
        files: 1,
        rows: readings.rows.len(),
    })
}

fn fresh(readings: &Readings, settings: &Arc<ClassSettings>) -> Feed {
    Feed::fresh("gecco".to_owned(), readings.metrics.clone(), settings)
}

/// The first table of a folder.
fn file_of(folder: &Path) -> Result<PathBuf, BenchError> {
    let files = files_below(folder, |path| {
        let name = path.to_string_lossy();
        path.components().count() == 1 && (name.ends_with(".csv") || name.ends_with(".csv.gz"))
    })?;
    files.into_iter().next().ok_or_else(|| BenchError::Nothing {
        set: "gecco",
        folder: folder.to_owned(),
    })
}

/// The table of a file.
struct Readings {
    metrics: Vec<String>,
    /// Instant, as it is written, one value per metric.
    rows: Vec<(i64, String, Vec<f64>)>,
}

impl Readings {
    fn of(path: &Path) -> Result<Self, BenchError> {
        let table = read_table(path, b',')?;
        let clock = table.header.iter().position(|name| name == CLOCK);
        let chosen: Vec<usize> = (0..table.header.len())
            .filter(|at| Some(*at) != clock && table.header[*at] != LABEL)
            .collect();
        let mut times = Times::default();
        let rows = table.rows.iter().map(|cells| {
            let shown = clock.and_then(|at| cells.get(at));
            let time = times.next(shown.map(String::as_str));
            let value = |at: &usize| {
                let cell = cells.get(*at).map(|cell| cell.parse::<f64>());
                cell.and_then(Result::ok).unwrap_or(f64::NAN)
            };
            let values = chosen.iter().map(value).collect();
            (time, shown.cloned().unwrap_or_default(), values)
        });
        let rows = rows.collect();
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

    use super::*;

    /// Minutes of water from a row on; pH rises from row 2,000 to 2,020, a line gap of an hour
    /// begins at row 2,200, and the water is another one after it.
    fn file(rows: std::ops::Range<u32>, labels: bool) -> String {
        let mut generator = ChaCha8Rng::seed_from_u64(9);
        let mut text = String::from("Time,Tp,Cl,pH,Redox,Leit,Trueb,Cl_2,Fm,Fm_2");
        text += if labels { ",EVENT\n" } else { "\n" };
        for row in 0..rows.end {
            let at = DateTime::UNIX_EPOCH + TimeDelta::minutes(row.into());
            let [a, b, c, d] = [(); 4].map(|()| generator.random::<f64>() - 0.5);
            if row < rows.start {
                continue;
            }
            let is_event = (2_000..2_020).contains(&row);
            let ph = 8.3 + 0.02 * a + if is_event { 0.5 } else { 0.0 };
            let redox = if row < 2_260 { 750.0 } else { 790.0 } + 2.0 * b;
            let _ = write!(text, "{}", at.format("%F %T"));
            if (2_200..2_260).contains(&row) {
                text += ",,,,,,,,,";
            } else {
                let (cl, clarity) = (0.16 + 0.01 * c, 0.02 + 0.004 * d);
                let _ = write!(
                    text,
                    ",8,{cl},{ph},{redox},{},{clarity},{cl},9,9",
                    210.0 + d
                );
            }
            text += &match (labels, is_event) {
                (false, _) => "\n".to_owned(),
                (true, event) => format!(",{}\n", u8::from(event)),
            };
        }
        text
    }

    #[test]
    fn an_event_is_flagged_a_gap_is_not_and_nothing_looks_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str, text: &str| {
            let data = folder.path().join(name);
            write(&data.join("gecco2018_any.csv"), text).unwrap();
            data
        };
        let judge = |data: &Path, train: Option<&PathBuf>| {
            let places = Places {
                data: data.to_owned(),
                train: train.cloned(),
                out: data.join("out"),
            };
            run(&places, &Kinds::shipped(), &mut NoDesk).unwrap();
            fs::read_to_string(places.out.join("gecco.csv")).unwrap()
        };
        let whole = judge(&place("whole", &file(0..2_600, true)), None);
        let blind = judge(&place("blind", &file(0..2_600, false)), None);
        assert_eq!(whole, blind);
        let cut = judge(&place("cut", &file(0..2_300, false)), None);
        assert!(whole.starts_with(&cut));
        let flags = |text: &str| -> Vec<usize> {
            let lines = text.lines().skip(1).enumerate();
            let flagged = lines.filter(|(_, line)| line.ends_with(",1"));
            flagged.map(|(row, _)| row).collect()
        };
        let rows = flags(&whole);
        assert!(rows.len() >= 15, "{rows:?}");
        assert!(
            rows.iter().all(|row| (2_000..2_025).contains(row)),
            "{rows:?}"
        );
        // The first day as training: the rest goes on from there.
        let train = place("train", &file(0..1_500, false));
        let rest = judge(&place("rest", &file(1_500..2_600, false)), Some(&train));
        let shifted: Vec<usize> = flags(&rest).iter().map(|row| row + 1_500).collect();
        assert_eq!(shifted, rows);
    }
}
