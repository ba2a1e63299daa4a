//! Condition monitoring of one asset at a time: readings in, judgements out.
//!
//! Everything here is synchronous and knows no clock, no table and no store, so that the service,
//! the benches and the tests run the very same code. Rows in order of event time become windows
//! ([`window`]), windows become declared features ([`features`]), features go to detectors
//! ([`detector`], [`detectors`]), and what a detector says becomes an alarm when it lasts
//! ([`episode`]). [`watch`] puts that together for an asset with a [`model`], and [`monitor`] learns that before; [`prognosis`] says
//! how long something lasts.

pub mod bench;
pub mod bits;
pub mod detector;
pub mod detectors;
pub mod episode;
pub mod features;
pub mod fleet;
pub mod guard;
pub mod health;
pub mod learning;
pub mod matrix;
pub mod model;
pub mod monitor;
mod numbers;
mod outliers;
pub mod prognosis;
pub mod regimes;
pub mod settings;
pub mod shared;
pub mod span;
pub mod watch;
pub mod window;

pub use detector::{Contribution, Detector, Explanation, FitError, Sample, Score, Training};
pub use fleet::{ClassModel, Fleet, Member, Reference};
pub use learning::Learning;
pub use model::{Evaluation, LeftOut, Model, learn};
pub use monitor::{Monitor, News};
pub use settings::{
    ClassSettings, DEFAULT_TOML, FeatureKind, Judging, Kinds, Severity, Sharing, Watching,
};
pub use span::{BadSpan, Span};
pub use watch::{Judgement, Verdict, Watch};

#[cfg(test)]
mod bad_input_tests;
