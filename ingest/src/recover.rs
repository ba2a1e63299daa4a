//! What a data folder says: the lake, and the journal after it.
//!
//! The journal is read through the same decoding, classification and append as a live message
//! takes, under the rules it was received under, so what comes out is what stood before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::batch::{Batch, OpenBatch, Part};
use crate::catalog::Catalog;
use crate::config::{DecodeRules, IngestConfig};
use crate::decode::Decoder;
use crate::journal::{self, JournalError, Sealed};
use crate::lake::{Lake, LakeError};
use crate::last_values::LastValues;
use crate::last_values::checkpoint;
use crate::last_values::rebuild;
use crate::snapshot::Snapshot;
use crate::source::Envelope;
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

/// What was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub tables: Tables,
    pub catalog: Catalog,
    /// The segments that were read.
    pub segments: Vec<Sealed>,
    /// Number of the next segment.
    pub next_segment: u64,
    /// Number of the last record that counts.
    pub last_sequence: u64,
    /// Number of the first record that is not wholly in files; none when all are.
    pub first_needed: Option<u64>,
    /// Messages replayed.
    pub messages: u64,
    /// Rows that are in memory now.
    pub rows: usize,
    /// Bytes of memory that they take.
    pub bytes: usize,
    /// Damaged places that a crash does not explain.
    pub damages: u64,
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
    mut see: impl FnMut(&Batch),
) -> Result<Recovered, ReadError> {
    let flushed = lake.map(Lake::flushed_through).unwrap_or_default();
    let newest = lake.map_or(0, Lake::newest_record);
    let mut found = Recovered {
        tables: Tables::new(
            newest,
            Arc::new(lake.map(Lake::root).unwrap_or_default()),
            lake.map(Lake::tables).unwrap_or_default(),
        ),
        catalog: lake.map(Lake::catalog).transpose()?.unwrap_or_default(),
        segments: Vec::new(),
        next_segment: 1,
        last_sequence: newest,
        first_needed: None,
        messages: 0,
        rows: 0,
        bytes: 0,
        damages: 0,
    };
    let remembered = found.find_last_values(data_dir);
    let folder = data_dir.join(JOURNAL);
    if !folder.is_dir() {
        return Ok(found);
    }
    let mut decoder = None;
    let mut last_read = 0;
    for segment in journal::segments(&folder)? {
        let report = segment.read(|rules, number, envelopes| {
            // A record that was written again after a failed sync stands twice.
            if number <= last_read {
                return;
            }
            last_read = number;
            let decoder = decoder_for(&mut decoder, rules, fallback);
            let messages = envelopes.len() as u64;
            let mut batch = decoded(number, envelopes, decoder, &mut found.catalog);
            let filed = |part: &Part| flushed.get(&part.class).is_some_and(|last| number <= *last);
            let all = std::mem::take(&mut batch.parts);
            let (in_files, parts) = all.into_iter().partition(filed);
            if number > remembered {
                batch.parts = in_files;
                found.tables.remember(&batch);
            }
            batch.parts = parts;
            if number <= newest && batch.parts.is_empty() && batch.rejects.is_empty() {
                return;
            }
            found.last_sequence = found.last_sequence.max(number);
            found.first_needed.get_or_insert(number);
            found.messages += messages;
            found.rows += batch
                .parts
                .iter()
                .map(|part| part.rows.batch.num_rows())
                .sum::<usize>();
            found.bytes += batch.bytes();
            see(&batch);
            found.tables.apply(std::slice::from_ref(&batch));
            found.tables.tidy();
        })?;
        let mut damaged = false;
        for damage in &report.damages {
            let (path, at, bytes) = (segment.path.display(), damage.at, damage.bytes);
            if damage.torn {
                tracing::info!(%path, at, bytes, "the journal ends in a write cut short: dropped");
            } else {
                tracing::error!(%path, at, bytes, "the journal is damaged: these bytes are lost");
                damaged = true;
                found.damages += 1;
            }
        }
        found.next_segment = segment.number + 1;
        found.segments.push(Sealed {
            path: segment.path,
            last: report.last,
            bytes: report.bytes,
            damaged,
        });
    }
    Ok(found)
}

fn decoded(
    number: u64,
    envelopes: Vec<Envelope>,
    decoder: &mut Decoder,
    catalog: &mut Catalog,
) -> Batch {
    let mut batch = OpenBatch::new(number);
    for envelope in envelopes {
        batch.push(decoder, catalog, envelope);
    }
    batch.close(catalog)
}

impl Recovered {
    /// Brings the last values to the tables. Returns the number of the last record in them.
    fn find_last_values(&mut self, data_dir: &Path) -> u64 {
        let snapshot = self.tables.snapshots().load();
        let mut files = snapshot.tables.values();
        let has_files = files.any(|table| !(table.files.is_empty() && table.late_files.is_empty()));
        match checkpoint::read(data_dir) {
            Ok(Some(found)) => {
                self.tables.set_last(found.last);
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
        let decoder = Decoder::new(rules.clone()).or_else(|error| {
            tracing::error!(%error, "the rules of a journal segment cannot be used any more");
            Decoder::new(fallback.clone())
        });
        *kept = Some(decoder.expect("the present rules were validated"));
    }
    kept.as_mut().expect("set above")
}
