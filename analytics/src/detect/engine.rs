//! The engine: rows in, findings out. Synchronous, and it knows no clock.
//!
//! The same rows in the same order give the same findings, so a restart that reads them again from
//! where progress was saved comes to the same conclusions.

mod columns;
mod lanes;
#[cfg(test)]
mod memory;
mod owners;
mod parts;
mod prognosis;
mod questions;
mod restore;
mod revisions;
mod saving;
mod sharing;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use fieldwright_condition::prognosis::ages::Ages;
use fieldwright_condition::{ClassSettings, Member, Model};

pub(super) use self::columns::{Columns, Slice};
use self::lanes::{Done, ELSEWHERE};
use self::owners::Owner;
pub use self::parts::Arrived;
use self::parts::{Parts, Place};
pub use self::revisions::Due;
use self::revisions::Late;
pub use self::saving::Unsaved;
use self::sharing::ClassLearning;
use super::config::DetectConfig;
use super::evidence::instant;
use super::recording::ScoredWindow;
use super::shadow::Shadow;
use super::track::Track;
use super::training::TrainingJob;
use crate::alarms::{Occurrence, Progress};

/// Something that rows have led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// An asset's alarm begins.
    Raise(Occurrence),
    /// It is clearly worse.
    Worse(Occurrence),
    /// It returns to normal.
    Return {
        /// The asset's tag.
        asset: String,
        /// The detector that had raised it.
        cause: String,
        /// Event time.
        at: DateTime<Utc>,
    },
    /// The learning period is over: a model has to be trained and installed.
    Train(Box<TrainingJob>),
    /// The learning period of the first asset is over whose class learns as a whole: the class has
    /// to be learned from what is stored, and installed.
    TrainClass {
        /// The class.
        class: Arc<str>,
        /// Event time of the first reading.
        from: DateTime<Utc>,
        /// Event time before which the last one lies.
        to: DateTime<Utc>,
    },
    /// A new asset has its reference and is judged from here on by the model of its class.
    Refer {
        /// The class.
        class: Arc<str>,
        /// The asset.
        member: Box<Member>,
    },
}

impl Found {
    /// The tag of the asset that it is about; the class where it is about a whole one.
    pub fn asset(&self) -> &str {
        match self {
            Self::Raise(found) | Self::Worse(found) => &found.asset,
            Self::Return { asset, .. } => asset,
            Self::Train(job) => &job.asset,
            Self::TrainClass { class, .. } => class,
            Self::Refer { member, .. } => &member.asset,
        }
    }
}

/// A finding and the progress that is saved with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What was found.
    pub found: Found,
    /// How far detection had come with the asset just then.
    pub progress: Option<Progress>,
}

/// How much the engine has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineCounts {
    /// Rows taken: those that were newer than all before of their asset.
    pub rows: u64,
    /// Rows of a tag that is watched under another class.
    pub elsewhere: u64,
    /// Windows closed.
    pub windows: u64,
    /// Windows scored.
    pub scores: u64,
    /// Windows that were not judged: too few readings or metrics.
    pub skipped: u64,
    /// Windows that were not judged: their regime is unknown.
    pub unknown_regime: u64,
    /// Rows that do not have the columns of a reading.
    pub unreadable: u64,
    /// Late rows of assets that are watched.
    pub late: u64,
    /// Judged windows that late rows have revised.
    pub revised: u64,
    /// Late rows and windows that are not revised: too old, too many, or not to be judged.
    pub not_revised: u64,
}

/// All assets of all classes.
#[derive(Debug)]
pub struct Engine {
    config: Arc<DetectConfig>,
    classes: HashMap<Arc<str>, ClassTracks>,
    /// The one class of every tag.
    owners: HashMap<Arc<str>, Owner>,
    /// What the ages of all assets say.
    ages: Ages,
    counts: EngineCounts,
    /// Late rows whose windows are not revised yet.
    late: Late,
    /// Place of the asset whose progress is saved next.
    next_saved: usize,
    /// Alarms of assets that have gone to a class that does not know them.
    left_behind: Vec<Finding>,
    /// Where every single score goes; only recordings want them.
    scores: Option<Vec<ScoredWindow>>,
}

#[derive(Debug)]
struct ClassTracks {
    class: Arc<str>,
    settings: Arc<ClassSettings>,
    metrics: Vec<String>,
    /// The number of each threshold's metric, in the order of their names, as far as known.
    guarded: Vec<Option<usize>>,
    numbers: HashMap<Arc<str>, usize>,
    tags: Vec<Arc<str>>,
    tracks: Vec<Track>,
    /// Where the class learns as a whole.
    learning: ClassLearning,
    /// Version of its model of remaining life, where one is in use.
    life: Option<String>,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(config: Arc<DetectConfig>) -> Self {
        Self {
            config,
            classes: HashMap::new(),
            owners: HashMap::new(),
            ages: Ages::default(),
            counts: EngineCounts::default(),
            late: Late::default(),
            next_saved: 0,
            left_behind: Vec::new(),
            scores: None,
        }
    }

