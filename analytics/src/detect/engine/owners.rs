//! One class per tag, whatever is stored.
//!
//! Ingest takes a new tag under one class only, but data of former releases may hold one tag under
//! two. Alarms, models and progress are kept per tag, so only one of the classes is watched: that
//! of the saved progress, or the first one seen. When it has long been silent while the other goes
//! on, the tag moves there; once, so that two classes can never take it from each other in turns.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_condition::guard::Guards;

use super::super::evidence::instant;
use super::super::track::Track;
use super::super::withheld::Withheld;
use super::saving::progress;
use super::{ClassTracks, Engine, Finding, Found};

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
        let mut left = std::mem::replace(track, Track::new(&settings));
        track.owned = false;
        let mut alarms = left.monitor.alarms();
        let guarded = left
            .guards
            .take()
            .map(|guards| guards.save(&settings.thresholds));
        let gone = Gone {
            asset: &kept,
            at: instant(time),
            withheld: &left.withheld,
        };
        // What nobody watches any more in the new class would stay up for ever.
        let raised = |name: &String| settings.raises(name);
        let watched = &tracks.settings;
        let names = alarms
            .keys()
            .filter(|name| raised(name) && !watched.raises(name));
        let mut returned: Vec<Found> = names.filter_map(|name| gone.returned(name)).collect();
        alarms.retain(|name, _| watched.raises(name));
        if let Some(guarded) = &guarded {
            let up = guarded
                .episodes
                .iter()
                .filter(|(_, episode)| episode.is_active());
            let up = up.filter(|(name, _)| !watched.thresholds.contains_key(*name));
            returned.extend(up.filter_map(|(name, _)| gone.returned(name)));
        }
        let number = tracks.asset(Arc::clone(&kept));
        let track = &mut tracks.tracks[number];
        track.owned = true;
        track.monitor.carry(alarms);
        track.withheld = left.withheld;
        track.guards = guarded
            .filter(|_| !tracks.settings.thresholds.is_empty())
            .map(|saved| Box::new(Guards::restored(&tracks.settings.thresholds, &saved, None)));
        let last = returned.len().saturating_sub(1);
        for (place, found) in returned.into_iter().enumerate() {
            let progress = match place {
                place if place < last => None,
                _ => progress(&tracks.class, &kept, track, &tracks.settings),
            };
            track.unkept += u32::from(progress.is_some());
            self.left_behind.push(Finding { found, progress });
        }
        Some(number)
    }
}

/// An asset that has left a class.
struct Gone<'a> {
    asset: &'a str,
    at: DateTime<Utc>,
    withheld: &'a Withheld,
}

impl Gone<'_> {
    /// An alarm that the new class does not know returns, if it was ever raised.
    fn returned(&self, cause: &str) -> Option<Found> {
        (!self.withheld.holds(cause)).then(|| Found::Return {
            asset: self.asset.to_owned(),
            cause: cause.to_owned(),
            at: self.at,
        })
    }
}
