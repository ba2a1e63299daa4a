//! Going on after a restart.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::TimeDelta;

use super::super::config::ClassSettings;
use super::super::pca::{PcaModel, Scorer};
use super::super::track::{Phase, SavedState, Scored, Track};
use super::super::window::Windows;
use super::{Engine, class_tracks};
use crate::alarms::Progress;

/// Assets whose progress is older than the newest of their class by more than this (or two
/// learning periods) do not make a restart read that far back.
const LOOK_BACK: TimeDelta = TimeDelta::days(1);

impl Engine {
    /// Puts assets back to where they were; rows that they have seen are left out when read again.
    ///
    /// An asset whose model is missing, or was made for other windows, begins to learn again from
    /// its first row on.
    pub fn restore(&mut self, saved: Vec<Progress>, models: Vec<PcaModel>) {
        let mut models: HashMap<String, PcaModel> = models
            .into_iter()
            .map(|model| (model.asset.clone(), model))
            .collect();
        for progress in saved {
            let class: Arc<str> = progress.class.as_str().into();
            let Some(tag) = self.claim(&progress.asset, &class) else {
                continue;
            };
            let through = progress.scored_through.timestamp_micros();
            self.came_through(&progress.asset, through);
            let tracks = class_tracks(&mut self.classes, &self.config, &class);
            let settings = Arc::clone(&tracks.settings);
            let model = models.remove(&progress.asset);
            let model = model.and_then(|model| fitting(model, &class, &settings));
            let number = tracks.asset(tag);
            if let Some(track) = restored(&progress, model, &settings) {
                tracks.tracks[number] = track;
            }
        }
        // A model without progress: trained just before the end, so nothing is scored yet.
        for model in models.into_values() {
            let class: Arc<str> = model.class.as_str().into();
            let tracks = class_tracks(&mut self.classes, &self.config, &class);
            let settings = Arc::clone(&tracks.settings);
            if let Some(model) = fitting(model, &class, &settings)
                && let Some(tag) = self.claim(&model.asset, &class)
            {
                let tracks = class_tracks(&mut self.classes, &self.config, &class);
                let number = tracks.asset(tag);
                let through = model.trained_through.timestamp_micros();
                let from = model.trained_from.timestamp_micros();
                let scored = Scored::fresh(Scorer::new(model), &settings);
                tracks.tracks[number] = resumed(scored, from, through, &settings);
            }
        }
    }

    /// From which event time on the rows of a class have to be read again.
    ///
    /// **Units**: microseconds since 1970.
    pub fn read_from(&self, class: &str) -> i64 {
        let Some(tracks) = self.classes.get(class) else {
            return i64::MIN;
        };
        let newest = tracks
            .tracks
            .iter()
            .map(|track| track.through)
            .max()
            .unwrap_or(i64::MIN);
        let learning = tracks.settings.learning.micros();
        let reach = tracks.settings.window.micros();
        let known = |track: &&Track| track.owned && track.learning_from != i64::MAX;
        let needed = tracks.tracks.iter().filter(known).filter_map(|track| {
            let (from, oldest) = match &track.phase {
                Phase::Scored(_) => {
                    let look_back = LOOK_BACK.num_microseconds().unwrap_or(i64::MAX);
                    (
                        track.through.saturating_sub(reach),
                        newest.saturating_sub(look_back),
                    )
                }
                Phase::Learning(_) | Phase::Training(_) => {
                    (track.learning_from, newest.saturating_sub(2 * learning))
                }
            };
            (from >= oldest).then_some(from)
        });
        needed.min().unwrap_or(i64::MIN)
    }
}

/// The model for the settings that the class has now; `None` when it was made for others.
///
/// The factor on the limits is no part of what was learned: it is always that of the settings.
fn fitting(mut model: PcaModel, class: &str, settings: &ClassSettings) -> Option<PcaModel> {
    let features_fit = model.features.iter().all(|feature| {
        let named = settings.metrics.is_empty() || settings.metrics.contains(&feature.metric);
        let ignored = settings.ignore.contains(&feature.metric);
        named && !ignored && settings.features.contains(&feature.kind)
    });
    let fits = model.class == class
        && model.window == settings.window
        && model.step == settings.step
        && features_fit;
    model.limits.factor = settings.limit_factor;
    fits.then_some(model)
}

fn restored(
    progress: &Progress,
    model: Option<PcaModel>,
    settings: &ClassSettings,
) -> Option<Track> {
    let saved: SavedState = match serde_json::from_str(&progress.state) {
        Ok(saved) => saved,
        Err(error) => {
            tracing::warn!(asset = progress.asset, %error, "saved progress of detection is unreadable");
            return None;
        }
    };
    let through = progress.scored_through.timestamp_micros();
    let learning_from = saved.learning_from;
    Some(match model {
        // Progress from before the model: its windows after training are still to be scored.
        Some(model) if model.version != saved.model => {
            let trained_through = model.trained_through.timestamp_micros();
            let mut scored = Scored::fresh(Scorer::new(model), settings);
            scored.episode = saved.episode;
            let through = if saved.model.is_empty() {
                trained_through
            } else {
                through
            };
            resumed(scored, learning_from, through, settings)
        }
        Some(model) => {
            let scored = Scored::restored(Scorer::new(model), saved, settings);
            resumed(scored, learning_from, through, settings)
        }
        None => {
            let mut track = Track::new(settings);
            track.learning_from = learning_from;
            if saved.episode.is_active() {
                track.carried = saved.episode;
            }
            let (step, steps) = (settings.step.micros(), settings.steps_per_window());
            track.windows = Windows::new(step, steps, learning_from);
            track
        }
    })
}

/// A track whose next window is the one after `through`.
fn resumed(scored: Scored, learning_from: i64, through: i64, settings: &ClassSettings) -> Track {
    let mut track = Track::new(settings);
    let (step, steps) = (settings.step.micros(), settings.steps_per_window());
    let from = through
        .saturating_add(step)
        .saturating_sub(settings.window.micros());
    track.windows = Windows::resume(step, steps, from);
    track.phase = Phase::Scored(Box::new(scored));
    track.learning_from = learning_from;
    track.through = through;
    track
}
