//! Reading rows again from the lake: after a restart, and for training by hand.

mod merged;

use std::collections::BTreeMap;
use std::ops::Bound::Included;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use fieldwright_ingest::snapshot::{
    ASSET, ColdFile, FileRows, LakeRoot, Snapshot, TIME, TableSnapshot,
};

use self::merged::merged;

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
        Rows::InOrder => (table.in_order(), &table.hot),
        Rows::Late => (table.late_files.iter().collect(), &table.late_hot),
    };
    for file in files.into_iter().filter(|file| wanted(file)) {
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

/// A span of event time, from and to before. **Units**: microseconds since 1970.
pub(super) type Span = (i64, i64);

/// The rows of some assets of a table, each in its span, in order of event time with late ones
/// where they belong. Assets without rows are left out.
///
/// **Errors** when a file cannot be read.
pub(super) fn read_spans(
    lake: &LakeRoot,
    table: &TableSnapshot,
    spans: &BTreeMap<&str, Span>,
) -> Result<BTreeMap<String, Vec<RecordBatch>>, HistoryError> {
    let wanted = |file: &ColdFile| {
        // A range that ends before it begins is none, and asking for one panics.
        let assets = (file.min_asset <= file.max_asset)
            .then(|| (Included(&*file.min_asset), Included(&*file.max_asset)));
        let mut own = assets
            .into_iter()
            .flat_map(|own| spans.range::<str, _>(own));
        own.any(|(_, (from, to))| file.max_time >= *from && file.min_time < *to)
    };
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    read_table(lake, table, Rows::InOrder, wanted, |batch| {
        for (asset, rows) in rows_of(batch, spans).unwrap_or_default() {
            found.entry(asset).or_default().in_order.push(rows);
        }
        ControlFlow::Continue(())
    })?;
    read_table(lake, table, Rows::Late, wanted, |batch| {
        for (asset, rows) in rows_of(batch, spans).unwrap_or_default() {
            found.entry(asset).or_default().late.push(rows);
        }
        ControlFlow::Continue(())
    })?;
    let found = found.into_iter();
    Ok(found
        .map(|(asset, rows)| (asset, merged(rows.in_order, &rows.late)))
        .collect())
}

/// The late rows of a table in a span, by asset and in order of event time, one of an instant; of
/// more than `limit` only those that are read first.
///
/// **Errors** when a file cannot be read.
pub(super) fn read_late(
    lake: &LakeRoot,
    table: &TableSnapshot,
    (from, to): Span,
    limit: usize,
) -> Result<BTreeMap<String, Vec<RecordBatch>>, HistoryError> {
    let wanted = |file: &ColdFile| file.max_time >= from && file.min_time < to;
    let mut found: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    let mut read = 0;
    read_table(lake, table, Rows::Late, wanted, |batch| {
        let tags = batch.column_by_name(ASSET);
        let tags = tags.and_then(|column| column.as_any().downcast_ref::<StringArray>());
        let all = tags.into_iter().flatten().flatten();
        let spans = all.map(|tag| (tag, (from, to))).collect();
        for (asset, rows) in rows_of(batch, &spans).unwrap_or_default() {
            read += rows.num_rows();
            found.entry(asset).or_default().push(rows);
        }
        if read < limit {
            ControlFlow::Continue(())
        } else {
            tracing::warn!(
                class = &*table.class,
                limit,
                "there are too many late rows; the others are left out"
            );
            ControlFlow::Break(())
        }
    })?;
    let found = found.into_iter();
    Ok(found
        .map(|(asset, late)| (asset, merged(Vec::new(), &late)))
        .collect())
}

/// The rows of one asset as they are stored.
#[derive(Default)]
struct Found {
    in_order: Vec<RecordBatch>,
    late: Vec<RecordBatch>,
}

/// The rows of one asset, and the class that they are of.
pub(super) type AssetRows = (Arc<str>, Vec<RecordBatch>);

/// All rows of one asset from `from` to before `to` in order of event time, late ones where they
/// belong, of the class where it is watched; when that is not known, of the class where it has the
/// most.
///
/// Gives the class and the batches, or `None` when no table knows the asset.
///
/// **Errors** when a file cannot be read.
pub(super) fn read_asset(
    snapshot: &Snapshot,
    asset: &str,
    class: Option<&str>,
    span: Span,
) -> Result<Option<AssetRows>, HistoryError> {
    let mut best: Option<(AssetRows, usize)> = None;
    let tables = snapshot.tables.iter();
    for (class, table) in tables.filter(|(name, _)| class.is_none_or(|class| ***name == *class)) {
        let spans = BTreeMap::from([(asset, span)]);
        let mut found = read_spans(&snapshot.lake, table, &spans)?;
        let batches = found.remove(asset).unwrap_or_default();
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        if best.as_ref().is_none_or(|(_, most)| rows > *most) && rows > 0 {
            best = Some(((Arc::clone(class), batches), rows));
        }
    }
    Ok(best.map(|(found, _)| found))
}

/// The rows of a batch by their asset, of those that are in a span.
fn rows_of(
    batch: &RecordBatch,
    spans: &BTreeMap<&str, Span>,
) -> Option<BTreeMap<String, RecordBatch>> {
    let assets: &StringArray = batch.column_by_name(ASSET)?.as_any().downcast_ref()?;
    let times: &TimestampMicrosecondArray = batch.column_by_name(TIME)?.as_any().downcast_ref()?;
    let mut places: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let asset = assets.value(row);
        let span = spans.get(asset);
        if span.is_some_and(|(from, to)| (*from..*to).contains(&times.value(row))) {
            places.entry(asset).or_default().push(row as u64);
        }
    }
    let taken = places.into_iter().filter_map(|(asset, places)| {
        let rows = take_record_batch(batch, &UInt64Array::from(places)).ok()?;
        Some((asset.to_owned(), rows))
    });
    Some(taken.collect())
}
