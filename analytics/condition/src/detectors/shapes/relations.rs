//! What an elastic net per metric does not explain from the other metrics.
//!
//! **Source**: Zou and Hastie 2005, by linfa.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet;
use ndarray::Array1;
use serde::{Deserialize, Serialize};

use super::{Shape, ShapeSettings, matrix};
use crate::numbers::count;

/// How relations are set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationSettings {
    /// Weight of the penalty.
    pub penalty: f64,
    /// Share of it that is the sum of absolute weights, which leaves metrics out.
    pub l1_ratio: f64,
    /// Time blocks that are left out in turn for the limit.
    pub blocks: usize,
    /// Factor on the limit.
    pub limit_factor: f64,
}

/// One linear model per feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relations {
    /// Weights of all features, that of the feature itself 0.
    pub weights: Vec<Vec<f64>>,
    /// What is added.
    pub intercepts: Vec<f64>,
    /// Deviations of the residuals while learning.
    pub deviations: Vec<f64>,
}

impl Relations {
    fn residual(&self, of: usize, point: &[f64]) -> f64 {
        let weights = self.weights[of].iter().zip(point);
        let expected: f64 = weights.map(|(weight, x)| weight * x).sum();
        point[of] - expected - self.intercepts[of]
    }
}

impl Shape for Relations {
    /// Root of the mean square of the residuals in their own deviations.
    fn distance(&self, point: &[f64]) -> f64 {
        let one = |of: usize| (self.residual(of, point) / self.deviations[of]).powi(2);
        let squares: f64 = (0..point.len()).map(one).sum();
        (squares / count(point.len().max(1))).sqrt()
    }
}

impl ShapeSettings for RelationSettings {
    type Learned = Relations;
    const NAME: &'static str = "relations";

    fn blocks(&self) -> usize {
        self.blocks
    }

    fn limit_factor(&self) -> f64 {
        self.limit_factor
    }

    fn own_mistakes(&self) -> Vec<String> {
        let heavy = !(self.penalty >= 0.0 && self.penalty <= 1e3);
        let heavy = heavy.then(|| "penalty must be from 0 to 1000".to_owned());
        let share = !(0.0..=1.0).contains(&self.l1_ratio);
        let share = share.then(|| "l1_ratio must be a share from 0 to 1".to_owned());
        heavy.into_iter().chain(share).collect()
    }

    fn learn(&self, rows: &[Vec<f64>]) -> Result<Relations, String> {
        let width = rows.first().map_or(0, Vec::len);
        let mut learned = Relations {
            weights: Vec::with_capacity(width),
            intercepts: Vec::with_capacity(width),
            deviations: vec![1.0; width],
        };
        for of in 0..width {
            let others: Vec<Vec<f64>> = rows
                .iter()
                .map(|row| {
                    let mut row = row.clone();
                    row.remove(of);
                    row
                })
                .collect();
            let target: Array1<f64> = rows.iter().map(|row| row[of]).collect();
            let mut weights = vec![0.0; width];
            let mut intercept = target.mean().unwrap_or(0.0);
            if width > 1 {
                let fitted = ElasticNet::params()
                    .penalty(self.penalty)
                    .l1_ratio(self.l1_ratio)
                    .fit(&Dataset::new(matrix(&others)?, target))
                    .map_err(|error| error.to_string())?;
                weights = fitted.hyperplane().to_vec();
                weights.insert(of, 0.0);
                intercept = fitted.intercept();
            }
            learned.weights.push(weights);
            learned.intercepts.push(intercept);
            let squares: f64 = rows.iter().map(|r| learned.residual(of, r).powi(2)).sum();
            learned.deviations[of] = (squares / count(rows.len().max(1))).sqrt().max(1e-6);
        }
        Ok(learned)
    }
}
