//! Tennessee Eastman: a process under control. One model of `normal_train` is shared; every
//! `*_test*` file is an asset that the model has not seen.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::DateTime;

use super::super::model::{Model, learn};
use super::super::settings::{ClassSettings, Kinds};
use super::super::window::Windows;
use super::orders::Desk;
use super::{BenchError, Done, Feed, Places, files_below, read_table, settings, stem, write};

const KIND: &str = "controlled";
/// The label, which is never read.
const LABEL: &str = "fault";
/// The files have no times: a row is a minute after the last. **Units**: microseconds.
const ROW: i64 = 60_000_000;
/// Any instant. **Units**: microseconds since 1970.
const FIRST: i64 = 946_684_800_000_000;

/// Scores every test file: `row,score,flag`.
///
/// **Errors** when files are missing or wrong, or nothing can be learned from the normal ones.
pub fn run(places: &Places, kinds: &Kinds, desk: &mut dyn Desk) -> Result<Done, BenchError> {
    let settings = settings(kinds, KIND)?;
    let is_test = |path: &Path| is_table(path) && stem(path).contains("_test");
    let mut tests = files_below(&places.data, is_test)?;
    // The same file gzipped and plain is one file.
    tests.dedup_by_key(|path| stem(path));
    if tests.is_empty() {
        return Err(nothing(&places.data));
    }
    let (metrics, model) = fit(&normal(places)?, &settings)?;
    let mut done = Done::default();
    for path in tests {
        let rows = readings(&path, Some(&metrics))?.1;
        let asset = stem(&path);
        let mut feed = Feed::with_model(asset.clone(), metrics.clone(), &settings, model.clone());
        let mut text = String::from("row,score,flag\n");
        for (row, values) in rows.iter().enumerate() {
            let time = instant(row);
            let said = feed.take_and_tell((time, &shown(time)), values, desk);
            let verdict = said.and_then(|(_, judgement)| judgement.verdicts[0]);
            let score = verdict.map_or(0.0, |verdict| verdict.score());
            let flag = u8::from(verdict.is_some_and(|verdict| verdict.alarm));
            text += &format!("{row},{score:.6},{flag}\n");
        }
        write(&places.out.join(format!("{asset}.csv")), &text)?;
        done.files += 1;
        done.rows += rows.len();
    }
    Ok(done)
}

