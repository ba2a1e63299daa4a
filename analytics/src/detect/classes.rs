//! Models of whole classes on disk: a version once, and what its assets have by themselves beside it,
//! a line an asset.
//!
//! `classes/<class>/<version>.json` is a version with its story, `<version>.members.jsonl` its assets;
//! one that comes later is a line at the end. `in_use` names the version that judges.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use fieldwright_condition::{ClassModel, ClassSettings, Member};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::models::{ModelFolder, ModelFolderError, failed, write_whole};
use super::registry::{KEPT_VERSIONS, Promotion, last_used, noted, records};

/// Folder of the classes beside the models of single assets.
const CLASSES: &str = "classes";
/// File that names the version in use.
const IN_USE: &str = "in_use";
/// Ending of the file of a version's assets.
const MEMBERS: &str = "members.jsonl";

/// A version of a class's model and its story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassRecord {
    /// Who asked for it: a person, or `learning` when the first learning period was over.
    pub made_by: String,
    /// When, business clock.
    pub made_at: DateTime<Utc>,
    /// The settings of the class that it was learned with.
    pub parameters: Value,
    /// When it was put in use, the latest last.
    pub promotions: Vec<Promotion>,
    /// Assets that could be judged by it when it was learned.
    pub members: usize,
    /// Assets that could not, and why; the first hundred.
    pub left_out: Vec<(String, String)>,
    /// What was learned: data range, features, evaluation and detectors.
    pub model: ClassModel,
}

/// Assets that are named when they are left out.
const NAMED: usize = 100;

impl ClassRecord {
    /// A version that nobody has put in use yet.
    pub fn new(
        model: ClassModel,
        settings: &ClassSettings,
        (members, left_out): (usize, &[(String, fieldwright_condition::FitError)]),
        (by, at): (&str, DateTime<Utc>),
    ) -> Self {
        let left_out = left_out.iter().take(NAMED);
        Self {
            made_by: by.to_owned(),
            made_at: at,
            parameters: serde_json::to_value(settings).unwrap_or_default(),
            promotions: Vec::new(),
            members,
            left_out: left_out
                .map(|(asset, why)| (asset.clone(), why.to_string()))
                .collect(),
            model,
        }
    }

    /// Notes that it is put in use.
    #[must_use]
    pub fn promoted(mut self, by: &str, at: DateTime<Utc>) -> Self {
        noted(&mut self.promotions, by, at);
        self
    }
}

impl ModelFolder {
    /// Keeps a version that was just learned, with its assets. Learned again on the same span it has
    /// the same name: then it keeps its promotions, and the assets that have come since.
    ///
    /// **Errors** when the disk refuses.
    pub fn keep_learned(
        &self,
        mut record: ClassRecord,
        members: &[Member],
    ) -> Result<ClassRecord, ModelFolderError> {
        let (class, version) = (&record.model.class, &record.model.version);
        let known = self.class_versions(class)?.into_iter();
        let known = known.filter(|known| known.model.version == *version);
        record.promotions = known.flat_map(|known| known.promotions).collect();
        let mut all = BTreeMap::new();
        for member in self.members(class, version)?.iter().chain(members) {
            all.insert(member.asset.clone(), member.clone());
        }
        let mut text = Vec::new();
        all.values().for_each(|member| line(member, &mut text));
        let folder = self.class_folder(class);
        fs::create_dir_all(&folder).map_err(failed("make the folder", &folder))?;
        let path = self.class_file(class, version).with_extension(MEMBERS);
        write_whole(&folder, &path, &text)?;
        self.keep_class(&record)?;
        Ok(record)
    }

    /// Keeps what is known of a version; the oldest ones of its class are dropped, but never the one
    /// in use.
    ///
    /// **Errors** when the disk refuses.
    fn keep_class(&self, record: &ClassRecord) -> Result<(), ModelFolderError> {
        let folder = self.class_folder(&record.model.class);
        let path = self.class_file(&record.model.class, &record.model.version);
        let text = serde_json::to_vec(record).unwrap_or_default();
        write_whole(&folder, &path, &text)?;
        let in_use = self.class_in_use(&record.model.class)?;
        let spared = |one: &&ClassRecord| {
            let version = &one.model.version;
            in_use.as_ref() == Some(version) || *version == record.model.version
        };
        let all = self.class_versions(&record.model.class)?;
        for gone in all.iter().filter(|one| !spared(one)).skip(KEPT_VERSIONS) {
            let path = self.class_file(&gone.model.class, &gone.model.version);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
            let members = path.with_extension(MEMBERS);
            fs::remove_file(&members).map_err(failed("remove", &members))?;
        }
        Ok(())
    }

