//! The one question of scheduling, pricing and triage: how likely is a failure before a date?

use chrono::{DateTime, Utc};
use fieldwright_condition::prognosis::degradation::{Degradation, NoDegradation};

/// What a forecast stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The trend of the asset's own health index.
    Trend,
    /// Its age and the lives of its class: nothing is known of its condition.
    Age,
}

impl Basis {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
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

/// Where the health indexes of an asset are going, or why nobody can say.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetDegradation {
    /// Of the asset as a whole.
    pub asset: Result<Degradation, NoDegradation>,
    /// Of its components, in the order of their names.
    pub components: Vec<(String, Result<Degradation, NoDegradation>)>,
}
