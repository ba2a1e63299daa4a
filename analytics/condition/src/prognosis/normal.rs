//! What is normal for each sensor in each operating regime, and in which directions sensors move
//! together.
//!
//! Wear moves many noisy sensors a little at once; their principal components show it with less
//! noise than any sensor by itself.

use ndarray::{Array1, Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::regimes::{RegimeError, Regimes};

/// A sensor that moves less than this share of its own size within every regime says nothing.
const STEADY: f64 = 1e-6;

/// In a regime where a sensor hardly moves, its deviation counts as at least this share of its
/// typical one, so that one last digit is not an excursion.
const LEAST_DEVIATION: f64 = 0.05;

/// Steps of the search for a component.
const ITERATIONS: usize = 300;

/// A component with less variance than this is none.
const NOTHING: f64 = 1e-9;

/// Regimes and, per sensor that says something, its mean and deviation in each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normal {
    regimes: Regimes,
    sensors: Vec<Sensor>,
    /// Weight of every sensor in each principal component of the deviations, strongest first.
    components: Vec<Vec<f64>>,
}

/// One sensor's normal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sensor {
    /// Its place among the sensors of a reading.
    column: usize,
    /// Mean per regime. **Units**: those of the sensor.
    means: Vec<f64>,
    /// Deviation per regime. **Units**: those of the sensor.
    deviations: Vec<f64>,
}

impl Normal {
    /// Learns it, with so many components or as many as there are sensors that say something.
    /// **Shape**: a row per reading in both; a column per declared setting and one per sensor.
    /// NaN is a missing value.
    ///
    /// # Errors
    /// When no row has all its settings.
    pub fn learn(
        settings: ArrayView2<'_, f64>,
        sensors: ArrayView2<'_, f64>,
        components: usize,
    ) -> Result<Self, RegimeError> {
        let regimes = Regimes::find(settings)?;
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); regimes.count()];
        for (row, settings) in settings.outer_iter().enumerate() {
            if let Some(regime) = regimes.of(&settings.to_vec()) {
                rows[regime].push(row);
            }
        }
        let mut normal = Self {
            regimes,
            sensors: (0..sensors.ncols())
                .filter_map(|column| Sensor::learn(column, sensors, &rows))
                .collect(),
            components: Vec::new(),
        };
        let known = settings.outer_iter().zip(sensors.outer_iter());
        let known = known.filter_map(|(settings, sensors)| {
            normal.deviations(&settings.to_vec(), &sensors.to_vec())
        });
        let moments = second_moments(known, normal.sensors.len());
        normal.components = principal(moments, components.min(normal.sensors.len()));
        Ok(normal)
    }

    /// Sensors that say something, and components.
    pub fn width(&self) -> usize {
        self.sensors.len() + self.components.len()
    }

    /// Adds the components to the deviations of all sensors.
    pub fn add_components(&self, deviations: &mut Vec<f64>) {
        let project = |weights: &Vec<f64>| -> f64 {
            let pairs = weights.iter().zip(deviations.iter());
            pairs.map(|(weight, deviation)| weight * deviation).sum()
        };
        let values: Vec<f64> = self.components.iter().map(project).collect();
        deviations.extend(values);
    }

    /// The regimes.
    pub fn regimes(&self) -> &Regimes {
        &self.regimes
    }

    /// Places of the sensors that say something, in the order of [`Normal::deviations`].
    pub fn columns(&self) -> impl ExactSizeIterator<Item = usize> {
        self.sensors.iter().map(|sensor| sensor.column)
    }

    /// How many deviations each sensor is from the mean of the reading's regime; NaN for a missing
    /// value, nothing when the regime is unknown.
    pub fn deviations(&self, settings: &[f64], sensors: &[f64]) -> Option<Vec<f64>> {
        let regime = self.regimes.of(settings)?;
        let one = |sensor: &Sensor| {
            let value = sensors.get(sensor.column).copied().unwrap_or(f64::NAN);
            (value - sensor.means[regime]) / sensor.deviations[regime]
        };
        Some(self.sensors.iter().map(one).collect())
    }
}

