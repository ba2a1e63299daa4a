//! A disk without space: acknowledgements stop, readers go on, work resumes by itself.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Acknowledged, in_order_rows, now, put, reading, within};
use crate::clock::{ManualClock, process_now, process_sleep};
use crate::disk::{Disk, DiskFile, LocalDisk};
use crate::readings;
use crate::{Ingest, IngestConfig};

/// A disk that has no space while somebody says so. A write takes half of its bytes then.
#[derive(Debug, Clone, Default)]
struct Small {
    is_full: Arc<AtomicBool>,
}

#[derive(Debug)]
struct SmallFile(Box<dyn DiskFile>, Small);

impl Small {
    fn full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    fn space(&self) -> io::Result<()> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn wrap(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(SmallFile(file, self.clone()))
    }
}

impl Disk for Small {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        // A name takes hardly any space: the file is made, its content is not.
        Ok(self.wrap(LocalDisk.create(path)?))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(LocalDisk.create_new(path)?))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(LocalDisk.append(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.space()?;
        LocalDisk.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.space()?;
        LocalDisk.create_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        LocalDisk.sync_folder(path)
    }
}

impl Write for SmallFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.1.space().is_err() && bytes.len() > 1 {
            self.0.write_all(&bytes[..bytes.len() / 2])?;
        }
        self.1.space()?;
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for SmallFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
    fn seek_to(&mut self, place: u64) -> io::Result<()> {
        self.0.seek_to(place)
    }
}

#[tokio::test]
async fn a_full_disk_stops_acknowledgements_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Small::default();
    let config = IngestConfig {
        batch_ms: 0,
        flush_rows: 50,
        queue_deliveries: 8,
        ..IngestConfig::default()
    };
    let clock = Arc::new(ManualClock::new(now()));
    let (ingest, _feed) =
        Ingest::start_on(Arc::new(disk.clone()), config.clone(), folder.path(), clock).unwrap();
    let mut sent = 0;
    for round in 0..3 {
        for _ in 0..40 {
            sent += 1;
            put(&ingest, vec![reading("pump", "P1", sent, "\"a\":1")]).await;
        }
        if round == 1 {
            // With a flush that finds no space either.
            drop(tokio::time::timeout(Duration::from_millis(1), ingest.flush()).await);
        }
        disk.full(true);
        let acknowledged = Acknowledged::default();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            sent += 1;
            let message = reading("pump", "P1", sent, "\"a\":1");
            let delivery = acknowledged.delivery(vec![message], vec![sent as u64]);
            waiting.push(ingest.intake().try_send(delivery).is_ok());
        }
        assert!(waiting.iter().all(|taken| *taken));
        within(async {
            while ingest.stats().disk_trouble.is_none() {
                process_sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        // Those before it can be read, and none of these is promised.
        assert!(in_order_rows(&ingest.snapshot()) >= sent as u64 - 4);
        assert_eq!(acknowledged.numbers(), [0_u64; 0]);
        process_sleep(Duration::from_millis(300)).await;
        assert_eq!(acknowledged.numbers(), [0_u64; 0]);
        disk.full(false);
        let freed = process_now();
        within(async {
            while acknowledged.numbers().len() < 4 {
                process_sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(
            freed.elapsed() < Duration::from_secs(5),
            "{:?}",
            freed.elapsed()
        );
        let copy = super::as_killed(folder.path());
        let (again, _feed) = super::start(&config, copy.path());
        assert_eq!(readings::of(&again.snapshot()).len(), sent as usize);
        assert_eq!(
            again.stats().journal_damages,
            0,
            "what was refused was cut off"
        );
    }
    within(ingest.flush()).await.unwrap();
    assert_eq!(ingest.stats().disk_trouble, None);
    ingest.shutdown().await.unwrap();
}
