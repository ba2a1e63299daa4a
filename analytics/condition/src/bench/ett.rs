//! ETT: a transformer's loads and its oil temperature, hourly, without labels: data that ought to
//! be quiet. Every metric is watched by itself, against what is usual at the hour of the day.

use std::fmt::Write;

use super::super::settings::Kinds;
use super::orders::Desk;
use super::time::Times;
use super::{BenchError, Done, Feed, Places, files_below, read_table, settings, stem, write};

/// Writes `<metric>.csv` with `row,score,flag`; with several files `<file>/<metric>.csv`.
///
/// **Errors**: see [`BenchError`].
pub fn run(places: &Places, kinds: &Kinds, desk: &mut dyn Desk) -> Result<Done, BenchError> {
    let settings = settings(kinds, "seasonal")?;
    let files = files_below(&places.data, |path| {
        let name = path.to_string_lossy();
        path.components().count() == 1 && (name.ends_with(".csv") || name.ends_with(".csv.gz"))
    })?;
    if files.is_empty() {
        let folder = places.data.clone();
        return Err(BenchError::Nothing { set: "ett", folder });
    }
    let mut done = Done::default();
    for path in &files {
        let table = read_table(path, b',')?;
        let date = table.header.iter().position(|name| name == "date");
        let mut out = places.out.clone();
        if files.len() > 1 {
            out.push(stem(path));
        }
        let columns = table.header.iter().enumerate();
        for (column, metric) in columns.filter(|(at, _)| Some(*at) != date) {
            let asset = format!("{}/{metric}", stem(path));
            let mut feed = Feed::fresh(asset, vec![metric.clone()], &settings);
            let mut times = Times::default();
            let mut text = String::from("row,score,flag\n");
            for (number, row) in table.rows.iter().enumerate() {
                let shown = date.and_then(|at| row.get(at)).map_or("", String::as_str);
                let time = times.next(Some(shown));
                let value = row.get(column).and_then(|cell| cell.parse().ok());
                let said = feed.take_and_tell((time, shown), &[value.unwrap_or(f64::NAN)], desk);
                let verdict = said.and_then(|(_, judgement)| judgement.verdicts[0]);
                let (score, flag) = verdict.map_or((0.0, 0), |v| (v.score(), u8::from(v.alarm)));
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{number},{score:.6},{flag}");
            }
            done.rows += table.rows.len();
            done.files += 1;
            write(&out.join(format!("{metric}.csv")), &text)?;
        }
    }
    Ok(done)
}
