//! One asset on its way: it is learned, waits for its model, and is judged.

use std::collections::VecDeque;
use std::sync::Arc;

use super::model::{MIN_WINDOWS, Model};
use super::settings::{ClassSettings, Judging};
use super::watch::{Judgement, Watch};
use super::window::{Window, Windows};

/// Windows that wait for a model at most; older ones are not judged.
pub const MAX_WAITING: usize = 50_000;

/// What a reading has led to.
#[derive(Debug)]
pub enum News {
    /// The learning period is over: a model has to be learned from these windows and installed.
    Learn(Vec<Window>),
    /// A window was judged.
    Judged(Window, Judgement),
    /// A window was not judged: too few readings or metrics.
    Skipped,
}

/// One asset.
#[derive(Debug)]
pub struct Monitor {
    settings: Arc<ClassSettings>,
    windows: Windows,
    phase: Phase,
    learning_from: i64,
    through: i64,
}

/// Where an asset stands.
#[derive(Debug)]
pub enum Phase {
    /// Windows are collected.
    Learning(Vec<Window>),
    /// A model is being learned; windows wait for it.
    Waiting(VecDeque<Window>),
    /// Windows are judged.
    Judged(Box<Watch>),
}

impl Monitor {
    /// An asset of which nothing is known: its first reading begins the learning period.
    pub fn new(settings: Arc<ClassSettings>) -> Self {
        Self {
            windows: Windows::new(
                settings.step.micros(),
                settings.steps_per_window(),
                i64::MIN + 1,
            ),
            phase: Phase::Learning(Vec::new()),
            learning_from: i64::MAX,
            through: i64::MIN,
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

    /// Takes a reading: `value(m)` is the value of the class's metric `m`, NaN when missing.
    ///
    /// `metrics` are the class's metrics by number. A reading that is not newer than the newest
    /// one changes nothing.
    pub fn take(
        &mut self,
        time: i64,
        metrics: usize,
        value: impl Fn(usize) -> f64,
        mut news: impl FnMut(News),
    ) {
        if self.learning_from == i64::MAX {
            self.learning_from = time;
        }
        match self.settings.judge {
            Judging::Reading => {
                if let Some(window) = self.windows.add_and_judge(time, metrics, value) {
                    self.judge(window, &mut news);
                }
            }
            Judging::Step => {
                let mut closed = Vec::new();
                let close = |window| closed.push(window);
                self.windows.add(time, metrics, value, close);
                for window in closed {
                    self.judge(window, &mut news);
                }
            }
        }
    }

    /// Puts a model in place and judges what has waited for it.
    ///
    /// An alarm that is up goes on under the new model, until that says otherwise.
    pub fn install(&mut self, model: Arc<Model>, metrics: &[String], mut news: impl FnMut(News)) {
        let through = model.trained_through.timestamp_micros();
        let mut watch = Watch::new(model, &self.settings);
        watch.know_metrics(metrics);
        let before = std::mem::replace(&mut self.phase, Phase::Learning(Vec::new()));
        let waiting: Vec<Window> = match before {
            Phase::Learning(collected) => collected,
            Phase::Waiting(waiting) => waiting.into(),
            Phase::Judged(old) => {
                watch.take_over(&old);
                Vec::new()
            }
        };
        self.phase = Phase::Judged(Box::new(watch));
        for window in waiting.into_iter().filter(|window| window.end > through) {
            self.judge(window, &mut news);
        }
    }

    /// Learning failed: the asset goes on and tries again half a period later.
    pub fn learning_failed(&mut self, windows: Vec<Window>) {
        if let Phase::Waiting(waiting) = &mut self.phase {
            let mut collected = windows;
            collected.extend(waiting.drain(..));
            let half = self.settings.learning.micros() / 2;
            self.learning_from = self.learning_from.saturating_add(half);
            collected.retain(|window| window.start >= self.learning_from);
            if half == 0 {
                // A period that is counted in readings: half of them are dropped.
                collected.drain(..collected.len() / 2);
            }
            self.phase = Phase::Learning(collected);
        }
    }

    /// Learns the class's number of each metric; called when the class gets new metrics.
    pub fn know_metrics(&mut self, metrics: &[String]) {
        if let Phase::Judged(watch) = &mut self.phase {
            watch.know_metrics(metrics);
        }
    }

    /// Where it stands.
    pub fn phase(&self) -> &Phase {
        &self.phase
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

    fn judge(&mut self, window: Window, news: &mut impl FnMut(News)) {
        self.through = self.through.max(window.end);
        match &mut self.phase {
            Phase::Learning(collected) => {
                if window.rows < self.settings.min_samples {
                    return news(News::Skipped);
                }
                let seen = window.end.saturating_sub(self.learning_from);
                let over = seen > self.settings.learning.micros();
                let least = usize::try_from(self.settings.learning_readings).unwrap_or(0);
                if !over || collected.len() < least.max(MIN_WINDOWS) {
                    collected.push(window);
                    return;
                }
                let learned = std::mem::take(collected);
                self.phase = Phase::Waiting([window].into());
                news(News::Learn(learned));
            }
            Phase::Waiting(waiting) => {
                if waiting.len() >= MAX_WAITING {
                    waiting.pop_front();
                    news(News::Skipped);
                }
                waiting.push_back(window);
            }
            Phase::Judged(watch) => match watch.take(&window) {
                Some(judgement) => news(News::Judged(window, judgement)),
                None => news(News::Skipped),
            },
        }
    }
}
