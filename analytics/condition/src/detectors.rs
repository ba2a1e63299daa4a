//! The detectors, each in a file of its own, and the two lists that name them.

pub mod canonical;
pub mod changepoint;
pub mod dynamic;
pub mod dynamic_pca;
pub mod hotelling;
mod lagged;
pub mod neighbor;
pub mod pca;
pub mod residuals;
pub mod seasonal;
pub mod shapes;
pub mod standstill;

use serde::{Deserialize, Serialize};

use super::detector::{Detector, FitError, Training};
use shapes::ShapeSettings as _;

/// Which detector, and how it is set: `kind` in the configuration, the rest under `with`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "with", rename_all = "snake_case")]
pub enum DetectorSettings {
    /// Principal components with T² and squared prediction error, and a reference that follows.
    Pca(pca::PcaSettings),
    /// What declared inputs do not explain, with a regression that goes on learning.
    Residuals(residuals::ResidualSettings),
    /// Canonical variates of the recent past, for processes under control.
    Canonical(canonical::CanonicalSettings),
    /// Principal components of the recent past.
    DynamicPca(dynamic_pca::DynamicPcaSettings),
    /// Distance of the last readings to anything seen before, against its own record.
    Neighbor(neighbor::NeighborSettings),
    /// Deviation from what is usual at this time of the day or week.
    Seasonal(seasonal::SeasonalSettings),
    /// A calm as never before.
    Standstill(standstill::StandstillSettings),
    /// T² around a reference that follows, with a covariance that goes on learning.
    Hotelling(hotelling::HotellingSettings),
    /// The newest window against those before it.
    Changepoint(changepoint::ChangepointSettings),
    /// Distance to the nearest of k clusters.
    Clusters(shapes::ClusterSettings),
    /// How improbable a point is under a mixture of normal distributions.
    Mixture(shapes::MixtureSettings),
    /// The one-class support vector machine.
    Boundary(shapes::BoundarySettings),
    /// What elastic nets between the metrics do not explain.
    Relations(shapes::RelationSettings),
}

/// What a detector has learned: immutable, kept on disk, shared by assets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fitted {
    /// See [`DetectorSettings::Pca`].
    Pca(pca::PcaModel),
    /// See [`DetectorSettings::Residuals`].
    Residuals(residuals::ResidualModel),
    /// See [`DetectorSettings::Canonical`].
    Canonical(dynamic::DynamicModel),
    /// See [`DetectorSettings::DynamicPca`].
    DynamicPca(dynamic::DynamicModel),
    /// See [`DetectorSettings::Neighbor`].
    Neighbor(neighbor::NeighborModel),
    /// See [`DetectorSettings::Seasonal`].
    Seasonal(seasonal::SeasonalModel),
    /// See [`DetectorSettings::Standstill`].
    Standstill(standstill::StandstillModel),
    /// See [`DetectorSettings::Hotelling`].
    Hotelling(hotelling::HotellingModel),
    /// See [`DetectorSettings::Changepoint`].
    Changepoint(changepoint::ChangepointModel),
    /// See [`DetectorSettings::Clusters`].
    Clusters(shapes::ShapeModel<shapes::Clusters>),
    /// See [`DetectorSettings::Mixture`].
    Mixture(shapes::ShapeModel<shapes::Mixture>),
    /// See [`DetectorSettings::Boundary`].
    Boundary(shapes::ShapeModel<shapes::Boundary>),
    /// See [`DetectorSettings::Relations`].
    Relations(shapes::ShapeModel<shapes::Relations>),
}

impl DetectorSettings {
    /// Learns what is normal.
    ///
    /// **Errors**: see [`FitError`].
    pub fn fit(&self, training: &Training<'_>) -> Result<Fitted, FitError> {
        match self {
            Self::Pca(settings) => settings.fit(training).map(Fitted::Pca),
            Self::Residuals(settings) => settings.fit(training).map(Fitted::Residuals),
            Self::Canonical(settings) => settings.fit(training).map(Fitted::Canonical),
            Self::DynamicPca(settings) => settings.fit(training).map(Fitted::DynamicPca),
            Self::Neighbor(settings) => settings.fit(training).map(Fitted::Neighbor),
            Self::Seasonal(settings) => settings.fit(training).map(Fitted::Seasonal),
            Self::Standstill(settings) => settings.fit(training).map(Fitted::Standstill),
            Self::Hotelling(settings) => settings.fit(training).map(Fitted::Hotelling),
            Self::Changepoint(settings) => settings.fit(training).map(Fitted::Changepoint),
            Self::Clusters(settings) => settings.fit(training).map(Fitted::Clusters),
            Self::Mixture(settings) => settings.fit(training).map(Fitted::Mixture),
            Self::Boundary(settings) => settings.fit(training).map(Fitted::Boundary),
            Self::Relations(settings) => settings.fit(training).map(Fitted::Relations),
        }
    }

