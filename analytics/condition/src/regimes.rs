//! Operating regimes: the few ways in which a machine is run, found from its declared settings.
//!
//! An altitude, a product or a speed moves every sensor at once and says nothing about wear.
//! So readings are compared within their regime; a regime that the fit never saw is *unknown*,
//! and a reading in it is not judged at all.
//!
//! How many regimes there are is found, not given: the number of clusters whose nearest two are
//! farthest apart, measured by the widest. A setting that varies freely has no such number; it
//! makes no regimes, but far outside its fitted range the regime is unknown, too.
//!
//! State detection ([`levels`]) and remaining life ([`crate::prognosis::normal`]) share them.

pub mod levels;

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

/// More regimes than this are taken for settings that vary freely.
const MOST: usize = 12;

/// Clusters are regimes when the nearest two are this many times farther apart than the widest is
/// wide.
const APART: f64 = 4.0;

/// A regime with a smaller share of the fitted rows is not known well enough to compare with.
const LEAST_SHARE: f64 = 0.005;

/// Settings are within a regime up to this multiple of the farthest fitted row.
const REACH: f64 = 2.0;

/// A setting whose deviation is below this share of its size does not vary.
const STEADY: f64 = 1e-9;

/// Rows that the search for clusters looks at, evenly spread over all.
const SEARCHED: usize = 20_000;

/// The known regimes of a class of assets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Regimes {
    /// Mean, deviation and kind of each setting over the fit.
    channels: Vec<Channel>,
    /// Center of each regime in the standardized stepped settings.
    centers: Vec<Vec<f64>>,
    /// How far from its center a reading still belongs to a regime, in the same.
    reaches: Vec<f64>,
}

/// One declared setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Channel {
    /// **Units**: those of the setting.
    mean: f64,
    /// What standardizes it. **Units**: those of the setting.
    scale: f64,
    /// For a setting that varies freely, how many scales from its mean it may be; none for one
    /// that is stepped.
    reach: Option<f64>,
}

/// Why there are no regimes.
#[derive(Debug, thiserror::Error)]
pub enum RegimeError {
    /// No row has all its settings.
    #[error("no row of the fit has all its settings")]
    Empty,
    /// linfa could not find the clusters.
    #[error("operating regimes could not be clustered")]
    Clusters(#[from] linfa_clustering::KMeansError),
}

impl Regimes {
    /// Finds the regimes in the settings of the fit. **Shape**: one row per reading, one column
    /// per setting; no column means one regime.
    ///
    /// # Errors
    /// When no row is complete.
    pub fn find(settings: ArrayView2<'_, f64>) -> Result<Self, RegimeError> {
        let complete: Vec<usize> = (0..settings.nrows())
            .filter(|row| settings.row(*row).iter().all(|value| value.is_finite()))
            .collect();
        if complete.is_empty() {
            return Err(RegimeError::Empty);
        }
        let settings = settings.select(Axis(0), &complete);
        let channels = settings
            .axis_iter(Axis(1))
            .map(Channel::learn)
            .collect::<Result<_, _>>()?;
        let mut regimes = Self {
            channels,
            centers: vec![Vec::new()],
            reaches: vec![0.0],
        };
        if regimes
            .channels
            .iter()
            .any(|channel| channel.reach.is_none())
        {
            let rows = regimes.all_stepped(settings.view());
            if let Some(found) = best(&rows)? {
                regimes.centers = found.centers;
                regimes.reaches = found.reaches;
            } else {
                regimes.centers = vec![vec![0.0; rows[0].len()]];
                regimes.reaches = vec![REACH * widest(&rows, &regimes.centers[0])];
            }
        }
        Ok(regimes)
    }

    /// Finds so many regimes or fewer, however near they are to one another: for settings that vary
    /// freely and are to be cut into ranges. **Shape**: as [`Regimes::find`].
    ///
    /// # Errors
    /// When no row is complete, or there are fewer different ones.
    pub fn find_so_many(settings: ArrayView2<'_, f64>, count: usize) -> Result<Self, RegimeError> {
        let mut regimes = Self::find(settings)?;
        for channel in &mut regimes.channels {
            channel.reach = None;
        }
        let mut rows = regimes.all_stepped(settings);
        rows.retain(|row| row.iter().all(|value| value.is_finite()));
        let found = clusters(&rows, count, Apart::Anyhow)?.ok_or(RegimeError::Empty)?;
        (regimes.centers, regimes.reaches) = (found.centers, found.reaches);
        Ok(regimes)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.centers.len()
    }

    /// The regime that settings belong to; none when it is unknown or a setting is missing.
    pub fn of(&self, settings: &[f64]) -> Option<usize> {
        let apart = |(channel, value): (&Channel, &f64)| {
            let distance = channel.standardized(*value).abs();
            !distance.is_finite() || channel.reach.is_some_and(|reach| distance > reach)
        };
        if settings.len() != self.channels.len() || self.channels.iter().zip(settings).any(apart) {
            return None;
        }
        let (regime, distance) = nearest(&self.centers, &self.stepped(settings))?;
        (distance <= self.reaches[regime]).then_some(regime)
    }

