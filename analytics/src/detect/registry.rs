//! The registry of models: every version with what it was learned from, how it did, and who put it
//! in use. It lies beside the models in use, one file a version.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use fieldwright_condition::{ClassSettings, Model};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::models::{ModelFolder, ModelFolderError, failed, write_whole};

/// Versions of one asset that are kept, beside those in use.
pub const KEPT_VERSIONS: usize = 8;
/// Promotions that a version remembers.
const KEPT_PROMOTIONS: usize = 16;

/// A version of an asset's model and its story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Who asked for it: a person, or `learning` at the end of a learning period.
    pub made_by: String,
    /// When, business clock.
    pub made_at: DateTime<Utc>,
    /// The settings of the class that it was learned with.
    pub parameters: Value,
    /// When it was put in use, the latest last.
    pub promotions: Vec<Promotion>,
    /// What was learned: data range, features, evaluation and detectors.
    pub model: Model,
}

/// Somebody put a version in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Who.
    pub by: String,
    /// When, business clock.
    pub at: DateTime<Utc>,
}

impl ModelRecord {
    /// A version that nobody has put in use yet.
    pub fn new(model: Model, settings: &ClassSettings, by: &str, at: DateTime<Utc>) -> Self {
        Self {
            made_by: by.to_owned(),
            made_at: at,
            parameters: serde_json::to_value(settings).unwrap_or_default(),
            promotions: Vec::new(),
            model,
        }
    }

    /// Notes that it is put in use.
    #[must_use]
    pub fn promoted(mut self, by: &str, at: DateTime<Utc>) -> Self {
        noted(&mut self.promotions, by, at);
        self
    }

    fn last_used(&self) -> DateTime<Utc> {
        last_used(&self.promotions, self.made_at)
    }
}

/// When a version was made or last put in use.
pub(super) fn last_used(promotions: &[Promotion], made_at: DateTime<Utc>) -> DateTime<Utc> {
    let promoted = promotions.last().map(|promotion| promotion.at);
    promoted.unwrap_or(made_at).max(made_at)
}

/// The versions in a folder, a JSON file each; one that cannot be understood is left out with a
/// warning that says of `what` it is.
///
/// **Errors** when the folder or a file cannot be read.
pub(super) fn records<T: DeserializeOwned>(
    folder: &Path,
    what: &str,
) -> Result<Vec<T>, ModelFolderError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let path = entry.map_err(failed("read", folder))?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read(&path).map_err(failed("read", &path))?;
        match serde_json::from_slice::<T>(&text) {
            Ok(record) => found.push(record),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a version of {what} is unreadable and left out");
            }
        }
    }
    Ok(found)
}

/// Notes a promotion; the oldest ones are forgotten.
pub(super) fn noted(promotions: &mut Vec<Promotion>, by: &str, at: DateTime<Utc>) {
    let surplus = (promotions.len() + 1).saturating_sub(KEPT_PROMOTIONS);
    promotions.drain(..surplus);
    let by = by.to_owned();
    promotions.push(Promotion { by, at });
}

