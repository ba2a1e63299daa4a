//! The store under the lake: a folder, or an object store given by a URL.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, parse_url_opts,
};
use url::Url;

use super::LakeError;
use super::root::LakeRoot;
use super::running::Running;
use super::synced_store::{SyncedStore, is_staged};
use crate::disk::Disk;
use crate::durable;

/// Where the lake lies, for the one who writes it.
#[derive(Debug)]
pub(super) struct Place {
    /// As a person would write it.
    url: Url,
    /// The store from its own root on, as the log's library wants it.
    whole: Arc<dyn ObjectStore>,
    /// The lake's place in it.
    base: Path,
    /// The store from the lake's root on.
    store: Arc<dyn ObjectStore>,
    root: LakeRoot,
    /// The disk, where the lake is a folder.
    disk: Option<Arc<dyn Disk>>,
    running: Running,
}

impl Place {
    /// A folder, made if it is missing.
    ///
    /// **Errors**: it cannot be made or looked at.
    pub(super) fn folder(disk: Arc<dyn Disk>, folder: &FilePath) -> Result<Self, LakeError> {
        let io = |operation| {
            move |source| LakeError::Io {
                operation,
                path: folder.to_owned(),
                source,
            }
        };
        durable::make_folders_on(&*disk, folder).map_err(io("make"))?;
        let root = LakeRoot::local(folder).map_err(io("open"))?;
        let path = root.folder().expect("a local lake has a folder");
        let base =
            Path::from_absolute_path(path).map_err(|error| io("name")(io::Error::other(error)))?;
        let whole: Arc<dyn ObjectStore> = Arc::new(SyncedStore::new(disk.clone()));
        Ok(Self {
            disk: Some(disk),
            url: root.url.clone(),
            store: Arc::new(PrefixStore::new(whole.clone(), base.clone())),
            whole,
            base,
            running: Running::start().map_err(LakeError::Thread)?,
            root,
        })
    }

    /// An object store by URL (`s3://`, `gs://`, `az://`, `memory://`), or a folder by `file://`;
    /// what it takes to be let in comes from `environment`, under the names that the cloud's own
    /// tools use.
    ///
    /// **Errors**: the URL names no store that is known, or a variable cannot be used.
    pub(super) fn by_url(
        disk: Arc<dyn Disk>,
        url: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, LakeError> {
        let refused = |detail: String| LakeError::Url {
            url: url.to_owned(),
            detail,
        };
        let mut parsed = Url::parse(url).map_err(|error| refused(error.to_string()))?;
        if parsed.password().is_some() || !parsed.username().is_empty() {
            return Err(refused(
                "it holds a user or a password; use the environment".into(),
            ));
        }
        if parsed.scheme() == "file" {
            // Through the synced store, as every folder.
            let folder = parsed.to_file_path();
            let folder =
                folder.map_err(|()| refused("it names no folder of this machine".into()))?;
            return Self::folder(disk, &folder);
        }
        if !parsed.path().ends_with('/') {
            let path = format!("{}/", parsed.path());
            parsed.set_path(&path);
        }
        let options = environment.map(|(name, value)| (name.to_ascii_lowercase(), value));
        // The store's own error could quote what it was given, so it is not shown.
        let (whole, base) = parse_url_opts(&parsed, options)
            .map_err(|_| refused("no store can be made of it and of the environment".into()))?;
        let whole: Arc<dyn ObjectStore> = whole.into();
        Self::of(parsed, whole, base)
    }

    /// A given store: `base` is the lake's place in it.
    pub(super) fn of(url: Url, whole: Arc<dyn ObjectStore>, base: Path) -> Result<Self, LakeError> {
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(whole.clone(), base.clone()));
        Ok(Self {
            root: LakeRoot::new(url.clone(), store.clone()),
            disk: None,
            url,
            whole,
            base,
            store,
            running: Running::start().map_err(LakeError::Thread)?,
        })
    }