    fn all_stepped(&self, settings: ArrayView2<'_, f64>) -> Vec<Vec<f64>> {
        let rows = settings.outer_iter();
        rows.map(|row| self.stepped(&row.to_vec())).collect()
    }

    /// The stepped settings, standardized.
    fn stepped(&self, settings: &[f64]) -> Vec<f64> {
        let channels = self.channels.iter().zip(settings);
        let stepped = channels.filter(|(channel, _)| channel.reach.is_none());
        stepped
            .map(|(channel, value)| channel.standardized(*value))
            .collect()
    }
}

impl Channel {
    fn learn(column: ArrayView1<'_, f64>) -> Result<Self, RegimeError> {
        let count = column.len() as f64;
        let mean = column.sum() / count;
        let squares = column
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>();
        let deviation = (squares / count).sqrt();
        let size = mean.abs().max(1.0);
        let steady = deviation <= STEADY * size;
        let mut channel = Self {
            mean,
            scale: if steady { size } else { deviation },
            reach: Some(0.0),
        };
        let rows: Vec<Vec<f64>> = column
            .iter()
            .map(|value| vec![channel.standardized(*value)])
            .collect();
        let stepped = !steady && best(&rows)?.is_some();
        channel.reach = (!stepped).then(|| REACH * widest(&rows, &[0.0]));
        Ok(channel)
    }

    fn standardized(&self, value: f64) -> f64 {
        (value - self.mean) / self.scale
    }
}

/// What clusters have to be to be regimes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apart {
    /// Far from one another.
    Far,
    /// Nothing.
    Anyhow,
}

/// Clusters that may be regimes.
struct Found {
    /// Distance of the nearest two in widths of the widest.
    ratio: f64,
    centers: Vec<Vec<f64>>,
    reaches: Vec<f64>,
}

/// The clusters that are farthest apart, if any are far enough.
fn best(rows: &[Vec<f64>]) -> Result<Option<Found>, RegimeError> {
    let mut best: Option<Found> = None;
    for count in 2..=MOST {
        let Some(found) = clusters(rows, count, Apart::Far)? else {
            continue;
        };
        if best.as_ref().is_none_or(|best| found.ratio > best.ratio) {
            best = Some(found);
        }
    }
    Ok(best)
}

/// That many clusters, when they are as far apart as they have to be; ones with too few rows are
/// left out.
fn clusters(rows: &[Vec<f64>], count: usize, apart: Apart) -> Result<Option<Found>, RegimeError> {
    let stride = rows.len().div_ceil(SEARCHED);
    let searched: Vec<&Vec<f64>> = rows.iter().step_by(stride).collect();
    let Some(first) = farthest_first(&searched, count) else {
        return Ok(None);
    };
    let width = searched[0].len();
    let flat: Vec<f64> = searched
        .iter()
        .flat_map(|row| row.iter().copied())
        .collect();
    let shaped = |values: Vec<f64>, height: usize| {
        Array2::from_shape_vec((height, width), values).expect("all rows are of one width")
    };
    let records = DatasetBase::from(shaped(flat, searched.len()));
    let fitted = KMeans::params(count)
        .n_runs(1)
        .init_method(KMeansInit::Precomputed(shaped(first.concat(), count)))
        .fit(&records)?;
    let centers: Vec<Vec<f64>> = fitted
        .centroids()
        .outer_iter()
        .map(|center| center.to_vec())
        .collect();
    let (mut counts, mut widths) = (vec![0usize; count], vec![0.0f64; count]);
    for row in rows {
        if let Some((cluster, distance)) = nearest(&centers, row) {
            counts[cluster] += 1;
            widths[cluster] = widths[cluster].max(distance);
        }
    }
    let least = (LEAST_SHARE * rows.len() as f64).ceil() as usize;
    let known: Vec<usize> = (0..count)
        .filter(|at| counts[*at] >= least.max(1))
        .collect();
    let gap = |at: usize| {
        let others = known.iter().filter(|other| **other != at);
        others
            .map(|other| distance(&centers[at], &centers[*other]))
            .fold(f64::INFINITY, f64::min)
    };
    let widest = known.iter().map(|at| widths[*at]).fold(0.0, f64::max);
    let nearest = known
        .iter()
        .map(|at| gap(*at))
        .fold(f64::INFINITY, f64::min);
    // Clusters without any width are as far apart as numbers tell.
    let ratio = nearest / widest.max(1e-12);
    if apart == Apart::Far && (known.len() < 2 || ratio < APART) || known.is_empty() {
        return Ok(None);
    }
    // At least a hundredth of the gap, so that settings fitted without any spread may have some.
    let reach = |at: &usize| match apart {
        Apart::Far => (REACH * widths[*at]).max(0.01 * nearest).min(nearest / 2.0),
        // Ranges beside one another leave nothing in between.
        Apart::Anyhow => (REACH * widths[*at]).max(1e-6),
    };
    let reaches = known.iter().map(reach).collect();
    Ok(Some(Found {
        ratio,
        centers: known.iter().map(|at| centers[*at].clone()).collect(),
        reaches,
    }))
}