    /// Its word in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pca(_) => "pca",
            Self::Residuals(_) => "residuals",
            Self::Canonical(_) => "canonical",
            Self::DynamicPca(_) => "dynamic_pca",
            Self::Neighbor(_) => "neighbor",
            Self::Seasonal(_) => "seasonal",
            Self::Standstill(_) => "standstill",
            Self::Hotelling(_) => "hotelling",
            Self::Changepoint(_) => "changepoint",
            Self::Clusters(_) => "clusters",
            Self::Mixture(_) => "mixture",
            Self::Boundary(_) => "boundary",
            Self::Relations(_) => "relations",
        }
    }

    /// Everything that is wrong, a sentence each; empty when nothing is.
    pub fn mistakes(&self) -> Vec<String> {
        match self {
            Self::Pca(settings) => settings.mistakes(),
            Self::Residuals(settings) => settings.mistakes(),
            Self::Canonical(settings) => settings.mistakes(),
            Self::DynamicPca(settings) => settings.mistakes(),
            Self::Neighbor(settings) => settings.mistakes(),
            Self::Seasonal(settings) => settings.mistakes(),
            Self::Standstill(settings) => settings.mistakes(),
            Self::Hotelling(settings) => settings.mistakes(),
            Self::Changepoint(settings) => settings.mistakes(),
            Self::Clusters(settings) => settings.mistakes(),
            Self::Mixture(settings) => settings.mistakes(),
            Self::Boundary(settings) => settings.mistakes(),
            Self::Relations(settings) => settings.mistakes(),
        }
    }
}

impl Fitted {
    /// The detector at work on an asset that it has not seen.
    ///
    /// What is no part of what was learned, such as the factor on the limits and the pace of the
    /// reference, is taken from the settings; `None` when those are of another kind.
    pub fn begin(&self, settings: &DetectorSettings) -> Option<Box<dyn Detector>> {
        match (self, settings) {
            (Self::Pca(model), DetectorSettings::Pca(settings)) => {
                Some(Box::new(pca::PcaDetector::new(model.clone(), settings)))
            }
            (Self::Residuals(model), DetectorSettings::Residuals(settings)) => Some(Box::new(
                residuals::ResidualDetector::new(model.clone(), settings),
            )),
            (Self::Canonical(model), DetectorSettings::Canonical(settings)) => Some(Box::new(
                dynamic::DynamicDetector::new(model.clone(), &settings.common()),
            )),
            (Self::DynamicPca(model), DetectorSettings::DynamicPca(settings)) => Some(Box::new(
                dynamic::DynamicDetector::new(model.clone(), &settings.common()),
            )),
            (Self::Neighbor(model), DetectorSettings::Neighbor(settings)) => Some(Box::new(
                neighbor::NeighborDetector::new(model.clone(), settings),
            )),
            (Self::Seasonal(model), DetectorSettings::Seasonal(settings)) => Some(Box::new(
                seasonal::SeasonalDetector::new(model.clone(), settings),
            )),
            (Self::Standstill(model), DetectorSettings::Standstill(settings)) => Some(Box::new(
                standstill::StandstillDetector::new(model.clone(), settings),
            )),
            (Self::Hotelling(model), DetectorSettings::Hotelling(settings)) => Some(Box::new(
                hotelling::HotellingDetector::new(model.clone(), settings),
            )),
            (Self::Changepoint(model), DetectorSettings::Changepoint(settings)) => Some(Box::new(
                changepoint::ChangepointDetector::new(model.clone(), settings),
            )),
            (Self::Clusters(model), DetectorSettings::Clusters(settings)) => {
                Some(shape(model, settings.limit_factor))
            }
            (Self::Mixture(model), DetectorSettings::Mixture(settings)) => {
                Some(shape(model, settings.limit_factor))
            }
            (Self::Boundary(model), DetectorSettings::Boundary(settings)) => {
                Some(shape(model, settings.limit_factor))
            }
            (Self::Relations(model), DetectorSettings::Relations(settings)) => {
                Some(shape(model, settings.limit_factor))
            }
            _ => None,
        }
    }
}

fn shape<S: shapes::Shape>(model: &shapes::ShapeModel<S>, factor: f64) -> Box<dyn Detector> {
    Box::new(shapes::ShapeDetector::new(model.clone(), factor))
}