/// The files of normal running: in the data set, else where the fit data lie.
fn normal(places: &Places) -> Result<Vec<PathBuf>, BenchError> {
    let is_normal = |path: &Path| is_table(path) && stem(path).starts_with("normal_train");
    for folder in [Some(&places.data), places.train.as_ref()]
        .into_iter()
        .flatten()
    {
        let found = files_below(folder, is_normal)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(nothing(places.train.as_ref().unwrap_or(&places.data)))
}

fn is_table(path: &Path) -> bool {
    path.to_string_lossy().contains(".csv")
}

fn nothing(folder: &Path) -> BenchError {
    BenchError::Nothing {
        set: "tep",
        folder: folder.to_owned(),
    }
}

/// The metrics and the model of the normal files, one after the other with an hour in between.
fn fit(
    paths: &[PathBuf],
    settings: &Arc<ClassSettings>,
) -> Result<(Vec<String>, Arc<Model>), BenchError> {
    let mut metrics = Vec::new();
    let mut windows = Windows::new(
        settings.step.micros(),
        settings.steps_per_window(),
        i64::MIN + 1,
    )
    .measured_for(&settings.features);
    let mut seen = Vec::new();
    let mut row = 0;
    for path in paths {
        let known = (!metrics.is_empty()).then_some(&metrics);
        let (names, rows) = readings(path, known)?;
        metrics = names;
        for values in rows {
            seen.extend(windows.add_and_judge(instant(row), metrics.len(), |at| values[at]));
            row += 1;
        }
        row += 60;
    }
    let model = learn("normal", KIND, settings, &metrics, &seen);
    let model = model.map_err(|error| BenchError::Content {
        path: paths.first().cloned().unwrap_or_default(),
        reason: error.to_string(),
    })?;
    Ok((metrics, Arc::new(model)))
}

/// Names of the metrics and the readings of a file, in the order of `metrics` where it is given;
/// a cell that is no number is a missing value.
fn readings(
    path: &Path,
    metrics: Option<&Vec<String>>,
) -> Result<(Vec<String>, Vec<Vec<f64>>), BenchError> {
    let table = read_table(path, b',')?;
    let own = table.header.iter().filter(|name| *name != LABEL);
    let metrics = metrics.cloned().unwrap_or_else(|| own.cloned().collect());
    let columns: Vec<Option<usize>> = metrics
        .iter()
        .map(|metric| table.header.iter().position(|name| name == metric))
        .collect();
    let value = |row: &Vec<String>, column: Option<usize>| {
        let cell = column.and_then(|column| row.get(column));
        cell.and_then(|cell| cell.parse().ok()).unwrap_or(f64::NAN)
    };
    let rows = table.rows.iter();
    let rows = rows.map(|row| columns.iter().map(|at| value(row, *at)).collect());
    Ok((metrics, rows.collect()))
}

fn instant(row: usize) -> i64 {
    FIRST + ROW * i64::try_from(row).unwrap_or(0)
}

fn shown(time: i64) -> String {
    let at = DateTime::from_timestamp_micros(time).unwrap_or_default();
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::orders::Candidate;
    use super::*;

    /// Assets of the conditions that were told.
    #[derive(Debug, Default)]
    struct Told(Vec<String>);

    impl Desk for Told {
        fn up(&mut self, candidate: &Candidate) {
            self.0.push(candidate.asset.clone());
        }
        fn over(&mut self, _asset: &str, _cause: &str) {}
    }

    /// Three metrics of which two belong together, until row 60 when it is faulty.
    fn file(rows: usize, seed: u64, is_faulty: bool) -> String {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let mut text = String::from("xmeas1,xmeas2,xmv1,fault\n");
        for row in 0..rows {
            let [a, b, c] = [(); 3].map(|()| generator.random::<f64>() - 0.5);
            let fault = if is_faulty && row >= 60 { 0.5 } else { 0.0 };
            let label = u8::from(fault > 0.0);
            text += &format!("{a},{},{b},{label}\n", a + 0.1 * c + fault);
        }
        text
    }

    #[test]
    fn every_test_file_is_judged_by_the_model_of_normal_running_and_nothing_looks_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("data/normal_train.csv"), &file(500, 1, false)).unwrap();
        let faulty = file(200, 2, true);
        write(&at("data/fault77_test.csv"), &faulty).unwrap();
        write(&at("data/sub/normal_test.csv"), &file(200, 3, false)).unwrap();
        // Never read: it would spoil the model, or the run.
        write(&at("data/fault77_train.csv"), "not,a,table\n1").unwrap();
        let cut: Vec<&str> = faulty.lines().take(101).collect();
        write(&at("cut/fault77_test.csv"), &cut.join("\n")).unwrap();
        let mut told = Told::default();
        let mut judge = |data: &str, train: Option<&str>, out: &str| {
            let places = Places {
                data: at(data),
                train: train.map(at),
                out: at(out),
            };
            run(&places, &Kinds::shipped(), &mut told).unwrap()
        };
        assert_eq!(judge("data", None, "whole").files, 2);
        assert_eq!(judge("cut", Some("data"), "part").rows, 100);
        let read = |name: &str| fs::read_to_string(at(name)).unwrap();
        let whole = read("whole/fault77_test.csv");
        assert!(whole.starts_with(&read("part/fault77_test.csv")));
        let flags = |text: &str, from: usize| -> usize {
            let rows = text.lines().skip(1 + from);
            rows.filter(|row| row.ends_with(",1")).count()
        };
        assert!(flags(&whole, 60) > 130, "{whole}");
        assert_eq!(flags(&read("whole/normal_test.csv"), 0), 0);
        assert!(!told.0.is_empty() && told.0.iter().all(|asset| asset == "fault77_test"));
    }
}
