//! How improbable a point is under a mixture of normal distributions.
//!
//! **Source**: Dempster, Laird and Rubin 1977, by linfa.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::GaussianMixtureModel;
use serde::{Deserialize, Serialize};

use super::super::super::matrix::Square;
use super::{Shape, ShapeSettings, matrix};

/// How a mixture is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureSettings {
    /// How many distributions.
    pub parts: usize,
    /// Variance that is added to every feature. **Units**: those of the learning period.
    pub least_variance: f64,
    /// Time blocks that are left out in turn for the limit.
    pub blocks: usize,
    /// Factor on the limit.
    pub limit_factor: f64,
}

/// Normal distributions with their weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixture {
    /// The distributions.
    pub parts: Vec<Part>,
}

/// One distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its mean.
    pub mean: Vec<f64>,
    /// The inverse of its covariance.
    pub precision: Square,
    /// Logarithm of its density at its mean times its weight.
    pub height: f64,
}

impl Shape for Mixture {
    /// The logarithm of the highest density over that of the point.
    fn distance(&self, point: &[f64]) -> f64 {
        let top = self.parts.iter().map(|part| part.height);
        let top = top.fold(f64::NEG_INFINITY, f64::max);
        let logs: Vec<f64> = self
            .parts
            .iter()
            .map(|part| {
                let apart: Vec<f64> = point.iter().zip(&part.mean).map(|(a, b)| a - b).collect();
                part.height - part.precision.form(&apart) / 2.0
            })
            .collect();
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
        (top - most - sum.ln()).max(0.0)
    }
}

impl ShapeSettings for MixtureSettings {
    type Learned = Mixture;
    const NAME: &'static str = "mixture";

    fn blocks(&self) -> usize {
        self.blocks
    }

    fn limit_factor(&self) -> f64 {
        self.limit_factor
    }

    fn own_mistakes(&self) -> Vec<String> {
        let few = (self.parts == 0).then(|| "parts must be at least 1".to_owned());
        let thin = !(self.least_variance > 0.0 && self.least_variance <= 1.0);
        let thin = thin.then(|| "least_variance must be over 0 and at most 1".to_owned());
        few.into_iter().chain(thin).collect()
    }

    fn learn(&self, rows: &[Vec<f64>]) -> Result<Mixture, String> {
        let records = DatasetBase::from(matrix(rows)?);
        let fitted = GaussianMixtureModel::params(self.parts)
            .reg_covariance(self.least_variance)
            .n_runs(3)
            .fit(&records)
            .map_err(|error| error.to_string())?;
        let width = records.records.ncols();
        let parts = fitted.weights().iter().enumerate().map(|(at, weight)| {
            let covariance = fitted.covariances();
            let covariance = Square::from_fn(width, |r, c| covariance[[at, r, c]]);
            let precision = covariance.precision(&vec![0.0; width]);
            Part {
                mean: fitted.means().row(at).to_vec(),
                height: weight.max(f64::MIN_POSITIVE).ln() + precision.log_determinant() / 2.0,
                precision,
            }
        });
        Ok(Mixture {
            parts: parts.collect(),
        })
    }
}
