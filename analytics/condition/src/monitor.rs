//! One asset on its way: it is learned, waits for its model, and is judged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::episode::Episode;
use super::learning::Learning;
use super::model::{MIN_WINDOWS, Model};
use super::settings::{ClassSettings, Judging, Sharing};
use super::watch::{Judgement, SavedWatch, Watch};
use super::window::{Window, Windows};

/// Windows that wait for a model at most; older ones are not judged.
pub const MAX_WAITING: usize = 50_000;

/// What a reading has led to.
#[derive(Debug)]
pub enum News {
    /// The learning period is over: a model has to be learned from these windows and installed.
    Learn(Box<Learning>),
    /// The learning period of an asset is over whose class learns as a whole: see [`ClassModel`].
    ///
    /// [`ClassModel`]: super::fleet::ClassModel
    LearnClass,
    /// A window was judged.
    Judged(Window, Judgement),
    /// A window is one of those to learn from, or waits for a model.
    Collected,
    /// A window was not judged: too few readings or metrics.
    Skipped,
    /// A window was not judged: its regime is unknown.
    UnknownRegime,
}

/// One asset.
#[derive(Debug)]
pub struct Monitor {
    settings: Arc<ClassSettings>,
    windows: Windows,
    phase: Phase,
    learning_from: i64,
    through: i64,
    /// Alarms that are up from before the model was lost; the next model goes on with them.
    carried: Option<Box<Carried>>,
}

/// Alarms that are up, by the detector's name.
pub type Carried = BTreeMap<String, Episode>;

/// Where an asset stands.
#[derive(Debug)]
pub enum Phase {
    /// Windows are collected; none has been yet.
    Learning(Option<Box<Learning>>),
    /// A model is being learned; windows wait for it.
    Waiting(VecDeque<Window>),
    /// Windows are judged.
    Judged(Box<Watch>),
}

impl Monitor {
    /// An asset of which nothing is known: its first reading begins the learning period.
    pub fn new(settings: Arc<ClassSettings>) -> Self {
        Self {
            windows: windows(&settings, i64::MIN + 1),
            phase: Phase::Learning(None),
            learning_from: i64::MAX,
            through: i64::MIN,
            carried: None,
            settings,
        }
    }

    /// An asset with a model that was learned elsewhere: from others of its class, or before.
    pub fn with_model(settings: Arc<ClassSettings>, model: Arc<Model>) -> Self {
        let watch = Watch::new(model, &settings);
        let mut monitor = Self::new(settings);
        monitor.phase = Phase::Judged(Box::new(watch));
        monitor
    }

    /// An asset that begins anew with its reading at `learning_from`; older ones are left out.
    ///
    /// Alarms that are up go on under the model that it will learn.
    pub fn learning_again(
        settings: Arc<ClassSettings>,
        learning_from: i64,
        carried: Carried,
    ) -> Self {
        let mut monitor = Self::new(settings);
        if learning_from != i64::MAX {
            monitor.windows = windows(&monitor.settings, learning_from);
            monitor.learning_from = learning_from;
        }
        monitor.carried = (!carried.is_empty()).then(|| Box::new(carried));
        monitor
    }

    /// An asset that goes on where it stood: windows that end at `through` or before are not
    /// judged again when their readings come once more.
    ///
    /// Readings from [`ClassSettings::reach`] before `through` on have to come once more, since
    /// windows share them.
    pub fn resumed(
        settings: Arc<ClassSettings>,
        model: Arc<Model>,
        saved: &SavedWatch,
        learning_from: i64,
        through: i64,
    ) -> Self {
        let (step, steps) = (settings.step.micros(), settings.steps_per_window());
        let from = match settings.judge {
            Judging::Step => through.saturating_add(step),
            Judging::Reading => through,
        };
        let from = from.saturating_sub(settings.window.micros());
        let mut monitor = Self::with_model(settings, model);
        monitor.windows =
            Windows::resume(step, steps, from).measured_for(&monitor.settings.features);
        monitor.learning_from = learning_from;
        monitor.through = through;
        if let Phase::Judged(watch) = &mut monitor.phase {
            watch.restore(saved);
        }
        monitor
    }

    /// Takes a reading: `value(m)` is the value of the class's metric `m`, NaN when missing. The
    /// windows that it closes go to `close`, and from there to [`Monitor::judge`], in order.
    ///
    /// `metrics` are the class's metrics by number. A reading that is not newer than the newest
    /// one changes nothing.
    pub fn cut(
        &mut self,
        time: i64,
        metrics: usize,
        value: impl Fn(usize) -> f64,
        mut close: impl FnMut(Window),
    ) {
        if self.learning_from == i64::MAX {
            self.learning_from = time;
        }
        match self.settings.judge {
            Judging::Reading => {
                if let Some(window) = self.windows.add_and_judge(time, metrics, value) {
                    close(window);
                }
            }
            Judging::Step => self.windows.add(time, metrics, value, close),
        }
    }

