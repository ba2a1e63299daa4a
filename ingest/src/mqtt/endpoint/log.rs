//! The session log: what must survive the process, synced before anybody is told of it.
//!
//! `log-N` files hold one checksummed frame per change (`log/record.rs`); a thread of its own
//! writes and syncs whatever has gathered, so many waiting clients share one sync. A change gets a
//! ticket; whoever must not speak before the change is on disk waits for the ticket.
//!
//! When a file has grown past its measure the next one is begun and the whole state is written
//! beside it as `snapshot-N`: what it holds may be newer than the beginning of `log-N`, which is
//! why every record can be read again without harm. Only when the snapshot and everything that it
//! saw are synced are the older files removed.
//!
//! While the disk refuses, nothing is lost and nobody is told anything: the thread tries again.

mod files;
pub(crate) mod record;
pub(crate) mod recover;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::disk::{Disk, DiskFile};
use crate::frame;
use files::Folder;
use record::Record;
use recover::Recovered;

/// Time between two attempts to write while the disk refuses.
const RETRY: Duration = Duration::from_millis(200);

/// Bytes of one log file before a snapshot is worth its while, at least.
const COMPACT_AT: u64 = 8 << 20;

/// Why the session log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The folder cannot be made.
    #[error("the folder of the MQTT sessions {folder} cannot be made")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be read.
    #[error("the MQTT sessions in {path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("the MQTT sessions cannot be written to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread cannot be started.
    #[error("the system refuses a thread for the MQTT sessions")]
    Thread(#[source] std::io::Error),
}

/// The session log, or none where nothing is to outlive the process.
#[derive(Debug, Clone)]
pub(crate) struct Log(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    pending: Mutex<Pending>,
    work: Condvar,
    /// Signalled whenever `Pending::synced` grows, for those who may block.
    progress: Condvar,
    synced: watch::Sender<u64>,
    folder: Folder,
    /// Bytes in the current file.
    bytes: AtomicU64,
    /// Bytes at which the next snapshot is due.
    compact_at: AtomicU64,
    in_trouble: AtomicBool,
}

#[derive(Debug)]
struct Pending {
    /// What is to be written, by the number of its file; the last one grows.
    chunks: Vec<(u64, Vec<u8>)>,
    /// The last ticket given.
    ticket: u64,
    synced: u64,
    closing: bool,
}

/// Changes that become durable together, or not at all. While it lives nothing else is logged, so
/// whatever must happen in the order of the log happens under it.
pub(crate) struct Batch<'a> {
    inner: Option<(&'a Inner, MutexGuard<'a, Pending>)>,
    records: Vec<u8>,
    ticket: u64,
}

