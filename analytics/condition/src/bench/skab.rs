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