    /// Keeps every score until [`Engine::take_scores`].
    pub(super) fn keep_scores(&mut self) {
        self.scores.get_or_insert_default();
    }

    /// The scores since they were last taken.
    pub(super) fn take_scores(&mut self) -> Vec<ScoredWindow> {
        self.scores.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Multiplies the limit of a class's detector from the next window on; `false` when the class
    /// has no such detector.
    pub fn set_limit_factor(&mut self, class: &str, detector: &str, factor: f64) -> bool {
        let known = self.config.class(class);
        if known.raises(detector) && known.limit_factor(detector) == factor {
            return true;
        }
        if !Arc::make_mut(&mut self.config).set_limit_factor(class, detector, factor) {
            return false;
        }
        if let Some(tracks) = self.classes.get_mut(class) {
            tracks.settings = Arc::new(self.config.class(class).clone());
            for track in &mut tracks.tracks {
                track.monitor.take_limits(&tracks.settings);
                // Multiples of the former limit are no trend toward the new one.
                if track.history.is_some() {
                    track.begin_history_at(track.monitor.newest(), &tracks.settings);
                }
                if let Some(shadow) = &mut track.shadow {
                    shadow.take_limits(&tracks.settings);
                }
            }
        }
        true
    }

    /// The settings of a class with the limits that people promoted.
    pub fn class_settings(&self, class: &str) -> Arc<ClassSettings> {
        match self.classes.get(class) {
            Some(tracks) => Arc::clone(&tracks.settings),
            None => Arc::new(self.config.class(class).clone()),
        }
    }

    /// How much was done.
    pub fn counts(&self) -> EngineCounts {
        self.counts
    }

    /// Takes in-order rows of one class; findings are appended to `out`.
    ///
    /// Rows that are not newer than what was taken before of their asset change nothing.
    /// Whoever keeps a finding says so with [`Engine::kept`].
    pub fn ingest(&mut self, class: &Arc<str>, batch: &RecordBatch, out: &mut Vec<Finding>) {
        class_tracks(&mut self.classes, &self.config, class);
        // Set apart, so that the other classes can be asked for an asset that is theirs.
        let Some(mut tracks) = self.classes.remove(class) else {
            return;
        };
        self.take_rows(&mut tracks, batch, &Parts::default(), out);
        self.classes.insert(Arc::clone(class), tracks);
    }

    /// Gives the parts that were taken with their readings.
    fn take_rows(
        &mut self,
        tracks: &mut ClassTracks,
        batch: &RecordBatch,
        parts: &Parts<'_>,
        out: &mut Vec<Finding>,
    ) -> Vec<Place> {
        let Some(columns) = Columns::of(batch, |name| tracks.metric(name)) else {
            self.counts.unreadable += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            return Vec::new();
        };
        let mut seats = Vec::with_capacity(batch.num_rows());
        let mut last: Option<(&str, u32)> = None;
        for row in 0..batch.num_rows() {
            let tag = columns.asset(row);
            let seat = match last {
                Some((known, seat)) if known == tag => seat,
                _ => match self.seat(tracks, tag, columns.time(row)) {
                    Some(number) => u32::try_from(number).unwrap_or(ELSEWHERE),
                    None => {
                        // The next row of it may be so much later that it moves.
                        self.counts.elsewhere += 1;
                        seats.push(ELSEWHERE);
                        continue;
                    }
                },
            };
            last = Some((tag, seat));
            seats.push(seat);
        }
        let mut done = tracks.take(&columns, &seats, parts, self.scores.is_some());
        let due = done.class_due.and_then(|at| tracks.is_due(at));
        let joined = std::mem::take(&mut done.joined);
        self.finish(done, out);
        out.extend(due);
        joined
    }

    /// Takes late rows of one class, which are older than what was taken before of their asset:
    /// detectors have judged past them, thresholds may not have seen their metrics yet.
    pub fn ingest_late(&mut self, class: &Arc<str>, batch: &RecordBatch, out: &mut Vec<Finding>) {
        let Some(tracks) = self.classes.get_mut(class) else {
            return;
        };
        if tracks.settings.thresholds.is_empty() {
            return;
        }
        let Some(columns) = Columns::of(batch, |name| tracks.metric(name)) else {
            self.counts.unreadable += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            return;
        };
        let seat = |row: usize| {
            let number = tracks.numbers.get(columns.asset(row))?;
            u32::try_from(*number)
                .ok()
                .filter(|_| tracks.tracks[*number].owned)
        };
        let seats: Vec<u32> = (0..batch.num_rows())
            .map(|row| seat(row).unwrap_or(ELSEWHERE))
            .collect();
        let done = tracks.take_late(&columns, &seats);
        self.finish(done, out);
    }

    fn finish(&mut self, done: Done, out: &mut Vec<Finding>) {
        out.append(&mut self.left_behind);
        self.counts += done.counts;
        if let Some(scores) = &mut self.scores {
            scores.extend(done.scores);
        }
        out.extend(done.findings.into_iter().map(|(_, finding)| finding));
    }

    /// Puts a trained model in place and scores what has waited for it.
    ///
    /// A model of a class that the asset no longer belongs to is left aside.
    pub fn install(&mut self, model: Model, out: &mut Vec<Finding>) {
        let class: Arc<str> = model.class.as_str().into();
        let Some(tag) = self.claim(&model.asset, &class) else {
            return;
        };
        let tracks = class_tracks(&mut self.classes, &self.config, &class);
        let number = tracks.asset(tag);
        let track = &mut tracks.tracks[number];
        track.dirty = true;
        if track.monitor.watch().is_some() {
            // Held against another model, the index is another one.
            let newest = track.monitor.newest();
            track.begin_history_at(newest, &tracks.settings);
        } else {
            tracks.note_alone();
        }
        let track = &mut tracks.tracks[number];
        let waiting = track.monitor.install(Arc::new(model), &tracks.metrics);
        let done = tracks.judge(number, waiting, self.scores.is_some());
        self.finish(done, out);
    }

    /// Lets a candidate judge beside an asset's model; whether the asset has one.
    pub fn begin_shadow(&mut self, asset: &str, model: Arc<Model>) -> bool {
        let class: Arc<str> = model.class.as_str().into();
        let Some(tracks) = self.classes.get_mut(&class) else {
            return false;
        };
        let shadow = Shadow::new(model, &tracks.settings, &tracks.metrics);
        let track = tracks.track_mut(asset);
        let Some(track) = track.filter(|track| track.monitor.watch().is_some()) else {
            return false;
        };
        track.shadow = Some(Box::new(shadow));
        true
    }

    /// Ends it.
    pub fn end_shadow(&mut self, asset: &str) {
        for tracks in self.classes.values_mut() {
            if let Some(track) = tracks.track_mut(asset) {
                track.shadow = None;
            }
        }
    }

    /// The training of an asset failed: it goes on learning and tries again half a period later.
    pub fn training_failed(&mut self, job: TrainingJob) {
        let Some(tag) = self.claim(&job.asset, &job.class) else {
            return;
        };
        let tracks = class_tracks(&mut self.classes, &self.config, &job.class);
        let number = tracks.asset(tag);
        let track = &mut tracks.tracks[number];
        track.monitor.learning_failed(job.windows);
        track.dirty = true;
    }
}

impl ClassTracks {
    fn new(class: Arc<str>, settings: ClassSettings) -> Self {
        Self {
            class,
            settings: Arc::new(settings),
            metrics: Vec::new(),
            guarded: Vec::new(),
            numbers: HashMap::new(),
            tags: Vec::new(),
            tracks: Vec::new(),
            learning: ClassLearning::default(),
            life: None,
        }
    }

