//! One table of the lake: its log, and the files that are written for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::TimestampMicrosecondArray;
use arrow::compute::kernels::aggregate::{max, min};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use object_store::path::Path;

use super::entry::{self, Written};
use super::graveyard::Graveyard;
use super::log::TableLog;
use super::place::Place;
use super::{LakeError, encoding, physical, sorting};
use crate::clock::wall_now;
use crate::snapshot::ColdFile;
use crate::tables::FiledTable;

/// Ending of our files' names.
const ENDING: &str = ".parquet";

/// One table, owned by whoever holds its lock.
#[derive(Debug)]
pub(super) struct Table {
    pub log: TableLog,
    /// Files that the log no longer names.
    pub graveyard: Graveyard,
    /// Number of the next file. A number is never used twice, not even after a failure.
    next_file: u64,
}

/// What a file will be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub level: u8,
    pub late: bool,
    /// Number of the last journal record in it.
    pub through: u64,
    pub zstd_level: i32,
}

impl Table {
    /// A table that has no entry yet.
    pub(super) fn new(place: &Place, name: &str) -> Self {
        let wall = wall_now();
        // Unique to the place and the moment, which is all that readers ask of it.
        let stamp = wall.timestamp_nanos_opt().unwrap_or_default() as u64;
        let hash = crc32fast::hash(format!("{}{name}", place.root().url).as_bytes());
        let id = format!(
            "{hash:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            stamp >> 48,
            (stamp >> 36) & 0xfff,
            (stamp >> 24) & 0xfff,
            stamp & 0xffff_ffff_ffff,
        );
        let log = TableLog::new(place.log(name), name, id, wall.timestamp_millis());
        Self {
            log,
            graveyard: Graveyard::default(),
            next_file: 1,
        }
    }

    /// What stands in the store; none where the folder has no log.
    ///
    /// **Errors**: the log cannot be read, or names files that are not there as a whole.
    pub(super) fn read(place: &Place, name: &str) -> Result<Option<Self>, LakeError> {
        let log = place
            .running()
            .wait(TableLog::read(place.log(name), name))?;
        let Some(log) = log else { return Ok(None) };
        let found = place.list(Some(&Path::from(name)))?;
        let lost = |file: &&Arc<ColdFile>| found.get(&file.path) != Some(&file.bytes);
        let lost: Vec<String> = log
            .files
            .iter()
            .filter(lost)
            .map(|file| file.path.to_string())
            .collect();
        if !lost.is_empty() {
            return Err(LakeError::Missing(lost));
        }
        let next_file = next_number(found.keys());
        Ok(Some(Self {
            log,
            graveyard: Graveyard::default(),
            next_file,
        }))
    }

    /// Finds out what became of files that no entry names: those that an entry named within the
    /// time that readers may need them are kept until it is over, others are removed.
    ///
    /// **Errors**: the store refused.
    pub(super) fn clean(&mut self, place: &Place) -> Result<usize, LakeError> {
        let found = place.list(Some(&Path::from(&*self.log.name)))?;
        let named: HashSet<&Path> = self.log.files.iter().map(|file| &file.path).collect();
        let strays: Vec<Path> = own_files(&self.log.name, found)
            .filter(|path| !named.contains(path))
            .collect();
        if strays.is_empty() {
            return Ok(0);
        }
        let tombstones = place.running().wait(self.log.tombstones())?;
        let removed: HashMap<String, i64> = tombstones
            .into_iter()
            .map(|tombstone| (tombstone.name, tombstone.removed_ms))
            .collect();
        let mut cleaned = 0;
        for path in strays {
            match removed.get(path.filename().unwrap_or_default()) {
                Some(removed_ms) => self.graveyard.add(path, None, *removed_ms),
                None => {
                    place.remove(&path)?;
                    cleaned += 1;
                }
            }
        }
        Ok(cleaned)
    }

