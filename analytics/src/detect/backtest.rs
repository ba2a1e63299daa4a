//! Back-tests: what a model would have said of a span of the past, through the very monitor that
//! judges the stream. Nothing is raised.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Utc};
use fieldwright_condition::episode::Turn;
use fieldwright_condition::{ClassSettings, Judgement, Model, Monitor, News};

use super::engine::Columns;
use super::evidence::instant;

/// Episodes that a report names.
pub const MAX_EPISODES: usize = 200;

/// What a model would have said.
#[derive(Debug, Clone, PartialEq)]
pub struct BackTestReport {
    /// The model.
    pub version: String,
    /// Windows that it judged.
    pub windows: u64,
    /// Windows that it could not judge.
    pub skipped: u64,
    /// Windows that were out of band.
    pub out_of_band: u64,
    /// Alarms that it would have raised.
    pub alarms: u64,
    /// The first of them.
    pub episodes: Vec<BackTestEpisode>,
}

/// An alarm that would have been.
#[derive(Debug, Clone, PartialEq)]
pub struct BackTestEpisode {
    /// The detector.
    pub detector: String,
    /// Event time of the end of the first window out of band.
    pub began_at: DateTime<Utc>,
    /// Event time at which it would have been raised.
    pub raised_at: DateTime<Utc>,
    /// Event time at which it would have returned; `None`: not before the span ended.
    pub returned_at: Option<DateTime<Utc>>,
    /// The largest ratio while it was up.
    pub peak: f64,
}

/// Judges rows in order of event time; `goes_on` is told how much is done and may stop it.
///
/// `None` when it was stopped.
pub(super) fn back_test(
    settings: &Arc<ClassSettings>,
    model: &Arc<Model>,
    batches: &[RecordBatch],
    goes_on: impl Fn(f64) -> bool,
) -> Option<BackTestReport> {
    let mut monitor = Monitor::with_model(Arc::clone(settings), Arc::clone(model));
    let mut metrics: Vec<String> = Vec::new();
    let mut report = BackTestReport {
        version: model.version.clone(),
        windows: 0,
        skipped: 0,
        out_of_band: 0,
        alarms: 0,
        episodes: Vec::new(),
    };
    for (place, batch) in batches.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "counts of batches are small")]
        let done = place as f64 / batches.len() as f64;
        if !goes_on(done) {
            return None;
        }
        let known = metrics.len();
        let number = |name: &str| match metrics.iter().position(|metric| metric == name) {
            Some(number) => number,
            None => {
                metrics.push(name.to_owned());
                metrics.len() - 1
            }
        };
        let Some(columns) = Columns::of(batch, number) else {
            continue;
        };
        if metrics.len() > known {
            monitor.know_metrics(&metrics);
        }
        let slices = columns.by_metric(metrics.len());
        let mut closed = Vec::new();
        for row in 0..batch.num_rows() {
            let value = |metric: usize| slices[metric].as_ref().map_or(f64::NAN, |s| s.value(row));
            monitor.cut(columns.time(row), slices.len(), value, |window| {
                closed.push(window)
            });
            for window in closed.drain(..) {
                match monitor.judge(window) {
                    News::Judged(_, judgement) => report.note(&monitor, settings, &judgement),
                    _ => report.skipped += 1,
                }
            }
        }
    }
    Some(report)
}

impl BackTestReport {
    fn note(&mut self, monitor: &Monitor, settings: &ClassSettings, judgement: &Judgement) {
        self.windows += 1;
        let Some(watch) = monitor.watch() else { return };
        let at = instant(judgement.end);
        let mut out_of_band = false;
        for (name, verdict) in watch.names().zip(&judgement.verdicts) {
            let Some(verdict) = verdict.filter(|_| settings.raises(name)) else {
                continue;
            };
            out_of_band |= verdict.out_of_band;
            if let Turn::Raise { began } = verdict.turn {
                self.alarms += 1;
                if self.episodes.len() < MAX_EPISODES {
                    self.episodes.push(BackTestEpisode {
                        detector: name.to_owned(),
                        began_at: instant(began),
                        raised_at: at,
                        returned_at: None,
                        peak: verdict.ratio,
                    });
                }
            }
            let mut latest = self.episodes.iter_mut().rev();
            let up = latest.find(|one| one.detector == name && one.returned_at.is_none());
            if let Some(up) = up {
                up.peak = up.peak.max(verdict.ratio);
                if verdict.turn == Turn::Return {
                    up.returned_at = Some(at);
                }
            }
        }
        self.out_of_band += u64::from(out_of_band);
    }
}
