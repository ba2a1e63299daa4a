//! The folder of trained models: one JSON file per asset.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use fieldwright_condition::features::Feature;
use fieldwright_condition::{ClassSettings, Model};
use uuid::Uuid;

/// Longest readable part of a file name, bytes.
const LONGEST_NAME: usize = 120;
/// Tells apart assets whose readable parts are the same.
const IDENTITY: Uuid = Uuid::from_u128(0x0b3e_9a56_7c21_4d8f_9e44_51d7_1c6a_b902);

/// Where models are kept.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    path: PathBuf,
}

/// What can go wrong with the folder.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct ModelFolderError {
    /// What was tried.
    pub operation: &'static str,
    /// With what.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: std::io::Error,
}

/// A model in short.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSummary {
    /// Name of the very model.
    pub version: String,
    /// The asset's tag.
    pub asset: String,
    /// The asset's class.
    pub class: String,
    /// Its detectors: the causes of their alarms.
    pub detectors: Vec<String>,
    /// By detector: by what promoted limits multiply its own. None promoted: it is left out.
    pub limit_factors: BTreeMap<String, f64>,
    /// The version of the class's model that it is a member of; `None`: it has learned by itself.
    pub class_model: Option<String>,
    /// Event time of the first window that it learned from.
    pub trained_from: DateTime<Utc>,
    /// Event time of the end of the last one.
    pub trained_through: DateTime<Utc>,
    /// How many there were.
    pub windows: usize,
    /// What it looks at.
    pub features: Vec<String>,
}

impl ModelSummary {
    /// Of a model under the settings of its class.
    pub fn of(model: &Model, settings: &ClassSettings) -> Self {
        let factors = model.detectors.keys().filter_map(|detector| {
            let factor = settings.limit_factor(detector);
            (factor != 1.0).then(|| (detector.clone(), factor))
        });
        Self {
            limit_factors: factors.collect(),
            version: model.version.clone(),
            asset: model.asset.clone(),
            class: model.class.clone(),
            detectors: model.detectors.keys().cloned().collect(),
            class_model: model
                .reference
                .as_ref()
                .map(|reference| reference.class_model.clone()),
            trained_from: model.trained_from,
            trained_through: model.trained_through,
            windows: model.windows,
            features: model.features.iter().map(Feature::name).collect(),
        }
    }
}

impl ModelFolder {
    /// The folder at `path`; it is made when it is missing.
    ///
    /// **Errors** when it cannot be made.
    pub fn open(path: &Path) -> Result<Self, ModelFolderError> {
        fs::create_dir_all(path).map_err(failed("make the folder", path))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Keeps a model in place of the asset's former one: whole or not at all, and on disk when
    /// this returns.
    ///
    /// **Errors** when the disk refuses.
    pub fn save(&self, model: &Model) -> Result<(), ModelFolderError> {
        let target = self.file(&model.asset);
        let text = serde_json::to_vec_pretty(model)
            .map_err(|error| failed("write", &target)(std::io::Error::other(error)))?;
        write_whole(&self.path, &target, &text)
    }

    /// All models. One that cannot be read is left out with a warning: it is learned again.
    ///
    /// **Errors** when the folder cannot be read.
    pub fn load(&self) -> Result<Vec<Model>, ModelFolderError> {
        let mut models = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed("read", &self.path))? {
            let path = entry.map_err(failed("read", &self.path))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read(&path).map_err(failed("read", &path))?;
            match serde_json::from_slice(&text) {
                Ok(model) => models.push(model),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a model is unreadable and left out");
                }
            }
        }
        models.sort_by(|a: &Model, b| a.asset.cmp(&b.asset));
        Ok(models)
    }

    /// The file of a name, whatever letters that has.
    pub(super) fn file(&self, asset: &str) -> PathBuf {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        };
        let readable: String = asset.chars().map(plain).take(LONGEST_NAME).collect();
        let digest = Uuid::new_v5(&IDENTITY, asset.as_bytes())
            .simple()
            .to_string();
        self.path.join(format!("{readable}-{}.json", &digest[..8]))
    }
}

/// Writes a file in its folder whole or not at all; it is on disk when this returns.
pub(super) fn write_whole(
    folder: &Path,
    target: &Path,
    text: &[u8],
) -> Result<(), ModelFolderError> {
    let draft = target.with_extension("draft");
    let mut file = File::create(&draft).map_err(failed("write", &draft))?;
    file.write_all(text).map_err(failed("write", &draft))?;
    file.sync_all().map_err(failed("sync", &draft))?;
    fs::rename(&draft, target).map_err(failed("rename", &draft))?;
    let opened = File::open(folder).map_err(failed("open", folder))?;
    opened.sync_all().map_err(failed("sync", folder))
}

pub(super) fn failed(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> ModelFolderError {
    let path = path.to_owned();
    move |source| ModelFolderError {
        operation,
        path,
        source,
    }
}
