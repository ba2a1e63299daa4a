//! The files of the session log and the order in which they are synced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogError;
use crate::disk::{Disk, DiskFile};
use crate::durable;

/// The folder of the session log.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

/// What lies in the folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Numbers, ascending.
    pub(super) logs: Vec<u64>,
    /// Numbers, ascending.
    pub(super) snapshots: Vec<u64>,
    /// Numbers of snapshots that a crash left behind.
    pub(super) unfinished: Vec<u64>,
}

impl Folder {
    pub(super) fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, LogError> {
        durable::make_folders_on(&*disk, path).map_err(|source| LogError::Folder {
            folder: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            disk,
        })
    }

    pub(super) fn log(&self, number: u64) -> PathBuf {
        self.path.join(format!("log-{number:010}"))
    }

    pub(super) fn snapshot(&self, number: u64) -> PathBuf {
        self.path.join(format!("snapshot-{number:010}"))
    }

    pub(super) fn unfinished(&self, number: u64) -> PathBuf {
        self.path.join(format!("unfinished-{number:010}"))
    }

    pub(super) fn list(&self) -> Result<Listing, LogError> {
        let mut listing = Listing::default();
        let entries = fs::read_dir(&self.path).map_err(|source| self.unreadable(source))?;
        for entry in entries {
            let entry = entry.map_err(|source| self.unreadable(source))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let number = |prefix| name.strip_prefix(prefix)?.parse::<u64>().ok();
            if let Some(number) = number("log-") {
                listing.logs.push(number);
            } else if let Some(number) = number("snapshot-") {
                listing.snapshots.push(number);
            } else if let Some(number) = number("unfinished-") {
                listing.unfinished.push(number);
            }
        }
        listing.logs.sort_unstable();
        listing.snapshots.sort_unstable();
        Ok(listing)
    }

    pub(super) fn read(&self, path: &Path) -> Result<Vec<u8>, LogError> {
        fs::read(path).map_err(|source| LogError::Read {
            path: path.to_owned(),
            source,
        })
    }

    /// Syncs a log that an earlier process wrote: what follows builds on all that was found in it.
    pub(super) fn sync_log(&self, number: u64) -> Result<(), LogError> {
        let path = self.log(number);
        let synced = self
            .disk
            .append(&path)
            .and_then(|mut file| file.sync_data());
        synced.map_err(unwritten(&path))
    }

    /// A new log file whose name is durable.
    pub(super) fn create_log(&self, number: u64) -> Result<Box<dyn DiskFile>, LogError> {
        let path = self.log(number);
        self.disk
            .create(&path)
            .and_then(|file| self.disk.sync_folder(&self.path).map(|()| file))
            .map_err(unwritten(&path))
    }

    /// Writes behind the first `length` bytes, over whatever a failed attempt left there.
    pub(super) fn append(
        &self,
        file: &mut dyn DiskFile,
        number: u64,
        length: u64,
        chunk: &[u8],
    ) -> Result<(), LogError> {
        let attempt = |file: &mut dyn DiskFile| -> io::Result<()> {
            file.write_all(chunk)?;
            file.sync_data()
        };
        attempt(file).map_err(|source| {
            // What a failed attempt left there is written over by the next one, also where it
            // cannot be cut off.
            drop(file.seek_to(length));
            drop(file.set_len(length));
            unwritten(&self.log(number))(source)
        })
    }

    /// Writes a snapshot under a name that does not count yet.
    pub(super) fn write_snapshot(
        &self,
        number: u64,
        fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<PathBuf, LogError> {
        let path = self.unfinished(number);
        let write = || -> io::Result<()> {
            let mut file = io::BufWriter::new(self.disk.create(&path)?);
            fill(&mut file)?;
            file.into_inner()?.sync()
        };
        write().map_err(|source| {
            let _ = self.disk.remove(&path);
            unwritten(&path)(source)
        })?;
        Ok(path)
    }

    /// Removes a snapshot that never came to count.
    pub(super) fn remove_unfinished(&self, path: &Path) {
        if let Err(error) = self.disk.remove(path) {
            tracing::warn!(%error, path = %path.display(), "an unfinished file of the MQTT sessions stays");
        }
    }

    /// Makes a written snapshot count, then removes what it replaces.
    pub(super) fn publish_snapshot(&self, written: &Path, number: u64) -> Result<(), LogError> {
        let path = self.snapshot(number);
        self.disk
            .rename(written, &path)
            .and_then(|()| self.disk.sync_folder(&self.path))
            .map_err(unwritten(&path))?;
        let listing = self.list()?;
        let logs = listing.logs.into_iter().filter(|log| *log < number);
        let snapshots = listing.snapshots.into_iter().filter(|one| *one < number);
        let logs = logs.map(|log| self.log(log));
        for path in logs.chain(snapshots.map(|one| self.snapshot(one))) {
            // One that stays behind is removed after the next snapshot.
            if let Err(error) = self.disk.remove(&path) {
                tracing::warn!(%error, path = %path.display(), "an old file of the MQTT sessions stays");
            }
        }
        Ok(())
    }

    fn unreadable(&self, source: io::Error) -> LogError {
        LogError::Read {
            path: self.path.clone(),
            source,
        }
    }
}

fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Write { path, source }
}