    /// For readers.
    pub(super) fn root(&self) -> &LakeRoot {
        &self.root
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// The log of one table.
    pub(super) fn log(&self, table: &str) -> LogStoreRef {
        let prefix = self.base.clone().join(table);
        let url = self.url.join(&format!("{table}/"));
        default_logstore(
            Arc::new(PrefixStore::new(self.whole.clone(), prefix)),
            self.whole.clone(),
            &url.expect("the name of a class can stand in a URL"),
            &StorageConfig::default(),
        )
    }

    /// Writes a new object as a whole, synced.
    ///
    /// **Errors**: there is one of that name already, or the store refused.
    pub(super) fn put_new(&self, path: &Path, content: Bytes) -> Result<(), LakeError> {
        let create = PutOptions::from(PutMode::Create);
        let put = self.store.put_opts(path, content.into(), create);
        match self.running.wait(put) {
            Ok(_) => Ok(()),
            Err(Error::AlreadyExists { .. }) => Err(LakeError::Exists { path: path.clone() }),
            Err(error) => Err(store("write", path)(error)),
        }
    }

    /// Writes an object as a whole, synced; what was there is gone.
    ///
    /// **Errors**: the store refused.
    pub(super) fn put(&self, path: &Path, content: Bytes) -> Result<(), LakeError> {
        let put = self.store.put(path, content.into());
        self.running
            .wait(put)
            .map(drop)
            .map_err(store("write", path))
    }

    /// Reads an object; none if there is none.
    ///
    /// **Errors**: the store refused.
    pub(super) fn get(&self, path: &Path) -> Result<Option<Bytes>, LakeError> {
        let get = async { self.store.get(path).await?.bytes().await };
        match self.running.wait(get) {
            Ok(content) => Ok(Some(content)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store("read", path)(error)),
        }
    }

    /// Removes an object; it is no error when it is gone.
    ///
    /// **Errors**: the store refused.
    pub(super) fn remove(&self, path: &Path) -> Result<(), LakeError> {
        match self.running.wait(self.store.delete(path)) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(store("remove", path)(error)),
        }
    }

    /// Every object below a folder, and how large it is.
    ///
    /// **Errors**: the store refused.
    pub(super) fn list(&self, folder: Option<&Path>) -> Result<HashMap<Path, u64>, LakeError> {
        let listed = self.store.list(folder).try_collect::<Vec<ObjectMeta>>();
        let listed = self.running.wait(listed);
        let named = folder.cloned().unwrap_or_default();
        let listed = listed.map_err(store("list", &named))?;
        Ok(listed
            .into_iter()
            .map(|object| (object.location, object.size))
            .collect())
    }

    /// Syncs every folder: a name that an earlier process gave may be in the system's memory only.
    ///
    /// **Errors**: the system refused.
    pub(super) fn sync_names(&self) -> Result<(), LakeError> {
        let (Some(disk), Some(folder)) = (&self.disk, self.root.folder()) else {
            return Ok(());
        };
        walk(folder, |path, is_folder| match is_folder {
            true => disk.sync_folder(path).map_err(refused("sync", path)),
            false => Ok(()),
        })
    }

    /// Removes what writes that did not finish left in a folder, beside the objects; gives how many.
    ///
    /// **Errors**: the system refused.
    pub(super) fn remove_staged(&self) -> Result<usize, LakeError> {
        let (Some(disk), Some(folder)) = (&self.disk, self.root.folder()) else {
            return Ok(0);
        };
        let mut removed = 0;
        walk(folder, |path, is_folder| {
            if !is_folder && is_staged(path) {
                disk.remove(path).map_err(refused("clean", path))?;
                removed += 1;
            }
            Ok(())
        })?;
        Ok(removed)
    }

    /// The folders in the lake: one a table.
    ///
    /// **Errors**: the store refused.
    pub(super) fn folders(&self) -> Result<Vec<String>, LakeError> {
        let listed = self.running.wait(self.store.list_with_delimiter(None));
        let listed = listed.map_err(store("list", &Path::default()))?;
        let names = listed.common_prefixes.iter();
        Ok(names
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }
}

/// Shows every file below a folder, and every folder with itself after its files.
fn walk(
    folder: &FilePath,
    mut visit: impl FnMut(&FilePath, bool) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(refused("list", &folder))? {
            let path = entry.map_err(refused("list", &folder))?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                visit(&path, false)?;
            }
        }
        visit(&folder, true)?;
    }
    Ok(())
}

fn refused(operation: &'static str, path: &FilePath) -> impl FnOnce(std::io::Error) -> LakeError {
    let path = path.to_owned();
    move |source| LakeError::Io {
        operation,
        path,
        source,
    }
}

fn store(operation: &'static str, path: &Path) -> impl FnOnce(Error) -> LakeError {
    let path = path.clone();
    move |source| LakeError::Store {
        operation,
        path,
        source,
    }
}
