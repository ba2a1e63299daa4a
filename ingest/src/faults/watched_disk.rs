//! The disk of this machine, watched: what was changed and synced in which order, and what is to
//! be refused.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::disk::{Disk, DiskFile, LocalDisk};

/// What a disk is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Make,
    Write,
    Sync,
    SyncData,
    Rename,
    Link,
    Remove,
    SyncFolder,
}

type Refusals = Box<dyn Fn(Asked, &Path) -> bool + Send>;

/// A disk that notes what it did, and refuses what it is told to.
#[derive(Clone, Default)]
pub(crate) struct WatchedDisk {
    done: Arc<Mutex<Vec<(Asked, PathBuf)>>>,
    refusals: Arc<Mutex<Option<Refusals>>>,
}

impl std::fmt::Debug for WatchedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WatchedDisk")
    }
}

impl WatchedDisk {
    /// Refuses from now on what `refused` says.
    pub(crate) fn refuse(&self, refused: impl Fn(Asked, &Path) -> bool + Send + 'static) {
        *self.refusals.lock().unwrap() = Some(Box::new(refused));
    }

    /// Refuses nothing from now on.
    pub(crate) fn allow(&self) {
        *self.refusals.lock().unwrap() = None;
    }

    /// What was done since the last call.
    pub(crate) fn done(&self) -> Vec<(Asked, PathBuf)> {
        std::mem::take(&mut self.done.lock().unwrap())
    }

    fn step(&self, asked: Asked, path: &Path) -> io::Result<()> {
        let refusals = self.refusals.lock().unwrap();
        if refusals
            .as_ref()
            .is_some_and(|refused| refused(asked, path))
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.done.lock().unwrap().push((asked, path.to_owned()));
        Ok(())
    }

    fn file(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(WatchedFile {
            file,
            path: path.to_owned(),
            disk: self.clone(),
        })
    }
}

impl Disk for WatchedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step(Asked::Make, path)?;
        Ok(self.file(path, LocalDisk.create(path)?))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step(Asked::Make, path)?;
        Ok(self.file(path, LocalDisk.create_new(path)?))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step(Asked::Make, path)?;
        Ok(self.file(path, LocalDisk.append(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Asked::Rename, to)?;
        LocalDisk.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Asked::Link, to)?;
        LocalDisk.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(Asked::Remove, path)?;
        LocalDisk.remove(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step(Asked::Make, path)?;
        LocalDisk.create_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step(Asked::SyncFolder, path)?;
        LocalDisk.sync_folder(path)
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    disk: WatchedDisk,
}

impl Write for WatchedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.step(Asked::Write, &self.path)?;
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for WatchedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.step(Asked::Sync, &self.path)?;
        self.file.sync()
    }
    fn sync_data(&mut self) -> io::Result<()> {
        self.disk.step(Asked::SyncData, &self.path)?;
        self.file.sync_data()
    }
    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
    fn seek_to(&mut self, place: u64) -> io::Result<()> {
        self.file.seek_to(place)
    }
}
