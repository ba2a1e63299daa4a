//! Rows that the feed does not bring: from before the start, and those that it had to leave out.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::UInt64Array;
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use fieldwright_ingest::snapshot::{ColdFile, Snapshot};
use tokio::sync::mpsc;

use super::followed::Followed;
use super::shared::{READ_TRIES, Shared};
use crate::detect::engine::{Columns, Due};
use crate::detect::history::{HistoryError, Rows, read_spans, read_table};

/// What has to be read.
#[derive(Debug, Clone)]
pub(super) enum Reading {
    /// What progress does not cover; without a mark, only event time tells.
    Start(Option<Followed>),
    /// What the engine has not seen.
    CatchUp(Followed),
}

/// Rows that are stored.
#[derive(Debug)]
pub(super) struct Stored {
    /// The class of their table.
    pub(super) class: Arc<str>,
    /// Rows that came in order.
    pub(super) in_order: Option<RecordBatch>,
    /// Late ones that may be parts of those, or late rows by themselves.
    pub(super) late: Vec<RecordBatch>,
}

/// Late rows that are laid beside those that came in order, at most; what is beyond is no part of a
/// reading and revises its window. **Units**: rows, some hundred bytes each beside their own.
const MAX_BESIDE: usize = 1_000_000;
/// What these rows take themselves, at most. **Units**: bytes.
const MAX_BESIDE_BYTES: usize = 256 << 20;

/// Reads rows and sends them on, per asset in order of event time, each with the late ones of its
/// instant, then the late ones of their class, until nobody listens; gives the snapshot that they
/// are from.
///
/// Among them are rows that the engine has seen: it knows by their time.
pub(super) fn read(
    shared: &Shared,
    reading: &Reading,
    sender: &mpsc::Sender<Stored>,
) -> Arc<Snapshot> {
    let mut tries = 0;
    loop {
        tries += 1;
        let snapshot = (shared.snapshots)();
        match read_snapshot(shared, reading, &snapshot, sender) {
            // Files may be put together while they are read; a newer picture knows the new ones,
            // and rows that were taken before change nothing the second time.
            Err(HistoryError::Open { .. }) if tries < READ_TRIES => {}
            Err(error) => {
                tracing::error!(
                    ?error,
                    "stored rows cannot be read again; their windows are not scored"
                );
                return snapshot;
            }
            Ok(()) => return snapshot,
        }
    }
}

fn read_snapshot(
    shared: &Shared,
    reading: &Reading,
    snapshot: &Snapshot,
    sender: &mpsc::Sender<Stored>,
) -> Result<(), HistoryError> {
    let mut trouble = Ok(());
    for (class, table) in &snapshot.tables {
        let send = |in_order, late| {
            let stored = Stored {
                class: Arc::clone(class),
                in_order,
                late,
            };
            match sender.blocking_send(stored) {
                Ok(()) => ControlFlow::Continue(()),
                // Detection was told to stop.
                Err(_) => ControlFlow::Break(()),
            }
        };
        let (done, from) = match reading {
            Reading::Start(known) => {
                let done = known
                    .as_ref()
                    .map_or(u64::MAX, |known| known.through(table));
                (done, shared.engine().read_from(class))
            }
            Reading::CatchUp(seen) => (seen.through(table), i64::MAX),
        };
        let wanted = |file: &ColdFile| file.through > done || file.max_time >= from;
        let lake = &snapshot.lake;
        let mut beside = Beside::default();
        let laid = read_table(lake, table, Rows::Late, wanted, |batch| {
            match sender.is_closed() {
                true => ControlFlow::Break(()),
                false => beside.take(batch),
            }
        });
        let in_order = read_table(lake, table, Rows::InOrder, wanted, |batch| {
            send(Some(batch.clone()), beside.of(batch))
        });
        let late = read_table(lake, table, Rows::Late, wanted, |batch| {
            send(None, vec![batch.clone()])
        });
        // A damaged file of one class is no trouble of the others, nor one of late rows of those
        // that came in order.
        for read in [laid, in_order, late] {
            match read {
                Err(error @ HistoryError::Open { .. }) => return Err(error),
                Err(error) => trouble = trouble.and(Err(error)),
                Ok(()) => {}
            }
        }
    }
    trouble
}

