//! Last values from the files of the lake: only where the checkpoint is missing or damaged.

use std::io;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{cast, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use thiserror::Error;

use super::{LastValues, Writer};
use crate::catalog::instant_type;
use crate::snapshot::{
    ASSET, ColdFile, FileRows, RECEIVED_AT, SEQUENCE, Snapshot, TIME, TableSnapshot,
};

/// Rows of a file that are read at a time.
const BATCH_ROWS: usize = 8192;

/// Why the files do not give the last values.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// A file cannot be opened.
    #[error("the file {file} of the lake cannot be opened")]
    Open {
        /// Its path.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be decoded.
    #[error("the file {file} of the lake cannot be read")]
    Decode {
        /// Its path.
        file: String,
        /// What the decoder said.
        source: ArrowError,
    },
}

/// Reads every file of every table.
///
/// **Errors**: see [`RebuildError`].
pub(crate) fn from_files(snapshot: &Snapshot) -> Result<LastValues, RebuildError> {
    let mut writer = Writer::default();
    for table in snapshot.tables.values() {
        // A late row arrived after the in-order row of its key.
        for (files, late) in [(&table.files, false), (&table.late_files, true)] {
            for file in files {
                let opened =
                    FileRows::open(&snapshot.lake, &table.physical, file, None, BATCH_ROWS);
                let reader = opened.map_err(|source| RebuildError::Open {
                    file: shown(file),
                    source,
                })?;
                let decode = |source| RebuildError::Decode {
                    file: shown(file),
                    source,
                };
                for rows in reader {
                    let rows = rows.and_then(|rows| as_hot(table, &rows, late));
                    let rows = rows.map_err(decode)?;
                    writer.rows(&table.class, &table.schema, &rows, false);
                }
            }
        }
    }
    Ok(LastValues::clone(&writer.picture()))
}

/// The rows with instants of our type, late ones in order of arrival, and the fields' metadata.
fn as_hot(
    table: &TableSnapshot,
    rows: &RecordBatch,
    late: bool,
) -> Result<RecordBatch, ArrowError> {
    let sequence = rows.column_by_name(SEQUENCE).filter(|_| late);
    let rows = match sequence {
        Some(sequence) => take_record_batch(rows, &sort_to_indices(sequence, None, None)?)?,
        None => rows.clone(),
    };
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let column = match field.name().as_str() {
            SEQUENCE => continue,
            ASSET => cast(column, &DataType::Utf8)?,
            TIME | RECEIVED_AT => cast(column, &instant_type())?,
            _ => column.clone(),
        };
        let known = table.physical.field_with_name(field.name()).ok();
        let metadata = known.unwrap_or(field).metadata().clone();
        let field = field.as_ref().clone().with_metadata(metadata);
        fields.push(field.with_data_type(column.data_type().clone()));
        columns.push(column);
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, columns)
}

fn shown(file: &ColdFile) -> String {
    file.path.to_string()
}
