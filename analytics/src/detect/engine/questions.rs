//! What can be asked about an asset.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::super::config::ClassSettings;
use super::super::evidence::instant;
use super::super::pca::PcaModel;
use super::super::track::{Phase, Scored, Track};
use super::super::verdict::{AssetVerdict, Health, HealthState};
use super::Engine;

impl Engine {
    /// How an asset is at `now`, as far as its readings tell.
    pub fn health(&self, asset: &str, now: DateTime<Utc>) -> Health {
        let Some((_, settings, track)) = self.track(asset) else {
            return Health::unknown();
        };
        let newest = instant(track.windows.newest());
        let mut health = Health {
            state: HealthState::Normal,
            newest: Some(newest),
            learned: None,
            score: None,
            model: None,
        };
        match &track.phase {
            Phase::Learning(_) | Phase::Training(_) => {
                let seen = track.windows.newest().saturating_sub(track.learning_from);
                health.state = HealthState::Learning;
                health.learned = Some(part(seen, settings.learning.micros()));
            }
            Phase::Scored(scored) => {
                health.score = scored.last_score;
                health.model = Some(scored.scorer.model().version.clone());
                if scored.episode.is_active() {
                    health.state = HealthState::Alarm;
                }
            }
        }
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
        if track.windows.newest() <= since.timestamp_micros() {
            return Some(AssetVerdict::NoTelemetry);
        }
        match &track.phase {
            Phase::Scored(scored) => Some(verdict(scored, settings, since)),
            Phase::Learning(_) | Phase::Training(_) => None,
        }
    }

    /// Event time of an asset's newest reading, and its class.
    pub fn newest(&self, asset: &str) -> Option<(Arc<str>, DateTime<Utc>)> {
        let (class, _, track) = self.track(asset)?;
        Some((class, instant(track.windows.newest())))
    }

    /// The settings that an asset's class has.
    pub fn settings(&self, asset: &str) -> Option<Arc<ClassSettings>> {
        self.track(asset)
            .map(|(_, settings, _)| Arc::clone(settings))
    }

    /// The models in use.
    pub fn models(&self) -> Vec<PcaModel> {
        let tracks = self.classes.values().flat_map(|class| &class.tracks);
        let mut models: Vec<PcaModel> = tracks
            .filter_map(|track| match &track.phase {
                Phase::Scored(scored) => Some(scored.scorer.model().clone()),
                Phase::Learning(_) | Phase::Training(_) => None,
            })
            .collect();
        models.sort_by(|a, b| a.asset.cmp(&b.asset));
        models
    }

    /// Assets that are learning, and assets that are scored.
    pub fn assets(&self) -> (usize, usize) {
        let tracks = self.classes.values().flat_map(|class| &class.tracks);
        let tracks = tracks.filter(|track| track.owned);
        let (scored, learning): (Vec<_>, Vec<_>) =
            tracks.partition(|track| matches!(track.phase, Phase::Scored(_)));
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

fn verdict(scored: &Scored, settings: &ClassSettings, since: DateTime<Utc>) -> AssetVerdict {
    let from = (since + settings.verify_settle.delta()).timestamp_micros();
    let after = scored
        .recent
        .iter()
        .rev()
        .take_while(|judged| judged.start >= from);
    let in_band = after
        .clone()
        .take_while(|judged| judged.ratio < 1.0)
        .count();
    let out_of_band = after.take_while(|judged| judged.ratio >= 1.0).count();
    let newest = instant(scored.recent.back().map_or(0, |judged| judged.end));
    if in_band >= settings.verify_in_band_windows && !scored.episode.is_active() {
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

#[expect(
    clippy::cast_precision_loss,
    reason = "spans are far below 2^52 microseconds"
)]
fn part(seen: i64, whole: i64) -> f64 {
    (seen as f64 / whole.max(1) as f64).clamp(0.0, 1.0)
}
