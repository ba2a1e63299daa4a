//! The rows of a file: CSV or Parquet, one cell like the other.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

/// Rows of a Parquet file that are in memory at a time.
const BATCH_ROWS: usize = 8192;

/// What stands in one cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Number(f64),
    /// A whole number of a type of whole numbers: an identity or a count of nanoseconds may have
    /// more digits than a double.
    Whole(i64),
    Text(String),
    /// **Units** microseconds since 1970.
    Instant(i64),
    /// The same on a wall clock whose zone the file does not say.
    Wall(i64),
    /// Of a type that is no reading.
    Other(String),
}

/// One row and where it stands.
#[derive(Debug)]
pub(super) struct Line {
    /// Line of a CSV file, row of a Parquet file; both from 1.
    pub number: u64,
    pub cells: Vec<Cell>,
}

/// The rows of a file.
pub(super) enum Rows {
    Csv {
        reader: Box<csv::Reader<File>>,
        columns: Vec<String>,
        record: csv::StringRecord,
    },
    Parquet {
        reader: ParquetRecordBatchReader,
        columns: Vec<String>,
        batch: Option<Batch>,
        /// Rows before `batch`.
        before: u64,
    },
}

/// Rows of a Parquet file in memory.
pub(super) struct Batch {
    arrays: Vec<ArrayRef>,
    rows: usize,
    next: usize,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// The system.
    #[error("the file cannot be opened")]
    Open(#[from] std::io::Error),
    /// Not CSV.
    #[error("the file is no CSV")]
    Csv(#[from] csv::Error),
    /// Not Parquet.
    #[error("the file is no Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Its rows cannot be decoded.
    #[error("the rows cannot be decoded")]
    Arrow(#[from] arrow::error::ArrowError),
}

impl Rows {
    /// Opens a file; its name says which kind it is.
    ///
    /// **Errors**: see [`FileError`].
    pub(super) fn open(path: &Path, delimiter: Option<u8>) -> Result<Self, FileError> {
        let file = File::open(path)?;
        if path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"))
        {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
            let columns = names(builder.schema());
            return Ok(Self::Parquet {
                reader: builder.with_batch_size(BATCH_ROWS).build()?,
                columns,
                batch: None,
                before: 0,
            });
        }
        let delimiter = match delimiter {
            Some(delimiter) => delimiter,
            None => likely_delimiter(path)?,
        };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .from_reader(file);
        let columns = reader.headers()?.iter();
        // The mark that some programs put before the first name.
        let columns = columns.map(|name| name.trim_start_matches('\u{feff}').trim().to_owned());
        Ok(Self::Csv {
            columns: columns.collect(),
            reader: Box::new(reader),
            record: csv::StringRecord::new(),
        })
    }

    pub(super) fn columns(&self) -> &[String] {
        match self {
            Self::Csv { columns, .. } | Self::Parquet { columns, .. } => columns,
        }
    }

    /// The next row; none at the end.
    ///
    /// **Errors**: the file is damaged.
    pub(super) fn next_line(&mut self) -> Result<Option<Line>, FileError> {
        match self {
            Self::Csv { reader, record, .. } => {
                if !reader.read_record(record)? {
                    return Ok(None);
                }
                let number = record.position().map_or(0, csv::Position::line);
                let cells = record.iter().map(|cell| Cell::Text(cell.to_owned()));
                Ok(Some(Line {
                    number,
                    cells: cells.collect(),
                }))
            }
            Self::Parquet {
                reader,
                batch,
                before,
                ..
            } => loop {
                if let Some(rows) = batch
                    && rows.next < rows.rows
                {
                    rows.next += 1;
                    let at = rows.next - 1;
                    return Ok(Some(Line {
                        number: *before + rows.next as u64,
                        cells: rows.arrays.iter().map(|array| cell(array, at)).collect(),
                    }));
                }
                *before += batch.take().map_or(0, |rows| rows.rows as u64);
                match reader.next() {
                    Some(next) => *batch = Some(Batch::of(&next?)?),
                    None => return Ok(None),
                }
            },
        }
    }
}

impl Batch {
    fn of(rows: &RecordBatch) -> Result<Self, FileError> {
        let arrays = rows.columns().iter().map(plain).collect::<Result<_, _>>()?;
        Ok(Self {
            arrays,
            rows: rows.num_rows(),
            next: 0,
        })
    }
}

/// The column as one of the few types that cells have.
fn plain(array: &ArrayRef) -> Result<ArrayRef, FileError> {
    let wanted = match array.data_type() {
        // The largest of all may be no count of anything.
        kind if kind.is_integer() && *kind != DataType::UInt64 => DataType::Int64,
        kind if kind.is_numeric() => DataType::Float64,
        DataType::Boolean => DataType::Float64,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Date32 | DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, values) if values.is_string() => DataType::Utf8,
        _ => return Ok(array.clone()),
    };
    Ok(cast(array, &wanted)?)
}

fn cell(array: &ArrayRef, at: usize) -> Cell {
    if array.is_null(at) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Float64 => Cell::Number(array.as_primitive::<Float64Type>().value(at)),
        DataType::Int64 => Cell::Whole(array.as_primitive::<Int64Type>().value(at)),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(at).to_owned()),
        DataType::Timestamp(_, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(at);
            match zone {
                Some(_) => Cell::Instant(micros),
                None => Cell::Wall(micros),
            }
        }
        other => Cell::Other(other.to_string()),
    }
}

fn names(schema: &SchemaRef) -> Vec<String> {
    schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect()
}

/// The one of the usual delimiters that the first line has most of.
fn likely_delimiter(path: &Path) -> Result<u8, FileError> {
    let mut first = String::new();
    BufReader::new(File::open(path)?).read_line(&mut first)?;
    let count = |delimiter: &u8| first.bytes().filter(|byte| byte == delimiter).count();
    // Of two that are equal the later counts.
    Ok(b"|\t;,".iter().copied().max_by_key(count).unwrap_or(b','))
}
