//! Rows of one class, taken by several threads: an asset belongs to one lane, so what is said of
//! it does not depend on how many there are.

use std::ops::AddAssign;
use std::sync::{Arc, OnceLock};

use fieldwright_condition::settings::Judging;
use fieldwright_condition::window::Window;
use fieldwright_condition::{ClassModel, ClassSettings, Member, News, Sharing};

use super::super::guards;
use super::super::recording::ScoredWindow;
use super::super::track::Track;
use super::super::training::TrainingJob;
use super::columns::{Columns, Slice};
use super::parts::{Parts, Place};
use super::saving::progress;
use super::{ClassTracks, EngineCounts, Finding, Found};

/// Rows of a batch below which another thread is not worth its beginning.
const ROWS_PER_LANE: usize = 2048;
/// Threads at most; the stream is not alone on the machine.
const MAX_LANES: usize = 4;

/// The number of a row whose tag is watched under another class.
pub(super) const ELSEWHERE: u32 = u32::MAX;

/// Some assets of a class, next to each other.
pub(super) struct Lane<'a> {
    class: &'a Arc<str>,
    settings: &'a Arc<ClassSettings>,
    metrics: &'a [String],
    /// The class's number of each threshold's metric, as far as known.
    guarded: &'a [Option<usize>],
    tags: &'a [Arc<str>],
    tracks: &'a mut [Track],
    /// Number of the first of them in the class.
    first: usize,
    /// The model of a class that learns as a whole.
    class_model: Option<&'a Arc<ClassModel>>,
    /// Whether every single score is wanted.
    wants_scores: bool,
    done: Done,
}

/// What a lane has done.
#[derive(Default)]
pub(super) struct Done {
    pub(super) counts: EngineCounts,
    pub(super) scores: Vec<ScoredWindow>,
    /// Event time at which the learning period of an asset was over whose class has yet to learn.
    pub(super) class_due: Option<i64>,
    /// With the row that they come from.
    pub(super) findings: Vec<(usize, Finding)>,
    /// Late rows that were taken as parts of a reading.
    pub(super) joined: Vec<Place>,
}

impl ClassTracks {
    /// The assets in so many lanes at most, none of them empty.
    fn lanes(&mut self, lanes: usize, wants_scores: bool) -> Vec<Lane<'_>> {
        let long = self.tracks.len().div_ceil(lanes.max(1)).max(1);
        let (class, settings) = (&self.class, &self.settings);
        let metrics = self.metrics.as_slice();
        let guarded = self.guarded.as_slice();
        let class_model = self.learning.model.as_ref();
        let parts = self.tags.chunks(long).zip(self.tracks.chunks_mut(long));
        let lane = |(place, (tags, tracks))| Lane {
            class,
            settings,
            metrics,
            guarded,
            tags,
            tracks,
            first: place * long,
            class_model,
            wants_scores,
            done: Done::default(),
        };
        parts.enumerate().map(lane).collect()
    }

    /// Takes rows; `seats` are the numbers of their assets.
    pub(super) fn take(
        &mut self,
        columns: &Columns<'_>,
        seats: &[u32],
        parts: &Parts<'_>,
        wants_scores: bool,
    ) -> Done {
        let slices = columns.by_metric(self.metrics.len());
        let wanted = (seats.len() / ROWS_PER_LANE).clamp(1, MAX_LANES.min(cores()));
        let mut lanes = self.lanes(wanted, wants_scores);
        if let [lane] = &mut lanes[..] {
            lane.take((columns, &slices), seats, parts);
            return std::mem::take(&mut lane.done);
        }
        std::thread::scope(|scope| {
            let mut rest = lanes.iter_mut();
            let own = rest.next();
            for lane in rest {
                scope.spawn(|| lane.take((columns, &slices), seats, parts));
            }
            if let Some(own) = own {
                own.take((columns, &slices), seats, parts);
            }
        });
        let mut all = Done::default();
        for lane in lanes {
            all.counts += lane.done.counts;
            all.scores.extend(lane.done.scores);
            all.findings.extend(lane.done.findings);
            all.class_due = all.class_due.max(lane.done.class_due);
            all.joined.extend(lane.done.joined);
        }
        // As if one thread had taken row by row.
        all.findings.sort_by_key(|(row, _)| *row);
        all
    }

    /// Takes late rows; `seats` are the numbers of their assets.
    pub(super) fn take_late(&mut self, columns: &Columns<'_>, seats: &[u32]) -> Done {
        let slices = columns.by_metric(self.metrics.len());
        let mut lanes = self.lanes(1, false);
        let Some(lane) = lanes.first_mut() else {
            return Done::default();
        };
        lane.take_late(columns, &slices, seats);
        std::mem::take(&mut lane.done)
    }

    /// Judges windows of one asset that have waited.
    pub(super) fn judge(
        &mut self,
        number: usize,
        windows: Vec<Window>,
        wants_scores: bool,
    ) -> Done {
        let mut lanes = self.lanes(1, wants_scores);
        let Some(lane) = lanes.first_mut() else {
            return Done::default();
        };
        for window in windows {
            lane.close(0, number, window);
        }
        std::mem::take(&mut lane.done)
    }
}

