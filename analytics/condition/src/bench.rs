//! Public data sets through the streaming code, predictions in their scorers' formats.
//!
//! A set is a file here: it finds its files by pattern, feeds monitors reading by reading, and
//! writes what they said. Labels are never read.

pub mod azure;
pub mod cmapss;
pub mod ett;
pub mod femto;
pub mod gecco;
pub mod nab;
pub mod orders;
pub mod skab;
pub mod smap;
pub mod tep;
mod time;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;

use super::model::{Model, learn_from};
use super::monitor::{Monitor, News};
use super::settings::{ClassSettings, Kinds, Sharing};
use super::watch::Judgement;
use super::window::Window;
use orders::{Conditions, Desk};

/// Where a bench reads and writes.
#[derive(Debug, Clone)]
pub struct Places {
    /// The data set.
    pub data: PathBuf,
    /// Where the fit data lie when they are not in `data`.
    pub train: Option<PathBuf>,
    /// Where predictions are written.
    pub out: PathBuf,
}

/// Why a bench cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// There is no such set.
    #[error("there is no bench for {0}")]
    Unknown(String),
    /// A file or folder cannot be read or written.
    #[error("cannot {operation} {path}: {source}")]
    Files {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what its set promises.
    #[error("{path}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No file of the set is there.
    #[error("no files of {set} in {folder}; its layout is that of the public set")]
    Nothing {
        /// The set.
        set: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The settings of the kind are wrong.
    #[error("the settings of kind {kind} have a mistake: {reason}")]
    Settings {
        /// The kind.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// What a bench has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Files of predictions written.
    pub files: usize,
    /// Rows of predictions in them.
    pub rows: usize,
}

/// Runs a set: predictions in its scorer's format; what might become an order is told to the desk.
///
/// **Errors**: see [`BenchError`].
pub fn run(
    set: &str,
    places: &Places,
    kinds: &Kinds,
    desk: &mut dyn Desk,
) -> Result<Done, BenchError> {
    match set {
        "azure" => azure::run(places, desk),
        "cmapss" => cmapss::run(places, desk),
        "femto" => femto::run(places, desk),
        "tep" => tep::run(places, kinds, desk),
        "nab" => nab::run(places, kinds, desk),
        "ett" => ett::run(places, kinds, desk),
        "smap" => smap::run(places, kinds, desk),
        "gecco" => gecco::run(places, kinds, desk),
        "skab" => skab::run(places, kinds, desk),
        _ => Err(BenchError::Unknown(set.to_owned())),
    }
}

/// A table of a file: its header and its rows as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub header: Vec<String>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
}

/// Reads a file as text, gzipped or plain.
///
/// **Errors** when it cannot be read.
pub fn read_text(path: &Path) -> Result<String, BenchError> {
    let failed = |source| BenchError::Files {
        operation: "read",
        path: path.to_owned(),
        source,
    };
    let bytes = fs::read(path).map_err(failed)?;
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(&bytes[..])
            .read_to_string(&mut text)
            .map_err(failed)?;
    } else {
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    Ok(text)
}

/// Reads a delimited file with a header.
///
/// **Errors** when it cannot be read or is no table.
pub fn read_table(path: &Path, delimiter: u8) -> Result<Table, BenchError> {
    table(path, &read_text(path)?, delimiter)
}

/// The table that a text holds; `path` is where it comes from.
///
/// **Errors** when it is none.
pub fn table(path: &Path, text: &str, delimiter: u8) -> Result<Table, BenchError> {
    let content = |error: csv::Error| BenchError::Content {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(content)?;
    let header = header.iter().map(|name| name.trim().to_owned()).collect();
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(content)?;
        rows.push(row.iter().map(|cell| cell.trim().to_owned()).collect());
    }
    Ok(Table { header, rows })
}

/// The files below a folder, by name, whose path relative to it passes; sorted.
///
/// **Errors** when a folder cannot be read.
pub fn files_below(
    folder: &Path,
    wanted: impl Fn(&Path) -> bool + Copy,
) -> Result<Vec<PathBuf>, BenchError> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        let failed = |source| BenchError::Files {
            operation: "read",
            path: next.clone(),
            source,
        };
        for entry in fs::read_dir(&next).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.strip_prefix(folder).is_ok_and(wanted) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The name of a file without `.csv`, `.txt` and `.gz`.
pub fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let name = name.strip_suffix(".csv").unwrap_or(name);
    name.strip_suffix(".txt").unwrap_or(name).to_owned()
}

