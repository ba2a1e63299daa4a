//! The journal: every message as it came, synced before it is acknowledged.
//!
//! A folder of numbered segments. A segment begins with the rules under which its messages were
//! decoded and the Sparkplug sessions before the first of them, then one frame per batch. A segment is removed as a whole once all its rows are in
//! files. Nothing is ever appended to a segment of an earlier process, nor to one after a failed
//! write: the next append begins a new one.

mod read;
mod record;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use thiserror::Error;

#[cfg(test)]
use self::read::segments;
pub(crate) use self::read::{Item, Record, Segment, SegmentReport, WholeHead, replay};
use crate::batch::Batch;
use crate::codec::sparkplug::sessions::Sessions;
use crate::config::DecodeRules;
use crate::disk::{Disk, DiskFile, LocalDisk};
use crate::frame;

/// Ending of a segment's name.
const ENDING: &str = "wal";
/// Ending of a segment that was found damaged, kept for whoever wants to look.
const DAMAGED: &str = "damaged";
/// Damaged segments that are kept; the oldest goes first.
const DAMAGED_KEPT: usize = 8;
const MAGIC: [u8; 8] = *b"FWJOURNL";
const VERSION: u32 = 1;
/// Buffer that is kept between appends; a larger one is given back.
const BUFFER_KEPT: usize = 16 << 20;
/// Zeros that are written ahead of small appends. A sync of bytes that overwrite them changes no
/// size and no list of blocks, so it waits for the bytes alone. More zeros at once would make the
/// append that writes them the slowest of a hundred.
const ROOM: u64 = 128 << 10;
/// Bytes of an append that is small: a larger one takes longer than what the zeros would save.
const SMALL: usize = 128 << 10;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Why the journal cannot be written or read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A new segment could not be made.
    #[error("the journal segment {path} cannot be made")]
    Create {
        /// The segment.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A record could not be written and synced.
    #[error("the journal segment {path} cannot be written; free space or check the disk")]
    Append {
        /// The segment.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A segment could not be read.
    #[error("the journal {path} cannot be read")]
    Read {
        /// The segment or the folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A segment of another format.
    #[error(
        "the journal segment {path} has format {found}, this program reads {VERSION}: \
         use the program that wrote it, or a newer one"
    )]
    Version {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// The writing end, owned by the committer.
#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    rules: DecodeRules,
    /// After the last record that was appended.
    sessions: Sessions,
    segment_bytes: u64,
    next_number: u64,
    open: Option<OpenSegment>,
    buffer: Vec<u8>,
    sealed: Trimmer,
}

/// Knows the closed segments and removes those that are no longer needed.
#[derive(Debug, Clone)]
pub(crate) struct Trimmer {
    disk: Arc<dyn Disk>,
    sealed: Arc<Mutex<Vec<Sealed>>>,
}

/// A segment that takes no more records.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub path: PathBuf,
    /// Number of its last record; 0 when it has none.
    pub last: u64,
    pub bytes: u64,
    /// Keep it under another name.
    pub damaged: bool,
}

#[derive(Debug)]
struct OpenSegment {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// Header and records.
    bytes: u64,
    /// Length of the file: what follows the records are zeros.
    room: u64,
    last: u64,
    /// Kept for its head, whether it has a record or not.
    kept: bool,
}

impl Journal {
    /// A journal that goes on after the segments that are there.
    pub(crate) fn new(
        folder: PathBuf,
        rules: &DecodeRules,
        segment_bytes: u64,
        next_number: u64,
        sealed: Vec<Sealed>,
    ) -> Self {
        let disk = LocalDisk::shared();
        Self {
            disk: disk.clone(),
            folder,
            rules: rules.clone(),
            sessions: Sessions::default(),
            segment_bytes,
            next_number,
            open: None,
            buffer: Vec::new(),
            sealed: Trimmer {
                disk,
                sealed: Arc::new(Mutex::new(sealed)),
            },
        }
    }

