//! Last values from the files of the lake: only where the checkpoint is missing or damaged.

use std::io;

use arrow::compute::{sort_to_indices, take_record_batch};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use thiserror::Error;

use super::{LastValues, Writer};
use crate::snapshot::{FileRows, SEQUENCE, Snapshot};

/// Rows of a file that are looked at together.
const BATCH_ROWS: usize = 64 * 1024;

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
        for file in table.files.iter().chain(&table.late_files) {
            let open = |source| RebuildError::Open {
                file: file.path.to_string(),
                source,
            };
            let physical = &table.physical;
            let rows = FileRows::open(&snapshot.lake, physical, file, None, BATCH_ROWS);
            for rows in rows.map_err(open)? {
                let rows = rows.and_then(|rows| in_order_of_arrival(&rows));
                let rows = rows.map_err(|source| RebuildError::Decode {
                    file: file.path.to_string(),
                    source,
                })?;
                writer.rows(&table.class, &table.schema, &rows, false);
            }
        }
    }
    Ok(LastValues::clone(&writer.picture()))
}

fn in_order_of_arrival(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    match rows.column_by_name(SEQUENCE) {
        Some(sequence) => take_record_batch(rows, &sort_to_indices(sequence, None, None)?),
        None => Ok(rows.clone()),
    }
}
