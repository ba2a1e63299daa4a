//! A recorded file: one time column, metrics, perhaps labels that are never published.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// Columns that judge the data; publishing them would give the answer away.
const LABELS: [&str; 2] = ["anomaly", "changepoint"];
/// Names of a time column, compared without case.
const TIME_NAMES: [&str; 8] = [
    "datetime",
    "timestamp",
    "time",
    "date_time",
    "date time",
    "date",
    "ts",
    "epoch",
];
/// The header line may be so long.
const HEADER_LIMIT: usize = 1 << 20;
/// Forms of a time without a zone, which is taken as UTC.
const NAIVE_FORMS: [&str; 6] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%d.%m.%Y %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%d.%m.%Y %H:%M",
];

/// A recorded file with its columns understood.
#[derive(Debug, Clone)]
pub struct Recording {
    path: PathBuf,
    delimiter: u8,
    time: usize,
    /// Metric columns: position and name.
    metrics: Arc<[(usize, Arc<str>)]>,
}

/// One row in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The recorded instant; `None` when the cell is not a time.
    pub time: Option<DateTime<Utc>>,
    /// The numbers of the row.
    pub values: Vec<(Arc<str>, f64)>,
    /// Cells that are not numbers.
    pub skipped: u64,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Rows.
    pub rows: u64,
    /// Rows with a time.
    pub timed: u64,
    /// Metric cells that are not numbers.
    pub skipped_cells: u64,
    /// Time of the first row that has one.
    pub first: DateTime<Utc>,
    /// The newest time; in a file in order, the last row's.
    pub newest: DateTime<Utc>,
}

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not CSV.
    #[error("{path} is not a table of comma or semicolon separated values")]
    Table {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: csv::Error,
    },
    /// No column looks like a time.
    #[error("{path} has no time column; name one datetime, timestamp or time (found: {columns})")]
    NoTime {
        /// The file.
        path: PathBuf,
        /// The columns.
        columns: String,
    },
    /// No row can be published.
    #[error("{path} has no row with a time in column `{column}` and a number")]
    Empty {
        /// The file.
        path: PathBuf,
        /// The time column.
        column: String,
    },
}

impl Recording {
    /// Opens a file and understands its columns.
    ///
    /// **Errors**: unreadable, not a table, no time column.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let delimiter = delimiter(&first_line(path)?);
        let mut reader = reader(path, delimiter)?;
        let table = |source| RecordingError::Table {
            path: path.to_owned(),
            source,
        };
        let names: Vec<String> = reader.headers().map_err(table)?.iter().map(clean).collect();
        let sample = reader.records().next().transpose().map_err(table)?;
        let time = time_column(&names, sample.as_ref()).ok_or_else(|| RecordingError::NoTime {
            path: path.to_owned(),
            columns: names.join(", "),
        })?;
        let is_metric = |position: usize, name: &str| {
            position != time
                && !name.is_empty()
                && !LABELS.iter().any(|label| name.eq_ignore_ascii_case(label))
        };
        let metrics = names
            .iter()
            .enumerate()
            .filter(|(position, name)| is_metric(*position, name))
            .map(|(position, name)| (position, Arc::from(name.as_str())))
            .collect();
        Ok(Self {
            path: path.to_owned(),
            delimiter,
            time,
            metrics,
        })
    }

    /// Names of the metrics, in order.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|(_, name)| name.as_ref())
    }

    /// Reads the whole file once.
    ///
    /// **Errors**: unreadable, not a table, no row to publish.
    pub fn summarize(&self) -> Result<Summary, RecordingError> {
        let (mut rows, mut timed, mut skipped_cells) = (0, 0, 0);
        let mut span: Option<(DateTime<Utc>, DateTime<Utc>)> = None;
        for row in self.rows()? {
            let row = row?;
            rows += 1;
            skipped_cells += row.skipped;
            let Some(time) = row.time.filter(|_| !row.values.is_empty()) else {
                continue;
            };
            timed += 1;
            span = Some(span.map_or((time, time), |(first, newest)| (first, newest.max(time))));
        }
        let Some((first, newest)) = span else {
            let column = self.time_name()?;
            return Err(RecordingError::Empty {
                path: self.path.clone(),
                column,
            });
        };
        Ok(Summary {
            rows,
            timed,
            skipped_cells,
            first,
            newest,
        })
    }

    /// The rows in the order of the file.
    ///
    /// **Errors**: unreadable; each row can fail as well.
    pub fn rows(
        &self,
    ) -> Result<impl Iterator<Item = Result<Row, RecordingError>>, RecordingError> {
        let reader = reader(&self.path, self.delimiter)?;
        let Self {
            path,
            time,
            metrics,
            ..
        } = self.clone();
        Ok(reader.into_records().map(move |record| match record {
            Ok(record) => Ok(row(&record, time, &metrics)),
            Err(source) => Err(RecordingError::Table {
                path: path.clone(),
                source,
            }),
        }))
    }

    fn time_name(&self) -> Result<String, RecordingError> {
        let mut reader = reader(&self.path, self.delimiter)?;
        let headers = reader.headers();
        Ok(headers
            .ok()
            .and_then(|h| h.get(self.time))
            .map(clean)
            .unwrap_or_default())
    }
}

