//! The entries in memory and their file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::file::{self, Change};
use super::{QuarantineEntry, QuarantineError, QuarantineId, QuarantinePage, QuarantineTotals};
use crate::batch::Batch;
use crate::disk::{Disk, DiskFile};
use crate::durable;
use crate::frame::Frames;
use crate::source::PAYLOAD_KEPT;

/// The file's name in the quarantine folder.
const NAME: &str = "entries.log";
/// Bytes beyond twice the living entries at which the file is written anew.
const SLACK: u64 = 1 << 20;
/// What an entry takes in the file beside its topic and payload, about.
const ENTRY_OVERHEAD: u64 = 256;

/// What the quarantine may grow to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub entries: usize,
    pub bytes: u64,
    /// A larger payload is cut.
    pub payload_bytes: usize,
}

/// The quarantine.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bounds: Bounds,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    entries: BTreeMap<QuarantineId, Arc<QuarantineEntry>>,
    bytes: u64,
    dropped: u64,
    /// The last id ever added: what a replay of the journal brings again is not added again.
    last: Option<QuarantineId>,
    /// Everything that was ever refused up to here is known.
    complete: Option<QuarantineId>,
    file: Option<Box<dyn DiskFile>>,
    /// Length of the file up to its last whole change.
    written: u64,
    /// Changes not yet in the file.
    pending: Vec<u8>,
    /// The file may lack changes: it has to be written anew.
    distrusted: bool,
}

