//! The course of an asset so far, as features of its remaining life.
//!
//! Readings come one by one; the same code makes the rows that a model is fitted on and the row
//! that it is asked about. Memory per asset is bounded by the longest span.
//!
//! A sensor without a value counts as unchanged. A reading in an unknown regime passes without a
//! trace, except that the asset gets older.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::normal::Normal;

/// Which features are made of a course.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CourseSettings {
    /// Grows whenever the meaning of a feature changes.
    pub version: u32,
    /// Weight of the newest reading in the moving average.
    pub weight: f64,
    /// Readings of the short, the middle and the long span.
    pub spans: [usize; 3],
    /// First readings of an asset, from which its own level is taken.
    pub first: usize,
    /// Principal components that are followed like sensors.
    pub components: usize,
}

impl Default for CourseSettings {
    fn default() -> Self {
        Self {
            version: 1,
            weight: 0.1,
            spans: [10, 30, 150],
            first: 15,
            components: 2,
        }
    }
}

/// Features per sensor.
const PER_SENSOR: usize = 9;

/// What is remembered of one asset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// **Units**: those of the caller's age, for instance cycles since installation.
    age: f64,
    /// Readings in known regimes.
    seen: usize,
    /// The last readings as deviations from normal, oldest first.
    recent: VecDeque<Vec<f64>>,
    /// Weighted sums of the moving averages, and the sum of their weights.
    averages: Vec<f64>,
    magnitude: f64,
    weight: f64,
    /// Sums over the first readings.
    first: Vec<f64>,
}

impl CourseSettings {
    /// A new asset of a class.
    pub fn begin(&self, normal: &Normal) -> Course {
        let sensors = normal.width();
        Course {
            age: 0.0,
            seen: 0,
            recent: VecDeque::with_capacity(self.longest()),
            averages: vec![0.0; sensors],
            magnitude: 0.0,
            weight: 0.0,
            first: vec![0.0; sensors],
        }
    }

    /// Takes in one reading.
    pub fn follow(
        &self,
        course: &mut Course,
        normal: &Normal,
        age: f64,
        settings: &[f64],
        sensors: &[f64],
    ) {
        course.age = age;
        let Some(mut deviations) = normal.deviations(settings, sensors) else {
            return;
        };
        for (deviation, average) in deviations.iter_mut().zip(&course.averages) {
            if !deviation.is_finite() {
                *deviation = average / course.weight.max(f64::MIN_POSITIVE);
            }
        }
        let smooth = |average: f64, value: f64| (1.0 - self.weight) * average + self.weight * value;
        course.weight = smooth(course.weight, 1.0);
        // The size is that of the sensors: components would count them twice.
        let squares = deviations
            .iter()
            .map(|deviation| deviation * deviation)
            .sum::<f64>();
        let size = (squares / deviations.len().max(1) as f64).sqrt();
        course.magnitude = smooth(course.magnitude, size);
        normal.add_components(&mut deviations);
        for (average, deviation) in course.averages.iter_mut().zip(&deviations) {
            *average = smooth(*average, *deviation);
        }
        if course.seen < self.first {
            for (sum, deviation) in course.first.iter_mut().zip(&deviations) {
                *sum += deviation;
            }
        }
        course.seen += 1;
        if course.recent.len() == self.longest() {
            course.recent.pop_front();
        }
        course.recent.push_back(deviations);
    }

    /// The features now; none before the first reading in a known regime.
    pub fn features(&self, course: &Course) -> Option<Vec<f64>> {
        if course.seen == 0 {
            return None;
        }
        let firsts = course.seen.min(self.first).max(1) as f64;
        let mut features = Vec::with_capacity(PER_SENSOR * course.averages.len() + 2);
        for (sensor, average) in course.averages.iter().enumerate() {
            let average = average / course.weight;
            let [short, middle, long] = self
                .spans
                .map(|span| Line::of(&course.recent, sensor, span));
            features.extend([
                average,
                short.mean,
                middle.mean,
                long.mean,
                short.slope,
                middle.slope,
                long.slope,
                middle.deviation,
                average - course.first[sensor] / firsts,
            ]);
        }
        features.extend([course.magnitude / course.weight, course.age]);
        Some(features)
    }

