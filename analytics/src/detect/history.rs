//! Reading rows again from the lake: after a restart, and for training by hand.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, StringArray, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use fieldwright_ingest::snapshot::{
    ASSET, ColdFile, FileRows, LakeRoot, Snapshot, TIME, TableSnapshot,
};

/// Rows of a file that are read at a time.
const BATCH_ROWS: usize = 16_384;

/// Why rows cannot be read again.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A file is away; a newer snapshot may know where its rows have gone.
    #[error("cannot open {path}")]
    Open {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// What the reader said.
        source: arrow::error::ArrowError,
    },
}

/// Which rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// Those that came in order of their asset's event time.
    InOrder,
    /// The others, which compaction has not merged yet.
    Late,
}

/// Gives the in-order rows of a table to `take`, per asset in order of event time, or the late ones,
/// until that breaks: of the files that are `wanted` by what is known of them, and all rows that are
/// in no file yet.
///
/// Takes as long as the disk needs: run it where blocking is allowed.
///
/// **Errors** when a file cannot be read.
pub(super) fn read_table(
    lake: &LakeRoot,
    table: &TableSnapshot,
    rows: Rows,
    wanted: impl Fn(&ColdFile) -> bool,
    mut take: impl FnMut(&RecordBatch) -> ControlFlow<()>,
) -> Result<(), HistoryError> {
    let (files, hot) = match rows {
        Rows::InOrder => (&table.files, &table.hot),
        Rows::Late => (&table.late_files, &table.late_hot),
    };
    for file in files.iter().filter(|file| wanted(file)) {
        let open = |source| HistoryError::Open {
            path: file.path.to_string(),
            source,
        };
        let read = |source| HistoryError::Read {
            path: file.path.to_string(),
            source,
        };
        let reader = FileRows::open(lake, &table.physical, file, None, BATCH_ROWS);
        let reader = reader.map_err(open)?;
        for batch in reader {
            if take(&batch.map_err(read)?).is_break() {
                return Ok(());
            }
        }
    }
    for hot in hot {
        if take(&hot.batch).is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// The rows of one asset, and the class that they are of.
pub(super) type AssetRows = (Arc<str>, Vec<RecordBatch>);

/// All in-order rows of one asset from `from` to before `to`, of the class where it is watched; when
/// that is not known, of the class where it has the most.
///
/// Gives the class and the batches, or `None` when no table knows the asset.
///
/// **Errors** when a file cannot be read.
pub(super) fn read_asset(
    snapshot: &Snapshot,
    asset: &str,
    class: Option<&str>,
    (from, to): (i64, i64),
) -> Result<Option<AssetRows>, HistoryError> {
    let mut best: Option<(AssetRows, usize)> = None;
    let tables = snapshot.tables.iter();
    for (class, table) in tables.filter(|(name, _)| class.is_none_or(|class| ***name == *class)) {
        let mut batches = Vec::new();
        let mut rows = 0;
        let wanted = |file: &ColdFile| file.max_time >= from && file.min_time < to;
        read_table(&snapshot.lake, table, Rows::InOrder, wanted, |batch| {
            if let Some(chosen) = rows_of(batch, asset, from, to)
                && chosen.num_rows() > 0
            {
                rows += chosen.num_rows();
                batches.push(chosen);
            }
            ControlFlow::Continue(())
        })?;
        if best.as_ref().is_none_or(|(_, most)| rows > *most) && rows > 0 {
            best = Some(((Arc::clone(class), batches), rows));
        }
    }
    Ok(best.map(|(found, _)| found))
}

fn rows_of(batch: &RecordBatch, asset: &str, from: i64, to: i64) -> Option<RecordBatch> {
    let assets: &StringArray = batch.column_by_name(ASSET)?.as_any().downcast_ref()?;
    let times: &TimestampMicrosecondArray = batch.column_by_name(TIME)?.as_any().downcast_ref()?;
    let chosen: BooleanArray = (0..batch.num_rows())
        .map(|row| Some(assets.value(row) == asset && (from..to).contains(&times.value(row))))
        .collect();
    filter_record_batch(batch, &chosen).ok()
}
