//! Boosted regression trees: many small trees, each fitted to what the ones before it left over.
//!
//! Features are put into at most 255 bins first, so that the best split of a node is found from
//! one histogram per feature instead of from sorted values. linfa has classification trees alone;
//! this is the regressor in its style: checked parameters, [`Fit`] and [`PredictInplace`].
//!
//! A missing value (NaN) goes where the smallest values go, while fitting and while predicting.
//!
//! **Source**: Friedman 2001 (gradient boosting machine) and 2002 (random rows per tree); Ke et
//! al. 2017 (histograms, and the sibling's histogram by subtraction).

mod bins;
mod tree;

use linfa::ParamGuard;
use linfa::dataset::{AsSingleTargets, DatasetBase};
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, Data, Ix2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::sampling::choose;
use bins::Bins;
use tree::{Grower, Tree};

/// How to boost, unchecked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BoostedTreesParams(BoostedTreesValidParams);

/// How to boost, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostedTreesValidParams {
    /// Number of trees.
    pub trees: usize,
    /// Share of a tree's answer that is believed.
    pub learning_rate: f64,
    /// Splits from the root to a leaf, at most.
    pub depth: usize,
    /// Rows in a leaf, at least.
    pub least_rows: usize,
    /// Bins per feature, 2 to 255.
    pub bins: usize,
    /// Share of the features that a tree may look at.
    pub feature_share: f64,
    /// Share of the rows that a tree is fitted to.
    pub row_share: f64,
    /// Rows of zero residual that every leaf is thought to have besides its own.
    pub shrinkage: f64,
    /// Of the choice of features and rows.
    pub seed: u64,
}

/// Fitted trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoostedTrees {
    /// Mean of the targets: the answer before the first tree.
    start: f64,
    trees: Vec<Tree>,
    /// Number of features of a row.
    features: usize,
}

/// Why there are no trees.
#[derive(Debug, thiserror::Error)]
pub enum BoostingError {
    /// A parameter is out of its range.
    #[error("boosted trees cannot be fitted with {name} = {value}")]
    Parameter {
        /// Which.
        name: &'static str,
        /// What it was.
        value: f64,
    },
    /// There is nothing to learn from.
    #[error("boosted trees need at least one row and one feature")]
    Empty,
    /// A target is NaN or infinite.
    #[error("the target of row {0} is not a number")]
    Target(usize),
    /// linfa refused.
    #[error("boosted trees were refused by linfa")]
    Linfa(#[from] linfa::Error),
}

impl Default for BoostedTreesParams {
    fn default() -> Self {
        Self(BoostedTreesValidParams {
            trees: 300,
            learning_rate: 0.05,
            depth: 5,
            least_rows: 60,
            bins: 64,
            feature_share: 0.3,
            row_share: 0.7,
            shrinkage: 1.0,
            seed: 1,
        })
    }
}

impl BoostedTreesParams {
    /// The same with another number of trees.
    pub fn trees(mut self, trees: usize) -> Self {
        self.0.trees = trees;
        self
    }

    /// The same with another depth.
    pub fn depth(mut self, depth: usize) -> Self {
        self.0.depth = depth;
        self
    }

    /// The same with another least number of rows in a leaf.
    pub fn least_rows(mut self, least_rows: usize) -> Self {
        self.0.least_rows = least_rows;
        self
    }

    /// The same with another learning rate.
    pub fn learning_rate(mut self, learning_rate: f64) -> Self {
        self.0.learning_rate = learning_rate;
        self
    }

    /// The same with another seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }
}

impl ParamGuard for BoostedTreesParams {
    type Checked = BoostedTreesValidParams;
    type Error = BoostingError;

    fn check_ref(&self) -> Result<&Self::Checked, BoostingError> {
        let of = &self.0;
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let checks = [
            ("trees", of.trees as f64, of.trees > 0),
            ("learning_rate", of.learning_rate, share(of.learning_rate)),
            ("depth", of.depth as f64, (1..=16).contains(&of.depth)),
            ("least_rows", of.least_rows as f64, of.least_rows > 0),
            ("bins", of.bins as f64, (2..=255).contains(&of.bins)),
            ("feature_share", of.feature_share, share(of.feature_share)),
            ("row_share", of.row_share, share(of.row_share)),
            (
                "shrinkage",
                of.shrinkage,
                of.shrinkage >= 0.0 && of.shrinkage.is_finite(),
            ),
        ];
        match checks.into_iter().find(|(_, _, good)| !good) {
            Some((name, value, _)) => Err(BoostingError::Parameter { name, value }),
            None => Ok(of),
        }
    }

    fn check(self) -> Result<Self::Checked, BoostingError> {
        self.check_ref()?;
        Ok(self.0)
    }
}

impl<D, T> Fit<ArrayBase<D, Ix2>, T, BoostingError> for BoostedTreesValidParams
where
    D: Data<Elem = f64>,
    T: AsSingleTargets<Elem = f64>,
{
    type Object = BoostedTrees;

    fn fit(
        &self,
        dataset: &DatasetBase<ArrayBase<D, Ix2>, T>,
    ) -> Result<BoostedTrees, BoostingError> {
        let records = dataset.records().view();
        let targets = dataset.as_single_targets().to_vec();
        let (rows, features) = records.dim();
        if rows == 0 || features == 0 || targets.len() != rows {
            return Err(BoostingError::Empty);
        }
        if let Some(row) = targets.iter().position(|target| !target.is_finite()) {
            return Err(BoostingError::Target(row));
        }
        let bins = Bins::of(records, self.bins);
        let start = targets.iter().sum::<f64>() / rows as f64;
        let mut residuals: Vec<f64> = targets.iter().map(|target| target - start).collect();
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        let part = |share: f64, of: usize| ((share * of as f64).ceil() as usize).clamp(1, of);
        let mut trees = Vec::with_capacity(self.trees);
        for _ in 0..self.trees {
            let columns = choose(&mut generator, features, part(self.feature_share, features));
            let sample = choose(&mut generator, rows, part(self.row_share, rows));
            let grower = Grower {
                bins: &bins,
                residuals: &residuals,
                columns: &columns,
                depth: self.depth,
                least_rows: self.least_rows,
                shrinkage: self.shrinkage,
                learning_rate: self.learning_rate,
            };
            let grown = grower.grow(sample);
            for (row, residual) in residuals.iter_mut().enumerate() {
                *residual -= grown.answer_binned(&bins, row);
            }
            trees.push(grown.into_tree());
        }
        Ok(BoostedTrees {
            start,
            trees,
            features,
        })
    }
}

impl BoostedTrees {
    /// The answer for one row of features.
    pub fn answer(&self, row: &[f64]) -> f64 {
        debug_assert_eq!(row.len(), self.features);
        self.start + self.trees.iter().map(|tree| tree.answer(row)).sum::<f64>()
    }
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for BoostedTrees {
    fn predict_inplace(&self, records: &ArrayBase<D, Ix2>, answers: &mut Array1<f64>) {
        assert_eq!(records.nrows(), answers.len(), "one answer per row");
        for (row, answer) in records.outer_iter().zip(answers.iter_mut()) {
            *answer = match row.as_slice() {
                Some(row) => self.answer(row),
                None => self.answer(&row.to_vec()),
            };
        }
    }

    fn default_target(&self, records: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::zeros(records.nrows())
    }
}

#[cfg(test)]
mod tests;
