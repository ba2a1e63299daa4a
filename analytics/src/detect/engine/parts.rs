//! Readings that come in parts, from a device that sends each metric in a message of its own with
//! one and the same time. Ingest calls all parts but the first late; here they belong together as
//! long as nothing newer of their asset has come.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::columns::{Columns, Slice};
use super::{ClassTracks, Engine, Finding, class_tracks};

/// Rows of one class that came together.
#[derive(Debug, Default)]
pub struct Arrived<'a> {
    /// Those that were newer than all before of their asset.
    pub in_order: Vec<&'a RecordBatch>,
    /// The others, in order of arrival.
    pub late: Vec<&'a RecordBatch>,
    /// They are read again, so nobody knows which of them have been seen.
    pub stored: bool,
}

/// Place of a late row: its batch, and its row there.
pub(super) type Place = (usize, usize);

/// Late rows by the reading that they may be parts of.
#[derive(Default)]
pub(super) struct Parts<'a> {
    batches: Vec<Batch<'a>>,
    /// By tag and event time, in order of arrival.
    rows: HashMap<&'a str, HashMap<i64, Vec<Place>>>,
}

/// The class's metrics in a batch of late rows; none when it has no readings.
type Batch<'a> = Vec<Option<Slice<'a>>>;

impl<'a> Parts<'a> {
    fn of(late: &[&'a RecordBatch], tracks: &mut ClassTracks) -> Self {
        let mut parts = Self::default();
        for (number, batch) in late.iter().enumerate() {
            let columns = Columns::of(batch, |name| tracks.metric(name));
            let slices = columns
                .as_ref()
                .map(|own| own.by_metric(tracks.metrics.len()));
            parts.batches.push(slices.unwrap_or_default());
            let Some(columns) = columns else {
                continue;
            };
            let backfill_after = tracks.settings.backfill_after.micros();
            // What is bad may take back what was good, and the past turns no alarm: both revise.
            let may_join =
                |row: &usize| !columns.has_bad(*row) && columns.age(*row) <= backfill_after;
            for row in (0..batch.num_rows()).filter(may_join) {
                let own = parts.rows.entry(columns.asset(row)).or_default();
                let at = own.entry(columns.time(row)).or_default();
                at.push((number, row));
            }
        }
        parts
    }

    /// The parts of a reading.
    pub(super) fn at(&self, tag: &str, time: i64) -> &[Place] {
        if self.rows.is_empty() {
            return &[];
        }
        let own = self.rows.get(tag).and_then(|own| own.get(&time));
        own.map_or(&[], Vec::as_slice)
    }

    /// What a part says of a metric, NaN for nothing.
    fn value(&self, (batch, row): Place, metric: usize) -> f64 {
        let slice = self.batches[batch].get(metric).and_then(Option::as_ref);
        slice.map_or(f64::NAN, |slice| slice.value(row))
    }

    /// What a reading says with its parts.
    pub(super) fn whole(&self, own: f64, parts: &[Place], metric: usize) -> f64 {
        if own.is_finite() || parts.is_empty() {
            return own;
        }
        let mut said = parts.iter().map(|part| self.value(*part, metric));
        said.find(|value| value.is_finite()).unwrap_or(own)
    }

    /// Those parts of a reading that correct nothing of it, and nothing that came before them.
    pub(super) fn joined(
        &self,
        parts: &[Place],
        metrics: usize,
        own: impl Fn(usize) -> f64,
    ) -> Vec<Place> {
        let mut said: Vec<bool> = (0..metrics).map(|metric| own(metric).is_finite()).collect();
        let mut joined = Vec::new();
        for part in parts {
            let mut is_new = true;
            for (metric, said) in said.iter_mut().enumerate() {
                if self.value(*part, metric).is_finite() {
                    is_new &= !std::mem::replace(said, true);
                }
            }
            if is_new {
                joined.push(*part);
            }
        }
        joined
    }
}

impl Engine {
    /// Takes what came together of one class, as [`Engine::ingest`] and [`Engine::ingest_late`]
    /// do; and what is a part of a reading that is newer than all that is judged belongs to it.
    /// Other late rows revise windows.
    pub fn take(&mut self, class: &Arc<str>, arrived: &Arrived<'_>, out: &mut Vec<Finding>) {
        class_tracks(&mut self.classes, &self.config, class);
        // Set apart, so that the other classes can be asked for an asset that is theirs.
        let Some(mut tracks) = self.classes.remove(class) else {
            return;
        };
        let parts = Parts::of(&arrived.late, &mut tracks);
        let mut joined: BTreeSet<Place> = tracks.join(&parts).into_iter().collect();
        for batch in &arrived.in_order {
            joined.extend(self.take_rows(&mut tracks, batch, &parts, out));
        }
        self.classes.insert(Arc::clone(class), tracks);
        for (number, batch) in arrived.late.iter().enumerate() {
            self.ingest_late(class, batch, out);
            self.note_late(class, batch, arrived.stored, |row| {
                joined.contains(&(number, row))
            });
        }
    }
}

impl ClassTracks {
    /// Takes the parts of readings that are the newest ones already.
    fn join(&mut self, parts: &Parts<'_>) -> Vec<Place> {
        let metrics = self.metrics.len();
        let mut joined = Vec::new();
        for (tag, own) in &parts.rows {
            let track = self.track_mut(tag);
            let Some(track) = track.filter(|track| track.owned) else {
                continue;
            };
            let monitor = &mut track.monitor;
            let newest = monitor.newest();
            for part in own.get(&newest).into_iter().flatten() {
                if monitor.join(newest, metrics, |metric| parts.value(*part, metric)) {
                    joined.push(*part);
                }
            }
        }
        joined
    }
}
