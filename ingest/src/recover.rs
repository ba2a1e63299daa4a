//! What a data folder says: the lake, and the journal after it.
//!
//! The journal is read through the same decoding, classification and append as a live message
//! takes, under the rules it was received under, so what comes out is what stood before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use thiserror::Error;

use crate::batch::{Batch, OpenBatch, Part};
use crate::catalog::Catalog;
use crate::codec::sparkplug::sessions::Sessions;
use crate::config::{DecodeRules, IngestConfig};
use crate::decode::Decoder;
use crate::frame::Damage;
use crate::journal::{self, Item, JournalError, Record, Sealed, Segment, SegmentReport, WholeHead};
use crate::lake::{Lake, LakeError};
use crate::last_values::LastValues;
use crate::last_values::checkpoint;
use crate::last_values::rebuild;
use crate::snapshot::Snapshot;
use crate::tables::Tables;

/// The journal's folder in the data folder.
pub(crate) const JOURNAL: &str = "journal";
/// The lake's folder in the data folder.
pub(crate) const LAKE: &str = "lake";
/// The quarantine's folder in the data folder.
pub(crate) const QUARANTINE: &str = "quarantine";

/// Why a data folder cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Nothing of ours in it.
    #[error("{0} is no data folder: it has neither a lake nor a journal")]
    NoDataFolder(PathBuf),
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Decoded batches that wait for the thread that makes them visible.
const WAITING: usize = 4;

/// What was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub tables: Arc<Tables>,
    pub catalog: Catalog,
    /// The segments that were read.
    pub segments: Vec<Sealed>,
    /// Number of the next segment.
    pub next_segment: u64,
    /// Number of the last record that counts.
    pub last_sequence: u64,
    /// Number of the first record that is not wholly in files; none when all are.
    pub first_needed: Option<u64>,
    /// Number of the last record in the checkpoint of the last values, if there is one that holds.
    pub remembered: Option<u64>,
    /// Messages replayed.
    pub messages: u64,
    /// Rows that are in memory now.
    pub rows: usize,
    /// Bytes of memory that they take.
    pub bytes: usize,
    /// Damaged places that a crash does not explain.
    pub damages: u64,
    /// The Sparkplug sessions after the last record.
    pub sessions: Sessions,
}

/// Reads a data folder without changing it and without a service.
///
/// **Errors**: see [`ReadError`].
pub fn read_folder(data_dir: &Path) -> Result<Snapshot, ReadError> {
    let (snapshot, _) = read_folder_with_last(data_dir)?;
    Ok(Arc::unwrap_or_clone(snapshot))
}

/// The same with the last values.
///
/// **Errors**: see [`ReadError`].
pub fn read_folder_with_last(
    data_dir: &Path,
) -> Result<(Arc<Snapshot>, Arc<LastValues>), ReadError> {
    let folder = data_dir.join(LAKE);
    let lake = match folder.is_dir() {
        true => Some(Lake::open_folder(&folder)?),
        false => None,
    };
    if lake.is_none() && !data_dir.join(JOURNAL).is_dir() {
        return Err(ReadError::NoDataFolder(data_dir.to_owned()));
    }
    let rules = IngestConfig::default().decode_rules();
    let recovered = recover(data_dir, lake.as_ref(), &rules, |_| {})?;
    Ok(recovered.tables.snapshots().load_with_last())
}

