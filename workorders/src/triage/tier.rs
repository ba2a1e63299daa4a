//! What is known of a condition, and what may be done about it.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::orders::Severity;

words! {
    /// What an alarm comes to, mildest first.
    Tier {
        /// It is recorded; nobody does anything.
        Watch => "watch",
        /// A person looks from afar and closes or escalates it.
        RemoteCheck => "remote_check",
        /// An order that goes with the next visit that is due.
        PlannedInspection => "planned_inspection",
        /// An order for a visit of its own, now.
        Dispatch => "dispatch",
    }
}

impl Tier {
    /// Whether it makes an order, and so counts against the budget.
    pub fn is_order(self) -> bool {
        self >= Self::PlannedInspection
    }
}

/// How many of those who watch the asset see the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Detectors and rules that are in alarm, the teller included.
    pub agreeing: u32,
    /// Detectors and rules that watch the asset.
    pub watching: u32,
}

words! {
    /// What a forecast of failure stands on.
    ForecastBasis {
        /// Its remaining life, as its class has learned it from assets that failed: it knows of the
        /// condition.
        Life => "life",
        /// The trend of the asset's own health: it knows of the condition.
        Trend => "trend",
        /// Its age and the lives of its class: it knows nothing of the condition.
        Age => "age",
    }
}

/// How likely an asset is to fail within the horizon of triage, as somebody else has computed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Probability of failure. **Units** millionths, 0 to 1,000,000.
    pub ppm: u32,
    /// What it stands on.
    pub basis: ForecastBasis,
}

/// What is known of a condition, as plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// How bad it is.
    pub severity: Severity,
    /// Probability that there is something to be found. **Units** basis points, 0 to 10,000.
    pub confidence_bp: u32,
    /// How long the asset has been out of its band. **Units** seconds of event time.
    pub persistence_s: i64,
    /// Probability of failure within the horizon, given that the condition is real, in the word of
    /// whoever raised it; none where it says nothing. **Units** millionths, 0 to 1,000,000.
    pub failure_ppm: Option<u32>,
    /// The forecast of the asset, whatever was raised; none where nobody can say.
    pub forecast: Option<Forecast>,
    /// Who else sees it.
    pub agreement: Agreement,
}

impl Facts {
    /// How long the asset has been out of its band.
    pub fn persistence(&self) -> TimeDelta {
        TimeDelta::try_seconds(self.persistence_s).unwrap_or(TimeDelta::MAX)
    }
}