impl Log {
    /// Keeps nothing: every ticket is synced.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Opens the folder, reads what it holds and goes on behind it.
    ///
    /// Disk work: not on a worker of the runtime.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<(Self, Recovered), LogError> {
        let folder = Folder::open(disk, folder)?;
        let recovered = recover::read(&folder)?;
        let file_number = recovered.next_file;
        let file = folder.create_log(file_number)?;
        let inner = Arc::new(Inner {
            pending: Mutex::new(Pending {
                chunks: vec![(file_number, Vec::new())],
                ticket: recovered.last_ticket,
                synced: recovered.last_ticket,
                closing: false,
            }),
            work: Condvar::new(),
            progress: Condvar::new(),
            synced: watch::Sender::new(recovered.last_ticket),
            folder,
            bytes: AtomicU64::new(0),
            compact_at: AtomicU64::new(COMPACT_AT),
            in_trouble: AtomicBool::new(false),
        });
        let writer = Writer {
            inner: inner.clone(),
            file,
            number: file_number,
            length: 0,
        };
        std::thread::Builder::new()
            .name("mqtt-sessions".into())
            .spawn(move || writer.run())
            .map_err(LogError::Thread)?;
        Ok((Self(Some(inner)), recovered))
    }

    /// Whether anything is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a batch of changes.
    pub(crate) fn begin(&self) -> Batch<'_> {
        let inner = self.0.as_deref().map(|inner| (inner, inner.lock()));
        let ticket = inner.as_ref().map_or(0, |(_, pending)| pending.ticket + 1);
        Batch {
            inner,
            records: Vec::new(),
            ticket,
        }
    }

    /// Logs a change that needs no order with others; its ticket.
    pub(crate) fn note(&self, records: &[Record]) -> u64 {
        if self.0.is_none() {
            return 0;
        }
        let mut batch = self.begin();
        for record in records {
            batch.put(record);
        }
        batch.end()
    }

    /// The newest ticket that is on disk.
    pub(crate) fn synced(&self) -> u64 {
        self.0
            .as_deref()
            .map_or(u64::MAX, |inner| *inner.synced.borrow())
    }

    /// Waits until `ticket` is on disk.
    pub(crate) async fn reached(&self, ticket: u64) {
        if let Some(inner) = &self.0
            && ticket > 0
        {
            let mut synced = inner.synced.subscribe();
            let _ = synced.wait_for(|synced| *synced >= ticket).await;
        }
    }

    /// Whether the disk refuses at the moment.
    pub(crate) fn is_in_trouble(&self) -> bool {
        let trouble = |inner: &Inner| inner.in_trouble.load(Ordering::Relaxed);
        self.0.as_deref().is_some_and(trouble)
    }

    /// Whether the current file is worth a snapshot.
    pub(crate) fn wants_snapshot(&self) -> bool {
        self.0.as_deref().is_some_and(|inner| {
            inner.bytes.load(Ordering::Relaxed) >= inner.compact_at.load(Ordering::Relaxed)
        })
    }

    /// Begins the next file and writes the state that `dump` goes through beside it.
    ///
    /// Disk work: not on a worker of the runtime. Only one at a time.
    pub(crate) fn snapshot(
        &self,
        dump: impl FnOnce(&mut dyn FnMut(&[u8])),
    ) -> Result<(), LogError> {
        let Some(inner) = &self.0 else {
            return Ok(());
        };
        let number = {
            let mut pending = inner.lock();
            let next = pending.chunks.last().map_or(1, |(number, _)| *number) + 1;
            pending.chunks.push((next, Vec::new()));
            next
        };
        inner.work.notify_one();
        let mut bytes = Vec::new();
        let mut size = 0;
        let path = inner.folder.write_snapshot(number, |file| {
            let mut result = Ok(());
            dump(&mut |records| {
                frame::write(&mut bytes, 0, |into| into.extend_from_slice(records));
                size += bytes.len() as u64;
                if result.is_ok() {
                    result = file.write_all(&bytes);
                }
                bytes.clear();
            });
            result?;
            let mut end = Vec::new();
            record::put(&mut end, &Record::End);
            frame::write(&mut bytes, 0, |into| into.extend_from_slice(&end));
            file.write_all(&bytes)
        })?;
        // What the snapshot saw must be on disk before it counts: else half of a batch would.
        let seen = inner.lock().ticket;
        if !inner.wait(seen) {
            // The log ends; the older files still say everything.
            inner.folder.remove_unfinished(&path);
            return Ok(());
        }
        inner.folder.publish_snapshot(&path, number)?;
        inner
            .compact_at
            .store(COMPACT_AT.max(2 * size), Ordering::Relaxed);
        Ok(())
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when the log ends before.
    fn wait(&self, ticket: u64) -> bool {
        let mut pending = self.lock();
        while pending.synced < ticket && !pending.closing {
            pending = self
                .progress
                .wait(pending)
                .unwrap_or_else(PoisonError::into_inner);
        }
        pending.synced >= ticket
    }
}