/// Reads the journal on top of the lake; `see` gets every replayed batch.
///
/// `fallback` are the rules for a segment whose own are damaged.
pub(crate) fn recover(
    data_dir: &Path,
    lake: Option<&Lake>,
    fallback: &DecodeRules,
    see: impl FnMut(&Batch) + Send,
) -> Result<Recovered, ReadError> {
    let newest = lake.map_or(0, Lake::newest_record);
    let mut found = Recovered {
        tables: Arc::new(Tables::new(
            newest,
            Arc::new(lake.map(Lake::root).unwrap_or_default()),
            lake.map(Lake::tables).unwrap_or_default(),
        )),
        catalog: lake.map(Lake::catalog).transpose()?.unwrap_or_default(),
        segments: Vec::new(),
        next_segment: 1,
        last_sequence: newest,
        first_needed: None,
        remembered: None,
        messages: 0,
        rows: 0,
        bytes: 0,
        damages: 0,
        sessions: Sessions::default(),
    };
    for rollup in lake.map(Lake::rollups).unwrap_or_default() {
        found.tables.set_rollup(rollup);
    }
    let remembered = found.find_last_values(data_dir);
    let folder = data_dir.join(JOURNAL);
    if !folder.is_dir() {
        return Ok(found);
    }
    let tables = found.tables.clone();
    let mut replay = Replay {
        flushed: lake.map(Lake::flushed_through).unwrap_or_default(),
        newest,
        remembered,
        fallback,
        decoder: None,
        head: None,
        begins: false,
        last_read: None,
        unreadable: Vec::new(),
        found: &mut found,
    };
    // Three threads: one reads and checks, this one decodes, one makes the rows visible.
    thread::scope(|scope| {
        let (ready, batches) = sync_channel::<Ready>(WAITING);
        let applier = scope.spawn(move || apply(&tables, batches, see));
        let read = journal::replay(&folder, |item| match item {
            Item::Head(head) => replay.begin(head),
            Item::Record(record) => {
                // It takes all of them.
                replay.record(record).map(|batch| ready.send(batch).ok());
            }
            Item::End(segment, report) => replay.end(segment, report),
        });
        drop(ready);
        replay.settle_sessions();
        applier
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        read
    })?;
    Ok(found)
}

/// A batch on its way into the tables.
struct Ready {
    batch: Batch,
    /// Rows of it that are in files but not in the last values.
    in_files: Vec<Part>,
}

fn apply(tables: &Tables, batches: Receiver<Ready>, mut see: impl FnMut(&Batch)) {
    for Ready { batch, in_files } in batches {
        tables.remember(&in_files);
        see(&batch);
        tables.apply(std::slice::from_ref(&batch));
        tables.tidy();
    }
}

/// The state of a replay.
struct Replay<'a> {
    /// Per class, the number of the last record whose rows are in files.
    flushed: BTreeMap<Arc<str>, u64>,
    /// The largest of them.
    newest: u64,
    /// Number of the last record in the last values.
    remembered: u64,
    fallback: &'a DecodeRules,
    head: Option<Box<WholeHead>>,
    /// No record of the segment was decoded yet.
    begins: bool,
    decoder: Option<Decoder>,
    last_read: Option<u64>,
    unreadable: Vec<Damage>,
    found: &'a mut Recovered,
}

