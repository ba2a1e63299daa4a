//! The business clock of a data folder.
//!
//! A folder is made with one clock and keeps it: readings, shifts and due dates of two clocks in
//! one ledger would be nonsense. `clock.json` says which.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Datelike as _, Days, NaiveTime, Utc};
use fieldwright_ingest::clock::{self, RealClock, ScaledClock, SharedClock};
use serde::{Deserialize, Serialize};

use crate::data_dir::{DataDirError, write_whole};

/// Business seconds per second of the wall that we still serve: at more, a shift passes in a blink.
const MAX_RATE: f64 = 50_000.0;

/// How long ago a scaled clock starts at least.
const START_DAYS_AGO: u64 = 30;

/// Wall time in which a scaled clock does not overtake the wall. **Units**: seconds.
const HEAD_START: f64 = 2_400.0;

/// Which clock a person asks for: `real` or `600x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClockSpec {
    /// The wall clock.
    Real,
    /// So many business seconds per second of the wall.
    Scaled(f64),
}

/// Why the clock of a folder could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The folder has another clock.
    #[error(
        "this data folder runs on the clock `{kept}`, not on `{asked}`; leave --clock out, or name another folder"
    )]
    Another {
        /// What the folder keeps.
        kept: String,
        /// What was asked for.
        asked: String,
    },
    /// `clock.json` does not say what a clock is.
    #[error(
        "{path} is not a clock file ({detail}); restore it from a backup, or name another folder"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// `clock.json` could not be written.
    #[error(transparent)]
    Write(#[from] DataDirError),
}

/// The clock as it stands in `clock.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
enum Kept {
    Real,
    Scaled {
        rate: f64,
        wall_origin: DateTime<Utc>,
        business_origin: DateTime<Utc>,
    },
}

/// Opens the folder's clock; makes it on first use.
///
/// **Errors**: `Another` when the folder keeps a clock that is not the one asked for.
pub fn open(dir: &Path, asked: Option<ClockSpec>) -> Result<SharedClock, ClockError> {
    let path = dir.join("clock.json");
    let kept = match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| ClockError::Unreadable {
            path: path.display().to_string(),
            detail: error.to_string(),
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let kept = Kept::start(asked.unwrap_or(ClockSpec::Real), clock::wall_now());
            let text = serde_json::to_string_pretty(&kept).expect("plain data serializes");
            write_whole(&path, text.as_bytes())?;
            kept
        }
        Err(error) => {
            return Err(ClockError::Unreadable {
                path: path.display().to_string(),
                detail: error.to_string(),
            });
        }
    };
    if let Some(asked) = asked.filter(|asked| *asked != kept.spec()) {
        return Err(ClockError::Another {
            kept: kept.spec().to_string(),
            asked: asked.to_string(),
        });
    }
    Ok(kept.clock())
}

/// Which clock a running one is.
pub fn spec(clock: &SharedClock) -> ClockSpec {
    match clock.rate() {
        1.0 => ClockSpec::Real,
        rate => ClockSpec::Scaled(rate),
    }
}

impl Kept {
    /// A scaled clock starts at the beginning of a working week: 07:00 UTC on a Monday.
    fn start(spec: ClockSpec, wall: DateTime<Utc>) -> Self {
        match spec {
            ClockSpec::Real => Self::Real,
            ClockSpec::Scaled(rate) => {
                let overtaken = Days::new(START_DAYS_AGO.max(days(rate * HEAD_START)));
                let day = wall.date_naive() - overtaken;
                let monday = day - Days::new(u64::from(day.weekday().num_days_from_monday()));
                let seven = NaiveTime::from_hms_opt(7, 0, 0).expect("seven o'clock exists");
                Self::Scaled {
                    rate,
                    wall_origin: wall,
                    business_origin: monday.and_time(seven).and_utc(),
                }
            }
        }
    }

    fn spec(self) -> ClockSpec {
        match self {
            Self::Real => ClockSpec::Real,
            Self::Scaled { rate, .. } => ClockSpec::Scaled(rate),
        }
    }

    fn clock(self) -> SharedClock {
        match self {
            Self::Real => Arc::new(RealClock),
            Self::Scaled {
                rate,
                wall_origin,
                business_origin,
            } => Arc::new(ScaledClock {
                wall_origin,
                business_origin,
                rate,
            }),
        }
    }
}

/// Whole days in so many seconds, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates have a limit and are positive"
)]
fn days(seconds: f64) -> u64 {
    (seconds / 86_400.0).ceil() as u64
}

impl std::fmt::Display for ClockSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Real => f.write_str("real"),
            Self::Scaled(rate) => write!(f, "{rate}x"),
        }
    }
}

impl FromStr for ClockSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "real" {
            return Ok(Self::Real);
        }
        let rate = text
            .strip_suffix('x')
            .and_then(|number| number.parse::<f64>().ok())
            .filter(|rate| rate.is_finite() && *rate > 0.0 && *rate <= MAX_RATE);
        rate.map(Self::Scaled).ok_or_else(|| {
            format!("`{text}` is no clock; say `real`, or a rate up to {MAX_RATE}x such as `600x`")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_read_and_refused() {
        for (text, expected) in [
            ("real", Some(ClockSpec::Real)),
            ("600x", Some(ClockSpec::Scaled(600.0))),
            ("0.5x", Some(ClockSpec::Scaled(0.5))),
            ("0x", None),
            ("-1x", None),
            ("18750x", Some(ClockSpec::Scaled(18_750.0))),
            ("60000x", None),
            ("NaNx", None),
            ("fast", None),
        ] {
            assert_eq!(text.parse::<ClockSpec>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_folder_keeps_its_clock() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), Some(ClockSpec::Scaled(60.0))).unwrap();
        assert_eq!(first.rate(), 60.0);
        assert_eq!(first.now().weekday(), chrono::Weekday::Mon);
        let fast = tempfile::tempdir().unwrap();
        let fast = open(fast.path(), Some(ClockSpec::Scaled(18_750.0))).unwrap();
        let year = chrono::TimeDelta::days(366);
        assert!(
            fast.now() + year < clock::wall_now(),
            "a year lies behind the wall"
        );
        assert!(open(dir.path(), Some(ClockSpec::Scaled(60.0))).is_ok());
        assert_eq!(open(dir.path(), None).unwrap().rate(), 60.0);
        let refused = open(dir.path(), Some(ClockSpec::Real)).unwrap_err();
        assert!(refused.to_string().contains("`60x`"), "{refused}");
    }
}