/// Late rows by asset and event time.
#[derive(Default)]
struct Beside {
    batches: Vec<RecordBatch>,
    /// Batch and row, in order of arrival.
    places: HashMap<String, BTreeMap<i64, Vec<(usize, u64)>>>,
    rows: usize,
    bytes: usize,
}

impl Beside {
    fn take(&mut self, batch: &RecordBatch) -> ControlFlow<()> {
        let Some(columns) = Columns::of(batch, |_| usize::MAX) else {
            return ControlFlow::Continue(());
        };
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        if self.rows > MAX_BESIDE || self.bytes > MAX_BESIDE_BYTES {
            tracing::warn!(
                rows = self.rows,
                "so many late rows are not compacted yet; parts of readings beyond them revise \
                 windows and are not judged with them"
            );
            return ControlFlow::Break(());
        }
        let number = self.batches.len();
        for row in 0..batch.num_rows() {
            let tag = columns.asset(row);
            if !self.places.contains_key(tag) {
                self.places.insert(tag.to_owned(), BTreeMap::new());
            }
            if let Some(own) = self.places.get_mut(tag) {
                let at = own.entry(columns.time(row)).or_default();
                at.push((number, row as u64));
            }
        }
        self.batches.push(batch.clone());
        ControlFlow::Continue(())
    }

    /// The late rows of the instants of these.
    fn of(&self, in_order: &RecordBatch) -> Vec<RecordBatch> {
        if self.batches.is_empty() {
            return Vec::new();
        }
        let Some(columns) = Columns::of(in_order, |_| usize::MAX) else {
            return Vec::new();
        };
        let mut taken: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for row in 0..in_order.num_rows() {
            let own = self.places.get(columns.asset(row));
            let at = own.and_then(|own| own.get(&columns.time(row)));
            for (batch, row) in at.into_iter().flatten() {
                taken.entry(*batch).or_default().push(*row);
            }
        }
        let rows = taken.into_iter().filter_map(|(batch, rows)| {
            take_record_batch(&self.batches[batch], &UInt64Array::from(rows)).ok()
        });
        rows.collect()
    }
}

/// The rows of windows that are to be cut again, in order of event time.
///
/// Those that cannot be read are left out: their windows stay as they are.
pub(super) fn read_again(shared: &Shared, all: Vec<Due>) -> Vec<(Due, Vec<RecordBatch>)> {
    let mut by_class: BTreeMap<Arc<str>, Vec<Due>> = BTreeMap::new();
    for due in all {
        by_class
            .entry(Arc::clone(&due.class))
            .or_default()
            .push(due);
    }
    let mut found = Vec::new();
    for (class, all) in by_class {
        let spans = all.iter().map(|due| (&*due.asset, due.span)).collect();
        let mut tries = 0;
        let mut rows = loop {
            tries += 1;
            let snapshot = (shared.snapshots)();
            let Some(table) = snapshot.tables.get(&class) else {
                break BTreeMap::new();
            };
            match read_spans(&snapshot.lake, table, &spans) {
                Err(HistoryError::Open { .. }) if tries < READ_TRIES => {}
                Err(error) => {
                    tracing::error!(%class, ?error, "late readings revise nothing");
                    break BTreeMap::new();
                }
                Ok(rows) => break rows,
            }
        };
        let with_rows = all.into_iter().filter_map(|due| {
            let rows = rows.remove(&*due.asset)?;
            Some((due, rows))
        });
        found.extend(with_rows.collect::<Vec<_>>());
    }
    found
}