impl Lane<'_> {
    /// Takes rows that are late: they are behind what was judged, and only the thresholds of
    /// metrics that have not come as far yet have something to say about them.
    fn take_late(&mut self, columns: &Columns<'_>, slices: &[Option<Slice<'_>>], seats: &[u32]) {
        let backfill_after = self.settings.backfill_after.micros();
        for (row, seat) in seats.iter().enumerate() {
            let Some(number) = usize::try_from(*seat).ok().filter(|_| *seat != ELSEWHERE) else {
                continue;
            };
            let value = |metric: usize| {
                let slice = slices[metric].as_ref();
                slice.map_or(f64::NAN, |slice| slice.value(row))
            };
            let is_past = columns.age(row) > backfill_after;
            self.guard((row, number), (columns.time(row), is_past), value);
        }
    }

    fn take(
        &mut self,
        (columns, slices): (&Columns<'_>, &[Option<Slice<'_>>]),
        seats: &[u32],
        parts: &Parts<'_>,
    ) {
        let mut closed = Vec::new();
        let own = self.first..self.first + self.tracks.len();
        let backfill_after = self.settings.backfill_after.micros();
        for (row, seat) in seats.iter().enumerate() {
            let Ok(number) = usize::try_from(*seat) else {
                continue;
            };
            if *seat == ELSEWHERE || !own.contains(&number) {
                continue;
            }
            let time = columns.time(row);
            let track = &mut self.tracks[number - self.first];
            self.done.counts.rows += u64::from(time > track.monitor.newest());
            track.dirty |= track.monitor.learning_from() == i64::MAX;
            let is_past = columns.age(row) > backfill_after;
            if is_past {
                track.past_through = track.past_through.max(time);
            }
            let value = |metric: usize| {
                slices[metric]
                    .as_ref()
                    .map_or(f64::NAN, |slice| slice.value(row))
            };
            self.guard((row, number - self.first), (time, is_past), value);
            let close = |window| closed.push(window);
            let track = &mut self.tracks[number - self.first];
            // Judged at every reading, those that come a commit later are too late: so are these,
            // or what is learned would depend on who came with whom.
            let more = match self.settings.judge {
                Judging::Step => parts.at(columns.asset(row), time),
                Judging::Reading => &[],
            };
            if !more.is_empty() && time > track.monitor.newest() {
                let joined = parts.joined(more, slices.len(), value);
                self.done.joined.extend(joined);
            }
            let whole = |metric: usize| parts.whole(value(metric), more, metric);
            track.monitor.cut(time, slices.len(), whole, close);
            for window in closed.drain(..) {
                self.done.counts.windows += 1;
                self.close(row, number - self.first, window);
            }
        }
    }

    /// Judges a reading by the declared thresholds.
    fn guard(
        &mut self,
        (row, place): (usize, usize),
        (time, is_past): (i64, bool),
        value: impl Fn(usize) -> f64,
    ) {
        let thresholds = &self.settings.thresholds;
        if thresholds.is_empty() {
            return;
        }
        let (class, tag) = (self.class, &self.tags[place]);
        let track = &mut self.tracks[place];
        let mut found = Vec::new();
        let guarded = self.guarded;
        let value = |threshold: usize| {
            let metric = guarded.get(threshold).copied().flatten();
            metric.map_or(f64::NAN, &value)
        };
        let guards = track.guards.get_or_insert_default();
        let at = (time, self.settings.stale_after);
        let withheld = &mut track.withheld;
        let mut told = Vec::new();
        guards.take(thresholds, at, value, |guarded| told.push(guarded));
        if !withheld.is_empty() {
            told.extend(guards::withheld(
                guards,
                thresholds,
                (withheld, time),
                value,
            ));
        }
        for mut guarded in told {
            let Some(own) = thresholds.iter().nth(guarded.threshold) else {
                continue;
            };
            let began = guards::began(guards, guarded.threshold);
            guarded.turn = withheld.admit(own.0, guarded.turn, is_past, began);
            found.extend(guards::found((tag, class), own, &guarded, time));
        }
        // What one reading leads to is kept in order, and only the last makes it done.
        let last = found.len().saturating_sub(1);
        for (number, found) in found.into_iter().enumerate() {
            track.dirty = true;
            let progress = match number {
                number if number < last => None,
                _ => progress(class, tag, track, self.settings),
            };
            track.unkept += u32::from(progress.is_some());
            self.done.findings.push((row, Finding { found, progress }));
        }
    }

    fn close(&mut self, row: usize, place: usize, window: Window) {
        let (tag, track) = (&self.tags[place], &mut self.tracks[place]);
        track.dirty = true;
        let end = window.end;
        let found = match track.monitor.judge(window) {
            News::Collected if self.settings.sharing == Sharing::Asset => return,
            News::Collected => match self.referred(place) {
                Some(found) => vec![found],
                None => return,
            },
            News::LearnClass => match self.referred(place) {
                Some(found) => vec![found],
                None => {
                    self.done.class_due = self.done.class_due.max(Some(end));
                    return;
                }
            },
            News::Skipped => {
                self.done.counts.skipped += 1;
                return;
            }
            News::UnknownRegime => {
                self.done.counts.unknown_regime += 1;
                return;
            }
            News::Learn(windows) => vec![Found::Train(Box::new(TrainingJob {
                class: Arc::clone(self.class),
                asset: tag.to_string(),
                settings: Arc::clone(self.settings),
                metrics: self.metrics.to_vec(),
                from: track.monitor.learning_from(),
                through: windows.last_end(),
                windows,
            }))],
            News::Judged(window, judgement) => {
                self.done.counts.scores += 1;
                let found = track.note(tag, self.settings, &window, &judgement);
                if self.wants_scores {
                    self.done.scores.extend(ScoredWindow::of(tag, track));
                }
                found
            }
        };
        let (tag, track) = (&self.tags[place], &mut self.tracks[place]);
        // What one window leads to is kept in order, and only the last makes it done.
        let last = found.len().saturating_sub(1);
        for (place, found) in found.into_iter().enumerate() {
            let progress = match &found {
                Found::Train(_) | Found::Refer { .. } => None,
                _ if place < last => None,
                _ => progress(self.class, tag, track, self.settings),
            };
            track.unkept += u32::from(progress.is_some());
            self.done.findings.push((row, Finding { found, progress }));
        }
    }
}

