//! The writer's side of the snapshot: commits add hot rows, a flush turns them into files.
//!
//! Every change makes a new picture and swaps it in as a whole. Making one copies lists of shared
//! pointers, never rows.

mod hot;

pub(crate) use self::hot::{merge, pieces};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwap;
use arrow::datatypes::SchemaRef;

use self::hot::Hot;
use crate::batch::{Batch, Part};
use crate::last_values::{LastValues, Repeats, Writer};
use crate::snapshot::{ColdFile, HotBatch, LakeRoot, Snapshot, TableSnapshot};

/// A handle that loads the newest picture of all tables; cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshots(Arc<Published>);

#[derive(Debug)]
struct Published {
    snapshot: ArcSwap<Snapshot>,
    /// Held while both change: whoever takes both takes it first.
    last: Mutex<Writer>,
}

/// All tables, as their writers see them.
#[derive(Debug)]
pub(crate) struct Tables {
    published: Snapshots,
    inner: Mutex<Inner>,
}

/// The rows of one table that are about to become files.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    pub class: Arc<str>,
    pub schema: SchemaRef,
    pub in_order: Vec<Arc<HotBatch>>,
    pub late: Vec<Arc<HotBatch>>,
}

/// One table as it stands in files.
#[derive(Debug, Clone)]
pub(crate) struct FiledTable {
    pub class: Arc<str>,
    pub schema: SchemaRef,
    pub physical: SchemaRef,
    pub files: Vec<Arc<ColdFile>>,
    pub late_files: Vec<Arc<ColdFile>>,
}

#[derive(Debug, Default)]
struct Inner {
    sequence: u64,
    lake: Arc<LakeRoot>,
    rollups: BTreeMap<Arc<str>, Arc<TableSnapshot>>,
    tables: BTreeMap<Arc<str>, Table>,
}

#[derive(Debug)]
struct Table {
    schema: SchemaRef,
    physical: SchemaRef,
    files: Vec<Arc<ColdFile>>,
    late_files: Vec<Arc<ColdFile>>,
    hot: Hot,
    late_hot: Hot,
}

impl Snapshots {
    /// A picture that never changes (a folder that was read, a test).
    pub fn fixed(snapshot: Snapshot) -> Self {
        Self::fixed_with_last(Arc::new(snapshot), Arc::default())
    }

    /// The same with last values.
    pub fn fixed_with_last(snapshot: Arc<Snapshot>, last: Arc<LastValues>) -> Self {
        Self(Arc::new(Published {
            snapshot: ArcSwap::new(snapshot),
            last: Mutex::new(Writer::new(last)),
        }))
    }

    /// The newest picture.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    /// The newest picture and the last values of the same instant.
    ///
    /// Let go of the last values soon: while they are held, the writer copies what it changes.
    pub fn load_with_last(&self) -> (Arc<Snapshot>, Arc<LastValues>) {
        let last = self.last();
        (self.load(), last.picture())
    }

    fn last(&self) -> MutexGuard<'_, Writer> {
        self.0.last.lock().expect("no holder panics")
    }
}

impl Tables {
    /// Tables that stand in files alone.
    pub(crate) fn new(sequence: u64, lake: Arc<LakeRoot>, filed: Vec<FiledTable>) -> Self {
        let tables = filed.into_iter().map(|table| {
            let FiledTable {
                class,
                schema,
                physical,
                files,
                late_files,
            } = table;
            (
                class,
                Table {
                    physical,
                    files,
                    late_files,
                    ..Table::empty(schema)
                },
            )
        });
        let inner = Inner {
            sequence,
            lake,
            rollups: BTreeMap::new(),
            tables: tables.collect(),
        };
        let published = Snapshots::fixed(inner.picture());
        Self {
            published,
            inner: Mutex::new(inner),
        }
    }

    /// Goes on from last values that were found.
    pub(crate) fn set_last(&self, mut last: LastValues) {
        // What was found knows values; which columns a class has, its table knows.
        for (class, table) in &self.lock().tables {
            last.describe(class, &table.schema);
        }
        *self.published.last() = Writer::new(Arc::new(last));
    }

    /// The reading handle.
    pub(crate) fn snapshots(&self) -> Snapshots {
        self.published.clone()
    }

    /// The last values as of the newest commit.
    pub(crate) fn last_values(&self) -> Arc<LastValues> {
        self.published.last().picture()
    }

    /// Takes rows that are in files already: for the last values alone.
    pub(crate) fn remember(&self, rows: &[Part]) {
        self.published.last().apply(rows);
    }

