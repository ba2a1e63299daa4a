//! What one query sees: an immutable picture of every table, hot rows and files together.
//!
//! The writer swaps the whole picture at once, so a flush can neither hide a row nor show it twice.
//!
//! # In-order and late rows
//!
//! A row whose time is after its asset's newest time is *in order*: its key (asset, time) is new.
//! Any other row is *late*; it may repeat or correct a key that exists. A late row always arrived
//! after an in-order row of the same key, so it overrides that row metric by metric where it has a
//! reading; among late rows of one key the highest `_sequence` wins, metric by metric. A reading
//! is the metric's column and its side columns together ([`SIDE_OF`]): one of them that says
//! something takes the place of all.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use object_store::path::Path;

pub use crate::lake::{FileRows, LakeRoot, StoredFile};

/// Name of the asset column (Utf8, not null): the asset's unique tag.
pub const ASSET: &str = "asset";
/// Name of the event time column (Timestamp microseconds UTC, not null).
pub const TIME: &str = "time";
/// Name of the receipt time column (Timestamp microseconds UTC, not null), business clock.
pub const RECEIVED_AT: &str = "received_at";
/// Name of the arrival order column (UInt64, not null), present in late batches and files only.
pub const SEQUENCE: &str = "_sequence";

/// Key of a field's metadata: the unit in which the metric is stored.
pub const UNIT: &str = "unit";
/// Key of a side column's metadata: the metric that it belongs to.
pub const SIDE_OF: &str = "side_of";
/// Key of a side column's metadata: what it holds of its metric, one of `text` (texts of a metric
/// of numbers), `number` (numbers of a metric of texts), `quality` (`uncertain` or `bad`; null is
/// good) and `double` (numbers that do not fit the metric's stored type).
pub const KIND: &str = "kind";

/// What a column takes in a batch beside its array: its places in lists.
const COLUMN_BYTES: usize = 64;

/// An atomic picture of all tables.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    /// Number of the last committed journal record that is visible.
    pub sequence: u64,
    /// Tables by class name (lower case).
    pub tables: BTreeMap<Arc<str>, Arc<TableSnapshot>>,
    /// Roll-ups by table name (`<class>_1m`, `<class>_1h`): `asset`, `time` (begin of the
    /// bucket), and per number metric `m__count`, `m__min`, `m__max`, `m__mean`, `m__last`. They
    /// have files only.
    pub rollups: BTreeMap<Arc<str>, Arc<TableSnapshot>>,
    /// Where the files of all tables lie.
    pub lake: Arc<LakeRoot>,
}

/// One wide table: all assets of one class.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The class, lower case; also the table's name in SQL.
    pub class: Arc<str>,
    /// `asset`, `time`, `received_at`, then one nullable column per metric in order of first
    /// sight: Float64, or Utf8 where the metric's first value was a text. Side columns stand
    /// among them; see [`SIDE_OF`]. Field metadata [`UNIT`] carries the unit where one is known.
    pub schema: SchemaRef,
    /// The columns as files have them: those of `schema`, `_sequence` (nullable Int64) after
    /// `received_at`, number metrics as Float64 or Decimal128, and `m__double` columns for values
    /// of `m` that its decimal cannot hold (field metadata `side_of` = m, `kind` = double). A
    /// file may lack columns: they are null in it.
    pub physical: SchemaRef,
    /// In-order rows not yet in a file, in arrival order.
    pub hot: Vec<Arc<HotBatch>>,
    /// In-order rows in Parquet files, each sorted by (asset, time).
    pub files: Vec<Arc<ColdFile>>,
    /// Late rows not yet in a file.
    pub late_hot: Vec<Arc<HotBatch>>,
    /// Late rows in Parquet files.
    pub late_files: Vec<Arc<ColdFile>>,
}

impl TableSnapshot {
    /// The files of in-order rows, so that each asset's rows come in order of event time: the
    /// compacted ones, which are disjoint in time, by time, then the flushed ones as they were
    /// written. Rows in memory come after them.
    ///
    /// The names of the files do not say that: a compaction may write old rows while newer ones are
    /// flushed, and may leave newer files as they are.
    pub fn in_order(&self) -> Vec<&Arc<ColdFile>> {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by(|one, other| match (one.level, other.level) {
            (0, 0) => (one.through, &one.path).cmp(&(other.through, &other.path)),
            (0, _) => Ordering::Greater,
            (_, 0) => Ordering::Less,
            _ => (one.min_time, &one.path).cmp(&(other.min_time, &other.path)),
        });
        files
    }
}

/// Rows in memory. Columns are matched to the table's schema by name; a missing one is null.
///
/// A text column is Dictionary(Int32, Utf8) here, Utf8 in the table's schema: cast it.
#[derive(Debug, Clone)]
pub struct HotBatch {
    /// The rows.
    pub batch: RecordBatch,
    /// Smallest event time, microseconds since 1970.
    pub min_time: i64,
    /// Largest event time, microseconds since 1970.
    pub max_time: i64,
}

impl HotBatch {
    /// What the rows take in memory, an absent value in a column as much as a present one.
    ///
    /// **Units** bytes.
    pub fn memory_bytes(&self) -> usize {
        let columns = self.batch.num_columns() * COLUMN_BYTES;
        self.batch.get_array_memory_size() + columns
    }
}

/// A Parquet file. Columns are matched to the table's schema by name; a missing one is null.
#[derive(Debug, Clone)]
pub struct ColdFile {
    /// Relative to the lake's root.
    pub path: Path,
    /// Rows in the file.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Smallest event time, microseconds since 1970.
    pub min_time: i64,
    /// Largest event time, microseconds since 1970.
    pub max_time: i64,
    /// Smallest asset tag, by bytes.
    pub min_asset: Arc<str>,
    /// Largest asset tag, by bytes.
    pub max_asset: Arc<str>,
    /// 0 for a flushed file; 1 for a compacted one: in-order files of level 1 are disjoint in
    /// time.
    pub level: u8,
    /// Its rows are late rows (`_sequence` is not null).
    pub late: bool,
    /// Its rows are sorted by (asset, time), late ones of one key by `_sequence`.
    pub sorted: bool,
    /// Number of the last journal record whose rows may be in it.
    pub through: u64,
}

/// Rows that have just been synced, for those who follow the stream (detectors).
#[derive(Debug, Clone)]
pub struct Committed {
    /// Number of the journal record. Records without an accepted row have no entry in the feed.
    pub sequence: u64,
    /// Commits left out since the previous entry, because the feed was full: their rows are in
    /// the snapshot only. 0 when the feed is whole.
    pub skipped: u64,
    /// The tables touched; none in an entry that only tells of commits left out. A table has
    /// several parts, in arrival order, when its rows share few metrics.
    pub parts: Vec<CommittedPart>,
}

/// Rows of one table in one commit.
#[derive(Debug, Clone)]
pub struct CommittedPart {
    /// The class, lower case.
    pub class: Arc<str>,
    /// True when these rows are late (then the batch has `_sequence`).
    pub late: bool,
    /// The rows, in arrival order.
    pub rows: Arc<HotBatch>,
}
