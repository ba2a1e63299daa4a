//! Late rows revise windows: those to learn from are cut again from the stored rows, those that
//! were judged are scored again. No revision raises an alarm or returns one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use fieldwright_condition::window::Window;

use super::super::history::Span;
use super::{Columns, Engine, class_tracks};

/// Late instants of all assets that wait until their windows are closed; more are counted and
/// revise nothing.
pub const MAX_LATE_INSTANTS: usize = 8_192;
/// Late instants of one asset among them, so that one asset does not take all places.
pub const MAX_LATE_INSTANTS_OF_AN_ASSET: usize = 512;

/// Late rows whose windows are not revised yet.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// By class and tag. **Units**: microseconds of event time since 1970.
    instants: BTreeMap<(Arc<str>, Arc<str>), BTreeSet<i64>>,
    /// The newest reading of each of them, and since when it is. **Units**: microseconds of event
    /// time and of the clock.
    newest: BTreeMap<(Arc<str>, Arc<str>), (i64, i64)>,
    count: usize,
    /// Where the next round begins.
    next: Option<(Arc<str>, Arc<str>)>,
}

/// Windows of one asset that are to be cut again.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The class.
    pub class: Arc<str>,
    /// The asset's tag.
    pub asset: Arc<str>,
    /// Ends of the windows.
    pub ends: BTreeSet<i64>,
    /// The span of the rows that they are made of.
    pub span: Span,
}

impl Engine {
    /// Takes late rows of one class. Those of assets that learn have their windows cut again when
    /// that is over; those of assets that are judged wait for [`Engine::due_revisions`], unless
    /// they are `stored`: read again, so nobody knows which of them have been seen. Rows that were
    /// taken as parts of a reading are not late.
    pub(super) fn note_late(
        &mut self,
        class: &Arc<str>,
        batch: &RecordBatch,
        stored: bool,
        is_part: impl Fn(usize) -> bool,
    ) {
        let tracks = class_tracks(&mut self.classes, &self.config, class);
        // A metric that only late rows have is one of the class's.
        let Some(columns) = Columns::of(batch, |name| tracks.metric(name)) else {
            return;
        };
        for row in (0..batch.num_rows()).filter(|row| !is_part(*row)) {
            let (tag, time) = (columns.asset(row), columns.time(row));
            let Some((tag, number)) = tracks.numbers.get_key_value(tag) else {
                continue;
            };
            let track = &mut tracks.tracks[*number];
            self.counts.late += 1;
            if !track.owned || time < track.monitor.learning_from() {
                self.counts.not_revised += 1;
                continue;
            }
            let is_learning = track.monitor.watch().is_none();
            track.revised |= is_learning;
            if stored || is_learning && track.monitor.is_collecting() {
                continue;
            }
            let scores = track.scores.as_ref();
            let is_gone = scores.is_some_and(|scores| scores.is_gone(time, &tracks.settings));
            let key = (Arc::clone(class), Arc::clone(tag));
            if is_gone || !self.late.take(key, time) {
                self.counts.not_revised += 1;
            }
        }
    }

    /// Judged windows that late rows belong to, so many at most, and all of them closed. Asked
    /// again, it gives others.
    ///
    /// `now`: the clock, microseconds since 1970. An asset that has sent nothing by it for
    /// `stale_after` closes no window: what waits for that is counted and revises nothing, as does
    /// what is of an asset that is watched elsewhere or learns again.
    pub fn due_revisions(&mut self, limit: usize, now: i64) -> Vec<Due> {
        let mut all = Vec::new();
        let mut windows = 0;
        let mut late = std::mem::take(&mut self.late);
        let first = late.next.take();
        let keys = late.instants.keys();
        let (mut before, mut keys): (Vec<_>, Vec<_>) = keys
            .cloned()
            .partition(|key| first.as_ref().is_some_and(|first| key < first));
        keys.append(&mut before);
        for key in keys {
            if windows >= limit {
                late.next = Some(key);
                break;
            }
            let class = self.classes.get(&key.0);
            let track = class.and_then(|class| {
                let track = &class.tracks[*class.numbers.get(&key.1)?];
                (track.owned && !track.monitor.is_collecting()).then_some((class, track))
            });
            let Some((class, track)) = track else {
                self.counts.not_revised += late.drop_all(&key);
                continue;
            };
            let silent = late.silent_for(&key, track.monitor.newest(), now);
            if silent > class.settings.stale_after.micros() {
                self.counts.not_revised += late.drop_all(&key);
                continue;
            }
            // Its model is on the way.
            if track.monitor.watch().is_none() {
                continue;
            }
            let settings = &class.settings;
            // Until then a window with it may still be open.
            let closed = track.monitor.through().saturating_sub(settings.reach());
            // Where the last of them ends another step begins, which is revised as a whole.
            let instants = late.take_until(&key, closed.saturating_sub(1));
            let mut ends = BTreeSet::new();
            for instant in instants {
                let scores = track.scores.as_ref();
                let own = scores.map(|scores| scores.ends_with(instant, settings));
                let own = own.unwrap_or_default();
                self.counts.not_revised += u64::from(own.is_empty());
                ends.extend(own);
            }
            windows += ends.len();
            if let (Some(first), Some(last)) = (ends.first(), ends.last()) {
                let span = (settings.start_of(*first), *last);
                let (class, asset) = key;
                all.push(Due {
                    class,
                    asset,
                    ends,
                    span,
                });
            }
        }
        self.late = late;
        all
    }