fn row(record: &csv::StringRecord, time: usize, metrics: &[(usize, Arc<str>)]) -> Row {
    let mut row = Row {
        time: record.get(time).and_then(instant),
        values: Vec::new(),
        skipped: 0,
    };
    for (position, name) in metrics {
        match record.get(*position).and_then(number) {
            Some(value) => row.values.push((name.clone(), value)),
            None => row.skipped += 1,
        }
    }
    row
}

/// A finite number.
fn number(cell: &str) -> Option<f64> {
    cell.trim()
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
}

/// An instant: RFC 3339, a naive form taken as UTC, or seconds, milliseconds or microseconds
/// since 1970.
fn instant(cell: &str) -> Option<DateTime<Utc>> {
    let cell = cell.trim();
    if let Some(number) = number(cell) {
        return epoch(number);
    }
    if let Ok(instant) = DateTime::parse_from_rfc3339(cell) {
        return Some(instant.to_utc());
    }
    if let Ok(instant) = DateTime::parse_from_str(cell, "%Y-%m-%d %H:%M:%S%.f%:z") {
        return Some(instant.to_utc());
    }
    let cell = cell.strip_suffix('Z').unwrap_or(cell);
    NAIVE_FORMS
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(cell, form).ok())
        .or_else(|| {
            Some(
                NaiveDate::parse_from_str(cell, "%Y-%m-%d")
                    .ok()?
                    .and_time(NaiveTime::MIN),
            )
        })
        .map(|naive| naive.and_utc())
}

fn epoch(number: f64) -> Option<DateTime<Utc>> {
    let micros = match number.abs() {
        size if size < 1e11 => number * 1e6,
        size if size < 1e14 => number * 1e3,
        _ => number,
    };
    DateTime::from_timestamp_micros(micros.round() as i64)
}

/// The first column with a name of time, else the first that shows a written time.
fn time_column(names: &[String], sample: Option<&csv::StringRecord>) -> Option<usize> {
    let named = |name: &String| {
        TIME_NAMES
            .iter()
            .any(|time| name.eq_ignore_ascii_case(time))
    };
    names.iter().position(named).or_else(|| {
        let written = |cell: &str| number(cell).is_none() && instant(cell).is_some();
        sample?.iter().position(written)
    })
}

/// The separator that the header uses more often, outside of quotes.
fn delimiter(header: &str) -> u8 {
    let mut quoted = false;
    let (mut commas, mut semicolons) = (0, 0);
    for character in header.chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => commas += 1,
            ';' if !quoted => semicolons += 1,
            _ => {}
        }
    }
    if semicolons > commas { b';' } else { b',' }
}

fn clean(header: &str) -> String {
    header.trim_start_matches('\u{feff}').trim().to_owned()
}

fn first_line(path: &Path) -> Result<String, RecordingError> {
    let read = |source| RecordingError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    let mut line = Vec::new();
    let mut limited = std::io::Read::take(BufReader::new(file), HEADER_LIMIT as u64);
    limited.read_until(b'\n', &mut line).map_err(read)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn reader(path: &Path, delimiter: u8) -> Result<csv::Reader<File>, RecordingError> {
    let file = File::open(path).map_err(|source| RecordingError::Read {
        path: path.to_owned(),
        source,
    })?;
    // A short row is a row with missing cells, not the end of the file.
    Ok(csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .from_reader(file))
}

#[cfg(test)]
mod tests;