    /// Takes another part of the newest reading: see [`Windows::join`]. Where every reading is
    /// judged when it comes, it is too late for that.
    pub fn join(&mut self, time: i64, metrics: usize, value: impl Fn(usize) -> f64) -> bool {
        self.settings.judge == Judging::Step && self.windows.join(time, metrics, value)
    }

    /// Takes a reading, cuts and judges.
    pub fn take(
        &mut self,
        time: i64,
        metrics: usize,
        value: impl Fn(usize) -> f64,
        mut news: impl FnMut(News),
    ) {
        let mut closed = Vec::new();
        self.cut(time, metrics, value, |window| closed.push(window));
        for window in closed {
            news(self.judge(window));
        }
    }

    /// Closes the windows that end at an instant or before, as a reading at that instant would.
    pub fn close_through(&mut self, instant: i64, close: impl FnMut(Window)) {
        if self.settings.judge == Judging::Step {
            self.windows.close_through(instant, close);
        }
    }

    /// Cuts windows once more from stored readings in order of event time, as they would have been
    /// cut: those whose ends are wanted. `value(row, m)` is the value of the class's metric `m`.
    pub fn cut_again(
        &self,
        metrics: usize,
        times: impl IntoIterator<Item = i64>,
        value: impl Fn(usize, usize) -> f64,
        wanted: &BTreeSet<i64>,
    ) -> Vec<Window> {
        let mut cutter = self.windows.alike(&self.settings.features);
        let mut again = Vec::new();
        let mut keep = |window: Window| {
            if wanted.contains(&window.end) {
                again.push(window);
            }
        };
        for (row, time) in times.into_iter().enumerate() {
            let value = |metric: usize| value(row, metric);
            match self.settings.judge {
                Judging::Reading => {
                    if let Some(window) = cutter.add_and_judge(time, metrics, value) {
                        keep(window);
                    }
                }
                Judging::Step => cutter.add(time, metrics, value, &mut keep),
            }
        }
        if let (Judging::Step, Some(last)) = (self.settings.judge, wanted.last()) {
            cutter.close_through(*last, keep);
        }
        again
    }

    /// Puts windows that were cut again in the place of those that wait for a model.
    pub fn revise_waiting(&mut self, again: Vec<Window>) {
        let Phase::Waiting(waiting) = &mut self.phase else {
            return;
        };
        for window in again {
            if let Ok(place) = waiting.binary_search_by_key(&window.end, |own| own.end) {
                waiting[place] = window;
            }
        }
    }

    /// Puts a model in place; gives the windows that have waited for it, to be judged next. Those
    /// that were collected to learn from are not judged.
    ///
    /// An alarm that is up goes on under the new model, until that says otherwise.
    pub fn install(&mut self, model: Arc<Model>, metrics: &[String]) -> Vec<Window> {
        let through = model.trained_through.timestamp_micros();
        let mut watch = Watch::new(model, &self.settings);
        watch.know_metrics(metrics);
        let before = std::mem::replace(&mut self.phase, Phase::Learning(None));
        let mut waiting: Vec<Window> = match before {
            Phase::Learning(_) => Vec::new(),
            Phase::Waiting(waiting) => waiting.into(),
            Phase::Judged(old) => {
                watch.take_over(&old.alarms());
                watch.take_averages(&old);
                Vec::new()
            }
        };
        if let Some(carried) = self.carried.take() {
            watch.take_over(&carried);
        }
        self.phase = Phase::Judged(Box::new(watch));
        waiting.retain(|window| window.end > through);
        if let Some(first) = waiting.first() {
            // They were seen, but not judged.
            self.through = first.end - 1;
        }
        waiting
    }

    /// Learning failed: the asset goes on and tries again half a period later.
    pub fn learning_failed(&mut self, windows: Box<Learning>) {
        if let Phase::Waiting(waiting) = &mut self.phase {
            let mut collected = windows;
            for window in waiting.drain(..) {
                collected.push(&window);
            }
            let half = self.settings.learning.micros() / 2;
            self.learning_from = self.learning_from.saturating_add(half);
            if half == 0 {
                // A period that is counted in readings: half of them are dropped.
                collected.drop_first(collected.len() / 2);
            } else {
                collected.keep_from(self.learning_from, &self.settings);
            }
            if collected.is_full() {
                collected.drop_first(collected.len() / 2);
            }
            self.phase = Phase::Learning(Some(collected));
        }
    }

    /// Takes over settings that differ in the limits that people promoted and in nothing else.
    pub fn take_limits(&mut self, settings: &Arc<ClassSettings>) {
        self.settings = Arc::clone(settings);
        if let Phase::Judged(watch) = &mut self.phase {
            watch.take_limits(settings);
        }
    }

    /// Learns the class's number of each metric; called when the class gets new metrics.
    pub fn know_metrics(&mut self, metrics: &[String]) {
        if let Phase::Judged(watch) = &mut self.phase {
            watch.know_metrics(metrics);
        }
    }

