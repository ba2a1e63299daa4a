//! How far every asset of a table has come, as of a journal record: what a start needs beside the
//! log. A file per flush that no query reads; other readers of the table pass over it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::place::Place;
use super::rows::FileRows;
use super::{LakeError, encoding};
use crate::snapshot::{ASSET, ColdFile, TIME};

/// The folder in the table's own; a leading underscore hides it from other readers.
const FOLDER: &str = "_progress";
const ZSTD_LEVEL: i32 = 3;

/// The newest event time of every asset of one table, microseconds since 1970.
pub(super) type Newest = BTreeMap<Arc<str>, i64>;

/// Writes it down before the entry in the log that it belongs to.
///
/// **Errors**: the store refused.
pub(super) fn write(
    place: &Place,
    table: &str,
    through: u64,
    newest: &Newest,
) -> Result<(), LakeError> {
    let assets = StringArray::from_iter_values(newest.keys());
    let times = TimestampMicrosecondArray::from_iter_values(newest.values().copied());
    let columns: [(&str, ArrayRef); 2] = [
        (ASSET, Arc::new(assets)),
        (TIME, Arc::new(times.with_timezone("UTC"))),
    ];
    let path = path(table, through);
    let rows = RecordBatch::try_from_iter(columns).map_err(LakeError::rows(&path))?;
    let bytes = encoding::file(&rows, ZSTD_LEVEL).map_err(LakeError::encode(&path))?;
    place.put(&path, bytes.into())
}

/// Reads it; none when there is none or it is damaged.
///
/// **Errors**: the store refused.
pub(super) fn read(place: &Place, table: &str, through: u64) -> Result<Option<Newest>, LakeError> {
    let Some(bytes) = place.get(&path(table, through))? else {
        return Ok(None);
    };
    let mut newest = Newest::new();
    let read = || {
        let batches = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
        for rows in batches {
            note(&mut newest, &rows?);
        }
        Ok::<_, parquet::errors::ParquetError>(())
    };
    match { read }() {
        Ok(()) => Ok(Some(newest)),
        Err(error) => {
            tracing::warn!(table, through, %error, "the progress of the assets is damaged");
            Ok(None)
        }
    }
}

/// The same from the files: slow, for when it was lost.
///
/// **Errors**: a file cannot be read.
pub(super) fn from_files(
    place: &Place,
    physical: &arrow::datatypes::SchemaRef,
    files: &[Arc<ColdFile>],
) -> Result<Newest, LakeError> {
    let mut newest = Newest::new();
    for file in files {
        let columns = Some(&[ASSET, TIME][..]);
        let rows = FileRows::open(place.root(), physical, file, columns, 64 * 1024);
        for rows in rows.map_err(LakeError::open(&file.path))? {
            note(&mut newest, &rows.map_err(LakeError::rows(&file.path))?);
        }
    }
    Ok(newest)
}

/// Removes what was written for earlier flushes.
///
/// **Errors**: the store refused; what is left is removed another time.
pub(super) fn forget_before(place: &Place, table: &str, through: u64) -> Result<(), LakeError> {
    let kept = path(table, through);
    let folder = Path::from_iter([table, FOLDER]);
    for path in place.list(Some(&folder))?.into_keys() {
        if path != kept {
            place.remove(&path)?;
        }
    }
    Ok(())
}

fn path(table: &str, through: u64) -> Path {
    Path::from_iter([table, FOLDER, &format!("{through:020}.parquet")])
}

fn note(newest: &mut Newest, rows: &RecordBatch) {
    let column = |name| rows.column_by_name(name);
    let (Some(assets), Some(times)) = (column(ASSET), column(TIME)) else {
        return;
    };
    let (Some(assets), DataType::Timestamp(..)) =
        (assets.as_string_opt::<i32>(), times.data_type())
    else {
        return;
    };
    let times = times.as_primitive::<TimestampMicrosecondType>();
    for (asset, time) in assets.iter().zip(times.values()) {
        let asset = asset.unwrap_or_default();
        match newest.get_mut(asset) {
            Some(known) => *known = (*known).max(*time),
            None => drop(newest.insert(asset.into(), *time)),
        }
    }
}
