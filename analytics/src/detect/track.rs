//! One asset on its way: learning, waiting for its model, scored.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::config::ClassSettings;
use super::engine::Found;
use super::episode::{Episode, Turn};
use super::evidence::{Finding, instant};
use super::features;
use super::pca::Scorer;
use super::reference::Reference;
use super::window::{Window, Windows};
use super::{DETECTOR, config};
use crate::alarms::Occurrence;

/// Windows that wait for a model at most; older ones are not scored.
pub(super) const MAX_WAITING: usize = 50_000;

/// A scored window, briefly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Judged {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) ratio: f64,
}

/// What is persisted of a scored asset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedState {
    /// Version of the model; empty while learning.
    pub(super) model: String,
    /// First reading of the learning period.
    pub(super) learning_from: i64,
    pub(super) reference: Vec<f64>,
    pub(super) episode: Episode,
    pub(super) recent: Vec<Judged>,
}

/// One asset.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) windows: Windows,
    pub(super) phase: Phase,
    /// First reading, or the first one of the learning period.
    pub(super) learning_from: i64,
    /// End of the last window that was scored or collected.
    pub(super) through: i64,
    /// Whether anything has changed since progress was last saved.
    pub(super) dirty: bool,
    /// Findings that are not kept yet; until they are, progress must not be saved.
    pub(super) unkept: u32,
    /// Whether the asset is watched here, and not under another class.
    pub(super) owned: bool,
    /// An alarm that is up from before the model was lost; the next model goes on with it.
    pub(super) carried: Episode,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// Windows are collected.
    Learning(Vec<Window>),
    /// A model is being trained; windows wait for it.
    Training(VecDeque<Window>),
    /// Windows are scored.
    Scored(Box<Scored>),
}

/// What scoring needs and remembers.
#[derive(Debug)]
pub(super) struct Scored {
    pub(super) scorer: Scorer,
    /// The class's number of each feature's metric, as far as known.
    pub(super) numbers: Vec<Option<usize>>,
    pub(super) reference: Reference,
    pub(super) episode: Episode,
    /// As many windows as a verification may ask for.
    pub(super) recent: VecDeque<Judged>,
    pub(super) last_score: Option<f64>,
}

impl Scored {
    pub(super) fn fresh(scorer: Scorer, settings: &ClassSettings) -> Self {
        let features = scorer.model().features.len();
        Self {
            numbers: Vec::new(),
            reference: Reference::learned(features, settings),
            episode: Episode::Quiet,
            recent: VecDeque::new(),
            last_score: None,
            scorer,
        }
    }

    pub(super) fn restored(scorer: Scorer, saved: SavedState, settings: &ClassSettings) -> Self {
        let mut scored = Self::fresh(scorer, settings);
        if saved.reference.len() == scored.scorer.model().features.len() {
            scored.reference = Reference::at(saved.reference, settings);
        }
        scored.episode = saved.episode;
        scored.recent = saved.recent.into();
        scored
    }

    /// Learns the class's number of each metric; called again when the class gets new metrics.
    pub(super) fn know_metrics(&mut self, metrics: &[String]) {
        let features = &self.scorer.model().features;
        let number = |metric: &String| metrics.iter().position(|known| known == metric);
        self.numbers = features
            .iter()
            .map(|feature| number(&feature.metric))
            .collect();
    }

    /// Scores a window; gives what it means for the alarm.
    pub(super) fn take(
        &mut self,
        window: &Window,
        settings: &ClassSettings,
    ) -> Option<(ScoredOne, Option<Found>)> {
        let model = self.scorer.model();
        let least = f64::from(settings.min_samples).max(settings.min_coverage * model.usual_rows);
        if f64::from(window.rows) < least {
            return None;
        }
        let vector = features::vector(window, &model.features, &self.numbers, &model.lively);
        let score = self.scorer.score(&vector, self.reference.place())?;
        let patience = settings.window.micros().max(settings.min_duration.micros());
        if self
            .recent
            .back()
            .is_some_and(|last| window.end - last.end > patience)
        {
            self.episode.interrupt();
        }
        let turn = self.episode.step(window.end, score.ratio, settings);
        let found = self.found(turn, window, &score, settings);
        if !self.episode.is_active() && score.ratio < settings.release {
            self.reference.follow(&self.scorer, &score);
        }
        let kept = settings
            .verify_in_band_windows
            .max(settings.verify_out_of_band_windows);
        while self.recent.len() >= kept.max(1) {
            self.recent.pop_front();
        }
        self.recent.push_back(Judged {
            start: window.start,
            end: window.end,
            ratio: score.ratio,
        });
        self.last_score = Some(score.value());
        let one = ScoredOne {
            end: window.end,
            ratio: score.ratio,
            score: score.value(),
        };
        Some((one, found))
    }

    fn found(
        &self,
        turn: Turn,
        window: &Window,
        score: &super::pca::Score,
        settings: &ClassSettings,
    ) -> Option<Found> {
        let model = self.scorer.model();
        let at = instant(window.end);
        let began = match turn {
            Turn::None => return None,
            Turn::Return => {
                return Some(Found::Return {
                    asset: model.asset.clone(),
                    at,
                });
            }
            Turn::Raise { began } => instant(began),
            Turn::Worse => at,
        };
        let contributions = self.scorer.contributions(score, self.reference.place());
        let finding = Finding {
            scorer: &self.scorer,
            window,
            score,
            contributions: &contributions,
            displacement: self.scorer.displacement(self.reference.place()),
            began_at: began,
        };
        let occurrence = Occurrence {
            asset: model.asset.clone(),
            class: model.class.clone(),
            cause: DETECTOR.to_owned(),
            severity: settings.severity,
            summary: finding.summary(),
            evidence: finding.evidence(),
            began_at: began,
            raised_at: at,
        };
        Some(match turn {
            Turn::Worse => Found::Worse(occurrence),
            _ => Found::Raise(occurrence),
        })
    }
}

/// A score for whoever follows them all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ScoredOne {
    pub(super) end: i64,
    pub(super) ratio: f64,
    pub(super) score: f64,
}

impl Track {
    /// A track that knows nothing: its first reading begins the learning period.
    pub(super) fn new(settings: &config::ClassSettings) -> Self {
        Self {
            windows: Windows::new(
                settings.step.micros(),
                settings.steps_per_window(),
                i64::MIN + 1,
            ),
            phase: Phase::Learning(Vec::new()),
            learning_from: i64::MAX,
            through: i64::MIN,
            dirty: false,
            unkept: 0,
            owned: true,
            carried: Episode::Quiet,
        }
    }

    /// Event time up to which windows are done.
    pub(super) fn scored_through(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.through)
    }

    /// What is persisted.
    pub(super) fn saved_state(&self) -> SavedState {
        match &self.phase {
            Phase::Scored(scored) => SavedState {
                model: scored.scorer.model().version.clone(),
                learning_from: self.learning_from,
                reference: scored.reference.place().to_vec(),
                episode: scored.episode,
                recent: scored.recent.iter().copied().collect(),
            },
            Phase::Learning(_) | Phase::Training(_) => SavedState {
                model: String::new(),
                learning_from: self.learning_from,
                reference: Vec::new(),
                episode: self.carried,
                recent: Vec::new(),
            },
        }
    }
}
