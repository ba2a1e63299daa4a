//! What is said about an asset: its health, and whether a repair has helped.

use chrono::{DateTime, Utc};

/// How an asset is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthState {
    /// What is normal is still being learned; nothing is raised.
    Learning,
    /// In band.
    Normal,
    /// Out of band.
    Alarm,
    /// It has sent nothing for too long.
    Stale,
    /// It has never sent anything.
    Unknown,
}

impl HealthState {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Learning => "learning",
            Self::Normal => "normal",
            Self::Alarm => "alarm",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
        }
    }
}

/// How an asset is.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// In one word.
    pub state: HealthState,
    /// Event time of its newest reading.
    pub newest: Option<DateTime<Utc>>,
    /// How much of the learning period is over, 0 to 1, while it is learning.
    pub learned: Option<f64>,
    /// Its latest score, 0 to 1; one half is the alarm limit.
    pub score: Option<f64>,
    /// The model behind the score.
    pub model: Option<String>,
    /// How far what its detectors say has gone from what they said of the learning period.
    pub drift: Option<Drift>,
}

/// How far what is said of an asset has gone from what was said while it was learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Share of the latest scores that are not in band.
    pub share: f64,
    /// The same share in the learning period.
    pub learned: f64,
    /// Whether that is so much more that the model no longer describes the asset.
    pub drifted: bool,
}

impl Health {
    /// Of an asset that nobody has heard of.
    pub fn unknown() -> Self {
        Self {
            state: HealthState::Unknown,
            newest: None,
            learned: None,
            score: None,
            model: None,
            drift: None,
        }
    }
}

/// Whether an asset is back in its band since a repair.
///
/// Judged only on windows and readings that lie wholly after the repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssetVerdict {
    /// It is: the last so many windows are in band and no rule names it.
    InBand {
        /// Windows in band in a row.
        windows: usize,
        /// Event time of the end of the newest.
        newest: DateTime<Utc>,
    },
    /// It is not, and has had the time.
    OutOfBand {
        /// Windows out of band in a row.
        windows: usize,
        /// Event time of the end of the newest.
        newest: DateTime<Utc>,
    },
    /// There are readings, but not enough to say.
    Waiting,
    /// No reading is newer than the repair.
    NoTelemetry,
}

impl AssetVerdict {
    /// Two opinions in one: whoever is out of band wins, then whoever still waits.
    pub fn and(self, other: Self) -> Self {
        let rank = |verdict: &Self| match verdict {
            Self::OutOfBand { .. } => 0,
            Self::NoTelemetry => 1,
            Self::Waiting => 2,
            Self::InBand { .. } => 3,
        };
        match (self, other) {
            (
                Self::InBand {
                    windows: a,
                    newest: m,
                },
                Self::InBand {
                    windows: b,
                    newest: n,
                },
            ) => Self::InBand {
                windows: a.min(b),
                newest: m.max(n),
            },
            (a, b) if rank(&a) <= rank(&b) => a,
            (_, b) => b,
        }
    }
}
