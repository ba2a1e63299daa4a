//! The training of one model, to be run away from the stream.

use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use fieldwright_condition::model::learn_from;
use fieldwright_condition::monitor::Carried;
use fieldwright_condition::window::Window;
use fieldwright_condition::{ClassSettings, FitError, Learning, Model, Monitor};

use super::engine::Columns;
use super::history::HistoryError;
use super::models::ModelFolderError;

/// Share of the stream's windows without a metric beyond which live windows are taken to miss it: a
/// model leaves it out then.
const MISSING_SHARE: f64 = 0.1;

/// Everything that the training of one asset needs.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingJob {
    /// The asset's class.
    pub class: Arc<str>,
    /// The asset's tag.
    pub asset: String,
    /// How the class is watched.
    pub settings: Arc<ClassSettings>,
    /// Names of the class's metrics by number.
    pub metrics: Vec<String>,
    /// Event time of the first reading that they are of. **Units**: microseconds since 1970.
    pub from: i64,
    /// End of the last of them. **Units**: microseconds since 1970.
    pub through: i64,
    /// The windows to learn from, in order of time.
    pub windows: Box<Learning>,
}

impl TrainingJob {
    /// The training of one asset on rows in order of event time, of all windows that end before
    /// `until` or then.
    pub(super) fn from_rows(
        class: Arc<str>,
        asset: String,
        settings: Arc<ClassSettings>,
        batches: &[RecordBatch],
        until: i64,
    ) -> Self {
        let windows = Box::new(Learning::new(&settings));
        let mut job = Self {
            class,
            asset,
            settings,
            metrics: Vec::new(),
            from: i64::MIN + 1,
            through: until,
            windows,
        };
        for batch in batches {
            Columns::of(batch, |name| number_of(&mut job.metrics, name));
        }
        job.cut_again(batches);
        job
    }

    /// Cuts the windows to learn from again, from stored rows in order of event time with late
    /// ones where they belong; gives the windows after those, which wait for the model.
    ///
    /// Metrics that the job does not know are left out.
    pub(super) fn cut_again(&mut self, batches: &[RecordBatch]) -> Vec<Window> {
        let settings = Arc::clone(&self.settings);
        let mut monitor = Monitor::learning_again(settings, self.from, Carried::new());
        let mut learning = Learning::new(&self.settings);
        let mut waiting = Vec::new();
        let mut keep = |window: Window| {
            if window.end > self.through {
                waiting.push(window);
            } else if window.rows >= self.settings.min_samples {
                if learning.is_full() {
                    // The newest are the ones that count.
                    learning.drop_first(learning.len() / 8);
                }
                learning.push(&window);
            }
        };
        for batch in batches {
            let number = |name: &str| {
                let known = self.metrics.iter().position(|known| known == name);
                known.unwrap_or(usize::MAX)
            };
            let Some(columns) = Columns::of(batch, number) else {
                continue;
            };
            let slices = columns.by_metric(self.metrics.len());
            for row in 0..batch.num_rows() {
                let value =
                    |metric: usize| slices[metric].as_ref().map_or(f64::NAN, |s| s.value(row));
                monitor.cut(columns.time(row), slices.len(), value, &mut keep);
            }
        }
        monitor.close_through(self.through, keep);
        *self.windows = learning;
        waiting
    }

    /// The same, unless live windows, as those of the `stream`, would not have what the new ones have: the model would judge
    /// none of them. Then the job stays as it is.
    ///
    /// **Errors** say what the stream does not have.
    pub(super) fn cut_as_streamed(
        &mut self,
        batches: &[RecordBatch],
        stream: &Learning,
    ) -> Result<Vec<Window>, Unlike> {
        let before = self.windows.clone();
        let waiting = self.cut_again(batches);
        match self.unlike(stream) {
            None => Ok(waiting),
            Some(unlike) => {
                self.windows = before;
                Err(unlike)
            }
        }
    }

    /// What the windows have and the newer half of those of the stream do not: what was late for a
    /// while and came in time again is no trouble.
    fn unlike(&self, stream: &Learning) -> Option<Unlike> {
        if stream.is_empty() || self.windows.is_empty() {
            return None;
        }
        let newer = stream.len() / 2..stream.len();
        let missing = |windows: &Learning, which: Range<usize>, metric: usize| {
            let has = |window: &usize| {
                let mut kinds = self.settings.features.iter();
                kinds.any(|kind| windows.value(*window, metric, *kind).is_finite())
            };
            let all = which.len();
            1.0 - which.filter(has).count() as f64 / all as f64
        };
        let lost = |metric: &usize| {
            missing(stream, newer.clone(), *metric) > MISSING_SHARE
                && missing(&self.windows, 0..self.windows.len(), *metric) <= MISSING_SHARE
        };
        if let Some(metric) = (0..self.metrics.len()).find(lost) {
            return Some(Unlike::Metric(self.metrics[metric].clone()));
        }
        let (live, stored) = (
            usual_rows(stream, newer.clone()),
            usual_rows(&self.windows, 0..self.windows.len()),
        );
        let too_few = live < self.settings.min_coverage * stored;
        too_few.then_some(Unlike::Rows { live, stored })
    }

    /// Trains. Takes milliseconds to seconds of one core.
    ///
    /// **Errors** when the windows are too few, nothing moved in them, or a detector cannot be
    /// fitted.
    pub fn run(&self) -> Result<Model, FitError> {
        learn_from(
            &self.asset,
            &self.class,
            &self.settings,
            &self.metrics,
            &self.windows,
        )
    }
}

/// What stored windows of a learning period have, and those of the stream do not.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Unlike {
    /// A metric.
    #[error("metric {0} of an asset comes late in more than a tenth of its windows")]
    Metric(String),
    /// Readings.
    #[error("an asset's windows have {live} readings in time and {stored} with late ones")]
    Rows {
        /// Readings in a window of the stream, median.
        live: f64,
        /// Readings in a stored window, median.
        stored: f64,
    },
}

/// Readings that a window usually has.
fn usual_rows(windows: &Learning, which: Range<usize>) -> f64 {
    let mut rows: Vec<u32> = which.map(|window| windows.rows(window)).collect();
    rows.sort_unstable();
    f64::from(rows.get(rows.len() / 2).copied().unwrap_or(0))
}

/// The number of a metric among the known ones; a new one is added.
fn number_of(metrics: &mut Vec<String>, name: &str) -> usize {
    if let Some(number) = metrics.iter().position(|known| known == name) {
        return number;
    }
    metrics.push(name.to_owned());
    metrics.len() - 1
}

/// Why a training by hand failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Nobody has heard of the asset.
    #[error("asset {0} has sent no readings; nothing can be learned about it")]
    UnknownAsset(String),
    /// The span is empty.
    #[error("the span to learn from ends before it begins")]
    EmptySpan,
    /// The readings cannot be read.
    #[error("cannot read the history of asset {asset}")]
    History {
        /// The asset.
        asset: String,
        /// Why.
        source: HistoryError,
    },
    /// The readings are not enough.
    #[error("asset {asset}: {source}")]
    Fit {
        /// The asset.
        asset: String,
        /// Why.
        source: FitError,
    },
    /// The model cannot be kept.
    #[error("cannot keep the model of asset {asset}")]
    Keep {
        /// The asset.
        asset: String,
        /// Why.
        source: ModelFolderError,
    },
    /// Detection is being shut down.
    #[error("detection is shutting down")]
    ShuttingDown,
}
