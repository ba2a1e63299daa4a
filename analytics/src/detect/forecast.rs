//! The one question of scheduling, pricing and triage: how likely is a failure before a date?

use chrono::{DateTime, TimeDelta, Utc};
use fieldwright_condition::ClassSettings;
use fieldwright_condition::prognosis::class_life::LifeEstimate;
use fieldwright_condition::prognosis::degradation::{Degradation, NoDegradation};

/// What a forecast stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Its remaining life, as the model of its class has learned it from assets that failed.
    Life,
    /// The trend of the asset's own health index.
    Trend,
    /// Its age and the lives of its class: nothing is known of its condition.
    Age,
}

impl Basis {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Life => "life",
            Self::Trend => "trend",
            Self::Age => "age",
        }
    }
}

/// How likely an asset is to fail.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureForecast {
    /// Probability of a failure before the date, 0 to 1.
    pub probability: f64,
    /// What it stands on.
    pub basis: Basis,
    /// Event time of what is known, or the instant of the question for what goes by age.
    pub as_of: DateTime<Utc>,
    /// The date.
    pub before: DateTime<Utc>,
    /// One sentence for people.
    pub text: String,
}

/// Why nobody can say, a sentence each.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct NoForecast(pub Vec<String>);

/// Why nobody can say how long an asset will last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRemainingLife {
    /// It is not known here.
    #[error("it has never sent anything")]
    Unknown,
    /// Its class does not say what tells of it.
    #[error("its class declares nothing that tells of remaining life")]
    NotDeclared,
    /// Nothing was learned yet, or nobody has put it in use.
    #[error("no model of remaining life is in use for its class")]
    NoModel,
    /// It has led its present life too shortly, nobody has told when that began, or it runs as no
    /// life before.
    #[error(
        "version {0} of its class's model of remaining life has no reading of its present life in a known way of running"
    )]
    NoReading(String),
}

/// Where the health indexes of an asset are going, or why nobody can say.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetDegradation {
    /// Of the asset as a whole.
    pub asset: Result<Degradation, NoDegradation>,
    /// Of its components, in the order of their names.
    pub components: Vec<(String, Result<Degradation, NoDegradation>)>,
}

/// Whether an estimate is of now: an asset that has long been silent, or has long run in an unknown
/// way, may have been repaired, moved or switched off since.
pub(super) fn is_fresh_life(
    life: &LifeEstimate,
    settings: &ClassSettings,
    now: DateTime<Utc>,
) -> bool {
    let every = settings.life.as_ref().map_or(0, |own| own.every());
    now - life.as_of <= settings.stale_after.delta() + TimeDelta::microseconds(every)
}