impl ModelFolder {
    /// Keeps a version; the oldest ones of its asset are dropped, but never the one in use.
    ///
    /// **Errors** when the disk refuses.
    pub fn keep(&self, record: &ModelRecord, live: Option<&str>) -> Result<(), ModelFolderError> {
        let folder = self.versions_of(&record.model.asset);
        fs::create_dir_all(&folder).map_err(failed("make the folder", &folder))?;
        let text = serde_json::to_vec(record).unwrap_or_default();
        write_whole(&folder, &self.version_file(record), &text)?;
        let mut all = self.versions(&record.model.asset)?;
        all.sort_by_key(|one| Reverse(one.last_used()));
        let spared = |one: &&ModelRecord| {
            let version = Some(one.model.version.as_str());
            version == live || version == Some(&record.model.version)
        };
        for gone in all.iter().filter(|one| !spared(one)).skip(KEPT_VERSIONS) {
            let path = self.version_file(gone);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        Ok(())
    }

    /// All versions of an asset, the latest one first. One that cannot be read is left out with a
    /// warning.
    ///
    /// **Errors** when the folder cannot be read.
    pub fn versions(&self, asset: &str) -> Result<Vec<ModelRecord>, ModelFolderError> {
        let folder = self.versions_of(asset);
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed("read", &folder))? {
            let path = entry.map_err(failed("read", &folder))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read(&path).map_err(failed("read", &path))?;
            match serde_json::from_slice::<ModelRecord>(&text) {
                Ok(record) => found.push(record),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a version of a model is unreadable and left out");
                }
            }
        }
        found.sort_by(|a, b| (b.made_at, &b.model.version).cmp(&(a.made_at, &a.model.version)));
        Ok(found)
    }

    /// One version of an asset.
    ///
    /// **Errors** when the folder cannot be read.
    pub fn version(
        &self,
        asset: &str,
        version: &str,
    ) -> Result<Option<ModelRecord>, ModelFolderError> {
        let all = self.versions(asset)?;
        Ok(all.into_iter().find(|one| one.model.version == version))
    }

    fn versions_of(&self, asset: &str) -> PathBuf {
        self.file(asset).with_extension("versions")
    }

    fn version_file(&self, record: &ModelRecord) -> PathBuf {
        let name = self.file(&record.model.version);
        let name = name.file_name().unwrap_or_default();
        self.versions_of(&record.model.asset).join(name)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use fieldwright_condition::learn;
    use fieldwright_condition::window::{Seen, Window};

    use super::super::config::tests::settings;
    use super::*;

    fn model(asset: &str, shift: i64) -> (Model, ClassSettings) {
        let settings = settings("");
        let windows: Vec<Window> = (0..60)
            .map(|at| {
                let value = f64::from((at * 7919 + 13) % 101);
                Window {
                    start: (at as i64 + shift) * 300_000_000,
                    end: (at as i64 + shift + 1) * 300_000_000,
                    rows: 10,
                    metrics: vec![Seen {
                        count: 10,
                        mean: value,
                        deviation: 1.0,
                        flat: false,
                    }],
                    measured: None,
                }
            })
            .collect();
        let metrics = ["a".to_owned()];
        (
            learn(asset, "rig", &settings, &metrics, &windows).unwrap(),
            settings,
        )
    }

    #[test]
    fn versions_are_kept_bounded_and_the_one_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let models = ModelFolder::open(folder.path()).unwrap();
        let begun = DateTime::UNIX_EPOCH;
        let mut first = None;
        for number in 0..i64::try_from(KEPT_VERSIONS).unwrap() + 6 {
            let (model, settings) = model("P 1/2", number * 60);
            let at = begun + TimeDelta::days(number);
            let live = first.get_or_insert_with(|| model.version.clone()).clone();
            let record = ModelRecord::new(model, &settings, "ada", at);
            models.keep(&record, Some(&live)).unwrap();
        }
        let kept = models.versions("P 1/2").unwrap();
        assert_eq!(kept.len(), KEPT_VERSIONS + 2);
        let live = kept.last().unwrap();
        assert_eq!(Some(&live.model.version), first.as_ref());
        assert!(kept[0].made_at > kept[1].made_at);
        assert_eq!(models.load().unwrap(), [], "versions are no models in use");

        let again = live.clone().promoted("bob", begun + TimeDelta::days(99));
        models.keep(&again, None).unwrap();
        let found = models
            .version("P 1/2", &live.model.version)
            .unwrap()
            .unwrap();
        assert_eq!(found, again);
        assert_eq!(found.promotions[0].by, "bob");
        assert_eq!(found.parameters["window"], "5m");
        assert_eq!(models.version("P 1/2", "none").unwrap(), None);
    }
}