impl Store {
    /// Opens the quarantine in `folder`, which exists.
    ///
    /// **Errors**: its file cannot be read. A damaged change is passed over.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        bounds: Bounds,
    ) -> Result<Self, QuarantineError> {
        let path = folder.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(QuarantineError::Read { path, source }),
        };
        let mut inner = Inner {
            entries: BTreeMap::new(),
            bytes: 0,
            dropped: 0,
            last: None,
            complete: None,
            file: None,
            written: bytes.len() as u64,
            pending: Vec::new(),
            distrusted: false,
        };
        let mut frames = Frames::new(&bytes, 0);
        let whole: Vec<_> = frames.by_ref().collect();
        let damages = frames.damages();
        let first_damage = damages.first().map_or(bytes.len(), |damage| damage.at);
        let mut end = 0;
        for frame in whole {
            if let Some(change) = file::read(frame.payload) {
                inner.apply(change);
            }
            // What stands before a frame that was not synced may be missing; the journal has it.
            if frame.at < first_damage {
                inner.complete = inner.last;
            }
            end = frame.at + frame.payload.len();
        }
        // Nothing is written behind damage: the head of a change that was cut short would take
        // what follows for its own.
        inner.written = end as u64;
        for damage in damages {
            if damage.torn {
                continue;
            }
            tracing::error!(path = %path.display(), at = damage.at, bytes = damage.bytes,
                "the quarantine's file is damaged; the entries in these bytes are lost");
        }
        if !bytes.is_empty() {
            // What an earlier process wrote may not be synced yet: the next sync covers it.
            let opened = disk.append(&path).and_then(|mut file| {
                file.set_len(inner.written)?;
                Ok(file)
            });
            match opened {
                Ok(file) => inner.file = Some(file),
                Err(source) => return Err(QuarantineError::Read { path, source }),
            }
        }
        Ok(Self {
            disk,
            path,
            bounds,
            inner: Mutex::new(inner),
        })
    }

    /// The last id that was ever added.
    pub(crate) fn last(&self) -> Option<QuarantineId> {
        self.lock().last
    }

    /// Adds what a committed batch refused. Not synced: the journal still has it.
    pub(crate) fn add(&self, batch: &Batch) {
        if batch.rejects.is_empty() {
            return;
        }
        let mut inner = self.lock();
        for (index, reason) in &batch.rejects {
            let id = QuarantineId {
                sequence: batch.sequence,
                index: *index,
            };
            if inner.complete.is_some_and(|complete| id <= complete) {
                continue;
            }
            inner.complete = Some(id);
            if inner.entries.contains_key(&id) {
                continue;
            }
            let envelope = &batch.envelopes[*index as usize];
            let kept = match envelope.payload.len() {
                whole if whole <= self.bounds.payload_bytes => whole,
                whole => whole.min(PAYLOAD_KEPT),
            };
            let entry = QuarantineEntry {
                id,
                // Copied, so that an entry does not hold the whole receive buffer.
                topic: Bytes::copy_from_slice(&envelope.topic),
                payload: Bytes::copy_from_slice(&envelope.payload[..kept]),
                payload_bytes: envelope.payload.size(),
                received_at: envelope.received_at,
                reason: reason.clone(),
            };
            file::write_add(&mut inner.pending, &entry);
            inner.apply(Change::Add(entry));
        }
        inner.make_room(self.bounds);
        if inner.pending.len() as u64 > inner.enough() {
            // The disk refuses; memory does not grow for it, the file is written anew later.
            inner.pending.clear();
            inner.distrusted = true;
        }
        if let Err(error) = self
            .write(&mut inner)
            .and_then(|()| self.shorten(&mut inner))
        {
            tracing::debug!(%error, "the quarantine's file waits for the disk");
        }
    }

    /// Brings every change to the disk.
    ///
    /// **Errors**: the file cannot be written; nothing is lost, try again.
    pub(crate) fn sync(&self) -> Result<(), QuarantineError> {
        let mut inner = self.lock();
        let synced = self
            .shorten(&mut inner)
            .and_then(|()| self.write(&mut inner))
            .and_then(|()| match &mut inner.file {
                Some(file) => file.sync_data(),
                None => Ok(()),
            });
        synced.map_err(|source| {
            // After a failed sync the kernel may call lost pages clean.
            inner.distrusted = true;
            QuarantineError::Write {
                path: self.path.clone(),
                source,
            }
        })
    }

    /// Removes an entry durably.
    ///
    /// **Errors**: the file cannot be written; the entry is gone from the list, but may be back
    /// after a crash.
    pub(crate) fn remove(&self, id: QuarantineId) -> Result<(), QuarantineError> {
        {
            let mut inner = self.lock();
            if !inner.entries.contains_key(&id) {
                return Ok(());
            }
            file::write_remove(&mut inner.pending, id);
            inner.apply(Change::Remove(id));
        }
        self.sync()
    }

    pub(crate) fn get(&self, id: QuarantineId) -> Option<Arc<QuarantineEntry>> {
        self.lock().entries.get(&id).cloned()
    }

    pub(crate) fn list(&self, after: Option<QuarantineId>, limit: usize) -> QuarantinePage {
        let inner = self.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = inner
            .entries
            .range((from, Bound::Unbounded))
            .map(|(_, entry)| entry);
        let entries: Vec<_> = found.by_ref().take(limit).cloned().collect();
        let next = found
            .next()
            .and_then(|_| entries.last())
            .map(|entry| entry.id);
        QuarantinePage { entries, next }
    }

    pub(crate) fn totals(&self) -> QuarantineTotals {
        let inner = self.lock();
        QuarantineTotals {
            entries: inner.entries.len() as u64,
            bytes: inner.bytes,
            dropped: inner.dropped,
        }
    }

    /// Appends the pending changes.
    fn write(&self, inner: &mut Inner) -> io::Result<()> {
        if inner.pending.is_empty() {
            return Ok(());
        }
        if inner.file.is_none() {
            let mut file = self.disk.append(&self.path)?;
            file.set_len(inner.written)?;
            self.disk
                .sync_folder(self.path.parent().expect("a file has a folder"))?;
            inner.file = Some(file);
        }
        let Inner {
            file,
            pending,
            written,
            distrusted,
            ..
        } = inner;
        let file = file.as_mut().expect("opened above");
        if let Err(error) = file.write_all(pending) {
            // A part that stays would take what follows for its own.
            *distrusted |= file.set_len(*written).is_err();
            return Err(error);
        }
        *written += pending.len() as u64;
        pending.clear();
        Ok(())
    }

    /// Writes the file anew when most of it is history.
    fn shorten(&self, inner: &mut Inner) -> io::Result<()> {
        if inner.written <= inner.enough() && !inner.distrusted {
            return Ok(());
        }
        // Until it is done nobody knows which file has the name.
        inner.distrusted = true;
        let mut content = Vec::new();
        if let Some(last) = inner.last {
            file::write_mark(&mut content, last, inner.dropped);
        }
        for entry in inner.entries.values() {
            file::write_add(&mut content, entry);
        }
        durable::replace_file_on(&*self.disk, &self.path, &content)?;
        inner.file = None;
        inner.written = content.len() as u64;
        inner.pending.clear();
        inner.distrusted = false;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }
}

impl Inner {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Add(entry) => {
                self.last = self.last.max(Some(entry.id));
                self.bytes += entry.bytes();
                if let Some(twice) = self.entries.insert(entry.id, Arc::new(entry)) {
                    self.bytes -= twice.bytes();
                }
            }
            Change::Remove(id) => self.take(id),
            Change::Drop(id) => {
                self.take(id);
                self.dropped += 1;
            }
            Change::Mark { last, dropped } => {
                self.last = self.last.max(Some(last));
                self.dropped = dropped;
            }
        }
    }

    fn take(&mut self, id: QuarantineId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.bytes -= entry.bytes();
        }
    }

    /// Bytes that a file of these entries need not exceed.
    fn enough(&self) -> u64 {
        2 * (self.bytes + ENTRY_OVERHEAD * self.entries.len() as u64) + SLACK
    }

    fn make_room(&mut self, bounds: Bounds) {
        while self.entries.len() > bounds.entries || self.bytes > bounds.bytes {
            let Some(oldest) = self.entries.keys().next().copied() else {
                return;
            };
            file::write_drop(&mut self.pending, oldest);
            self.apply(Change::Drop(oldest));
        }
    }
}
