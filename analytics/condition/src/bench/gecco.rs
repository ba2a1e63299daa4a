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
