//! Forecasts of the service.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_condition::prognosis::ages::{Ages, AssetLives};
use fieldwright_condition::prognosis::class_life::LifeEstimate;

use super::Detection;
use crate::detect::forecast::{AssetDegradation, FailureForecast, NoForecast, NoRemainingLife};

impl Detection {
    /// Takes over what the field knows of the lives of all assets; it replaces what was told before.
    /// Survivors count with their age just now, so it is told again now and then.
    pub async fn take_lives(&self, lives: Vec<AssetLives>) {
        let (shared, now) = (Arc::clone(&self.shared), self.shared.clock.now());
        let learned = tokio::task::spawn_blocking(move || {
            let ages = Ages::learn(&lives, now);
            shared.take_lives(Arc::new(lives));
            shared.engine().take_ages(ages);
        });
        if let Err(error) = learned.await {
            tracing::error!(%error, "the ages of the assets cannot be learned");
        }
    }

    /// Where the health indexes of an asset and its components are going; `None` when nobody has
    /// heard of it.
    pub fn degradation(&self, asset: &str) -> Option<AssetDegradation> {
        self.shared.engine().degradation(asset)
    }

    /// How long an asset will last by the model of its class, however old that estimate is.
    ///
    /// **Errors** with the reason why nobody can say.
    pub fn remaining_life(&self, asset: &str) -> Result<Arc<LifeEstimate>, NoRemainingLife> {
        self.shared.engine().remaining_life(asset)
    }

    /// How likely an asset is to fail before a date.
    ///
    /// **Errors** with the reasons why nobody can say.
    pub fn failure_probability(
        &self,
        asset: &str,
        before: DateTime<Utc>,
    ) -> Result<FailureForecast, NoForecast> {
        let now = self.shared.clock.now();
        self.shared.engine().failure_probability(asset, now, before)
    }
}
