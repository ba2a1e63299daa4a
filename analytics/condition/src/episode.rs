//! From ratios to alarms: minimum duration before, hysteresis and off delay after.

use serde::{Deserialize, Serialize};

use super::span::Span;

/// Evidence is added when a deviation has grown by this factor since the last was kept.
const GROWTH: f64 = 2.0;

/// When an excursion becomes an alarm, and when it is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delays {
    /// How long the limit must be exceeded. **Units**: event time.
    pub min_duration: Span,
    /// How long it must be back. **Units**: event time.
    pub off_delay: Span,
    /// Share of the limit below which it is in band again.
    pub release: f64,
}

/// Where an asset stands with its detector. Instants are event time in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Episode {
    /// In band.
    Quiet,
    /// Out of band, but not for long enough.
    Pending {
        /// End of the first window out of band.
        since: i64,
    },
    /// Out of band for long enough.
    Active {
        /// End of the first window out of band.
        since: i64,
        /// End of the first window in band again.
        back_since: Option<i64>,
        /// Ratio of the last evidence that was kept.
        shown: f64,
    },
}

/// What a window changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Turn {
    /// Nothing.
    None,
    /// An alarm begins to be.
    Raise {
        /// End of the first window out of band.
        began: i64,
    },
    /// An alarm goes on, clearly worse.
    Worse,
    /// An alarm returns to normal.
    Return,
}

impl Episode {
    /// Whether there is an alarm.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Active { .. })
    }

    /// Whether it is out of band, for long enough or not.
    pub fn is_out_of_band(&self) -> bool {
        !matches!(self, Self::Quiet)
    }

    /// Takes the ratio of the window that ends at `end`.
    ///
    /// Over 1 for the minimum duration raises; between the release and 1 an episode goes on as it
    /// was; below the release for the minimum duration returns.
    pub fn step(&mut self, end: i64, ratio: f64, delays: &Delays) -> Turn {
        let long = delays.min_duration.micros();
        match *self {
            Self::Quiet if ratio >= 1.0 => {
                *self = Self::Pending { since: end };
                self.raise_if_long(end, ratio, long)
            }
            Self::Quiet => Turn::None,
            Self::Pending { .. } if ratio < delays.release => {
                *self = Self::Quiet;
                Turn::None
            }
            Self::Pending { .. } => self.raise_if_long(end, ratio, long),
            Self::Active {
                since,
                back_since,
                shown,
            } if ratio < delays.release => {
                let back = back_since.unwrap_or(end);
                if end - back >= delays.off_delay.micros() {
                    *self = Self::Quiet;
                    return Turn::Return;
                }
                *self = Self::Active {
                    since,
                    back_since: Some(back),
                    shown,
                };
                Turn::None
            }
            Self::Active { since, shown, .. } => {
                let worse = ratio >= GROWTH * shown;
                let shown = if worse { ratio } else { shown };
                *self = Self::Active {
                    since,
                    back_since: None,
                    shown,
                };
                if worse { Turn::Worse } else { Turn::None }
            }
        }
    }

    /// Forgets what was building up when windows are missing in between.
    pub fn interrupt(&mut self) {
        match self {
            Self::Pending { .. } => *self = Self::Quiet,
            Self::Active { back_since, .. } => *back_since = None,
            Self::Quiet => {}
        }
    }

    fn raise_if_long(&mut self, end: i64, ratio: f64, long: i64) -> Turn {
        let Self::Pending { since } = *self else {
            return Turn::None;
        };
        if end - since < long {
            return Turn::None;
        }
        *self = Self::Active {
            since,
            back_since: None,
            shown: ratio.max(1.0),
        };
        Turn::Raise { began: since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ratios of windows a minute apart; `min_duration` is two minutes, release 0.7.
    /// Expected is one letter per window: R raise, W worse, B back, - nothing, X interrupted.
    #[track_caller]
    fn check(ratios: &str, expected: &str) {
        let delays = Delays {
            min_duration: Span::seconds(120),
            off_delay: Span::seconds(120),
            release: 0.7,
        };
        let mut episode = Episode::Quiet;
        let mut turns = String::new();
        for (minute, word) in ratios.split(' ').enumerate() {
            let end = i64::try_from(minute).unwrap() * 60_000_000;
            if word == "X" {
                episode.interrupt();
                turns.push('X');
                continue;
            }
            turns.push(match episode.step(end, word.parse().unwrap(), &delays) {
                Turn::None => '-',
                Turn::Raise { .. } => 'R',
                Turn::Worse => 'W',
                Turn::Return => 'B',
            });
        }
        assert_eq!(turns, expected, "{ratios}");
    }

    #[test]
    fn decisions() {
        check("0 0 9 0 9 0 0", "-------"); // single windows
        check("0 9 9 0 0", "-----"); // too short
        check("0 1 1 1 0 0 0", "---R--B"); // long enough, and back for long enough
        check("0 1 0.8 0.8 0", "---R-"); // between release and limit it goes on
        check("0 0.9 0.9 0.9", "----"); // but does not begin there
        check("1 1 1 0 0 1 0 0 0", "--R-----B"); // a short return is none
        check("1 1 1 0.8 0.8 0.8", "--R---"); // not in band, not returned
        check("1 1 3 4 6 7 13", "--R-W-W"); // clearly worse
        check("1 1 X 1 1 1", "--X--R"); // a gap begins anew
        check("1 1 1 0 X 0 0 0", "--R-X--B");
    }

    #[test]
    fn without_a_minimum_duration_one_window_raises() {
        let delays = Delays {
            min_duration: Span::seconds(0),
            off_delay: Span::seconds(0),
            release: 0.7,
        };
        let mut episode = Episode::Quiet;
        assert_eq!(episode.step(5, 1.0, &delays), Turn::Raise { began: 5 });
        assert_eq!(episode.step(6, 0.1, &delays), Turn::Return);
    }
}