    /// Makes a version the one that judges after the next start. What the assets `given_up` had
    /// learned by themselves goes away.
    ///
    /// **Errors** when the disk refuses.
    pub fn use_class<'a>(
        &self,
        record: &ClassRecord,
        given_up: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ModelFolderError> {
        self.keep_class(record)?;
        let folder = self.class_folder(&record.model.class);
        let version = record.model.version.as_bytes();
        write_whole(&folder, &folder.join(IN_USE), version)?;
        for asset in given_up {
            let own = self.file(asset);
            if own.is_file() {
                fs::remove_file(&own).map_err(failed("remove", &own))?;
            }
        }
        Ok(())
    }

    /// Adds assets to the version of a class that they were referred to: all on disk when this
    /// returns.
    ///
    /// **Errors** when the disk refuses.
    pub fn add_members(&self, class: &str, members: &[Member]) -> Result<(), ModelFolderError> {
        let mut by_version: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for member in members {
            let version = member.reference.class_model.as_str();
            line(member, by_version.entry(version).or_default());
        }
        for (version, text) in by_version {
            let path = self.class_file(class, version).with_extension(MEMBERS);
            let opened = OpenOptions::new().append(true).create(true).open(&path);
            let mut file = opened.map_err(failed("open", &path))?;
            file.write_all(&text).map_err(failed("write", &path))?;
            file.sync_data().map_err(failed("sync", &path))?;
        }
        Ok(())
    }

    /// The versions in use of all classes with their assets. What cannot be read is left out with a
    /// warning: it is learned again.
    ///
    /// **Errors** when a folder cannot be read.
    pub fn classes(&self) -> Result<Vec<(ClassModel, Vec<Member>)>, ModelFolderError> {
        let folder = self.classes_folder();
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed("read", &folder))? {
            let path = entry.map_err(failed("read", &folder))?.path();
            if !path.is_dir() {
                continue;
            }
            let Some(version) = read_text(&path.join(IN_USE))? else {
                continue;
            };
            let all = records::<ClassRecord>(&path, "a class")?.into_iter();
            let used = all
                .map(|record| record.model)
                .find(|m| m.version == version);
            let Some(model) = used else {
                tracing::warn!(path = %path.display(), version, "the version in use of a class is missing; the class learns again");
                continue;
            };
            let members = self.members(&model.class, &version)?;
            found.push((model, members));
        }
        found.sort_by(|a, b| a.0.class.cmp(&b.0.class));
        Ok(found)
    }

    /// The version of a class that is in use.
    ///
    /// **Errors** when the folder cannot be read.
    pub fn class_in_use(&self, class: &str) -> Result<Option<String>, ModelFolderError> {
        read_text(&self.class_folder(class).join(IN_USE))
    }

    /// All versions of a class, the latest one first.
    ///
    /// **Errors** when the folder cannot be read.
    pub fn class_versions(&self, class: &str) -> Result<Vec<ClassRecord>, ModelFolderError> {
        let mut found = records(&self.class_folder(class), "a class")?;
        let last_used = |one: &ClassRecord| last_used(&one.promotions, one.made_at);
        found.sort_by(|a, b| {
            (last_used(b), &b.model.version).cmp(&(last_used(a), &a.model.version))
        });
        Ok(found)
    }

    /// The assets of a version, by tag. A line that is not whole, as a crash may leave it at the end,
    /// is left out with a warning.
    ///
    /// **Errors** when the file cannot be read.
    pub fn members(&self, class: &str, version: &str) -> Result<Vec<Member>, ModelFolderError> {
        let path = self.class_file(class, version).with_extension(MEMBERS);
        let text = read_text(&path)?.unwrap_or_default();
        let mut members = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match serde_json::from_str::<Member>(line) {
                Ok(member) => drop(members.insert(member.asset.clone(), member)),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "an asset of a class is unreadable and learns again");
                }
            }
        }
        Ok(members.into_values().collect())
    }

    fn classes_folder(&self) -> PathBuf {
        self.file(CLASSES).with_file_name(CLASSES)
    }

    fn class_folder(&self, class: &str) -> PathBuf {
        let file = self.file(class).with_extension("");
        let name = file.file_name().unwrap_or_default();
        self.classes_folder().join(name)
    }

    fn class_file(&self, class: &str, version: &str) -> PathBuf {
        let name = self.file(version);
        let name = name.file_name().unwrap_or_default();
        self.class_folder(class).join(name)
    }
}

fn line(member: &Member, text: &mut Vec<u8>) {
    // After a torn line a new one begins.
    text.extend_from_slice(b"\n");
    text.extend(serde_json::to_vec(member).unwrap_or_default());
}

pub(super) fn read_text(path: &Path) -> Result<Option<String>, ModelFolderError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

#[cfg(test)]
mod tests;
