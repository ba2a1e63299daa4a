//! Detection: assets under watch, SQL rules, and the alarms they raise.
//!
//! What an asset's readings say is the business of [`fieldwright_condition`]: windows, features,
//! detectors and episodes, synchronous and without a clock. [`engine`] keeps a monitor per asset
//! and turns what they say into findings; [`Detection`] feeds it from the stream of commits, trains
//! models on other threads, keeps progress and alarms, and answers questions.

pub mod config;
pub mod engine;
mod evidence;
mod guards;
mod history;
mod models;
mod recording;
pub mod rules;
mod service;
mod track;
mod training;
mod verdict;

#[cfg(test)]
mod plant_tests;
#[cfg(test)]
mod service_tests;
#[cfg(test)]
mod skab_tests;

pub use config::{DEFAULT_TOML, DetectConfig, RuleSettings};
pub use fieldwright_condition::{BadSpan, ClassSettings, FeatureKind, FitError, Model, Span};
pub use history::HistoryError;
pub use models::{ModelFolder, ModelFolderError, ModelSummary};
pub use recording::score_recording;
pub use recording::{RecordedAlarm, Recording, RecordingError, RecordingResult, ScoredWindow};
pub use rules::RuleStats;
pub use service::{Detection, DetectionError, DetectionParts, DetectionStats};
pub use training::TrainError;
pub use verdict::{AssetVerdict, Health, HealthState};
