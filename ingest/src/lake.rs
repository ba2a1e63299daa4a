//! The lake: sorted Parquet files, one Delta table a class.
//!
//! A flush writes files, each synced with its folder, and only then the entry of the log that
//! names them, synced with its folder; the journal is trimmed last. What a crash leaves behind
//! before the entry is named nowhere and is removed at the next start.

mod compaction;
mod decimal;
mod encoding;
mod entry;
mod error;
mod graveyard;
mod log;
mod merging;
mod physical;
mod place;
mod plan;
mod progress;
mod retention;
mod rollup;
mod root;
mod rows;
mod running;
mod sorting;
mod synced_store;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) use self::compaction::Ended;
use self::entry::Written;
pub use self::error::{LakeError, LogError};
use self::log::Change;
use self::place::Place;
pub(crate) use self::plan::CompactionLimits;
pub(crate) use self::retention::Retention;
pub(crate) use self::rollup::is_rollup;
pub use self::root::{LakeRoot, StoredFile};
pub use self::rows::FileRows;
use self::table::{Kind, Table};
use crate::catalog::{Catalog, Watermarks};
use crate::clock::wall_now;
use crate::config::IngestConfig;
use crate::disk::{Disk, LocalDisk};
use crate::durable;
use crate::tables::{FiledTable, Frozen, Tables, merge, pieces};

/// Cells (rows × metrics, 8 bytes each) that are brought together for one file. A table whose
/// rows share few metrics gets several files by one flush instead of one of absent values.
const FILE_CELLS: usize = 32 << 20;
/// Flushing shares the cores with receiving; compaction has the time for more.
const FLUSH_ZSTD: i32 = 1;
/// The file that says where the lake lies, where that is not its folder.
const ELSEWHERE: &str = "url";
/// The list of files of an earlier version.
const MANIFEST: &str = "manifest.json";

/// The lake, shared by those who write to it.
#[derive(Debug)]
pub(crate) struct Lake {
    place: Place,
    tables: Mutex<BTreeMap<Arc<str>, Arc<Mutex<Table>>>>,
}

