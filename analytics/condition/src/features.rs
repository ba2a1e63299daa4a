//! From a window to numbers that a model understands.

pub mod ewma;
pub mod kinds;
pub mod spectrum;

use serde::{Deserialize, Serialize};

pub use self::kinds::FeatureKind;
use super::window::Window;

/// The version of all definitions: another one when what a kind means changes. A model stands on
/// the version that it was learned with.
pub const VERSION: u32 = 1;

/// That of models from before versions were written down.
pub(crate) fn first_version() -> u32 {
    1
}

/// One number that a model looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Feature {
    /// Name of the metric.
    pub metric: String,
    /// What is computed from it.
    pub kind: FeatureKind,
}

/// Keeps the logarithm of a flat window finite. **Units**: those of the metric.
const LEAST_DEVIATION: f64 = 1e-9;

impl Feature {
    /// The name for people: the metric, with the kind and its parameters where it is not the mean.
    pub fn name(&self) -> String {
        match self.kind {
            FeatureKind::Mean => self.metric.clone(),
            kind => format!("{} ({kind})", self.metric),
        }
    }
}

/// The value of a feature of the class's metric of this number; NaN when the window does not have
/// it. Of a mean over windows: what this one adds, see [`ewma`].
pub fn value(window: &Window, metric: usize, kind: FeatureKind) -> f64 {
    let Some(seen) = window.metrics.get(metric).filter(|seen| seen.count > 0) else {
        return f64::NAN;
    };
    match kind {
        FeatureKind::Mean | FeatureKind::Ewma(_) => seen.mean,
        FeatureKind::LogStd if seen.count < 2 => f64::NAN,
        FeatureKind::LogStd => seen.deviation.max(LEAST_DEVIATION).ln(),
        FeatureKind::Rms => {
            let count = f64::from(seen.count);
            let variance = seen.deviation * seen.deviation * (count - 1.0) / count;
            (seen.mean * seen.mean + variance).sqrt()
        }
        FeatureKind::Min | FeatureKind::Max if seen.count == 1 => seen.mean,
        kind => {
            let measured = window.measured.as_ref();
            measured.map_or(f64::NAN, |measured| measured.value(metric, kind))
        }
    }
}

/// The values of features whose metrics have the class's numbers `numbers`.
///
/// A metric that was lively while learning and stands still now counts as missing: a dead
/// sensor says nothing about its machine. When most metrics stand still, the machine does.
pub fn vector(
    window: &Window,
    features: &[Feature],
    numbers: &[Option<usize>],
    lively: &[bool],
) -> Vec<f64> {
    let number = |index: usize| numbers.get(index).copied().flatten();
    let is_stuck = |index: usize| {
        let seen = number(index).and_then(|number| window.metrics.get(number));
        lively[index] && seen.is_some_and(|seen| seen.flat)
    };
    let stuck = (0..features.len()).filter(|index| is_stuck(*index)).count();
    let machine_stands = 2 * stuck > features.len();
    let one = |(index, feature): (usize, &Feature)| match number(index) {
        Some(number) if machine_stands || !is_stuck(index) => value(window, number, feature.kind),
        _ => f64::NAN,
    };
    features.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod watched_tests;

#[cfg(test)]
mod tests {
    use super::super::window::Seen;
    use super::*;

    /// `x` per metric: a number is a lively mean, `=` a stuck one at 5, `?` a missing one.
    #[track_caller]
    fn check(metrics: &str, expected: &[f64]) {
        let seen = |word: &str| match word {
            "?" => Seen {
                count: 0,
                mean: f64::NAN,
                deviation: f64::NAN,
                flat: false,
            },
            "=" => Seen {
                count: 9,
                mean: 5.0,
                deviation: 0.0,
                flat: true,
            },
            number => Seen {
                count: 9,
                mean: number.parse().unwrap(),
                deviation: 1.0,
                flat: false,
            },
        };
        let metrics: Vec<Seen> = metrics.split(' ').map(seen).collect();
        let count = metrics.len();
        let features: Vec<Feature> = (0..count)
            .map(|n| Feature {
                metric: n.to_string(),
                kind: FeatureKind::Mean,
            })
            .collect();
        let numbers: Vec<Option<usize>> = (0..count).map(Some).collect();
        let window = Window {
            start: 0,
            end: 1,
            rows: 9,
            metrics,
            measured: None,
        };
        let found = vector(&window, &features, &numbers, &vec![true; count]);
        let same = |a: &f64, b: &f64| a == b || (a.is_nan() && b.is_nan());
        assert!(
            found.iter().zip(expected).all(|(a, b)| same(a, b)),
            "{found:?}"
        );
    }

    #[test]
    fn a_stuck_sensor_is_missing_but_a_machine_that_stands_is_not() {
        check("1 2 3", &[1.0, 2.0, 3.0]);
        check("1 = 3", &[1.0, f64::NAN, 3.0]);
        check("1 ? 3", &[1.0, f64::NAN, 3.0]);
        check("= = 3", &[5.0, 5.0, 3.0]);
    }
}
