//! Detection: windows of readings, one multivariate detector, SQL rules, and the alarms they raise.
//!
//! Per asset: rows in order of event time close windows ([`window`]); a window becomes features
//! ([`features`]); the features of the learning period become a model ([`pca`]); later windows get
//! a score from it, beside a slowly moving [`reference`]; scores that stay over the limit become an
//! [`episode`], and an episode becomes an alarm. Everything up to there is synchronous and knows
//! no clock: [`engine`]. [`Detection`] feeds it from the stream of commits, trains models on other
//! threads, keeps progress and alarms, and answers questions.

pub mod config;
pub mod engine;
pub mod episode;
mod evidence;
pub mod features;
mod history;
mod matrix;
mod models;
pub mod pca;
mod recording;
pub mod reference;
pub mod rules;
mod service;
mod track;
mod training;
mod verdict;
pub mod window;

#[cfg(test)]
mod plant_tests;
#[cfg(test)]
mod service_tests;
#[cfg(test)]
mod skab_tests;

pub use config::{BadSpan, Span};
pub use config::{ClassSettings, DEFAULT_TOML, DetectConfig, FeatureKind, ModelKind, RuleSettings};
pub use history::HistoryError;
pub use models::{ModelFolder, ModelFolderError, ModelSummary};
pub use pca::PcaModel;
pub use recording::score_recording;
pub use recording::{RecordedAlarm, Recording, RecordingError, RecordingResult, ScoredWindow};
pub use rules::RuleStats;
pub use service::{Detection, DetectionError, DetectionParts, DetectionStats};
pub use training::TrainError;
pub use verdict::{AssetVerdict, Health, HealthState};

/// Name of the multivariate detector: the cause of its alarms.
pub const DETECTOR: &str = "pca";