    /// The windows that were collected, while it has no model.
    pub fn collected(&self) -> Option<&Learning> {
        match &self.phase {
            Phase::Learning(collected) => collected.as_deref(),
            Phase::Waiting(_) | Phase::Judged(_) => None,
        }
    }

    /// Where it stands.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether it collects windows to learn from.
    pub fn is_collecting(&self) -> bool {
        matches!(self.phase, Phase::Learning(_))
    }

    /// The watch, once there is a model.
    pub fn watch(&self) -> Option<&Watch> {
        match &self.phase {
            Phase::Judged(watch) => Some(watch),
            Phase::Learning(_) | Phase::Waiting(_) => None,
        }
    }

    /// Event time of the newest reading.
    pub fn newest(&self) -> i64 {
        self.windows.newest()
    }

    /// End of the last window that was judged or collected.
    pub fn through(&self) -> i64 {
        self.through
    }

    /// First reading, or the first one of the learning period; the last instant: none has come.
    pub fn learning_from(&self) -> i64 {
        self.learning_from
    }

    /// How much of the learning period is over, 0 to 1; `None` once there is a model.
    pub fn learned(&self) -> Option<f64> {
        let collected = match &self.phase {
            Phase::Learning(collected) => collected.as_ref().map_or(0, |all| all.seen()),
            Phase::Waiting(_) => return Some(1.0),
            Phase::Judged(_) => return None,
        };
        let seen = self.newest().saturating_sub(self.learning_from);
        let of_time = part(seen, self.settings.learning.micros());
        let least = i64::from(self.settings.learning_readings);
        let of_readings = part(i64::try_from(collected).unwrap_or(i64::MAX), least);
        Some(if least == 0 {
            of_time
        } else {
            of_time.min(of_readings)
        })
    }

    /// The alarms that are up, by the detector's name.
    pub fn alarms(&self) -> Carried {
        match &self.phase {
            Phase::Judged(watch) => watch.alarms(),
            Phase::Learning(_) | Phase::Waiting(_) => {
                self.carried.as_deref().cloned().unwrap_or_default()
            }
        }
    }

    /// Goes on with alarms of another monitor of the same asset.
    pub fn carry(&mut self, alarms: Carried) {
        self.carried = (!alarms.is_empty()).then(|| Box::new(alarms));
    }

    /// What its open window takes. **Units**: bytes.
    pub fn heap_bytes(&self) -> usize {
        self.windows.heap_bytes()
    }

    /// What the windows take that it learns from. **Units**: bytes.
    pub fn learning_bytes(&self) -> usize {
        match &self.phase {
            Phase::Learning(Some(collected)) => collected.heap_bytes() + size_of::<Learning>(),
            _ => 0,
        }
    }

    /// Judges a window, or collects it. Windows come in order; one that was judged before
    /// changes nothing.
    pub fn judge(&mut self, window: Window) -> News {
        if window.end <= self.through {
            return News::Skipped;
        }
        self.through = window.end;
        match &mut self.phase {
            Phase::Learning(collected) => {
                if window.rows < self.settings.min_samples {
                    return News::Skipped;
                }
                let seen = window.end.saturating_sub(self.learning_from);
                let over = seen > self.settings.learning.micros();
                let least = usize::try_from(self.settings.learning_readings).unwrap_or(0);
                let mut learned = collected.take().unwrap_or_else(|| {
                    Box::new(match self.settings.sharing {
                        Sharing::Asset => Learning::new(&self.settings),
                        Sharing::Class => Learning::thinned(&self.settings),
                    })
                });
                if self.settings.sharing == Sharing::Class {
                    learned.push(&window);
                    let enough = learned.seen() >= least.max(MIN_WINDOWS);
                    *collected = Some(learned);
                    return if over && enough {
                        News::LearnClass
                    } else {
                        News::Collected
                    };
                }
                let enough = learned.len() >= least.max(MIN_WINDOWS);
                if !enough || !(over || learned.is_full()) {
                    learned.push(&window);
                    *collected = Some(learned);
                    return News::Collected;
                }
                self.phase = Phase::Waiting([window].into());
                News::Learn(learned)
            }
            Phase::Waiting(waiting) => {
                if waiting.len() >= MAX_WAITING {
                    waiting.pop_front();
                }
                waiting.push_back(window);
                News::Collected
            }
            Phase::Judged(watch) => {
                let unknown = watch.unknown_windows();
                match watch.take(&window) {
                    Some(judgement) => News::Judged(window, judgement),
                    None if watch.unknown_windows() > unknown => News::UnknownRegime,
                    None => News::Skipped,
                }
            }
        }
    }
}

fn windows(settings: &ClassSettings, from: i64) -> Windows {
    let windows = Windows::new(settings.step.micros(), settings.steps_per_window(), from);
    windows.measured_for(&settings.features)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "spans are far below 2^52 microseconds"
)]
fn part(seen: i64, whole: i64) -> f64 {
    (seen as f64 / whole.max(1) as f64).clamp(0.0, 1.0)
}