    /// Makes committed batches visible, all at once. Says what came again at the newest instant.
    pub(crate) fn apply(&self, batches: &[Batch]) -> Repeats {
        let mut inner = self.lock();
        let mut touched = Vec::new();
        for batch in batches {
            for part in &batch.parts {
                let empty = || Table::empty(part.schema.clone());
                let table = inner.tables.entry(part.class.clone()).or_insert_with(empty);
                table.schema = part.schema.clone();
                let hot = if part.late {
                    &mut table.late_hot
                } else {
                    &mut table.hot
                };
                hot.push(part.rows.clone());
                touched.push(part.class.clone());
            }
            if batch.is_recorded() {
                inner.sequence = inner.sequence.max(batch.sequence);
            }
        }
        let picture = self.picture(&inner, &touched);
        let mut last = self.published.last();
        let repeats = last.apply(batches.iter().flat_map(|batch| &batch.parts));
        self.published.0.snapshot.store(Arc::new(picture));
        repeats
    }

    /// Merges small hot batches into larger ones.
    pub(crate) fn tidy(&self) {
        let mut inner = self.lock();
        let mut touched = Vec::new();
        for (class, table) in &mut inner.tables {
            let schema = table.schema.clone();
            if table.hot.tidy(&schema) | table.late_hot.tidy(&schema) {
                touched.push(class.clone());
            }
        }
        if !touched.is_empty() {
            self.publish(&inner, &touched);
        }
    }

    /// Sets the present hot rows apart for a flush. They stay visible.
    pub(crate) fn freeze(&self) -> Vec<Frozen> {
        let mut inner = self.lock();
        let tables = inner.tables.iter_mut().map(|(class, table)| Frozen {
            class: class.clone(),
            schema: table.schema.clone(),
            in_order: table.hot.freeze(),
            late: table.late_hot.freeze(),
        });
        tables.collect()
    }

    /// Swaps frozen rows of one class for the files that now hold them, at once.
    pub(crate) fn install(&self, frozen: &Frozen, filed: FiledTable) {
        let mut inner = self.lock();
        let Some(table) = inner.tables.get_mut(&frozen.class) else {
            return;
        };
        table.hot.thaw(frozen.in_order.len());
        table.late_hot.thaw(frozen.late.len());
        table.set_files(filed);
        self.publish(&inner, std::slice::from_ref(&frozen.class));
    }

    /// Swaps the files of a roll-up for others, at once.
    pub(crate) fn set_rollup(&self, filed: FiledTable) {
        let mut inner = self.lock();
        let name = filed.class.clone();
        let table = Table {
            physical: filed.physical,
            files: filed.files,
            ..Table::empty(filed.schema)
        };
        let picture = Arc::new(table.picture(&name));
        inner.rollups.insert(name, picture);
        self.publish(&inner, &[]);
    }

    /// Swaps the files of one class for others with the same rows, at once.
    pub(crate) fn rearrange(&self, filed: FiledTable) {
        let mut inner = self.lock();
        let class = filed.class.clone();
        if let Some(table) = inner.tables.get_mut(&class) {
            table.set_files(filed);
            self.publish(&inner, &[class]);
        }
    }

    fn publish(&self, inner: &Inner, touched: &[Arc<str>]) {
        let picture = self.picture(inner, touched);
        self.published.0.snapshot.store(Arc::new(picture));
    }

    fn picture(&self, inner: &Inner, touched: &[Arc<str>]) -> Snapshot {
        let mut picture = Snapshot::clone(&self.published.load());
        picture.sequence = inner.sequence;
        picture.rollups = inner.rollups.clone();
        for class in touched {
            let table = inner.tables[class].picture(class);
            picture.tables.insert(class.clone(), Arc::new(table));
        }
        picture
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }
}

impl Inner {
    fn picture(&self) -> Snapshot {
        let tables = self.tables.iter();
        let tables = tables.map(|(class, table)| (class.clone(), Arc::new(table.picture(class))));
        Snapshot {
            sequence: self.sequence,
            tables: tables.collect(),
            rollups: self.rollups.clone(),
            lake: self.lake.clone(),
        }
    }
}

impl Table {
    fn empty(schema: SchemaRef) -> Self {
        Self {
            // Until its first flush decides more.
            physical: schema.clone(),
            schema,
            files: Vec::new(),
            late_files: Vec::new(),
            hot: Hot::default(),
            late_hot: Hot::default(),
        }
    }

    fn set_files(&mut self, filed: FiledTable) {
        self.physical = filed.physical;
        self.files = filed.files;
        self.late_files = filed.late_files;
    }

    fn picture(&self, class: &Arc<str>) -> TableSnapshot {
        TableSnapshot {
            class: class.clone(),
            schema: self.schema.clone(),
            physical: self.physical.clone(),
            hot: self.hot.all(),
            files: self.files.clone(),
            late_hot: self.late_hot.all(),
            late_files: self.late_files.clone(),
        }
    }
}