    /// The class's number of a metric. A new metric may be one that a model waits for.
    fn metric(&mut self, name: &str) -> usize {
        if let Some(number) = self.metrics.iter().position(|known| known == name) {
            return number;
        }
        self.metrics.push(name.to_owned());
        let number = |metric: &String| self.metrics.iter().position(|known| known == metric);
        let thresholds = self.settings.thresholds.values();
        self.guarded = thresholds.map(|own| number(&own.metric)).collect();
        for track in &mut self.tracks {
            track.monitor.know_metrics(&self.metrics);
            if let Some(shadow) = &mut track.shadow {
                shadow.know_metrics(&self.metrics);
            }
        }
        self.metrics.len() - 1
    }

    /// The number of a tag that [`Engine::claim`] gave.
    fn asset(&mut self, tag: Arc<str>) -> usize {
        if let Some(number) = self.numbers.get(&tag) {
            return *number;
        }
        self.numbers.insert(Arc::clone(&tag), self.tracks.len());
        self.tags.push(tag);
        self.tracks.push(Track::new(&self.settings));
        self.tracks.len() - 1
    }
}

fn class_tracks<'a>(
    classes: &'a mut HashMap<Arc<str>, ClassTracks>,
    config: &DetectConfig,
    class: &Arc<str>,
) -> &'a mut ClassTracks {
    classes
        .entry(Arc::clone(class))
        .or_insert_with(|| ClassTracks::new(Arc::clone(class), config.class(class).clone()))
}
