//! How far an import has come, beside the file.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::Failure;

/// Bytes of the beginning and of the end that tell a file from others of its size.
const PROBED: u64 = 64 << 10;

/// Which file, under which map, into which class of which service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    bytes: u64,
    file: String,
    map: String,
    /// The name of the service's data folder; none in files of a version that did not ask for it.
    #[serde(default)]
    service: String,
}

/// What was acknowledged.
#[derive(Debug)]
pub(super) struct State {
    path: PathBuf,
    kept: Kept,
    /// An earlier run told another service, or did not note which.
    elsewhere: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    identity: Identity,
    /// Rows of the file from its beginning, bad and empty ones included.
    acknowledged: u64,
}

impl Identity {
    pub(super) fn of(file: &Path, map: &str, class: &str, service: &str) -> std::io::Result<Self> {
        let mut opened = File::open(file)?;
        let bytes = opened.metadata()?.len();
        let mut hash = Sha256::new();
        for start in [0, bytes.saturating_sub(PROBED)] {
            opened.seek(SeekFrom::Start(start))?;
            let mut part = Vec::new();
            (&opened).take(PROBED).read_to_end(&mut part)?;
            hash.update(&part);
        }
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        Ok(Self {
            bytes,
            file: hex(&hash.finalize()),
            map: hex(&Sha256::digest(format!("{class}\n{map}"))),
            service: service.to_owned(),
        })
    }

    /// The same rows, to whatever service.
    fn has_rows_of(&self, other: &Self) -> bool {
        (self.bytes, &self.file, &self.map) == (other.bytes, &other.file, &other.map)
    }
}

impl State {
    /// Reads what an earlier run left. What it left about another service says nothing about this
    /// one: the rows begin anew, and a row that is there already counts once.
    ///
    /// **Errors**: the rows are of another file, map or class.
    pub(super) fn open(file: &Path, identity: Identity) -> Result<Self, Failure> {
        let mut name = file.file_name().unwrap_or_default().to_os_string();
        name.push(".import.json");
        let path = file.with_file_name(name);
        let found = match std::fs::read(&path) {
            Ok(text) => {
                let kept = serde_json::from_slice::<Kept>(&text).ok();
                let kept = kept.filter(|kept| kept.identity.has_rows_of(&identity));
                Some(kept.ok_or_else(|| {
                    Failure::Usage(format!(
                        "{} is of another file, map or class; remove it to import from the \
                         beginning",
                        path.display()
                    ))
                })?)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Failure::Failed(format!(
                    "cannot read {}: {error}",
                    path.display()
                )));
            }
        };
        let elsewhere = found.as_ref().is_some_and(|kept| kept.identity != identity);
        let kept = found.filter(|_| !elsewhere).unwrap_or(Kept {
            identity,
            acknowledged: 0,
        });
        Ok(Self {
            path,
            kept,
            elsewhere,
        })
    }

    /// What an earlier run means for this one, for people.
    pub(super) fn told(&self, rows: u64) -> Option<String> {
        let path = self.path.display();
        match self.kept.acknowledged {
            _ if self.elsewhere => Some(format!(
                "{path} is of another service or data folder; beginning anew"
            )),
            0 => None,
            already if already >= rows => Some(format!(
                "this service has acknowledged all rows already; remove {path} to send them again"
            )),
            already => Some(format!("going on after row {already} of {rows}")),
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.kept.acknowledged
    }

    /// Notes that all rows up to this one are acknowledged. What a crash takes of it is sent again.
    pub(super) fn note(&mut self, acknowledged: u64) -> Result<(), Failure> {
        self.kept.acknowledged = acknowledged;
        let text = serde_json::to_vec(&self.kept).expect("plain data");
        let half_written = self.path.with_extension("json.tmp");
        let written = std::fs::write(&half_written, text)
            .and_then(|()| std::fs::rename(&half_written, &self.path));
        written.map_err(|error| {
            Failure::Failed(format!(
                "cannot write {}: {error}; without it the import could not go on later",
                self.path.display()
            ))
        })
    }
}
