//! NAB: single metrics, `data/<category>/<file>.csv` with `timestamp,value`.
//!
//! A prediction is a flag at the row where an alarm begins.

use std::fmt::Write;

use super::super::settings::Kinds;
use super::orders::Desk;
use super::time::Times;
use super::{BenchError, Done, Feed, Places, files_below, read_table, settings, stem, write};

/// Writes `<category>/<file>.csv` with `timestamp,score,flag`.
///
/// **Errors**: see [`BenchError`].
pub fn run(places: &Places, kinds: &Kinds, desk: &mut dyn Desk) -> Result<Done, BenchError> {
    let settings = settings(kinds, "univariate")?;
    let folder = places.data.join("data");
    let files = files_below(&folder, |path| {
        let name = path.to_string_lossy();
        path.components().count() == 2 && (name.ends_with(".csv") || name.ends_with(".csv.gz"))
    })?;
    if files.is_empty() {
        let set = "nab";
        return Err(BenchError::Nothing { set, folder });
    }
    let mut done = Done::default();
    for path in files {
        let table = read_table(&path, b',')?;
        let column = |name: &str| table.header.iter().position(|known| known == name);
        let (stamp, value) = (column("timestamp"), column("value"));
        let Some(value) = value else {
            let reason = "there is no column value".to_owned();
            return Err(BenchError::Content { path, reason });
        };
        let category = path.parent().and_then(|parent| parent.file_name());
        let category = category.unwrap_or_default().to_string_lossy().into_owned();
        let asset = format!("{category}/{}", stem(&path));
        let mut feed = Feed::fresh(asset.clone(), vec!["value".to_owned()], &settings);
        let mut times = Times::default();
        let mut text = String::from("timestamp,score,flag\n");
        for row in &table.rows {
            let shown = stamp.and_then(|at| row.get(at)).map_or("", String::as_str);
            let time = times.next(Some(shown));
            let number = row.get(value).and_then(|cell| cell.parse().ok());
            let values = [number.unwrap_or(f64::NAN)];
            let said = feed.take_and_tell((time, shown), &values, desk);
            let verdict = said.and_then(|(_, judgement)| judgement.verdicts[0]);
            let (score, flag) = verdict.map_or((0.0, 0), |v| (v.score(), u8::from(v.alarm)));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{shown},{score:.6},{flag}");
        }
        done.rows += table.rows.len();
        done.files += 1;
        write(&places.out.join(format!("{asset}.csv")), &text)?;
    }
    Ok(done)
}
