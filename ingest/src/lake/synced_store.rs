//! A local folder as an object store whose writes survive a power loss.
//!
//! The local store of the `object_store` crate never syncs. This one writes a file beside its
//! place, syncs it, gives it its name, and syncs the folder, before it says that it is done. When
//! the disk refuses in between, a name may be there that is not durable: nothing is listed or
//! written before the folders are synced.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, UploadPart,
};

use crate::disk::Disk;
use crate::durable;

const NAME: &str = "SyncedStore";

/// The file system from its root on.
#[derive(Debug, Clone)]
pub(super) struct SyncedStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    disk: Arc<dyn Disk>,
    reading: LocalFileSystem,
    staged: AtomicU64,
    /// Folders with names that may not be durable.
    doubtful: Mutex<BTreeSet<PathBuf>>,
}

/// Whether a file is one that was being written.
pub(super) fn is_staged(path: &FilePath) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| number.parse::<u64>().is_ok())
}

impl SyncedStore {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self(Arc::new(Inner {
            disk,
            reading: LocalFileSystem::new(),
            staged: AtomicU64::new(1),
            doubtful: Mutex::default(),
        }))
    }
}

impl Inner {
    fn put(&self, location: &Path, payload: &PutPayload, new: bool) -> Result<()> {
        let path = self.reading.path_to_filesystem(location)?;
        self.write(&path, payload, new)
            .map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => Error::AlreadyExists {
                    path: location.to_string(),
                    source: source.into(),
                },
                _ => generic(source),
            })
    }

    fn write(&self, path: &FilePath, payload: &PutPayload, new: bool) -> io::Result<()> {
        self.settle()?;
        let folder = path.parent().expect("an object has a folder");
        let written = durable::make_folders_on(&*self.disk, folder)
            .and_then(|()| self.write_into(folder, path, payload, new));
        if written.is_err() {
            // The lake, the table and its log: there may be new ones among them.
            let folders = folder.ancestors().take(3).map(FilePath::to_owned);
            self.doubtful
                .lock()
                .expect("no holder panics")
                .extend(folders);
        }
        written
    }

    /// Syncs the folders in which the disk refused something.
    fn settle(&self) -> io::Result<()> {
        let mut doubtful = self.doubtful.lock().expect("no holder panics");
        while let Some(folder) = doubtful.first().cloned() {
            match self.disk.sync_folder(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => doubtful.remove(&folder),
            };
        }
        Ok(())
    }

    fn write_into(
        &self,
        folder: &FilePath,
        path: &FilePath,
        payload: &PutPayload,
        new: bool,
    ) -> io::Result<()> {
        // The local store's own mark of a file that is no object yet: `#` and a number.
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!("#{number}"));
        let staged = PathBuf::from(staged);
        let written = (|| {
            let mut file = self.disk.create(&staged)?;
            for bytes in payload {
                file.write_all(bytes)?;
            }
            file.sync()?;
            drop(file);
            if new {
                self.disk.link(&staged, path)?;
            } else {
                self.disk.rename(&staged, path)?;
            }
            self.disk.sync_folder(folder)
        })();
        if new || written.is_err() {
            // What cannot be removed is removed at the next start.
            drop(self.disk.remove(&staged));
        }
        written
    }

    fn remove(&self, location: &Path) -> Result<()> {
        let path = self.reading.path_to_filesystem(location)?;
        self.disk
            .remove(&path)
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => Error::NotFound {
                    path: location.to_string(),
                    source: source.into(),
                },
                _ => generic(source),
            })
    }
}

fn generic(source: io::Error) -> Error {
    Error::Generic {
        store: NAME,
        source: source.into(),
    }
}

impl std::fmt::Display for SyncedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(NAME)
    }
}

#[async_trait]
impl ObjectStore for SyncedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let new = match opts.mode {
            PutMode::Overwrite => false,
            PutMode::Create => true,
            PutMode::Update(_) => {
                return Err(Error::NotSupported {
                    source: "a local folder has no versions of an object".into(),
                });
            }
        };
        self.0.put(location, &payload, new)?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload {
            store: self.clone(),
            location: location.clone(),
            parts: Vec::new(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.reading.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let inner = Arc::clone(&self.0);
        let removed = locations.map(move |location| {
            let location = location?;
            inner.remove(&location)?;
            Ok(location)
        });
        removed.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.0.settle() {
            Ok(()) => self.0.reading.list(prefix),
            Err(error) => futures::stream::once(async { Err(generic(error)) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.settle().map_err(generic)?;
        self.0.reading.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let content = self.0.reading.get(from).await?.bytes().await?;
        let new = matches!(options.mode, CopyMode::Create);
        self.0.put(to, &content.into(), new)
    }
}

/// An upload in parts: kept in memory, written when it is whole.
#[derive(Debug)]
struct Upload {
    store: SyncedStore,
    location: Path,
    parts: Vec<PutPayload>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.push(data);
        Box::pin(futures::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts = std::mem::take(&mut self.parts);
        let whole: PutPayload = parts.into_iter().flatten().collect();
        self.store.put(&self.location, whole).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::LocalDisk;

    #[tokio::test]
    async fn it_puts_lists_and_removes_as_a_store_does() {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::from_absolute_path(folder.path().canonicalize().unwrap()).unwrap();
        let store = SyncedStore::new(LocalDisk::shared());
        let at = |name: &str| root.clone().join("t").join(name);
        store.put(&at("a"), "one".into()).await.unwrap();
        store.put(&at("a"), "two".into()).await.unwrap();
        let create = PutOptions::from(PutMode::Create);
        let twice = store.put_opts(&at("a"), "three".into(), create).await;
        assert!(matches!(twice, Err(Error::AlreadyExists { .. })));
        let mut upload = store.put_multipart(&at("b")).await.unwrap();
        upload.put_part("fo".into()).await.unwrap();
        upload.put_part("ur".into()).await.unwrap();
        upload.complete().await.unwrap();
        let read = async |name: &str| store.get(&at(name)).await.unwrap().bytes().await.unwrap();
        assert_eq!(
            (read("a").await, read("b").await),
            ("two".into(), "four".into())
        );
        let listed: Vec<_> = store.list(Some(&root)).collect().await;
        assert_eq!(listed.len(), 2);
        // Nothing that was staged is left.
        assert_eq!(
            std::fs::read_dir(folder.path().join("t")).unwrap().count(),
            2
        );
        store.delete(&at("a")).await.unwrap();
        assert!(matches!(
            store.delete(&at("a")).await,
            Err(Error::NotFound { .. })
        ));
    }
}