    /// What the features are called, given the names of sensors and components.
    pub fn names(&self, sensors: &[String]) -> Vec<String> {
        let [short, middle, long] = self.spans;
        let of = |sensor: &String| {
            [
                format!("{sensor}, moving average"),
                format!("{sensor}, mean of {short}"),
                format!("{sensor}, mean of {middle}"),
                format!("{sensor}, mean of {long}"),
                format!("{sensor}, slope of {short}"),
                format!("{sensor}, slope of {middle}"),
                format!("{sensor}, slope of {long}"),
                format!("{sensor}, deviation of {middle}"),
                format!("{sensor}, change since the first {}", self.first),
            ]
        };
        let rest = ["size of all deviations".to_owned(), "age".to_owned()];
        sensors.iter().flat_map(of).chain(rest).collect()
    }

    fn longest(&self) -> usize {
        self.spans.into_iter().max().unwrap_or(1).max(1)
    }
}

/// A straight line through the last values of a sensor.
struct Line {
    mean: f64,
    /// Per reading.
    slope: f64,
    /// Around the mean.
    deviation: f64,
}

impl Line {
    fn of(recent: &VecDeque<Vec<f64>>, sensor: usize, span: usize) -> Self {
        let count = recent.len().min(span);
        let values = || {
            recent
                .iter()
                .skip(recent.len() - count)
                .map(|row| row[sensor])
        };
        let n = count as f64;
        let mean = values().sum::<f64>() / n;
        let middle = (n - 1.0) / 2.0;
        let (mut along, mut squares) = (0.0, 0.0);
        for (at, value) in values().enumerate() {
            along += (at as f64 - middle) * (value - mean);
            squares += (value - mean).powi(2);
        }
        let spread = n * (n * n - 1.0) / 12.0;
        Self {
            mean,
            slope: if count > 1 { along / spread } else { 0.0 },
            deviation: (squares / n).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::normal::matrix;
    use super::*;

    fn normal() -> Normal {
        let rows: Vec<Vec<f64>> = (0..100)
            .map(|row| vec![f64::from(row % 2) * 2.0 - 1.0])
            .collect();
        let settings: Vec<Vec<f64>> = (0..100).map(|_| vec![7.0]).collect();
        Normal::learn(matrix(&settings).view(), matrix(&rows).view(), 0).unwrap()
    }

    /// The features after these values of one sensor with mean 0 and deviation 1.
    fn features(values: &[f64]) -> Vec<f64> {
        let (settings, normal) = (CourseSettings::default(), normal());
        let mut course = settings.begin(&normal);
        for (age, value) in values.iter().enumerate() {
            settings.follow(&mut course, &normal, age as f64, &[7.0], &[*value]);
        }
        settings.features(&course).unwrap()
    }

    #[test]
    fn a_constant_has_its_level_and_no_slope() {
        assert_eq!(
            features(&[2.0; 100])
                .iter()
                .map(|x| (x * 1e9).round() / 1e9)
                .collect::<Vec<_>>(),
            vec![2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 99.0]
        );
    }

    #[test]
    fn a_ramp_has_its_slope_in_every_span() {
        let ramp: Vec<f64> = (0..100).map(|at| 0.5 * f64::from(at)).collect();
        let found = features(&ramp);
        for slope in &found[4..7] {
            assert!((slope - 0.5).abs() < 1e-9, "{found:?}");
        }
        assert!((found[1] - 47.25).abs() < 1e-9 && found[8] > 30.0);
    }

    #[test]
    fn one_reading_is_enough_and_none_is_not() {
        assert!((features(&[3.0])[0] - 3.0).abs() < 1e-9);
        let settings = CourseSettings::default();
        assert_eq!(settings.features(&settings.begin(&normal())), None);
    }

    #[test]
    fn a_missing_value_counts_as_unchanged() {
        let (with, without) = (features(&[2.0, 2.0, f64::NAN]), features(&[2.0, 2.0, 2.0]));
        assert!(with.iter().zip(&without).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn an_unknown_regime_leaves_no_trace_but_age() {
        let (settings, normal) = (CourseSettings::default(), normal());
        let mut course = settings.begin(&normal);
        settings.follow(&mut course, &normal, 1.0, &[7.0], &[1.0]);
        let before = settings.features(&course).unwrap();
        settings.follow(&mut course, &normal, 2.0, &[9.0], &[50.0]);
        let after = settings.features(&course).unwrap();
        assert_eq!(before[..10], after[..10]);
        assert_eq!(after[10], 2.0);
    }

    #[test]
    fn every_feature_has_a_name() {
        let names = CourseSettings::default().names(&["T30".to_owned()]);
        assert_eq!(names.len(), features(&[1.0]).len());
    }
}
