//! What a detector is: fitted on the vectors of a learning period, it says of every later vector
//! how far it is from normal, and why.
//!
//! A new detector is one file under `detectors`: its settings with `fit`, its model (what was
//! learned; it is kept and shared), and its state of one asset, which implements [`Detector`].
//! Then a variant in each of the two lists of [`super::detectors`].

use std::ops::Range;

use serde_json::Value;

use super::features::Feature;

/// What a detector learns from.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// Ends of the windows, increasing. **Units**: microseconds of event time since 1970.
    pub times: &'a [i64],
    /// What the columns are.
    pub features: &'a [Feature],
    /// One vector per window; every value is finite.
    pub rows: &'a [Vec<f64>],
    /// Numbers of the rows at which those of another asset begin; none when all are of one asset.
    pub starts: &'a [usize],
}

impl Training<'_> {
    /// The usual time from one window to the next. **Units**: microseconds.
    pub fn spacing(&self) -> i64 {
        let mut gaps: Vec<i64> = self.times.windows(2).map(|two| two[1] - two[0]).collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied().unwrap_or(1).max(1)
    }

    /// The rows of each asset: what changes from window to window is asked within one of them.
    pub fn parts(&self) -> Vec<Range<usize>> {
        let from = [0].into_iter().chain(self.starts.iter().copied());
        let to = self.starts.iter().copied().chain([self.rows.len()]);
        from.zip(to).map(|(from, to)| from..to).collect()
    }

    /// A lag in windows, of which the longest part holds so many at least.
    pub fn lag(&self, span: super::Span, at_least: usize) -> usize {
        let longest = self.parts().iter().map(Range::len).max().unwrap_or(0);
        self.windows_in(span).clamp(1, (longest / at_least).max(1))
    }

    /// How many windows a span of time holds, at least one.
    pub fn windows_in(&self, span: super::Span) -> usize {
        usize::try_from(span.micros() / self.spacing())
            .unwrap_or(1)
            .max(1)
    }
}

/// One vector to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// End of the window. **Units**: microseconds of event time since 1970.
    pub at: i64,
    /// Time since the sample before, a window at most: after a gap nothing hurries.
    /// **Units**: microseconds.
    pub elapsed: i64,
    /// One value per feature, NaN where it is missing.
    pub values: &'a [f64],
}

/// How far a sample is from normal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The statistic in multiples of its alarm limit: 1 is the limit.
    pub ratio: f64,
}

impl Score {
    /// The score, 0 to 1: one half is the alarm limit.
    pub fn value(&self) -> f64 {
        self.ratio / (1.0 + self.ratio)
    }
}

/// What one feature adds to a deviation.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// Number of the feature.
    pub feature: usize,
    /// Its share of all contributions, 0 to 1.
    pub share: f64,
    /// What was seen. **Units**: those of the feature.
    pub observed: f64,
    /// What was expected. **Units**: those of the feature.
    pub expected: f64,
    /// Distance of both in deviations of the learning period.
    pub deviations: f64,
}

/// Why a sample is judged as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Explanation {
    /// What each feature adds, the largest first; empty when the detector cannot tell.
    pub contributions: Vec<Contribution>,
    /// Numbers of the detector's own, an object.
    pub facts: Value,
}

/// A fitted detector at work on one asset.
pub trait Detector: std::fmt::Debug + Send {
    /// Judges a sample; `None` when too much of it is missing. Causal: it knows earlier samples
    /// and nothing of later ones.
    fn score(&mut self, sample: &Sample<'_>) -> Option<Score>;

    /// Told after the decision about the sample that was just scored: `calm` when it is in band
    /// and no alarm is up. Only then may what is normal follow the readings.
    fn follow(&mut self, _sample: &Sample<'_>, _score: &Score, _calm: bool) {}

    /// Why the sample that was just scored is judged as it is.
    fn explain(&self, sample: &Sample<'_>) -> Explanation;

    /// What it remembers of the asset, so that a restart goes on from there.
    fn save(&self) -> Value;

    /// Goes on from what was saved; what does not fit is left aside, and the detector is fresh.
    fn restore(&mut self, saved: &Value);
}

/// Why there is no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// Too little was seen.
    #[error("{found} usable windows are too few to learn from; {needed} are needed")]
    TooFewWindows {
        /// Usable windows.
        found: usize,
        /// What is needed.
        needed: usize,
    },
    /// Nobody is there to share with.
    #[error(
        "{found} of the assets whose windows a class is learned from have enough of the same \
         features; 2 are needed"
    )]
    TooFewAssets {
        /// Assets that have.
        found: usize,
    },
    /// An asset lacks most of what its class looks at.
    #[error(
        "the asset has {found} of the {wanted} features that its class looks at; more than half \
         are needed"
    )]
    FeaturesMissing {
        /// Features that it has.
        found: usize,
        /// Features of the class.
        wanted: usize,
    },
    /// Nothing moved.
    #[error("no metric moved while learning, so nothing can be learned")]
    NothingMoved,
    /// No regime is known.
    #[error("the regimes of the setting channels cannot be found: {0}")]
    Regimes(String),
    /// The arithmetic failed.
    #[error("detector {detector} cannot be fitted: {reason}")]
    Numbers {
        /// Kind of the detector.
        detector: &'static str,
        /// What went wrong.
        reason: String,
    },
}
