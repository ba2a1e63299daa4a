//! The lake: sorted Parquet files, and the manifest that says which of them count.
//!
//! A flush writes files, syncs them and their folder, and only then replaces the manifest. What a
//! crash leaves behind before that is not in the manifest and is removed at the next start.

mod manifest;
mod parquet;
mod root;
mod running;
#[cfg(test)]
mod tests;

pub use self::root::{LakeRoot, StoredFile};

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::AsArray;
use thiserror::Error;

use self::manifest::{FileEntry, Manifest, TableEntry};
use crate::catalog::{Catalog, Watermarks};
use crate::durable;
use crate::snapshot::{ASSET, ColdFile, HotBatch};
use crate::tables::{FiledTable, Frozen, merge, pieces};

/// Cells (rows × metrics, 8 bytes each) that are brought together for one file. A table whose
/// rows share few metrics gets several files by one flush instead of one of absent values.
const FILE_CELLS: usize = 32 << 20;

/// Why the lake cannot be read or written.
#[derive(Debug, Error)]
pub enum LakeError {
    /// The system refused.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A Parquet file could not be encoded.
    #[error("cannot encode {path}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: ::parquet::errors::ParquetError,
    },
    /// The manifest is not a whole manifest.
    #[error(
        "the manifest {path} is damaged or half-written ({detail}); restore it from a backup: \
         the Parquet files beside it are whole, but which of them count stands only there"
    )]
    Damaged {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The manifest is of another format.
    #[error(
        "the manifest {path} has version {found}, this program reads version {known}: use the program that wrote it, or a newer one"
    )]
    Version {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version that this program reads.
        known: u64,
    },
    /// Files without a manifest.
    #[error(
        "{path} has Parquet files but no manifest.json; restore it from a backup, or move the \
         files away to begin anew"
    )]
    NoManifest {
        /// The lake's folder.
        path: PathBuf,
    },
    /// Files that the manifest names are missing or have another size.
    #[error("the lake lacks files that its manifest names, or their size differs: {}", .0.join(", "))]
    Missing(Vec<String>),
}

/// The lake, owned by the one who flushes.
#[derive(Debug)]
pub(crate) struct Lake {
    folder: PathBuf,
    manifest: Manifest,
}

