//! Going on after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use fieldwright_condition::guard::Guards;
use fieldwright_condition::watch::SavedWatch;
use fieldwright_condition::{ClassSettings, Model, Monitor};
use serde_json::Value;

use super::super::track::{SavedState, Track};
use super::{Engine, class_tracks};
use crate::alarms::Progress;

/// Assets whose progress is older than the newest of their class by more than this (or two
/// learning periods) do not make a restart read that far back.
const LOOK_BACK: TimeDelta = TimeDelta::days(1);

impl Engine {
    /// Puts assets back to where they were; rows that they have seen are left out when read again.
    ///
    /// An asset whose model is missing, or was made for other windows, begins to learn again from
    /// its first row on. Of two models of one asset in one class the last one counts.
    pub fn restore(&mut self, saved: Vec<Progress>, models: Vec<Model>) {
        // A class knows its assets for as long as it is kept, also those that have gone to another.
        let mut models: BTreeMap<(String, String), Model> = models
            .into_iter()
            .map(|model| ((model.asset.clone(), model.class.clone()), model))
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
            let of_class = (progress.asset.clone(), progress.class.clone());
            let model = models.remove(&of_class);
            let model = model.filter(|model| model.fits(&settings));
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
            if model.fits(&settings)
                && let Some(tag) = self.claim(&model.asset, &class)
            {
                let tracks = class_tracks(&mut self.classes, &self.config, &class);
                let number = tracks.asset(tag);
                let through = model.trained_through.timestamp_micros();
                let from = model.trained_from.timestamp_micros();
                let (model, none) = (Arc::new(model), SavedWatch::default());
                let monitor = Monitor::resumed(settings, model, &none, from, through);
                tracks.tracks[number] = Track::with(monitor);
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
            .map(|track| track.monitor.through())
            .max()
            .unwrap_or(i64::MIN);
        let learning = tracks.settings.learning.micros();
        let reach = tracks.settings.reach();
        let known = |track: &&Track| track.owned && track.monitor.learning_from() != i64::MAX;
        let needed = tracks.tracks.iter().filter(known).filter_map(|track| {
            let monitor = &track.monitor;
            let (from, oldest) = match monitor.watch() {
                Some(_) => {
                    let look_back = LOOK_BACK.num_microseconds().unwrap_or(i64::MAX);
                    (
                        monitor.through().saturating_sub(reach),
                        newest.saturating_sub(look_back),
                    )
                }
                None => (monitor.learning_from(), newest.saturating_sub(2 * learning)),
            };
            (from >= oldest).then_some(from)
        });
        needed.min().unwrap_or(i64::MIN)
    }
}

fn restored(
    progress: &Progress,
    model: Option<Model>,
    settings: &Arc<ClassSettings>,
) -> Option<Track> {
    let saved: SavedState = match serde_json::from_str(&progress.state) {
        Ok(saved) => saved,
        Err(error) => {
            tracing::warn!(asset = progress.asset, %error, "saved progress of detection is unreadable");
            return None;
        }
    };
    let through = progress.scored_through.timestamp_micros();
    let (settings, from) = (Arc::clone(settings), saved.learning_from);
    let withheld = saved.withheld.clone();
    let guards = (!settings.thresholds.is_empty()).then(|| {
        let known = Guards::restored(&settings.thresholds, &saved.guards, Some(through));
        Box::new(known)
    });
    let history = saved.history.clone();
    let with = |monitor| Track {
        guards,
        withheld,
        history,
        ..Track::with(monitor)
    };
    let Some(model) = model.map(Arc::new) else {
        let monitor = Monitor::learning_again(settings, from, saved.alarms());
        return Some(with(monitor));
    };
    if model.version == saved.model {
        let monitor = Monitor::resumed(settings, model, &saved.watch, from, through);
        let mut track = with(monitor);
        track.recent = saved.recent.into();
        return Some(track);
    }
    // Progress from before the model: its windows after training are still to be judged.
    let through = if saved.model.is_empty() {
        model.trained_through.timestamp_micros()
    } else {
        through
    };
    let alarms = saved.alarms().into_iter();
    let only_alarms = SavedWatch {
        members: alarms
            .map(|(name, episode)| (name, (episode, Value::Null)))
            .collect(),
        ..SavedWatch::default()
    };
    let monitor = Monitor::resumed(settings, model, &only_alarms, from, through);
    Some(with(monitor))
}
