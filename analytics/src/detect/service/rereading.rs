//! Rows that the feed does not bring: from before the start, and those that it had to leave out.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use fieldwright_ingest::snapshot::{ColdFile, Snapshot};
use tokio::sync::mpsc;

use super::followed::Followed;
use super::shared::{READ_TRIES, Shared};
use crate::detect::engine::Due;
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
    /// Whether they are late rows.
    pub(super) late: bool,
    /// The rows.
    pub(super) batch: RecordBatch,
}

/// Reads rows and sends them on, per asset in order of event time, then the late ones of their
/// class, until nobody listens; gives the snapshot that they are from.
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
        let send = |batch: &RecordBatch, late| {
            let stored = Stored {
                class: Arc::clone(class),
                late,
                batch: batch.clone(),
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
        let read = read_table(lake, table, Rows::InOrder, wanted, |batch| {
            send(batch, false)
        })
        .and_then(|()| read_table(lake, table, Rows::Late, wanted, |batch| send(batch, true)));
        // A damaged file of one class is no trouble of the others.
        match read {
            Err(error @ HistoryError::Open { .. }) => return Err(error),
            Err(error) => trouble = trouble.and(Err(error)),
            Ok(()) => {}
        }
    }
    trouble
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