impl Batch<'_> {
    /// The ticket that these changes will have; 0 when nothing is kept.
    pub(crate) fn ticket(&self) -> u64 {
        self.ticket
    }

    /// Adds a change.
    pub(crate) fn put(&mut self, record: &Record) {
        if self.inner.is_some() {
            record::put(&mut self.records, record);
        }
    }

    /// Adds a change without making a record of it first.
    pub(crate) fn put_with(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        if self.inner.is_some() {
            put(&mut self.records);
        }
    }

    /// Hands the changes over; the ticket to wait for, 0 when there were none.
    pub(crate) fn end(mut self) -> u64 {
        self.hand_over()
    }

    fn hand_over(&mut self) -> u64 {
        let Some((inner, mut pending)) = self.inner.take() else {
            return 0;
        };
        if self.records.is_empty() {
            return 0;
        }
        pending.ticket = self.ticket;
        let records = &self.records;
        let (_, chunk) = pending
            .chunks
            .last_mut()
            .expect("there is always a chunk that grows");
        frame::write(chunk, self.ticket, |into| into.extend_from_slice(records));
        drop(pending);
        inner.work.notify_one();
        self.ticket
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// Ends the thread when the last clone is gone.
impl Drop for LogOwner {
    fn drop(&mut self) {
        if let Some(inner) = &self.0.0 {
            inner.lock().closing = true;
            inner.work.notify_one();
            inner.progress.notify_all();
        }
    }
}

/// Whoever holds it keeps the log's thread running.
#[derive(Debug)]
pub(crate) struct LogOwner(pub(crate) Log);

/// The thread's state.
struct Writer {
    inner: Arc<Inner>,
    file: Box<dyn DiskFile>,
    number: u64,
    /// Bytes of the file that are whole frames.
    length: u64,
}

impl Writer {
    fn run(mut self) {
        loop {
            let (chunks, ticket) = {
                let mut pending = self.inner.lock();
                while pending.chunks.len() == 1 && pending.chunks[0].1.is_empty() {
                    if pending.closing {
                        return;
                    }
                    pending = self
                        .inner
                        .work
                        .wait(pending)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                let growing = pending.chunks.last().map_or(self.number, |last| last.0);
                let fresh = vec![(growing, Vec::new())];
                (
                    std::mem::replace(&mut pending.chunks, fresh),
                    pending.ticket,
                )
            };
            for (number, chunk) in chunks {
                if !self.persist(number, &chunk) {
                    return;
                }
            }
            self.inner.lock().synced = ticket;
            self.inner.progress.notify_all();
            self.inner.synced.send_replace(ticket);
        }
    }

    /// Writes and syncs, however long the disk refuses; false when the log is closed meanwhile.
    fn persist(&mut self, number: u64, chunk: &[u8]) -> bool {
        loop {
            match self.try_persist(number, chunk) {
                Ok(()) => {
                    if self.inner.in_trouble.swap(false, Ordering::Relaxed) {
                        tracing::info!("the MQTT sessions can be written again");
                    }
                    return true;
                }
                Err(error) => {
                    if !self.inner.in_trouble.swap(true, Ordering::Relaxed) {
                        tracing::error!(
                            %error,
                            "the MQTT sessions cannot be written: nothing that depends on them is \
                             acknowledged until the disk takes them"
                        );
                    }
                }
            }
            let pending = self.inner.lock();
            let (pending, _) = self
                .inner
                .work
                .wait_timeout(pending, RETRY)
                .unwrap_or_else(PoisonError::into_inner);
            if pending.closing {
                return false;
            }
        }
    }

    fn try_persist(&mut self, number: u64, chunk: &[u8]) -> Result<(), LogError> {
        if number != self.number {
            self.file = self.inner.folder.create_log(number)?;
            self.number = number;
            self.length = 0;
        }
        if !chunk.is_empty() {
            self.inner
                .folder
                .append(&mut *self.file, number, self.length, chunk)?;
            self.length += chunk.len() as u64;
        }
        self.inner.bytes.store(self.length, Ordering::Relaxed);
        Ok(())
    }
}