    /// Scores windows again that were cut from stored rows, in order of event time.
    pub fn revise(&mut self, due: &Due, batches: &[RecordBatch]) {
        let windows = self.cut_again(due, batches);
        let Some(tracks) = self.classes.get_mut(&due.class) else {
            return;
        };
        let settings = Arc::clone(&tracks.settings);
        let Some(track) = tracks.track_mut(&due.asset) else {
            return;
        };
        let (Some(watch), Some(scores)) = (track.monitor.watch(), &mut track.scores) else {
            return;
        };
        let states = watch.detector_states();
        for window in windows {
            // A score names the model that made it: another one does not speak for it.
            let is_own = scores.is_by(window.end, &watch.model().version);
            let again = is_own.then(|| watch.score_again(&window, &states, &settings));
            let said = watch.names().zip(again.flatten().unwrap_or_default());
            let revised = scores.revise(window.end, said, &settings);
            self.counts.revised += u64::from(revised);
            self.counts.not_revised += u64::from(!revised);
        }
    }

    /// Cuts windows again from stored rows, with the class's numbers of the metrics.
    pub(super) fn cut_again(&mut self, due: &Due, batches: &[RecordBatch]) -> Vec<Window> {
        let Some(tracks) = self.classes.get_mut(&due.class) else {
            return Vec::new();
        };
        let mut columns = Vec::new();
        for batch in batches {
            columns.extend(Columns::of(batch, |name| tracks.metric(name)));
        }
        let metrics = tracks.metrics.len();
        let Some(track) = tracks.track_mut(&due.asset) else {
            return Vec::new();
        };
        let mut times = Vec::new();
        let mut slices = Vec::new();
        for (place, columns) in columns.iter().enumerate() {
            slices.push(columns.by_metric(metrics));
            times.extend((0..batches[place].num_rows()).map(|row| (columns.time(row), place, row)));
        }
        let value = |row: usize, metric: usize| {
            let (_, place, row) = times[row];
            let slice = slices[place].get(metric).and_then(Option::as_ref);
            slice.map_or(f64::NAN, |slice| slice.value(row))
        };
        let instants = times.iter().map(|(time, _, _)| *time);
        track.monitor.cut_again(metrics, instants, value, &due.ends)
    }

    /// Whether late rows came while an asset was learning; asked again, whether more have come.
    pub fn take_revised(&mut self, asset: &str, class: &str) -> bool {
        let tracks = self.classes.get_mut(class);
        let track = tracks.and_then(|tracks| tracks.track_mut(asset));
        track.is_some_and(|track| std::mem::take(&mut track.revised))
    }

    /// Puts windows that were cut again in the place of those of an asset that wait for its model.
    pub fn revise_waiting(&mut self, asset: &str, class: &str, again: Vec<Window>) {
        let tracks = self.classes.get_mut(class);
        if let Some(track) = tracks.and_then(|tracks| tracks.track_mut(asset)) {
            // What came late turns no alarm: what is still there when a live window comes is raised
            // by that.
            if let Some(last) = again.last() {
                track.past_through = track.past_through.max(last.end - 1);
            }
            track.monitor.revise_waiting(again);
        }
    }
}

impl Late {
    /// Takes an instant, unless there is no place for it.
    fn take(&mut self, key: (Arc<str>, Arc<str>), instant: i64) -> bool {
        let own = self.instants.get(&key);
        if own.is_some_and(|own| own.contains(&instant)) {
            return true;
        }
        let many = own.map_or(0, BTreeSet::len);
        if many >= MAX_LATE_INSTANTS_OF_AN_ASSET || self.count >= MAX_LATE_INSTANTS {
            return false;
        }
        self.count += 1;
        self.instants.entry(key).or_default().insert(instant)
    }

    /// Gives away those of an asset up to an instant.
    fn take_until(&mut self, key: &(Arc<str>, Arc<str>), instant: i64) -> BTreeSet<i64> {
        let Some(own) = self.instants.get_mut(key) else {
            return BTreeSet::new();
        };
        let later = own.split_off(&instant.saturating_add(1));
        let done = std::mem::replace(own, later);
        self.count -= done.len();
        if own.is_empty() {
            self.instants.remove(key);
            self.newest.remove(key);
        }
        done
    }

    /// Drops those of an asset; how many there were.
    fn drop_all(&mut self, key: &(Arc<str>, Arc<str>)) -> u64 {
        self.newest.remove(key);
        let dropped = self.instants.remove(key).map_or(0, |own| own.len());
        self.count -= dropped;
        dropped as u64
    }

    /// For how long an asset's newest reading has been the same while its instants wait.
    /// **Units**: microseconds.
    fn silent_for(&mut self, key: &(Arc<str>, Arc<str>), newest: i64, now: i64) -> i64 {
        let known = self.newest.entry(key.clone()).or_insert((newest, now));
        if known.0 != newest {
            *known = (newest, now);
        }
        now.saturating_sub(known.1)
    }
}

#[cfg(test)]
mod tests;