impl Sensor {
    /// None when it stands still in every regime.
    fn learn(column: usize, sensors: ArrayView2<'_, f64>, rows: &[Vec<usize>]) -> Option<Self> {
        let moments = |rows: &Vec<usize>| {
            let values = || {
                let all = rows.iter().map(|row| sensors[[*row, column]]);
                all.filter(|value| value.is_finite())
            };
            let count = values().count().max(1) as f64;
            let mean = values().sum::<f64>() / count;
            let squares = values().map(|value| (value - mean).powi(2)).sum::<f64>();
            (mean, (squares / count).sqrt())
        };
        let (means, deviations): (Vec<f64>, Vec<f64>) = rows.iter().map(moments).unzip();
        let moves = |(mean, deviation): (&f64, &f64)| *deviation > STEADY * mean.abs().max(1e-9);
        if !means.iter().zip(&deviations).any(moves) {
            return None;
        }
        let squares = deviations
            .iter()
            .map(|deviation| deviation * deviation)
            .sum::<f64>();
        let least = LEAST_DEVIATION * (squares / deviations.len() as f64).sqrt();
        let deviations = deviations
            .iter()
            .map(|deviation| deviation.max(least))
            .collect();
        Some(Self {
            column,
            means,
            deviations,
        })
    }
}

/// Mean products of all pairs of deviations; a missing one is at its mean.
fn second_moments(rows: impl Iterator<Item = Vec<f64>>, width: usize) -> Array2<f64> {
    let mut sums = Array2::zeros((width, width));
    let mut count = 0.0;
    for mut row in rows {
        for value in row.iter_mut().filter(|value| !value.is_finite()) {
            *value = 0.0;
        }
        for (at, value) in row.iter().enumerate() {
            for (other, second) in row.iter().enumerate() {
                sums[[at, other]] += value * second;
            }
        }
        count += 1.0;
    }
    sums / f64::max(count, 1.0)
}

/// The directions of most variance, strongest first, by power iteration.
///
/// linfa's `Pca` decomposes the rows, not their moments, and panics on some of them (NaN in its
/// iteration); a matrix as small as the number of sensors needs no more than this.
fn principal(mut moments: Array2<f64>, count: usize) -> Vec<Vec<f64>> {
    let mut found: Vec<Vec<f64>> = Vec::with_capacity(count);
    for number in 0..count {
        // Not quite even, so that it is not at right angles to what is looked for.
        let mut weights: Array1<f64> =
            Array1::from_shape_fn(moments.nrows(), |at| 1.0 + 0.01 * (at + number) as f64);
        let mut strength = 0.0;
        for _ in 0..ITERATIONS {
            let next = moments.dot(&weights);
            strength = next.dot(&next).sqrt();
            if strength <= NOTHING {
                return found;
            }
            weights = next / strength;
        }
        let outer = Array2::from_shape_fn(moments.dim(), |(row, column)| {
            strength * weights[row] * weights[column]
        });
        moments -= &outer;
        // The sign means nothing, and shall not vary: the largest weight is positive.
        let largest = weights
            .iter()
            .copied()
            .fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        found.push((weights * largest.signum()).to_vec());
    }
    found
}

/// Rows of equal length as a matrix; an empty list is a matrix without rows.
pub(super) fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    let width = rows.first().map_or(0, Vec::len);
    Array2::from_shape_fn((rows.len(), width), |(row, column)| rows[row][column])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regime_takes_its_level_and_scale_off_and_still_sensors_are_left_out() {
        let (mut settings, mut sensors) = (Vec::new(), Vec::new());
        for row in 0..400 {
            let regime = f64::from(row % 2);
            let swing = f64::from(row % 5) - 2.0;
            settings.push(vec![regime * 10.0]);
            sensors.push(vec![
                100.0 * regime + (1.0 + 9.0 * regime) * swing,
                5.0,
                regime,
                swing,
            ]);
        }
        let normal = Normal::learn(matrix(&settings).view(), matrix(&sensors).view(), 1).unwrap();
        assert_eq!(normal.regimes().count(), 2);
        assert_eq!(normal.columns().collect::<Vec<_>>(), vec![0, 3]);
        let low = normal.deviations(&[0.0], &[2.0, 5.0, 0.0, 2.0]).unwrap();
        let high = normal.deviations(&[10.0], &[120.0, 5.0, 1.0, 2.0]).unwrap();
        assert!((low[0] - high[0]).abs() < 1e-9 && (low[0] - low[1]).abs() < 1e-9);
        assert_eq!(normal.deviations(&[5.0], &[1.0, 1.0, 1.0, 1.0]), None);
        let missing = normal
            .deviations(&[0.0], &[f64::NAN, 5.0, 0.0, 0.0])
            .unwrap();
        assert!(missing[0].is_nan() && missing[1].is_finite());

        // Both sensors swing together: the component has both, whatever the regime.
        let mut high = high;
        normal.add_components(&mut high);
        assert_eq!(high.len(), normal.width());
        assert!((high[2] - 2.0f64.sqrt() * high[0]).abs() < 1e-6, "{high:?}");
    }
}
