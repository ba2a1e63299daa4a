//! The rows of the suite's two tables, from its files or made.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampNanosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Failure;

/// Tags that stay text; the others are numbers.
pub(super) const TEXT_TAGS: [&str; 4] = ["fleet", "driver", "model", "device_version"];
/// Tags that are numbers.
pub(super) const NUMBER_TAGS: [&str; 3] =
    ["load_capacity", "fuel_capacity", "nominal_fuel_consumption"];
/// Fields of each table.
pub(super) const TABLES: [(&str, &[&str]); 2] = [
    (
        "readings",
        &[
            "latitude",
            "longitude",
            "elevation",
            "velocity",
            "heading",
            "grade",
            "fuel_consumption",
        ],
    ),
    ("diagnostics", &["fuel_state", "current_load", "status"]),
];

/// One row as it arrives.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// **Units** nanoseconds since 1970.
    pub(super) time: i64,
    pub(super) name: Box<str>,
    pub(super) texts: [Option<Box<str>>; 4],
    /// Number tags, then the fields of the table.
    pub(super) numbers: Vec<Option<f64>>,
}

/// One table in the order of arrival. Rows without a name belong to nobody and are left out.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) fields: &'static [&'static str],
    pub(super) rows: Vec<Row>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// By truck and time, of rows of one truck and time what all of them say, the later first.
    pub(super) fn sorted(self) -> Self {
        let mut places: HashMap<(Box<str>, i64), usize> = HashMap::new();
        let mut rows: Vec<Row> = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            match places.get(&(row.name.clone(), row.time)) {
                Some(place) => rows[*place].correct(row),
                None => {
                    places.insert((row.name.clone(), row.time), rows.len());
                    rows.push(row);
                }
            }
        }
        rows.sort_by(|a, b| (&a.name, a.time).cmp(&(&b.name, b.time)));
        Self { rows, ..self }
    }
}

impl Row {
    pub(super) fn correct(&mut self, later: Row) {
        for (text, new) in self.texts.iter_mut().zip(later.texts) {
            if new.is_some() {
                *text = new;
            }
        }
        for (number, new) in self.numbers.iter_mut().zip(later.numbers) {
            if new.is_some() {
                *number = new;
            }
        }
    }

    /// The row as a line of the Influx line protocol.
    pub(super) fn write_line(&self, table: &Table, line: &mut String) {
        use std::fmt::Write as _;
        line.push_str(table.name);
        line.push_str(",name=");
        push_tag(line, &self.name);
        for (tag, text) in TEXT_TAGS.iter().zip(&self.texts) {
            if let Some(text) = text {
                line.push(',');
                line.push_str(tag);
                line.push('=');
                push_tag(line, text);
            }
        }
        let names = NUMBER_TAGS.iter().chain(table.fields);
        let mut before = ' ';
        for (name, number) in names.zip(&self.numbers) {
            if let Some(number) = number {
                // The shortest text that reads back as the same number.
                let _ = write!(line, "{before}{name}={number}");
                before = ',';
            }
        }
        let _ = writeln!(line, " {}", self.time);
    }
}

fn push_tag(line: &mut String, text: &str) {
    for letter in text.chars() {
        if matches!(letter, ',' | '=' | ' ' | '\\') {
            line.push('\\');
        }
        line.push(letter);
    }
}

/// Reads `readings.parquet` and `diagnostics.parquet`.
pub(super) fn read(folder: &Path) -> Result<Vec<Table>, Failure> {
    TABLES
        .into_iter()
        .map(|(name, fields)| {
            let path = folder.join(format!("{name}.parquet"));
            let wrong =
                |error: String| Failure::Usage(format!("cannot read {}: {error}", path.display()));
            let file = File::open(&path).map_err(|error| wrong(error.to_string()))?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(file)
                .and_then(|builder| builder.build())
                .map_err(|error| wrong(error.to_string()))?;
            let mut rows = Vec::new();
            for batch in reader {
                let batch = batch.map_err(|error| wrong(error.to_string()))?;
                take_rows(&batch, fields, &mut rows).map_err(wrong)?;
            }
            Ok(Table { name, fields, rows })
        })
        .collect()
}

fn take_rows(batch: &RecordBatch, fields: &[&str], rows: &mut Vec<Row>) -> Result<(), String> {
    let column = |name: &str, data_type: &DataType| {
        let found = batch
            .column_by_name(name)
            .ok_or_else(|| format!("there is no column {name}"))?;
        cast(found, data_type).map_err(|error| format!("column {name}: {error}"))
    };
    let instant = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let times = column("ts", &instant)?;
    let times = cast(
        times.as_primitive::<TimestampNanosecondType>(),
        &DataType::Int64,
    )
    .map_err(|error| error.to_string())?;
    let times = times.as_primitive::<Int64Type>();
    let text = |name: &str| column(name, &DataType::Utf8);
    let names = text("name")?;
    let texts = TEXT_TAGS
        .iter()
        .map(|name| text(name))
        .collect::<Result<Vec<_>, _>>()?;
    let numbers = NUMBER_TAGS.iter().chain(fields);
    let numbers = numbers.map(|name| column(name, &DataType::Float64));
    let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        if names.is_null(row) || times.is_null(row) {
            continue;
        }
        let text = |at: usize| {
            let texts = texts[at].as_string::<i32>();
            texts.is_valid(row).then(|| texts.value(row).into())
        };
        let number = |numbers: &arrow::array::ArrayRef| {
            let numbers = numbers.as_primitive::<Float64Type>();
            numbers.is_valid(row).then(|| numbers.value(row))
        };
        rows.push(Row {
            time: times.value(row),
            name: names.as_string::<i32>().value(row).into(),
            texts: [text(0), text(1), text(2), text(3)],
            numbers: numbers.iter().map(number).collect(),
        });
    }
    Ok(())
}
