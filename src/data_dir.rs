//! The data folder: who owns it, what lies in it, where its service listens.
//!
//! One process owns a folder at a time. The lock is the kernel's, so it goes with the process
//! however it ends; `endpoints.json` says where the owner listens and is believed only while
//! somebody holds the lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where a running service really listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Base address of the HTTP API, such as `http://127.0.0.1:41231`.
    pub http: String,
    /// Address of the MQTT endpoint or of the broker that the service consumes from.
    pub mqtt: String,
    /// Address of the MQTT endpoint over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtts: Option<String>,
    /// Where PostgreSQL's wire protocol is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
    /// Where Arrow Flight SQL is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flight: Option<String>,
}

impl Endpoints {
    /// The doors of SQL that are open, by a short name.
    pub fn sql_doors(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let doors = [("pg", &self.postgres), ("flight", &self.flight)];
        doors
            .into_iter()
            .filter_map(|(name, address)| Some((name, address.as_deref()?)))
    }
}

/// A data folder that this process owns until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a data folder could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process owns it.
    #[error(
        "the data folder {} is in use by another process; stop that service or name another folder with --data",
        .0.display()
    )]
    InUse(PathBuf),
    /// It could not be made or opened.
    #[error("cannot open the data folder {}; check that it is a folder that you may write to", .path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is a file.
    #[error("{} is a file; a data folder is a folder", .0.display())]
    NoFolder(PathBuf),
    /// A file in it could not be written.
    #[error("cannot write {}; check free space and permissions", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The command wants a folder that exists.
    #[error("there is no data folder {}; name one with --data, or start a service with `fieldwright serve`", .0.display())]
    Missing(PathBuf),
}

impl DataDir {
    /// Takes the folder, making it when it does not exist.
    ///
    /// **Errors**: `InUse` when another process holds it.
    pub fn take(path: &Path) -> Result<Self, DataDirError> {
        let open = |source| DataDirError::Open {
            path: path.to_owned(),
            source,
        };
        if path.exists() && !path.is_dir() {
            return Err(DataDirError::NoFolder(path.to_owned()));
        }
        std::fs::create_dir_all(path).map_err(open)?;
        restrict_to_owner(path).map_err(open)?;
        let path = path.canonicalize().map_err(open)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(open)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path)),
            Err(TryLockError::Error(source)) => Err(open(source)),
        }
    }

    /// Takes a folder that must exist already.
    pub fn take_existing(path: &Path) -> Result<Self, DataDirError> {
        if !path.is_dir() {
            return Err(DataDirError::Missing(path.to_owned()));
        }
        Self::take(path)
    }

    /// The folder, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's own name, made on first use and kept with it wherever it is moved.
    pub fn identity(&self, make: impl FnOnce() -> String) -> Result<String, DataDirError> {
        let path = self.path.join("folder-id");
        match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            _ => {
                let made = make();
                write_whole(&path, made.as_bytes())?;
                Ok(made)
            }
        }
    }

    /// Says where the service listens. Written whole or not at all.
    pub fn write_endpoints(&self, endpoints: &Endpoints) -> Result<(), DataDirError> {
        let text = serde_json::to_string(endpoints).expect("strings serialize");
        write_whole(&self.path.join("endpoints.json"), text.as_bytes())
    }

    /// Takes back what `write_endpoints` said; a missing file is fine.
    pub fn clear_endpoints(&self) {
        let _ = std::fs::remove_file(self.path.join("endpoints.json"));
    }
}

/// Reads where the owner of a folder listens, if it has said so.
pub fn read_endpoints(dir: &Path) -> Option<Endpoints> {
    let text = std::fs::read_to_string(dir.join("endpoints.json")).ok()?;
    serde_json::from_str(&text).ok()
}

/// Writes a small file so that a reader sees the old or the new one, also after a power cut.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DataDirError> {
    let fail = |source| DataDirError::Write {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().expect("a file lies in a folder");
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    std::fs::rename(&temporary, path).map_err(fail)?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(fail)
}

/// Readings and money are nobody else's to read on a shared machine.
#[cfg(unix)]
fn restrict_to_owner(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_new = path.read_dir()?.next().is_none();
    if is_new {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn restrict_to_owner(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::take(dir.path()).unwrap();
        assert!(matches!(
            DataDir::take(dir.path()),
            Err(DataDirError::InUse(_))
        ));
        drop(first);
        DataDir::take(dir.path()).unwrap();
    }

    #[test]
    fn endpoints_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let owned = DataDir::take(dir.path()).unwrap();
        let said = Endpoints {
            http: "http://127.0.0.1:1".into(),
            mqtt: "mqtt://127.0.0.1:2".into(),
            mqtts: None,
            postgres: Some("postgres://127.0.0.1:3/fieldwright".into()),
            flight: None,
        };
        owned.write_endpoints(&said).unwrap();
        assert_eq!(read_endpoints(dir.path()), Some(said));
        owned.clear_endpoints();
        assert_eq!(read_endpoints(dir.path()), None);
    }
}