    /// The same on another disk.
    pub(crate) fn on(mut self, disk: Arc<dyn Disk>) -> Self {
        self.sealed.disk = disk.clone();
        self.disk = disk;
        self
    }

    /// The same after sessions that were recovered.
    pub(crate) fn with_sessions(mut self, sessions: Sessions) -> Self {
        self.sessions = sessions;
        self
    }

    /// Makes sure that the sessions outlive the segments that are trimmed: while there are any, a
    /// segment begins with them, even one without a record.
    ///
    /// **Errors**: the segment cannot be made.
    pub(crate) fn keep_sessions(&mut self) -> Result<(), JournalError> {
        if self.open.is_none() && !self.sessions.is_empty() {
            self.open = Some(OpenSegment {
                kept: true,
                ..self.create()?
            });
        }
        Ok(())
    }

    /// Syncs what an earlier process wrote: a start shows its records, so they are to stay.
    ///
    /// **Errors**: the disk refuses.
    pub(crate) fn sync_found(&self) -> Result<(), JournalError> {
        for Sealed { path, .. } in self.sealed.lock().iter() {
            let synced = self.disk.append(path).and_then(|mut file| file.sync_data());
            synced.map_err(|source| JournalError::Append {
                path: path.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// Appends one record per batch and syncs them together.
    ///
    /// **Errors**: nothing of the group counts as written; append the same group again.
    pub(crate) fn append(&mut self, group: &[Batch]) -> Result<(), JournalError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut last = 0;
        for batch in group.iter().filter(|batch| batch.is_recorded()) {
            last = batch.sequence;
            frame::write(&mut buffer, batch.sequence, |into| {
                record::encode(into, &batch.envelopes)
            });
        }
        let written = if buffer.is_empty() {
            Ok(())
        } else {
            self.write(&buffer, last)
        };
        if let (Ok(()), Some(last)) = (&written, group.last()) {
            self.sessions = last.sessions.clone();
        }
        if buffer.capacity() <= BUFFER_KEPT {
            self.buffer = buffer;
        }
        written
    }

    /// Closes the open segment, so that it can be trimmed when its rows are in files.
    pub(crate) fn seal(&mut self) {
        if let Some(OpenSegment {
            path,
            mut file,
            bytes,
            room,
            last,
            kept: _,
        }) = self.open.take()
        {
            // A crash may bring the zeros back; they are no record.
            if room > bytes
                && let Err(error) = file.set_len(bytes)
            {
                tracing::debug!(%error, "the room after the last record could not be cut off");
            }
            self.sealed.lock().push(Sealed {
                path,
                last,
                bytes,
                damaged: false,
            });
        }
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.sealed.bytes() + self.open.as_ref().map_or(0, |open| open.bytes)
    }

    /// A handle for the one who flushes.
    pub(crate) fn trimmer(&self) -> Trimmer {
        self.sealed.clone()
    }

    fn write(&mut self, bytes: &[u8], last: u64) -> Result<(), JournalError> {
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.bytes >= self.segment_bytes)
        {
            self.seal();
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.create()?,
        };
        let path = open.path.clone();
        match open.append(bytes, self.segment_bytes) {
            Ok(()) => {
                open.last = last;
                self.open = Some(open);
                Ok(())
            }
            Err(source) => {
                // After a failed sync the kernel may call lost pages clean, so this file is never
                // written again. What is cut off here, or left, was never acknowledged, and the
                // next segment repeats it under the same number.
                if let Err(error) = open.file.set_len(open.bytes) {
                    tracing::debug!(%error, "the failed append could not be cut off");
                }
                // A full disk is tried again and again: a segment without a record would stay each
                // time.
                let useless = open.last == 0 && !open.kept;
                if !(useless && self.disk.remove(&path).is_ok()) {
                    self.open = Some(open);
                    self.seal();
                }
                Err(JournalError::Append { path, source })
            }
        }
    }

    fn create(&mut self) -> Result<OpenSegment, JournalError> {
        let path = self
            .folder
            .join(format!("{:010}.{ENDING}", self.next_number));
        self.next_number += 1;
        let header = header(&self.rules, &self.sessions);
        let make = || {
            let mut file = self.disk.create_new(&path)?;
            file.write_all(&header)?;
            file.sync()?;
            self.disk.sync_folder(&self.folder)?;
            Ok(file)
        };
        match make() {
            Ok(file) => Ok(OpenSegment {
                path,
                file,
                bytes: header.len() as u64,
                room: header.len() as u64,
                last: 0,
                kept: false,
            }),
            Err(source) => {
                // A half-made segment has no record; at worst the next start finds it empty.
                drop(self.disk.remove(&path));
                Err(JournalError::Create { path, source })
            }
        }
    }
}

impl OpenSegment {
    /// Writes after the last record and syncs.
    fn append(&mut self, bytes: &[u8], segment_bytes: u64) -> io::Result<()> {
        let end = self.bytes + bytes.len() as u64;
        self.file.seek_to(self.bytes)?;
        self.file.write_all(bytes)?;
        let mut room = self.room.max(end);
        if end > self.room && bytes.len() <= SMALL {
            room = (end + ROOM).min(segment_bytes).max(end);
            match self.put_zeros((room - end) as usize) {
                // The last space is for records.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    self.file.set_len(end)?;
                    room = end;
                }
                put => put?,
            }
        }
        self.file.sync_data()?;
        (self.bytes, self.room) = (end, room);
        Ok(())
    }
}

impl OpenSegment {
    fn put_zeros(&mut self, mut left: usize) -> io::Result<()> {
        while left > 0 {
            let portion = left.min(ZEROS.len());
            self.file.write_all(&ZEROS[..portion])?;
            left -= portion;
        }
        Ok(())
    }
}

impl Trimmer {
    /// Removes the closed segments all of whose records are in files.
    pub(crate) fn trim(&self, through: u64) {
        let mut sealed = self.lock();
        sealed.retain(|segment| {
            if segment.last > through {
                return true;
            }
            let removed = if segment.damaged {
                let kept = segment.path.with_extension(DAMAGED);
                self.disk.rename(&segment.path, &kept)
            } else {
                self.disk.remove(&segment.path)
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %segment.path.display(), %error,
                        "a journal segment that is no longer needed cannot be removed");
                    true
                }
                _ => false,
            }
        });
    }

    /// Bytes in closed segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().iter().map(|segment| segment.bytes).sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Sealed>> {
        self.sealed.lock().expect("no holder panics")
    }
}

/// Removes the oldest damaged segments beyond those that are kept.
pub(crate) fn drop_old_damaged(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == DAMAGED) {
            kept.push(path);
        }
    }
    kept.sort();
    let surplus = kept.len().saturating_sub(DAMAGED_KEPT);
    kept[..surplus]
        .iter()
        .try_for_each(|path| disk.remove(path))
}

/// What a segment begins with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Head<R, S> {
    #[serde(flatten)]
    pub rules: R,
    /// Absent in segments of a version without Sparkplug.
    #[serde(default, rename = "sparkplug_sessions")]
    pub sessions: S,
}

fn header(rules: &DecodeRules, sessions: &Sessions) -> Vec<u8> {
    let rules = serde_json::to_vec(&Head { rules, sessions }).expect("rules are plain data");
    let mut header = Vec::with_capacity(20 + rules.len());
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(rules.len() as u32).to_le_bytes());
    let check = header_check(&header[8..16], &rules);
    header.extend_from_slice(&check.to_le_bytes());
    header.extend_from_slice(&rules);
    header
}

fn header_check(version_and_length: &[u8], rules: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(version_and_length);
    hasher.update(rules);
    hasher.finalize()
}
