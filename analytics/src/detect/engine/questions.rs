//! What can be asked about an asset.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_condition::watch::Condition;
use fieldwright_condition::{ClassSettings, Model};

use super::super::evidence::instant;
use super::super::guards;
use super::super::scores::AssetScore;
use super::super::shadow::ShadowReport;
use super::super::track::Track;
use super::super::verdict::{AssetVerdict, Drift, Health, HealthState};
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
            drift: model.and_then(|model| drift(track, model, settings)),
        };
        if health.state != HealthState::Alarm && now - newest > settings.stale_after.delta() {
            health.state = HealthState::Stale;
        }
        health
    }

    /// What its detectors have said of an asset lately, oldest first; `None` when nobody has heard
    /// of it.
    pub fn scores(&self, asset: &str) -> Option<Vec<AssetScore>> {
        let (_, settings, track) = self.track(asset)?;
        let scores = track.scores.as_ref();
        Some(
            scores
                .map(|scores| scores.all(settings))
                .unwrap_or_default(),
        )
    }

    /// What the candidate of an asset would have done; `None` when there is none.
    pub fn shadow(&self, asset: &str) -> Option<ShadowReport> {
        let (_, _, track) = self.track(asset)?;
        let live = track.monitor.watch()?.model();
        Some(track.shadow.as_ref()?.report(asset, live))
    }

    /// All candidates that judge beside the models in use.
    pub fn shadows(&self) -> Vec<ShadowReport> {
        let classes = self.classes.values();
        let tracks = classes.flat_map(|class| class.tags.iter().zip(&class.tracks));
        let found = tracks.filter(|(_, track)| track.shadow.is_some());
        let mut found: Vec<ShadowReport> = found.filter_map(|(tag, _)| self.shadow(tag)).collect();
        found.sort_by(|a, b| a.asset.cmp(&b.asset));
        found
    }

    /// How an asset and its components are, by the window that was judged last.
    pub fn condition(&self, asset: &str) -> Option<Condition> {
        let (_, settings, track) = self.track(asset)?;
        track.monitor.watch()?.condition(settings)
    }

    /// What the detectors and the thresholds say about a repair done at `since`; `None` when none
    /// has an opinion: there is no model, and no threshold has been judged.
    pub fn verdict(&self, asset: &str, since: DateTime<Utc>) -> Option<AssetVerdict> {
        let Some((_, settings, track)) = self.track(asset) else {
            return Some(AssetVerdict::NoTelemetry);
        };
        if track.monitor.newest() <= since.timestamp_micros() {
            return Some(AssetVerdict::NoTelemetry);
        }
        let of_thresholds = track
            .guards
            .as_ref()
            .and_then(|guards| guards::verdict(guards, settings, (since, track.monitor.newest())));
        let watched = track.monitor.watch().is_some();
        let of_detectors = watched.then(|| verdict(track, settings, since));
        match (of_detectors, of_thresholds) {
            (Some(detectors), Some(thresholds)) => Some(detectors.and(thresholds)),
            (one, other) => one.or(other),
        }
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

    /// The model in use of an asset.
    pub fn model(&self, asset: &str) -> Option<Arc<Model>> {
        let (_, _, track) = self.track(asset)?;
        Some(Arc::clone(track.monitor.watch()?.model()))
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
    pub(super) fn track(&self, asset: &str) -> Option<(Arc<str>, &Arc<ClassSettings>, &Track)> {
        let class = self.classes.get(self.owner(asset)?)?;
        let number = *class.numbers.get(asset)?;
        Some((
            Arc::clone(&class.class),
            &class.settings,
            &class.tracks[number],
        ))
    }
}

/// Scores below which nothing is said of drift.
const DRIFT_SCORES: u32 = 100;
/// Share out of band beyond that of the learning period from which on a model has drifted.
const DRIFT_SHARE: f64 = 0.3;

fn drift(track: &Track, model: &Model, settings: &ClassSettings) -> Option<Drift> {
    let release = |name: &str| {
        let own = settings.detectors.get(name).and_then(|own| own.release);
        own.unwrap_or(settings.release)
    };
    let (share, scores) = track.scores.as_ref()?.share_over(settings, release);
    let raising = model
        .evaluation
        .iter()
        .filter(|(name, _)| settings.raises(name));
    let learned = raising.map(|(_, own)| own.over_release).fold(0.0, f64::max);
    (scores >= DRIFT_SCORES).then_some(Drift {
        share,
        learned,
        drifted: share - learned > DRIFT_SHARE,
    })
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