/// Cores of this process. Asking reads files of the system, too slow for every commit.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

impl Lane<'_> {
    /// Puts an asset that learns under the model of its class, once it can have a reference.
    fn referred(&mut self, place: usize) -> Option<Found> {
        let (tag, track) = (&self.tags[place], &mut self.tracks[place]);
        let (class, settings) = (self.class_model?, self.settings);
        let own = class.of_new(tag, settings, self.metrics, &track.monitor)?;
        let own = match own {
            Ok(own) => own,
            Err(error) => {
                tracing::warn!(asset = &**tag, %error, "an asset goes on without a reference");
                return None;
            }
        };
        let member = Box::new(Member::of(&own)?);
        track.monitor.install(Arc::new(own), self.metrics);
        Some(Found::Refer {
            class: Arc::clone(self.class),
            member,
        })
    }
}

impl AddAssign for EngineCounts {
    fn add_assign(&mut self, more: Self) {
        self.rows += more.rows;
        self.elsewhere += more.elsewhere;
        self.windows += more.windows;
        self.scores += more.scores;
        self.skipped += more.skipped;
        self.unknown_regime += more.unknown_regime;
        self.unreadable += more.unreadable;
        self.late += more.late;
        self.revised += more.revised;
        self.not_revised += more.not_revised;
    }
}
