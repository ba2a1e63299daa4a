//! What is saved of every asset, so that a restart goes on from there.

use chrono::DateTime;

use fieldwright_condition::ClassSettings;

use super::super::track::Track;
use super::{ClassTracks, Engine, Finding};
use crate::alarms::Progress;

/// Progress that has not been saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsaved {
    /// Of some assets.
    pub progress: Vec<Progress>,
    /// Whether that is all: once it is saved, nothing that the engine knows is unsaved.
    pub all: bool,
}

impl Engine {
    /// Progress of assets that has not been saved, at most `limit`, each asset in its turn.
    ///
    /// That of an asset with a finding that is not kept yet is held back: a restart from it would
    /// not come upon the finding again.
    pub fn take_progress(&mut self, limit: usize) -> Unsaved {
        let mut open: Vec<(&str, &ClassSettings, &str, &mut Track)> = Vec::new();
        for tracks in self.classes.values_mut() {
            let tags = tracks.tags.iter().map(|tag| &**tag);
            let (class, settings) = (&*tracks.class, &*tracks.settings);
            open.extend(
                tags.zip(&mut tracks.tracks)
                    .map(|(tag, track)| (class, settings, tag, track)),
            );
        }
        let first = self.next_saved.min(open.len());
        open.rotate_left(first);
        let mut unsaved = Unsaved {
            progress: Vec::new(),
            all: true,
        };
        let mut passed = None;
        for (place, (class, settings, tag, track)) in open.iter_mut().enumerate() {
            if !track.dirty || !track.owned {
                continue;
            }
            if track.unkept > 0 {
                unsaved.all = false;
            } else if unsaved.progress.len() >= limit {
                unsaved.all = false;
                passed = Some(place);
                break;
            } else {
                unsaved
                    .progress
                    .extend(progress(class, tag, track, settings));
                track.dirty = false;
            }
        }
        self.next_saved = (first + passed.unwrap_or(0)) % open.len().max(1);
        unsaved
    }

    /// Takes back progress that could not be saved.
    pub fn give_back(&mut self, progress: &[Progress]) {
        for progress in progress {
            if let Some(track) = self.track_mut(&progress.class, &progress.asset) {
                track.dirty = true;
            }
        }
    }

    /// Says that a finding is kept, or that nobody will try to keep it any more.
    pub fn kept(&mut self, finding: &Finding) {
        let Some(progress) = &finding.progress else {
            return;
        };
        if let Some(track) = self.track_mut(&progress.class, &progress.asset) {
            track.unkept = track.unkept.saturating_sub(1);
        }
    }

    /// Findings that are not kept yet.
    pub fn unkept(&self) -> u64 {
        let tracks = self.classes.values().flat_map(|class| &class.tracks);
        tracks.map(|track| u64::from(track.unkept)).sum()
    }

    /// Whether an asset has findings that are not kept yet.
    pub fn has_unkept(&self, asset: &str) -> bool {
        let own = |class: &ClassTracks| {
            let number = class.numbers.get(asset).copied();
            let track = number.and_then(|number| class.tracks.get(number));
            track.is_some_and(|track| track.unkept > 0)
        };
        self.classes.values().any(own)
    }

    fn track_mut(&mut self, class: &str, asset: &str) -> Option<&mut Track> {
        self.classes.get_mut(class)?.track_mut(asset)
    }
}

impl ClassTracks {
    pub(super) fn track_mut(&mut self, asset: &str) -> Option<&mut Track> {
        let number = *self.numbers.get(asset)?;
        self.tracks.get_mut(number)
    }
}

pub(super) fn progress(
    class: &str,
    tag: &str,
    track: &Track,
    settings: &ClassSettings,
) -> Option<Progress> {
    Some(Progress {
        asset: tag.to_owned(),
        class: class.to_owned(),
        scored_through: track.scored_through().unwrap_or(DateTime::UNIX_EPOCH),
        state: serde_json::to_string(&track.saved_state(settings)).ok()?,
    })
}
