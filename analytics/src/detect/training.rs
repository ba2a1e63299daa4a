//! The training of one model, to be run away from the stream.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use fieldwright_condition::model::learn_from;
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
    /// The windows to learn from, in order of time.
    pub windows: Box<Learning>,
}

impl TrainingJob {
    /// The training of one asset on rows in order of event time.
    pub(super) fn from_rows(
        class: Arc<str>,
        asset: String,
        settings: Arc<ClassSettings>,
        batches: &[RecordBatch],
    ) -> Self {
        let mut monitor = Monitor::new(Arc::clone(&settings));
        let learning = Learning::new(&settings);
        let mut job = Self {
            class,
            asset,
            settings,
            metrics: Vec::new(),
            windows: Box::new(learning),
        };
        for batch in batches {
            let metrics = &mut job.metrics;
            let number = |name: &str| {
                metrics
                    .iter()
                    .position(|known| known == name)
                    .unwrap_or_else(|| {
                        metrics.push(name.to_owned());
                        metrics.len() - 1
                    })
            };
            let Some(columns) = Columns::of(batch, number) else {
                continue;
            };
            let slices = columns.by_metric(job.metrics.len());
            for row in 0..batch.num_rows() {
                let value =
                    |metric: usize| slices[metric].as_ref().map_or(f64::NAN, |s| s.value(row));
                monitor.cut(columns.time(row), slices.len(), value, |window| {
                    if window.rows < job.settings.min_samples {
                        return;
                    }
                    if job.windows.is_full() {
                        // The newest are the ones that count.
                        job.windows.drop_first(job.windows.len() / 8);
                    }
                    job.windows.push(&window);
                });
            }
        }
        job
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
