//! Distance to the nearest of k clusters.
//!
//! **Source**: Lloyd 1982, by linfa.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeans;
use serde::{Deserialize, Serialize};

use super::{Shape, ShapeSettings, matrix, squared_distance};

/// How clusters are set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    /// How many.
    pub clusters: usize,
    /// Time blocks that are left out in turn for the limit.
    pub blocks: usize,
    /// Factor on the limit.
    pub limit_factor: f64,
}

/// Centers of clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clusters {
    /// One row per cluster.
    pub centers: Vec<Vec<f64>>,
}

impl Shape for Clusters {
    fn distance(&self, point: &[f64]) -> f64 {
        let distances = self.centers.iter().map(|c| squared_distance(point, c));
        distances.fold(f64::INFINITY, f64::min).sqrt()
    }
}

impl ShapeSettings for ClusterSettings {
    type Learned = Clusters;
    const NAME: &'static str = "clusters";

    fn blocks(&self) -> usize {
        self.blocks
    }

    fn limit_factor(&self) -> f64 {
        self.limit_factor
    }

    fn own_mistakes(&self) -> Vec<String> {
        let wrong = (self.clusters == 0).then(|| "clusters must be at least 1".to_owned());
        wrong.into_iter().collect()
    }

    fn learn(&self, rows: &[Vec<f64>]) -> Result<Clusters, String> {
        let records = DatasetBase::from(matrix(rows)?);
        // linfa seeds its own generator, the same in every run.
        let fitted = KMeans::params(self.clusters.min(rows.len()))
            .n_runs(3)
            .fit(&records)
            .map_err(|error| error.to_string())?;
        let centers = fitted.centroids().outer_iter();
        Ok(Clusters {
            centers: centers.map(|center| center.to_vec()).collect(),
        })
    }
}
