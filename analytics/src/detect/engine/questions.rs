//! What can be asked about an asset.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_condition::{ClassSettings, Model};

use super::super::evidence::instant;
use super::super::track::Track;
use super::super::verdict::{AssetVerdict, Health, HealthState};
use super::Engine;

impl Engine {
    /// How an asset is at `now`, as far as its readings tell.
    pub fn health(&self, asset: &str, now: DateTime<Utc>) -> Health {
        let Some((_, settings, track)) = self.track(asset) else {
            return Health::unknown();
        };
        let newest = instant(track.monitor.newest());
        let learned = track.monitor.learned();
        let model = track.monitor.watch().map(|watch| watch.model());
        let last = track.recent.back().filter(|_| model.is_some());
        let mut health = Health {
            state: match learned {
                Some(_) => HealthState::Learning,
                None if track.is_in_alarm(settings) => HealthState::Alarm,
                None => HealthState::Normal,
            },
            newest: Some(newest),
            learned,
            score: last.map(|judged| judged.ratio / (1.0 + judged.ratio)),
            model: model.map(|model| model.version.clone()),
        };
        if health.state != HealthState::Alarm && now - newest > settings.stale_after.delta() {
            health.state = HealthState::Stale;
        }
        health
    }

    /// What the detector says about a repair done at `since`; `None` when it has no model.
    pub fn verdict(&self, asset: &str, since: DateTime<Utc>) -> Option<AssetVerdict> {
        let Some((_, settings, track)) = self.track(asset) else {
            return Some(AssetVerdict::NoTelemetry);
        };
        if track.monitor.newest() <= since.timestamp_micros() {
            return Some(AssetVerdict::NoTelemetry);
        }
        let watched = track.monitor.watch().is_some();
        watched.then(|| verdict(track, settings, since))
    }

    /// Event time of an asset's newest reading, and its class.
    pub fn newest(&self, asset: &str) -> Option<(Arc<str>, DateTime<Utc>)> {
        let (class, _, track) = self.track(asset)?;
        Some((class, instant(track.monitor.newest())))
    }

    /// The settings that an asset's class has.
    pub fn settings(&self, asset: &str) -> Option<Arc<ClassSettings>> {
        self.track(asset)
            .map(|(_, settings, _)| Arc::clone(settings))
    }

    /// The models in use.
    pub fn models(&self) -> Vec<Arc<Model>> {
        let tracks = self.classes.values().flat_map(|class| &class.tracks);
        let mut models: Vec<Arc<Model>> = tracks
            .filter_map(|track| Some(Arc::clone(track.monitor.watch()?.model())))
            .collect();
        models.sort_by(|a, b| a.asset.cmp(&b.asset));
        models
    }

    /// Assets that are learning, and assets that are scored.
    pub fn assets(&self) -> (usize, usize) {
        let tracks = self.classes.values().flat_map(|class| &class.tracks);
        let tracks = tracks.filter(|track| track.owned);
        let (scored, learning): (Vec<_>, Vec<_>) =
            tracks.partition(|track| track.monitor.watch().is_some());
        (learning.len(), scored.len())
    }

    /// The asset's track.
    fn track(&self, asset: &str) -> Option<(Arc<str>, &Arc<ClassSettings>, &Track)> {
        let class = self.classes.get(self.owner(asset)?)?;
        let number = *class.numbers.get(asset)?;
        Some((
            Arc::clone(&class.class),
            &class.settings,
            &class.tracks[number],
        ))
    }
}

fn verdict(track: &Track, settings: &ClassSettings, since: DateTime<Utc>) -> AssetVerdict {
    let from = (since + settings.verify_settle.delta()).timestamp_micros();
    let after = track
        .recent
        .iter()
        .rev()
        .take_while(|judged| judged.start >= from);
    let in_band = after
        .clone()
        .take_while(|judged| judged.ratio < 1.0)
        .count();
    let out_of_band = after.take_while(|judged| judged.ratio >= 1.0).count();
    let newest = instant(track.recent.back().map_or(0, |judged| judged.end));
    if in_band >= settings.verify_in_band_windows && !track.is_in_alarm(settings) {
        AssetVerdict::InBand {
            windows: in_band,
            newest,
        }
    } else if out_of_band >= settings.verify_out_of_band_windows {
        AssetVerdict::OutOfBand {
            windows: out_of_band,
            newest,
        }
    } else {
        AssetVerdict::Waiting
    }
}