/// Writes a file of predictions, with the folders above it.
///
/// **Errors** when it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    let failed = |source| BenchError::Files {
        operation: "write",
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}

/// The settings of a kind.
///
/// **Errors** when there is no such kind or it has mistakes.
pub fn settings(kinds: &Kinds, kind: &'static str) -> Result<Arc<ClassSettings>, BenchError> {
    let wrong = |reason| BenchError::Settings { kind, reason };
    let settings = kinds.kind(kind).map_err(wrong)?;
    match settings.mistakes().first() {
        Some(mistake) => Err(wrong(mistake.clone())),
        None => Ok(Arc::new(settings)),
    }
}

/// One asset of a bench, fed reading by reading; its model is learned the moment that its
/// learning period is over.
#[derive(Debug)]
pub struct Feed {
    /// The asset.
    pub asset: String,
    metrics: Vec<String>,
    settings: Arc<ClassSettings>,
    monitor: Monitor,
    conditions: Conditions,
}

impl Feed {
    /// An asset that learns by itself: a class of one, whatever its settings say of sharing.
    pub fn fresh(asset: String, metrics: Vec<String>, settings: &Arc<ClassSettings>) -> Self {
        let mut settings = Arc::clone(settings);
        if settings.sharing != Sharing::Asset {
            Arc::make_mut(&mut settings).sharing = Sharing::Asset;
        }
        Self {
            monitor: Monitor::new(Arc::clone(&settings)),
            asset,
            metrics,
            settings,
            conditions: Conditions::default(),
        }
    }

    /// An asset with a model that was learned elsewhere.
    pub fn with_model(
        asset: String,
        metrics: Vec<String>,
        settings: &Arc<ClassSettings>,
        model: Arc<Model>,
    ) -> Self {
        let mut monitor = Monitor::with_model(Arc::clone(settings), model);
        monitor.know_metrics(&metrics);
        Self {
            monitor,
            asset,
            metrics,
            settings: Arc::clone(settings),
            conditions: Conditions::default(),
        }
    }

    /// Takes a reading; gives what is said of the window that ends with it, if it is judged.
    ///
    /// `time` in microseconds of event time since 1970, one value per metric, NaN where missing.
    pub fn take(&mut self, time: i64, values: &[f64]) -> Option<(Window, Judgement)> {
        let mut last = None;
        let mut learned = None;
        self.monitor.take(
            time,
            values.len(),
            |metric| values[metric],
            |news| match news {
                News::Judged(window, judgement) => last = Some((window, judgement)),
                News::Learn(windows) => learned = Some(windows),
                News::LearnClass | News::Collected | News::Skipped | News::UnknownRegime => {}
            },
        );
        if let Some(windows) = learned {
            let model = learn_from(
                &self.asset,
                "bench",
                &self.settings,
                &self.metrics,
                &windows,
            );
            match model {
                Ok(model) => {
                    for window in self.monitor.install(Arc::new(model), &self.metrics) {
                        if let News::Judged(window, judgement) = self.monitor.judge(window) {
                            last = Some((window, judgement));
                        }
                    }
                }
                Err(_) => self.monitor.learning_failed(windows),
            }
        }
        last
    }

    /// The same, and tells a desk what it means; `shown` is the time as the set writes it.
    pub fn take_and_tell(
        &mut self,
        (time, shown): (i64, &str),
        values: &[f64],
        desk: &mut dyn Desk,
    ) -> Option<(Window, Judgement)> {
        let said = self.take(time, values);
        if let (Some((_, judgement)), Some(watch)) = (&said, self.monitor.watch()) {
            let place = (self.asset.as_str(), shown);
            self.conditions
                .tell(place, judgement, watch, &self.settings, desk);
        }
        said
    }

    /// The monitor.
    pub fn monitor(&self) -> &Monitor {
        &self.monitor
    }
}
