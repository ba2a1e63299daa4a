//! Where the lake lies, for those who read its files.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use url::Url;

use super::running::Running;
use crate::snapshot::ColdFile;

/// Where the lake lies. Paths of files are relative to it.
#[derive(Debug, Clone)]
pub struct LakeRoot {
    /// As a person would write it.
    pub url: Url,
    /// The store, rooted at the lake.
    pub store: Arc<dyn ObjectStore>,
    local: Option<(PathBuf, Arc<LocalFileSystem>)>,
    /// For those who wait for a store, started when somebody first does.
    running: Arc<OnceLock<Running>>,
}

/// An open file of the lake, for the synchronous Parquet reader.
#[derive(Debug)]
pub enum StoredFile {
    /// On a local disk.
    Local(File),
    /// Fetched whole from an object store.
    Fetched(Bytes),
}

impl LakeRoot {
    /// A lake in any object store.
    pub fn new(url: Url, store: Arc<dyn ObjectStore>) -> Self {
        Self {
            url,
            store,
            local: None,
            running: Arc::default(),
        }
    }

    /// A lake in a folder that exists.
    ///
    /// **Errors**: the folder does not exist or cannot be looked at.
    pub fn local(folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(io::Error::other)?;
        let url = Url::from_directory_path(&folder)
            .map_err(|()| io::Error::other("the folder has no absolute path"))?;
        let store = Arc::new(store);
        Ok(Self {
            url,
            store: store.clone(),
            local: Some((folder, store)),
            running: Arc::default(),
        })
    }

    /// The folder, where the lake lies on a local disk.
    pub fn folder(&self) -> Option<&Path> {
        self.local.as_ref().map(|(folder, _)| folder.as_path())
    }

    /// Opens a file for the synchronous Parquet reader; takes as long as the store needs, so call
    /// it where blocking is allowed.
    ///
    /// **Errors**: the file is away (`NotFound`) or the store cannot be reached.
    pub fn open(&self, file: &ColdFile) -> io::Result<StoredFile> {
        match &self.local {
            Some((_, store)) => {
                let path = store.path_to_filesystem(&file.path)?;
                Ok(StoredFile::Local(File::open(path)?))
            }
            None => {
                let running = match self.running.get() {
                    Some(running) => running,
                    None => {
                        let new = Running::start()?;
                        self.running.get_or_init(|| new)
                    }
                };
                let (store, path) = (self.store.clone(), file.path.clone());
                let fetched = running.wait(async move { store.get(&path).await?.bytes().await });
                Ok(StoredFile::Fetched(fetched?))
            }
        }
    }
}

impl Default for LakeRoot {
    /// An empty lake in memory.
    fn default() -> Self {
        let url = Url::parse("memory:///").expect("a constant URL");
        Self::new(url, Arc::new(InMemory::new()))
    }
}

impl Length for StoredFile {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => file.metadata().map_or(0, |found| found.len()),
            Self::Fetched(bytes) => bytes.len() as u64,
        }
    }
}

impl ChunkReader for StoredFile {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        match self {
            Self::Local(file) => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(start))?;
                Ok(Box::new(BufReader::new(file)))
            }
            Self::Fetched(bytes) => Ok(Box::new(io::Cursor::new(bytes.slice(start as usize..)))),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Fetched(bytes) => {
                let start = start as usize;
                Ok(bytes.slice(start..start + length))
            }
        }
    }
}
