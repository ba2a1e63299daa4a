//! From a window to numbers that a model understands.

use serde::{Deserialize, Serialize};

use super::settings::FeatureKind;
use super::window::{Seen, Window};

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
    /// The name for people: the metric, with the kind where it is not the mean.
    pub fn name(&self) -> String {
        match self.kind {
            FeatureKind::Mean => self.metric.clone(),
            FeatureKind::LogStd => format!("{} (log std)", self.metric),
        }
    }
}

/// The value of a feature; NaN when the window does not have it.
pub fn value(seen: &Seen, kind: FeatureKind) -> f64 {
    match kind {
        FeatureKind::Mean => seen.mean,
        FeatureKind::LogStd if seen.count < 2 => f64::NAN,
        FeatureKind::LogStd => seen.deviation.max(LEAST_DEVIATION).ln(),
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
    let seen = |index: usize| {
        let number = numbers.get(index).copied().flatten();
        number.and_then(|number| window.metrics.get(number))
    };
    let is_stuck = |index: usize| lively[index] && seen(index).is_some_and(|seen| seen.flat);
    let stuck = (0..features.len()).filter(|index| is_stuck(*index)).count();
    let machine_stands = 2 * stuck > features.len();
    let one = |(index, feature): (usize, &Feature)| match seen(index) {
        Some(seen) if machine_stands || !is_stuck(index) => value(seen, feature.kind),
        _ => f64::NAN,
    };
    features.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
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
