//! SMAP and MSL: channels of a spacecraft, `train/<channel>.csv` and `test/<channel>.csv`, each
//! with `value` and the commands of its module as 0 or 1, one row a minute.
//!
//! A model is learned from the training rows; the test rows are judged as they come.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use super::super::model::learn;
use super::super::settings::{ClassSettings, Kinds};
use super::super::window::{Window, Windows};
use super::orders::Desk;
use super::time::Times;
use super::{
    BenchError, Done, Feed, Places, Table, files_below, read_table, settings, stem, write,
};

/// Writes `<channel>.csv` with `row,score,flag` for the test rows.
///
/// **Errors**: see [`BenchError`].
pub fn run(places: &Places, kinds: &Kinds, desk: &mut dyn Desk) -> Result<Done, BenchError> {
    let settings = settings(kinds, "channel")?;
    let below = |folder: &Path| {
        files_below(folder, |path| {
            let name = path.to_string_lossy();
            name.ends_with(".csv") || name.ends_with(".csv.gz")
        })
    };
    let folder = places.data.join("test");
    let tests = below(&folder)?;
    if tests.is_empty() {
        return Err(BenchError::Nothing {
            set: "smap",
            folder,
        });
    }
    let trains = below(&places.train.as_ref().unwrap_or(&places.data).join("train"))?;
    let mut done = Done::default();
    for path in tests {
        let channel = stem(&path);
        let train = trains.iter().find(|train| stem(train) == channel);
        let test = read_table(&path, b',')?;
        let (mut feed, mut times) = match train {
            Some(train) => trained(&channel, train, &settings)?,
            None => (
                Feed::fresh(channel.clone(), test.header.clone(), &settings),
                Times::default(),
            ),
        };
        let mut text = String::from("row,score,flag\n");
        for (number, row) in test.rows.iter().enumerate() {
            let values = numbers(row, test.header.len());
            let shown = number.to_string();
            let said = feed.take_and_tell((times.next(None), &shown), &values, desk);
            let verdicts = said.map(|(_, judgement)| judgement.verdicts);
            let largest = verdicts
                .into_iter()
                .flatten()
                .flatten()
                .max_by(|a, b| a.ratio.total_cmp(&b.ratio));
            let (score, flag) = largest.map_or((0.0, 0), |v| (v.score(), u8::from(v.alarm)));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{number},{score:.6},{flag}");
        }
        done.rows += test.rows.len();
        done.files += 1;
        write(&places.out.join(format!("{channel}.csv")), &text)?;
    }
    Ok(done)
}

/// A channel with a model of its training rows, and the time where its test rows go on.
fn trained(
    channel: &str,
    path: &Path,
    settings: &Arc<ClassSettings>,
) -> Result<(Feed, Times), BenchError> {
    let Table { header, rows } = read_table(path, b',')?;
    let mut times = Times::default();
    let mut cut = Windows::new(
        settings.step.micros(),
        settings.steps_per_window(),
        i64::MIN + 1,
    )
    .measured_for(&settings.features);
    let windows: Vec<Window> = rows
        .iter()
        .filter_map(|row| {
            let values = numbers(row, header.len());
            cut.add_and_judge(times.next(None), values.len(), |metric| values[metric])
        })
        .collect();
    let model = learn(channel, "bench", settings, &header, &windows);
    let model = model.map_err(|error| BenchError::Content {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let feed = Feed::with_model(channel.to_owned(), header, settings, Arc::new(model));
    Ok((feed, times))
}

/// The numbers of a row, NaN where there is none.
fn numbers(row: &[String], columns: usize) -> Vec<f64> {
    let number = |column: usize| row.get(column).and_then(|cell| cell.parse().ok());
    (0..columns)
        .map(|column| number(column).unwrap_or(f64::NAN))
        .collect()
}