impl Lake {
    /// Reads the lake in `folder`; none if there is no manifest and no file.
    ///
    /// **Errors**: see [`LakeError`]: a lake that is not whole is refused, not repaired.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, LakeError> {
        let path = folder.join(manifest::NAME);
        match fs::read(&path) {
            Ok(bytes) => {
                let lake = Self {
                    folder: folder.to_owned(),
                    manifest: Manifest::decode(&path, &bytes)?,
                };
                lake.check_files()?;
                Ok(Some(lake))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if parquet_files(folder)?
                    .iter()
                    .any(|path| ends_with(path, "parquet"))
                {
                    return Err(LakeError::NoManifest {
                        path: folder.to_owned(),
                    });
                }
                Ok(None)
            }
            Err(source) => Err(LakeError::Io {
                operation: "read",
                path,
                source,
            }),
        }
    }

    /// Makes an empty lake. Its manifest is written before any file can be.
    pub(crate) fn create(folder: &Path) -> Result<Self, LakeError> {
        let lake = Self {
            folder: folder.to_owned(),
            manifest: Manifest::default(),
        };
        lake.write_manifest(&lake.manifest)?;
        Ok(lake)
    }

    /// Removes files that no manifest names: what a flush that did not finish left behind.
    pub(crate) fn remove_leftovers(&self) -> Result<usize, LakeError> {
        let named: HashSet<PathBuf> = self
            .manifest
            .all_files()
            .map(|file| self.folder.join(&file.path))
            .collect();
        let mut removed = 0;
        for path in parquet_files(&self.folder)? {
            if !named.contains(&path) {
                fs::remove_file(&path).map_err(|source| LakeError::Io {
                    operation: "remove the leftover",
                    path: path.clone(),
                    source,
                })?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Where it lies, for readers.
    ///
    /// **Errors**: the folder cannot be looked at.
    pub(crate) fn root(&self) -> Result<LakeRoot, LakeError> {
        LakeRoot::local(&self.folder).map_err(|source| LakeError::Io {
            operation: "open",
            path: self.folder.clone(),
            source,
        })
    }

    /// Number of the last journal record whose rows are all in files.
    pub(crate) fn flushed_through(&self) -> u64 {
        self.manifest.flushed_through
    }

    /// The tables as they stand in files.
    pub(crate) fn tables(&self) -> Vec<FiledTable> {
        self.manifest
            .tables
            .iter()
            .map(|table| self.filed(table))
            .collect()
    }

    /// The classes, columns, assets and how far each has come, as of the last flush.
    pub(crate) fn catalog(&self) -> Catalog {
        let mut catalog = Catalog::default();
        for table in &self.manifest.tables {
            let id = catalog.add_class(&table.class);
            for column in &table.columns {
                catalog
                    .class_mut(id)
                    .add_metric(&column.name, column.unit.as_deref());
            }
            for (tag, newest) in &table.watermarks {
                let asset = catalog.add_asset(id, tag);
                catalog.class_mut(id).asset_mut(asset).newest = *newest;
            }
        }
        catalog
    }

    /// Writes frozen rows as files and commits them. Returns the tables as they stand then.
    ///
    /// **Errors**: nothing has changed; flush the same rows again.
    pub(crate) fn flush(
        &mut self,
        frozen: &[Frozen],
        through: u64,
        watermarks: &Watermarks,
    ) -> Result<Vec<FiledTable>, LakeError> {
        let mut next = self.manifest.clone();
        let mut written = Vec::new();
        let filed = self.write_files(frozen, through, &mut next, &mut written);
        // A number is never used twice, not even after a failure: a file that a manifest may
        // name already is never written over.
        self.manifest.next_file = next.next_file;
        if let Err(error) = filed {
            // No manifest names them yet; what cannot be removed is removed at the next start.
            written.iter().for_each(|path| drop(fs::remove_file(path)));
            return Err(error);
        }
        next.flushed_through = through;
        for (class, newest) in watermarks {
            if let Some(table) = next.table_mut(class) {
                let newest = newest.iter().map(|(tag, time)| (tag.to_string(), *time));
                table.watermarks = newest.collect();
            }
        }
        self.write_manifest(&next)?;
        self.manifest = next;
        Ok(self.tables())
    }

    fn write_files(
        &self,
        frozen: &[Frozen],
        through: u64,
        next: &mut Manifest,
        written: &mut Vec<PathBuf>,
    ) -> Result<(), LakeError> {
        for table in frozen {
            let entry = next.table_or_insert(&table.class);
            entry.set_columns(&table.schema);
            for (batches, late) in [(&table.in_order, false), (&table.late, true)] {
                if batches.is_empty() {
                    continue;
                }
                for piece in pieces(&table.schema, batches, FILE_CELLS) {
                    let number = next.next_file;
                    next.next_file += 1;
                    let kind = if late { "late" } else { "rows" };
                    let relative = format!("{}/{number:010}-{kind}.parquet", table.class);
                    let path = self.folder.join(&relative);
                    written.push(path.clone());
                    let file = self.write_file(&path, &merge(&table.schema, piece), through)?;
                    let entry = next.table_or_insert(&table.class);
                    let files = if late {
                        &mut entry.late_files
                    } else {
                        &mut entry.files
                    };
                    files.push(FileEntry {
                        path: relative,
                        ..file
                    });
                }
            }
        }
        Ok(())
    }

    fn write_file(
        &self,
        path: &Path,
        rows: &HotBatch,
        through: u64,
    ) -> Result<FileEntry, LakeError> {
        let folder = path.parent().expect("a file has a folder");
        let io = |operation| {
            move |source| LakeError::Io {
                operation,
                path: path.to_owned(),
                source,
            }
        };
        durable::make_folders(folder).map_err(io("make the folder of"))?;
        let bytes = parquet::write(path, &rows.batch)?;
        durable::sync_folder(folder).map_err(io("sync the folder of"))?;
        let assets = rows
            .batch
            .column_by_name(ASSET)
            .map(|column| column.as_string::<i32>());
        let assets = || assets.into_iter().flatten().flatten();
        Ok(FileEntry {
            path: String::new(),
            rows: rows.batch.num_rows() as u64,
            bytes,
            min_time: rows.min_time,
            max_time: rows.max_time,
            min_asset: assets().min().unwrap_or_default().to_owned(),
            max_asset: assets().max().unwrap_or_default().to_owned(),
            through,
        })
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<(), LakeError> {
        let path = self.folder.join(manifest::NAME);
        durable::replace_file(&path, &manifest.encode()).map_err(|source| LakeError::Io {
            operation: "replace",
            path,
            source,
        })
    }

    fn check_files(&self) -> Result<(), LakeError> {
        let whole = |file: &&FileEntry| {
            fs::metadata(self.folder.join(&file.path)).is_ok_and(|found| found.len() == file.bytes)
        };
        let files = self.manifest.all_files();
        let missing: Vec<String> = files
            .filter(|file| !whole(file))
            .map(|file| file.path.clone())
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(LakeError::Missing(missing))
        }
    }

    fn filed(&self, table: &TableEntry) -> FiledTable {
        let cold = |files: &[FileEntry], late| {
            let file = |file: &FileEntry| {
                Arc::new(ColdFile {
                    path: file.path.as_str().into(),
                    rows: file.rows,
                    bytes: file.bytes,
                    min_time: file.min_time,
                    max_time: file.max_time,
                    min_asset: file.min_asset.as_str().into(),
                    max_asset: file.max_asset.as_str().into(),
                    level: 0,
                    late,
                    sorted: true,
                    through: file.through,
                })
            };
            files.iter().map(file).collect()
        };
        FiledTable {
            class: table.class.as_str().into(),
            schema: table.schema(),
            physical: table.schema(),
            files: cold(&table.files, false),
            late_files: cold(&table.late_files, true),
        }
    }
}

/// Every Parquet file and half-written manifest in the lake's folder and its class folders.
fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>, LakeError> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let list = |source| LakeError::Io {
            operation: "list",
            path: folder.clone(),
            source,
        };
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(list)?,
        };
        for entry in entries {
            let path = entry.map_err(list)?.path();
            if path.is_dir() {
                open.push(path);
            } else if ends_with(&path, "parquet") || ends_with(&path, "tmp") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn ends_with(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}
