//! The 13 queries, and their answers as files.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use fieldwright_analytics::sql::Answer;

use super::Failure;

/// One query.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) name: String,
    /// With all that we have: last values, roll-ups.
    pub(super) sql: &'static str,
    /// From the rows alone. What a truck is (its fleet, its driver) stands in its last values in
    /// this form too, as it stands in a table of its own elsewhere.
    pub(super) scan: &'static str,
}

macro_rules! query {
    ($name:literal) => {
        query!($name, concat!("queries/", $name, ".sql"))
    };
    ($name:literal, rows) => {
        query!($name, concat!("queries/scan/", $name, ".sql"))
    };
    ($name:literal, $scan:expr) => {
        Query {
            name: $name.to_owned(),
            sql: include_str!(concat!("queries/", $name, ".sql")),
            scan: include_str!($scan),
        }
    };
}

pub(super) fn all() -> Vec<Query> {
    vec![
        query!("last-loc", rows),
        query!("last-loc-fleet", rows),
        query!("low-fuel", rows),
        query!("high-load", rows),
        query!("stationary-trucks"),
        query!("long-driving-sessions"),
        query!("long-daily-sessions"),
        query!("avg-vs-projected-fuel-consumption"),
        query!("avg-daily-driving-duration"),
        query!("avg-daily-driving-session"),
        query!("avg-load", rows),
        query!("daily-activity"),
        query!("breakdown-frequency"),
    ]
}

/// Writes an answer as the judge's comparer reads it: a header, then the rows sorted as text.
pub(super) fn write(path: &Path, answer: &Answer) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Failure::failed)?;
    }
    let mut file = csv::Writer::from_path(path).map_err(Failure::failed)?;
    let names = answer.schema.fields().iter().map(|field| field.name());
    file.write_record(names).map_err(Failure::failed)?;
    for row in rows(answer)? {
        file.write_record(row).map_err(Failure::failed)?;
    }
    file.flush().map_err(Failure::failed)
}

/// The rows as texts, sorted.
pub(super) fn rows(answer: &Answer) -> Result<Vec<Vec<String>>, Failure> {
    let mut rows = Vec::new();
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| cell(column, row));
            rows.push(cells.collect::<Result<Vec<_>, _>>()?);
        }
    }
    rows.sort();
    Ok(rows)
}

fn cell(column: &ArrayRef, row: usize) -> Result<String, Failure> {
    if column.is_null(row) {
        return Ok("None".to_owned());
    }
    Ok(match column.data_type() {
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let instant = chrono::DateTime::from_timestamp_micros(micros);
            instant.map_or_else(String::new, |instant| {
                instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
            })
        }
        _ => {
            let format = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(column.as_ref(), &format);
            formatter.map_err(Failure::failed)?.value(row).to_string()
        }
    })
}

/// The text of an `EXPLAIN`.
pub(super) fn plan_text(answer: &Answer) -> String {
    let mut text = String::new();
    for batch in &answer.batches {
        for column in batch.columns() {
            if let Some(lines) = column.as_string_opt::<i32>() {
                for line in lines.iter().flatten() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    text
}
