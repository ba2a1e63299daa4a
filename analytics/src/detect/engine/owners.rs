//! One class per tag, whatever is stored.
//!
//! Ingest takes a new tag under one class only, but data of former releases may hold one tag under
//! two. Alarms, models and progress are kept per tag, so only one of the classes is watched: that
//! of the saved progress, or the first one seen. When it has long been silent while the other goes
//! on, the tag moves there; once, so that two classes can never take it from each other in turns.

use std::sync::Arc;

use super::super::track::Track;
use super::{ClassTracks, Engine};

/// The class of a tag.
#[derive(Debug)]
pub(super) struct Owner {
    class: Arc<str>,
    /// Whether it has moved from another class.
    moved: bool,
    /// How far its saved progress went: until rows are read again its track does not know.
    through: i64,
}

impl Engine {
    /// Takes a tag for a class, unless it is another's; gives the one copy of it that is kept, or
    /// none when it is not the class's.
    pub(super) fn claim(&mut self, tag: &str, class: &Arc<str>) -> Option<Arc<str>> {
        if let Some((tag, owner)) = self.owners.get_key_value(tag) {
            return (owner.class == *class).then(|| Arc::clone(tag));
        }
        let tag: Arc<str> = tag.into();
        let owner = Owner {
            class: Arc::clone(class),
            moved: false,
            through: i64::MIN,
        };
        self.owners.insert(Arc::clone(&tag), owner);
        Some(tag)
    }

    /// Says how far an asset has come by its saved progress.
    pub(super) fn came_through(&mut self, tag: &str, through: i64) {
        if let Some(owner) = self.owners.get_mut(tag) {
            owner.through = owner.through.max(through);
        }
    }

    /// The class of a tag.
    pub(super) fn owner(&self, tag: &str) -> Option<&Arc<str>> {
        self.owners.get(tag).map(|owner| &owner.class)
    }

    /// The number of an asset in its class, which is set apart from the others; `None` when the
    /// tag is watched under another class.
    pub(super) fn seat(&mut self, tracks: &mut ClassTracks, tag: &str, time: i64) -> Option<usize> {
        if let Some(number) = tracks.numbers.get(tag)
            && tracks.tracks[*number].owned
        {
            return Some(*number);
        }
        if let Some(tag) = self.claim(tag, &tracks.class) {
            return Some(tracks.asset(tag));
        }
        let kept = Arc::clone(self.owners.get_key_value(tag)?.0);
        let owner = self.owners.get_mut(tag).filter(|owner| !owner.moved)?;
        let other = self.classes.get_mut(&owner.class)?;
        let settings = Arc::clone(&other.settings);
        let track = other.track_mut(tag)?;
        let newest = track.monitor.newest().max(owner.through);
        let silent = time.saturating_sub(newest);
        if silent <= settings.stale_after.micros() {
            return None;
        }
        tracing::warn!(
            asset = tag,
            from = &*owner.class,
            to = &*tracks.class,
            "an asset sends under another class now; it is watched there from here on"
        );
        *owner = Owner {
            class: Arc::clone(&tracks.class),
            moved: true,
            through: i64::MIN,
        };
        let left = std::mem::replace(track, Track::new(&settings));
        track.owned = false;
        let number = tracks.asset(kept);
        let track = &mut tracks.tracks[number];
        track.owned = true;
        track.monitor.carry(left.monitor.alarms());
        Some(number)
    }
}