/// Rows that are far from one another: the first row, then always the one farthest from all
/// chosen. None when there are fewer different rows.
fn farthest_first(rows: &[&Vec<f64>], count: usize) -> Option<Vec<Vec<f64>>> {
    let mut chosen = vec![rows.first()?.to_vec()];
    let mut gaps: Vec<f64> = rows.iter().map(|row| distance(row, &chosen[0])).collect();
    while chosen.len() < count {
        let farthest = (0..rows.len()).reduce(|a, b| if gaps[b] > gaps[a] { b } else { a })?;
        if gaps[farthest] <= 0.0 {
            return None;
        }
        let next = rows[farthest].to_vec();
        for (gap, row) in gaps.iter_mut().zip(rows) {
            *gap = gap.min(distance(row, &next));
        }
        chosen.push(next);
    }
    Some(chosen)
}

fn nearest(centers: &[Vec<f64>], row: &[f64]) -> Option<(usize, f64)> {
    let distances = centers.iter().map(|center| distance(center, row));
    distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1))
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>()
        .sqrt()
}

fn widest(rows: &[Vec<f64>], center: &[f64]) -> f64 {
    let distances = rows.iter().map(|row| distance(row, center));
    // A setting that never moved may still be read a millionth off.
    distances.fold(1e-6, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Rows whose settings jump between points, with a little noise.
    fn rows(points: &[[f64; 3]], noise: f64, count: usize) -> Array2<f64> {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let mut flat = Vec::new();
        for _ in 0..count {
            let point = points[generator.random_range(0..points.len())];
            flat.extend(point.map(|value| value + noise * (generator.random::<f64>() - 0.5)));
        }
        Array2::from_shape_vec((count, 3), flat).unwrap()
    }

    /// Altitude, Mach number and throttle, as flown in turbofan simulations.
    const FLIGHT: [[f64; 3]; 6] = [
        [0.0, 0.0, 100.0],
        [10.0, 0.25, 100.0],
        [20.0, 0.7, 100.0],
        [25.0, 0.62, 60.0],
        [35.0, 0.84, 100.0],
        [42.0, 0.84, 100.0],
    ];

    #[track_caller]
    fn check(points: &[[f64; 3]], noise: f64, expected: usize) -> Regimes {
        let regimes = Regimes::find(rows(points, noise, 3_000).view()).unwrap();
        assert_eq!(regimes.count(), expected);
        regimes
    }

    #[test]
    fn finds_the_number_by_itself() {
        for count in 2..=6 {
            let regimes = check(&FLIGHT[..count], 0.004, count);
            let of: Vec<_> = FLIGHT[..count].iter().map(|row| regimes.of(row)).collect();
            assert!(of.iter().all(Option::is_some), "{of:?}");
        }
        check(&FLIGHT, 0.0, 6);
    }

    #[test]
    fn settings_that_vary_freely_make_one_regime() {
        check(&FLIGHT[..1], 0.004, 1);
        check(&FLIGHT[..1], 0.0, 1);
        let none = Regimes::find(Array2::zeros((10, 0)).view()).unwrap();
        assert_eq!((none.count(), none.of(&[])), (1, Some(0)));
    }

    #[test]
    fn a_setting_that_varies_freely_beside_a_stepped_one_makes_no_regimes() {
        let mut settings = rows(&FLIGHT[..3], 0.004, 3_000);
        for (row, value) in settings.column_mut(2).iter_mut().enumerate() {
            *value = ((row * 7) % 100) as f64;
        }
        let regimes = Regimes::find(settings.view()).unwrap();
        assert_eq!(regimes.count(), 3);
        assert!(regimes.of(&[10.0, 0.25, 99.0]).is_some());
        assert_eq!(regimes.of(&[10.0, 0.25, 900.0]), None);
    }

    #[test]
    fn an_unseen_regime_is_unknown() {
        let regimes = check(&FLIGHT, 0.004, 6);
        assert_eq!(regimes.of(&[30.0, 0.8, 100.0]), None);
        assert_eq!(regimes.of(&[42.0, 0.84, 60.0]), None);
        assert_eq!(regimes.of(&[42.0, f64::NAN, 100.0]), None);
        let one = check(&FLIGHT[..1], 0.004, 1);
        assert_eq!(one.of(&[0.0, 0.25, 100.0]), None);
    }

    #[test]
    fn a_handful_of_odd_rows_makes_no_regime() {
        let mut settings = rows(&FLIGHT, 0.004, 3_000);
        settings
            .row_mut(7)
            .assign(&ndarray::arr1(&[60.0, 0.1, 20.0]));
        let regimes = Regimes::find(settings.view()).unwrap();
        assert_eq!(regimes.count(), 6);
        assert_eq!(regimes.of(&[60.0, 0.1, 20.0]), None);
    }
}