    /// Settles what became of an entry whose put failed; true when the log was read again.
    ///
    /// **Errors**: see [`TableLog::settle`].
    pub(super) fn settle(&mut self, place: &Place) -> Result<bool, LakeError> {
        let known: HashMap<Path, Arc<ColdFile>> = self
            .log
            .files
            .iter()
            .map(|file| (file.path.clone(), file.clone()))
            .collect();
        if !place.running().wait(self.log.settle())? {
            return Ok(false);
        }
        let mut gone = known.clone();
        for file in &mut self.log.files {
            gone.remove(&file.path);
            // The one that snapshots hold.
            if let Some(known) = known.get(&file.path) {
                *file = known.clone();
            }
        }
        let wall_ms = wall_now().timestamp_millis();
        for (path, file) in gone {
            self.graveyard.add(path, Some(file), wall_ms);
        }
        Ok(true)
    }

    /// The number of a new file.
    pub(super) fn next_number(&mut self) -> u64 {
        let number = self.next_file;
        self.next_file += 1;
        number
    }

    /// As it stands in files.
    pub(super) fn filed(&self) -> FiledTable {
        let (late_files, files) = self.log.files.iter().cloned().partition(|file| file.late);
        FiledTable {
            class: self.log.name.clone(),
            schema: physical::logical(&self.log.physical),
            physical: self.log.physical.clone(),
            files,
            late_files,
        }
    }
}

/// Writes rows as a file that no entry names yet; `physical` grows by what is new in them.
///
/// **Errors**: the store refused; there may be a file that nobody names.
pub(super) fn write(
    place: &Place,
    table: &str,
    number: u64,
    physical: &mut SchemaRef,
    rows: &RecordBatch,
    kind: Kind,
) -> Result<Written, LakeError> {
    let word = match (kind.level, kind.late) {
        (0, false) => "rows",
        (0, true) => "late",
        _ => "whole",
    };
    let path = Path::from_iter([table, &format!("{number:010}-{word}{ENDING}")]);
    let failed = LakeError::rows(&path);
    let rows = sorting::sorted(rows).map_err(&failed)?;
    let (assets, times) = sorting::keys(&rows).map_err(&failed)?;
    let (min_time, max_time) = range(&times);
    let ends = |row: Option<usize>| row.map_or("", |row| assets.value(row));
    let last = rows.num_rows().checked_sub(1);
    let encoded = physical::encode(physical, &rows).map_err(&failed)?;
    let bytes = encoding::file(&encoded, kind.zstd_level).map_err(LakeError::encode(&path))?;
    let file = ColdFile {
        rows: rows.num_rows() as u64,
        bytes: bytes.len() as u64,
        min_time,
        max_time,
        min_asset: ends(last.map(|_| 0)).into(),
        max_asset: ends(last).into(),
        level: kind.level,
        late: kind.late,
        sorted: true,
        through: kind.through,
        path,
    };
    let stats = entry::statistics(&encoded);
    place.put_new(&file.path, bytes.into())?;
    Ok(Written {
        file: Arc::new(file),
        stats,
    })
}

fn range(times: &TimestampMicrosecondArray) -> (i64, i64) {
    (min(times).unwrap_or(0), max(times).unwrap_or(0))
}

/// The files of a table that are ours by their name.
pub(super) fn own_files(
    table: &str,
    found: HashMap<Path, u64>,
) -> impl Iterator<Item = Path> + use<> {
    let folder = Path::from(table);
    found.into_keys().filter(move |path| {
        let mut inside = path.prefix_match(&folder).into_iter().flatten();
        let name = inside.next().map(|part| part.as_ref().to_owned());
        inside.next().is_none() && name.is_some_and(|name| number(&name).is_some())
    })
}

fn next_number<'p>(paths: impl Iterator<Item = &'p Path>) -> u64 {
    let numbers = paths.filter_map(|path| number(path.filename()?));
    numbers.max().unwrap_or(0) + 1
}

fn number(name: &str) -> Option<u64> {
    let (number, _) = name.strip_suffix(ENDING)?.split_once('-')?;
    number.parse().ok()
}
