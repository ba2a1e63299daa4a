//! Detection: assets under watch, SQL rules, and the alarms they raise.
//!
//! What an asset's readings say is the business of [`fieldwright_condition`]: windows, features,
//! detectors and episodes, synchronous and without a clock. [`engine`] keeps a monitor per asset
//! and turns what they say into findings; [`Detection`] feeds it from the stream of commits, trains
//! models on other threads, keeps progress and alarms, and answers questions.

mod backtest;
mod classes;
pub mod config;
pub mod engine;
mod evidence;
mod forecast;
mod guards;
mod history;
mod jobs;
mod lives;
mod models;
mod recording;
mod registry;
pub mod rules;
mod scores;
mod service;
mod shadow;
mod track;
mod training;
mod verdict;
mod withheld;

#[cfg(test)]
mod plant_tests;
#[cfg(test)]
mod service_tests;
#[cfg(test)]
mod skab_tests;

pub use backtest::{BackTestEpisode, BackTestReport};
pub use fieldwright_condition::watch::Condition;

pub use classes::ClassRecord;
pub use config::{DEFAULT_TOML, DetectConfig, RuleSettings};
pub use fieldwright_condition::prognosis::ages::AssetLives;
pub use fieldwright_condition::prognosis::class_life::LifeEstimate;
pub use fieldwright_condition::prognosis::degradation::{Degradation, NoDegradation};
pub use fieldwright_condition::{BadSpan, ClassSettings, FeatureKind, FitError, Model, Span};
pub use forecast::{AssetDegradation, Basis, FailureForecast, NoForecast, NoRemainingLife};
pub use history::HistoryError;
pub use jobs::{JobRefusal, JobReport, JobRequest, JobResult, JobState, Then, Work};
pub use lives::LifeRecord;
pub use models::{ModelFolder, ModelFolderError, ModelSummary};
pub use recording::score_recording;
pub use recording::{RecordedAlarm, Recording, RecordingError, RecordingResult, ScoredWindow};
pub use registry::{ModelRecord, Promotion};
pub use rules::RuleStats;
pub use scores::{AssetScore, KEPT_SCORES};
pub use service::{Detection, DetectionError, DetectionParts, DetectionStats, VersionError};
pub use shadow::ShadowReport;
pub use training::TrainError;
pub use verdict::{AssetVerdict, Drift, Health, HealthState};