impl Replay<'_> {
    fn begin(&mut self, head: Option<Box<WholeHead>>) {
        self.head = head;
        self.begins = true;
        // A segment may have no record: it is kept for its head.
        if let (Some(head), None) = (&self.head, self.last_read) {
            self.found.sessions = head.sessions.clone();
        }
    }

    /// What the records led to, if there were any.
    fn settle_sessions(&mut self) {
        if let (Some(decoder), Some(_)) = (&self.decoder, self.last_read) {
            self.found.sessions = decoder.sessions();
        }
    }

    /// Decodes a record; none when nothing of it is needed.
    fn record(&mut self, record: Record) -> Option<Ready> {
        let number = record.number;
        // A record that was written again after a failed sync stands twice.
        if self.last_read.is_some_and(|last| number <= last) {
            return None;
        }
        let envelopes = match record.envelopes() {
            Ok(envelopes) => envelopes,
            Err(damage) => {
                self.unreadable.push(damage);
                return None;
            }
        };
        let goes_on = self.last_read == number.checked_sub(1);
        self.last_read = Some(number);
        let found = &mut *self.found;
        let rules = self.head.as_ref().map(|head| &head.rules);
        let decoder = decoder_for(&mut self.decoder, rules, self.fallback);
        // The head knows the sessions when records before it are gone; else those that the records
        // led to are as new or newer: a record may stand twice.
        if let Some(head) = self.head.as_ref().filter(|_| self.begins && !goes_on) {
            decoder.restore(head.sessions.clone());
        }
        self.begins = false;
        let messages = envelopes.len() as u64;
        let mut open = OpenBatch::new(number);
        for envelope in envelopes {
            open.push(decoder, &mut found.catalog, envelope);
        }
        let mut batch = open.close(&found.catalog);
        let filed = |part: &Part| {
            let last = self.flushed.get(&part.class);
            last.is_some_and(|last| number <= *last)
        };
        let all = std::mem::take(&mut batch.parts);
        let (mut in_files, parts) = all.into_iter().partition::<Vec<_>, _>(filed);
        batch.parts = parts;
        if number <= self.remembered {
            in_files.clear();
        }
        found.last_sequence = found.last_sequence.max(number);
        let is_needed =
            number > self.newest || !batch.parts.is_empty() || !batch.rejects.is_empty();
        if is_needed {
            found.first_needed.get_or_insert(number);
            found.messages += messages;
            let rows = |part: &Part| part.rows.batch.num_rows();
            found.rows += batch.parts.iter().map(rows).sum::<usize>();
            found.bytes += batch.bytes();
        } else if in_files.is_empty() {
            return None;
        }
        Some(Ready { batch, in_files })
    }

    fn end(&mut self, segment: Segment, mut report: SegmentReport) {
        report.damages.append(&mut self.unreadable);
        let mut damaged = false;
        for damage in &report.damages {
            let (path, at, bytes) = (segment.path.display(), damage.at, damage.bytes);
            if damage.torn {
                tracing::info!(%path, at, bytes, "the journal ends in a write cut short: dropped");
            } else {
                tracing::error!(%path, at, bytes, "the journal is damaged: these bytes are lost");
                damaged = true;
                self.found.damages += 1;
            }
        }
        self.found.next_segment = segment.number + 1;
        self.found.segments.push(Sealed {
            path: segment.path,
            last: report.last,
            bytes: report.bytes,
            damaged,
        });
    }
}

impl Recovered {
    /// Brings the last values to the tables. Returns the number of the last record in them.
    /// Records go on after it, also where the last of them had no row that a file could have.
    fn find_last_values(&mut self, data_dir: &Path) -> u64 {
        let snapshot = self.tables.snapshots().load();
        let mut files = snapshot.tables.values();
        let has_files = files.any(|table| !(table.files.is_empty() && table.late_files.is_empty()));
        match checkpoint::read(data_dir) {
            Ok(Some(found)) => {
                self.tables.set_last(found.last);
                self.last_sequence = self.last_sequence.max(found.through);
                self.remembered = Some(found.through);
                return found.through;
            }
            Ok(None) if !has_files => return self.last_sequence,
            Ok(None) => tracing::warn!("there is no checkpoint of the last values: reading files"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the last values are read from the files instead");
            }
        }
        match rebuild::from_files(&snapshot) {
            Ok(last) => self.tables.set_last(last),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "last values are known from the journal on only");
            }
        }
        self.last_sequence
    }
}

/// The decoder of the rules, kept from the record before where they are the same.
fn decoder_for<'d>(
    kept: &'d mut Option<Decoder>,
    rules: Option<&DecodeRules>,
    fallback: &DecodeRules,
) -> &'d mut Decoder {
    let rules = rules.unwrap_or(fallback);
    if kept.as_ref().is_none_or(|decoder| decoder.rules() != rules) {
        let sessions = kept.as_ref().map(Decoder::sessions);
        let decoder = Decoder::new(rules.clone()).or_else(|error| {
            tracing::error!(%error, "the rules of a journal segment cannot be used any more");
            Decoder::new(fallback.clone())
        });
        let mut decoder = decoder.expect("the present rules were validated");
        sessions
            .into_iter()
            .for_each(|sessions| decoder.restore(sessions));
        *kept = Some(decoder);
    }
    kept.as_mut().expect("set above")
}
