//! Models of remaining life on disk: a version once, with its story.
//!
//! `lives/<class>/<version>.json` is a version, `in_use` names the one at work.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_condition::prognosis::class_life::ClassLifeModel;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::classes::read_text;
use super::config::DetectConfig;
use super::models::{ModelFolder, ModelFolderError, failed, write_whole};
use super::registry::{KEPT_VERSIONS, Promotion, last_used, noted, records};

/// Folder of the models of remaining life beside those of single assets.
const LIVES: &str = "lives";
/// File that names the version in use.
const IN_USE: &str = "in_use";
/// Lives that are named when they are left out.
const NAMED: usize = 100;

/// A version of a class's model of remaining life and its story.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LifeRecord {
    /// Who asked for it.
    pub made_by: String,
    /// When, business clock.
    pub made_at: DateTime<Utc>,
    /// How it was learned.
    pub parameters: Value,
    /// When it was put in use, the latest last.
    pub promotions: Vec<Promotion>,
    /// Lives that it was not learned from, by the tag of their asset, and why; the first hundred.
    pub left_out: Vec<(String, String)>,
    /// What was learned: data range, metrics, evaluation and trees.
    pub model: ClassLifeModel,
}

impl LifeRecord {
    /// A version that nobody has put in use yet.
    pub fn new(
        model: ClassLifeModel,
        left_out: &[(String, String)],
        (by, at): (&str, DateTime<Utc>),
    ) -> Self {
        let learning = model.declared.learning();
        Self {
            made_by: by.to_owned(),
            made_at: at,
            parameters: serde_json::to_value(learning).unwrap_or_default(),
            promotions: Vec::new(),
            left_out: left_out.iter().take(NAMED).cloned().collect(),
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

impl ModelFolder {
    /// Keeps a version of a class's model of remaining life; the oldest ones are dropped, but never
    /// the one in use.
    ///
    /// **Errors** when the disk refuses.
    pub fn keep_life(&self, record: &LifeRecord) -> Result<(), ModelFolderError> {
        let class = &record.model.class;
        let folder = self.life_folder(class);
        fs::create_dir_all(&folder).map_err(failed("make the folder", &folder))?;
        let text = serde_json::to_vec(record).unwrap_or_default();
        let path = self.life_file(class, &record.model.version);
        write_whole(&folder, &path, &text)?;
        let in_use = read_text(&folder.join(IN_USE))?;
        let spared = |one: &&LifeRecord| {
            let version = &one.model.version;
            in_use.as_ref() == Some(version) || *version == record.model.version
        };
        let all = self.life_versions(class)?;
        for gone in all.iter().filter(|one| !spared(one)).skip(KEPT_VERSIONS) {
            let path = self.life_file(class, &gone.model.version);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        Ok(())
    }

    /// Makes a version the one in use, also after the next start.
    ///
    /// **Errors** when the disk refuses.
    pub fn use_life(&self, record: &LifeRecord) -> Result<(), ModelFolderError> {
        self.keep_life(record)?;
        let folder = self.life_folder(&record.model.class);
        let version = record.model.version.as_bytes();
        write_whole(&folder, &folder.join(IN_USE), version)
    }

    /// The versions in use of all classes that still look at the same. What cannot be read or was
    /// made for other settings is left out with a warning.
    ///
    /// **Errors** when a folder cannot be read.
    pub fn lives_in_use(
        &self,
        config: &DetectConfig,
    ) -> Result<BTreeMap<String, Arc<ClassLifeModel>>, ModelFolderError> {
        let folder = self.lives_folder();
        let mut found = BTreeMap::new();
        if !folder.is_dir() {
            return Ok(found);
        }
        for entry in fs::read_dir(&folder).map_err(failed("read", &folder))? {
            let path = entry.map_err(failed("read", &folder))?.path();
            if !path.is_dir() {
                continue;
            }
            let Some(version) = read_text(&path.join(IN_USE))? else {
                continue;
            };
            let all = records::<LifeRecord>(&path, "a model of remaining life")?.into_iter();
            let mut used = all.filter(|record| record.model.version == version);
            match used.next().map(|record| record.model) {
                Some(model) if model.fits(config.class(&model.class)) => {
                    found.insert(model.class.clone(), Arc::new(model));
                }
                Some(_) => {
                    tracing::warn!(
                        version,
                        "a model of remaining life was made for other settings of its class; train it again"
                    );
                }
                None => {
                    tracing::warn!(path = %path.display(), version, "a model of remaining life that was in use is missing; train it again");
                }
            }
        }
        Ok(found)
    }

    /// All versions of a class's model of remaining life, the latest one first.
    ///
    /// **Errors** when the folder cannot be read.
    pub fn life_versions(&self, class: &str) -> Result<Vec<LifeRecord>, ModelFolderError> {
        let mut found =
            records::<LifeRecord>(&self.life_folder(class), "a model of remaining life")?;
        found.sort_by(|a, b| {
            (b.last_used(), &b.model.version).cmp(&(a.last_used(), &a.model.version))
        });
        Ok(found)
    }

    fn lives_folder(&self) -> PathBuf {
        self.file(LIVES).with_file_name(LIVES)
    }

    fn life_folder(&self, class: &str) -> PathBuf {
        let file = self.file(class).with_extension("");
        let name = file.file_name().unwrap_or_default();
        self.lives_folder().join(name)
    }

    fn life_file(&self, class: &str, version: &str) -> PathBuf {
        let name = self.file(version);
        let name = name.file_name().unwrap_or_default();
        self.life_folder(class).join(name)
    }
}