impl Lake {
    /// Opens the lake that the configuration names: `folder`, or an object store by URL.
    ///
    /// **Errors**: see [`LakeError`]: a lake that is not whole is refused, not repaired.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        config: &IngestConfig,
    ) -> Result<Self, LakeError> {
        let place = Self::place(disk, folder, config)?;
        place.sync_names()?;
        Self::at(place)
    }

    fn place(
        disk: Arc<dyn Disk>,
        folder: &Path,
        config: &IngestConfig,
    ) -> Result<Place, LakeError> {
        let wanted = config.lake_url.as_str();
        match recorded(folder)? {
            Some(recorded) if recorded != wanted => {
                return Err(LakeError::Elsewhere {
                    recorded,
                    wanted: wanted.to_owned(),
                });
            }
            _ if wanted.is_empty() => return Place::folder(disk, folder),
            Some(_) => {}
            None => {
                let marker = folder.join(ELSEWHERE);
                durable::replace_file_on(&*disk, &marker, wanted.as_bytes()).map_err(|source| {
                    LakeError::Io {
                        operation: "write into",
                        path: folder.to_owned(),
                        source,
                    }
                })?;
            }
        }
        Place::by_url(disk, wanted, std::env::vars())
    }

    /// Opens the lake in a folder to read it.
    ///
    /// **Errors**: see [`LakeError`].
    pub(crate) fn open_folder(folder: &Path) -> Result<Self, LakeError> {
        let disk = LocalDisk::shared();
        Self::at(match recorded(folder)? {
            Some(url) if !url.is_empty() => Place::by_url(disk, &url, std::env::vars())?,
            _ => Place::folder(disk, folder)?,
        })
    }

    fn at(place: Place) -> Result<Self, LakeError> {
        if place.get(&MANIFEST.into())?.is_some() {
            return Err(LakeError::EarlierVersion {
                path: place.root().url.to_string(),
            });
        }
        let mut tables = BTreeMap::new();
        for name in place.folders()? {
            if let Some(table) = Table::read(&place, &name)? {
                tables.insert(name.as_str().into(), Arc::new(Mutex::new(table)));
            }
        }
        Ok(Self {
            place,
            tables: Mutex::new(tables),
        })
    }

    /// Where it lies, for readers.
    pub(crate) fn root(&self) -> LakeRoot {
        self.place.root().clone()
    }

    /// Removes what a flush or a compaction that did not finish left behind.
    ///
    /// **Errors**: the store refused.
    pub(crate) fn remove_leftovers(&self) -> Result<usize, LakeError> {
        let mut removed = self.place.remove_staged()?;
        for name in self.place.folders()? {
            let known = self.lock().get(name.as_str()).cloned();
            if let Some(table) = known {
                removed += locked(&table).clean(&self.place)?;
                continue;
            }
            // Files of a table whose first entry was never written.
            let found = self.place.list(Some(&name.as_str().into()))?;
            for path in table::own_files(&name, found) {
                self.place.remove(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Number of the last journal record of which some row is in a file.
    pub(crate) fn newest_record(&self) -> u64 {
        let tables = self.own();
        let through = tables.iter().map(|table| locked(table).log.through);
        through.max().unwrap_or(0)
    }

    /// Number of the last journal record whose rows of one class are in files, by class.
    pub(crate) fn flushed_through(&self) -> BTreeMap<Arc<str>, u64> {
        let tables = self.own();
        let tables = tables.iter().map(|table| {
            let table = locked(table);
            (table.log.name.clone(), table.log.through)
        });
        tables.collect()
    }

    /// Removes files that no table has named since before an instant (milliseconds of the wall
    /// clock) and that no snapshot holds; gives how many.
    ///
    /// **Errors**: the store refused.
    pub(crate) fn clear(&self, before_ms: i64) -> Result<usize, LakeError> {
        let mut outcome = Ok(0);
        for table in self.all() {
            let cleared = locked(&table).graveyard.clear(&self.place, before_ms);
            outcome = outcome.and_then(|sum| Ok(sum + cleared?));
        }
        outcome
    }

    /// The names of all tables of classes.
    pub(crate) fn classes(&self) -> Vec<Arc<str>> {
        let tables = self.lock();
        let names = tables.keys().filter(|name| !is_rollup(name));
        names.cloned().collect()
    }

    /// The tables of classes as they stand in files.
    pub(crate) fn tables(&self) -> Vec<FiledTable> {
        let own = self.own();
        own.iter().map(|table| locked(table).filed()).collect()
    }

    /// The roll-ups.
    pub(crate) fn rollups(&self) -> Vec<FiledTable> {
        let tables = self.lock();
        let rollups = tables.iter().filter(|(name, _)| is_rollup(name));
        rollups.map(|(_, table)| locked(table).filed()).collect()
    }

    /// The classes, columns, assets and how far each has come, as of each class's last flush.
    ///
    /// **Errors**: the store refused.
    pub(crate) fn catalog(&self) -> Result<Catalog, LakeError> {
        let mut catalog = Catalog::default();
        for table in self.own() {
            let table = locked(&table);
            let log = &table.log;
            let id = catalog.add_class(&log.name);
            catalog
                .class_mut(id)
                .restore(&physical::logical(&log.physical));
            let newest = match progress::read(&self.place, &log.name, log.through)? {
                Some(newest) => newest,
                None => progress::from_files(&self.place, &log.physical, &log.files)?,
            };
            for (tag, newest) in &newest {
                let asset = catalog.add_asset(id, tag);
                *catalog.class_mut(id).newest_mut(asset) = *newest;
            }
        }
        Ok(catalog)
    }

    /// Turns frozen rows into files and swaps the one for the other, class by class; `frozen` keeps
    /// the classes that are not done.
    ///
    /// **Errors**: what is left in `frozen` is to be flushed again.
    pub(crate) fn flush(
        &self,
        frozen: &mut Vec<Frozen>,
        through: u64,
        watermarks: &Watermarks,
        tables: &Tables,
    ) -> Result<(), LakeError> {
        while let Some(class) = frozen.last() {
            if !class.in_order.is_empty() || !class.late.is_empty() {
                self.flush_class(class, through, watermarks, tables)?;
            }
            frozen.pop();
        }
        Ok(())
    }

    fn flush_class(
        &self,
        frozen: &Frozen,
        through: u64,
        watermarks: &Watermarks,
        tables: &Tables,
    ) -> Result<(), LakeError> {
        let table = self.table(&frozen.class);
        let running = self.place.running();
        let (mut physical, numbers) = {
            let mut table = locked(&table);
            table.settle(&self.place)?;
            if table.log.through >= through {
                // An entry of which nobody knew whether it was there.
                tables.install(frozen, table.filed());
                return Ok(());
            }
            let most = frozen.in_order.len() + frozen.late.len();
            let numbers: Vec<u64> = (0..most).map(|_| table.next_number()).collect();
            (table.log.physical.clone(), numbers)
        };
        let mut written = Vec::new();
        if let Err(error) = self.write_files(frozen, through, &numbers, &mut physical, &mut written)
        {
            // No entry names them; what cannot be removed is removed at the next start.
            for new in &written {
                drop(self.place.remove(&new.file.path));
            }
            return Err(error);
        }
        if let Some(newest) = watermarks.get(&frozen.class) {
            progress::write(&self.place, &frozen.class, through, newest)?;
        }
        let change = Change {
            physical: Some(physical::ordered(&physical, &frozen.schema)),
            adds: written,
            through: Some(through),
            ..Change::default()
        };
        let mut table = locked(&table);
        running.wait(table.log.commit(change, wall_now().timestamp_millis()))?;
        tables.install(frozen, table.filed());
        let tidied = progress::forget_before(&self.place, &frozen.class, through)
            .and_then(|()| running.wait(table.log.tidy()));
        if let Err(error) = tidied {
            tracing::warn!(class = %frozen.class, error = &error as &dyn std::error::Error,
                "the lake cannot be tidied up; the next flush tries again");
        }
        Ok(())
    }

    fn write_files(
        &self,
        frozen: &Frozen,
        through: u64,
        numbers: &[u64],
        physical: &mut arrow::datatypes::SchemaRef,
        written: &mut Vec<Written>,
    ) -> Result<(), LakeError> {
        for (batches, late) in [(&frozen.in_order, false), (&frozen.late, true)] {
            if batches.is_empty() {
                continue;
            }
            let kind = Kind {
                level: 0,
                late,
                through,
                zstd_level: FLUSH_ZSTD,
            };
            for piece in pieces(&frozen.schema, batches, FILE_CELLS) {
                let number = numbers[written.len()];
                let rows = merge(&frozen.schema, piece).batch;
                let class = &frozen.class;
                written.push(table::write(
                    &self.place,
                    class,
                    number,
                    physical,
                    &rows,
                    kind,
                )?);
            }
        }
        Ok(())
    }

    /// The table of a class, made if it is new.
    fn table(&self, name: &Arc<str>) -> Arc<Mutex<Table>> {
        let mut tables = self.lock();
        let table = tables.entry(name.clone());
        let new = || Arc::new(Mutex::new(Table::new(&self.place, name)));
        table.or_insert_with(new).clone()
    }

    /// The tables of classes.
    fn own(&self) -> Vec<Arc<Mutex<Table>>> {
        let tables = self.lock();
        let own = tables.iter().filter(|(name, _)| !is_rollup(name));
        own.map(|(_, table)| table.clone()).collect()
    }

    /// All tables, roll-ups too.
    fn all(&self) -> Vec<Arc<Mutex<Table>>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Mutex<Table>>>> {
        self.tables.lock().expect("no holder panics")
    }
}

/// Where a data folder's lake lies, as far as it has one: empty for the folder itself.
fn recorded(folder: &Path) -> Result<Option<String>, LakeError> {
    let failed = |source| LakeError::Io {
        operation: "read",
        path: folder.to_owned(),
        source,
    };
    match fs::read_to_string(folder.join(ELSEWHERE)) {
        Ok(url) => return Ok(Some(url)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    for entry in fs::read_dir(folder).map_err(failed)? {
        if entry.map_err(failed)?.path().join("_delta_log").is_dir() {
            return Ok(Some(String::new()));
        }
    }
    Ok(None)
}

fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().expect("no holder panics")
}
