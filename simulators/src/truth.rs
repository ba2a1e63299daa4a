//! The truth that only the simulator knows, kept in a file of its own.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::plant::wear::Wear;

/// What really happened in a world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// The world's seed.
    pub seed: u64,
    /// The scenario.
    pub scenario: String,
    /// When live readings began; nothing before that.
    pub live_since: Option<DateTime<Utc>>,
    /// The fault, with its onset and repairs; nothing in a world without one.
    #[serde(flatten)]
    pub wear: Option<Wear>,
    /// When the fault was removed.
    pub repaired_at: Option<DateTime<Utc>>,
}

/// Why the truth could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    /// The file cannot be written.
    #[error("cannot write the simulator's truth to {path}; choose a folder that can be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read the simulator's truth from {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a truth.
    #[error("{path} is not a simulator's truth; remove it or name another file")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl Truth {
    /// The truth of a world in which nothing has happened yet.
    pub fn new(seed: u64, scenario: &str) -> Self {
        Self {
            seed,
            scenario: scenario.to_owned(),
            live_since: None,
            wear: None,
            repaired_at: None,
        }
    }

    /// Takes in the wear as it stands.
    pub fn note(&mut self, wear: Option<Wear>) {
        self.repaired_at = wear.as_ref().and_then(Wear::repaired_at);
        self.wear = wear;
    }

    /// Writes the file whole or not at all.
    ///
    /// **Errors**: the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TruthError> {
        save_whole(self, path)
    }

    /// Reads a file written by [`Truth::save`].
    ///
    /// **Errors**: the file cannot be read or is something else.
    pub fn load(path: &Path) -> Result<Self, TruthError> {
        let text = std::fs::read_to_string(path).map_err(|source| TruthError::Read {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|source| TruthError::Parse {
            path: path.to_owned(),
            source,
        })
    }
}

/// Writes plain data as a file, whole or not at all.
///
/// **Errors**: the file cannot be written.
pub(crate) fn save_whole(data: &impl Serialize, path: &Path) -> Result<(), TruthError> {
    let text = serde_json::to_string_pretty(data).expect("plain data is always JSON");
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text)
        .and_then(|()| std::fs::rename(&draft, path))
        .map_err(|source| TruthError::Write {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plant::wear::FaultKind;

    #[test]
    fn it_survives_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.json");
        assert!(matches!(Truth::load(&path), Err(TruthError::Read { .. })));
        let mut truth = Truth::new(7, "small_plant");
        truth.save(&path).unwrap();
        assert_eq!(Truth::load(&path).unwrap(), truth);

        let onset = "2026-10-05T08:00:00Z".parse().unwrap();
        let mut wear = Wear {
            asset: "P-1".into(),
            fault: FaultKind::SealLeak,
            onset,
            full_at: onset + chrono::TimeDelta::hours(1),
            first_repair_fails: true,
            repairs: Vec::new(),
        };
        wear.repair(onset + chrono::TimeDelta::hours(2));
        truth.note(Some(wear.clone()));
        assert_eq!(truth.repaired_at, None, "the first repair failed");
        wear.repair(onset + chrono::TimeDelta::hours(3));
        truth.note(Some(wear));
        truth.save(&path).unwrap();
        assert_eq!(Truth::load(&path).unwrap(), truth);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(r#""fault": "seal_leak""#), "{text}");
        std::fs::write(&path, "[]").unwrap();
        assert!(matches!(Truth::load(&path), Err(TruthError::Parse { .. })));
    }
}
