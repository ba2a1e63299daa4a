//! The files of the session log and the order in which they are synced.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::LogError;
use crate::durable;

/// The folder of the session log.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// What lies in the folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Numbers, ascending.
    pub(super) logs: Vec<u64>,
    /// Numbers, ascending.
    pub(super) snapshots: Vec<u64>,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        durable::make_folders(path).map_err(|source| LogError::Folder {
            folder: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    pub(super) fn log(&self, number: u64) -> PathBuf {
        self.path.join(format!("log-{number:010}"))
    }

    pub(super) fn snapshot(&self, number: u64) -> PathBuf {
        self.path.join(format!("snapshot-{number:010}"))
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

    /// A new log file whose name is durable.
    pub(super) fn create_log(&self, number: u64) -> Result<File, LogError> {
        let path = self.log(number);
        File::create(&path)
            .and_then(|file| durable::sync_folder(&self.path).map(|()| file))
            .map_err(unwritten(&path))
    }

    /// Writes behind the first `length` bytes, over whatever a failed attempt left there.
    pub(super) fn append(
        &self,
        file: &mut File,
        number: u64,
        length: u64,
        chunk: &[u8],
    ) -> Result<(), LogError> {
        let write = |file: &mut File| -> io::Result<()> {
            if file.seek(SeekFrom::End(0))? != length {
                file.set_len(length)?;
                file.seek(SeekFrom::Start(length))?;
            }
            file.write_all(chunk)?;
            file.sync_data()
        };
        write(file).map_err(unwritten(&self.log(number)))
    }

    /// Writes a snapshot under a name that does not count yet.
    pub(super) fn write_snapshot(
        &self,
        number: u64,
        fill: impl FnOnce(&mut io::BufWriter<File>) -> io::Result<()>,
    ) -> Result<PathBuf, LogError> {
        let path = self.path.join(format!("unfinished-{number:010}"));
        let write = || -> io::Result<()> {
            let mut file = io::BufWriter::new(File::create(&path)?);
            fill(&mut file)?;
            file.into_inner()?.sync_all()
        };
        write().map_err(|source| {
            let _ = fs::remove_file(&path);
            unwritten(&path)(source)
        })?;
        Ok(path)
    }

    /// Makes a written snapshot count, then removes what it replaces.
    pub(super) fn publish_snapshot(&self, written: &Path, number: u64) -> Result<(), LogError> {
        let path = self.snapshot(number);
        fs::rename(written, &path)
            .and_then(|()| durable::sync_folder(&self.path))
            .map_err(unwritten(&path))?;
        let listing = self.list()?;
        let logs = listing.logs.into_iter().filter(|log| *log < number);
        let snapshots = listing.snapshots.into_iter().filter(|one| *one < number);
        let logs = logs.map(|log| self.log(log));
        for path in logs.chain(snapshots.map(|one| self.snapshot(one))) {
            // One that stays behind is removed after the next snapshot.
            if let Err(error) = fs::remove_file(&path) {
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
