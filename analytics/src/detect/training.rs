//! The training of one model, to be run away from the stream.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use fieldwright_condition::model::learn_from;
use fieldwright_condition::monitor::Carried;
use fieldwright_condition::window::Window;
use fieldwright_condition::{ClassSettings, FitError, Learning, Model, Monitor};

use super::engine::Columns;
use super::history::HistoryError;
use super::models::ModelFolderError;

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
