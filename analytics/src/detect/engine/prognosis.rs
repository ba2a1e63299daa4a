//! What is asked about the future of an asset.

use chrono::{DateTime, SecondsFormat, Utc};
use fieldwright_condition::prognosis::ages::Ages;
use fieldwright_condition::prognosis::degradation::{Degradation, NoDegradation};

use super::super::forecast::{AssetDegradation, Basis, FailureForecast, NoForecast};
use super::Engine;

impl Engine {
    /// Takes over what the ages of all assets say. Where a failure was mended, the course of
    /// health before that says nothing any more.
    pub fn take_ages(&mut self, ages: Ages) {
        for (asset, began) in ages.renewed() {
            let Some(class) = self.owner(asset).map(std::sync::Arc::clone) else {
                continue;
            };
            let Some(tracks) = self.classes.get_mut(&class) else {
                continue;
            };
            let settings = std::sync::Arc::clone(&tracks.settings);
            let track = tracks.track_mut(asset);
            if let Some(track) = track.filter(|track| track.history.is_some()) {
                track.begin_history_at(began.timestamp_micros(), &settings);
            }
        }
        self.ages = ages;
    }

    /// Where the health indexes of an asset and its components are going; `None` when nobody has
    /// heard of it.
    pub fn degradation(&self, asset: &str) -> Option<AssetDegradation> {
        let (_, settings, track) = self.track(asset)?;
        let own = &settings.degradation;
        let unknown = || {
            Err(NoDegradation::TooFew {
                found: 0,
                needed: 8,
                every: own.every,
            })
        };
        let history = track.history.as_deref();
        let of_component = |name: &String| {
            let found = history.map_or_else(unknown, |known| known.of_component(name, own));
            (name.clone(), found)
        };
        Some(AssetDegradation {
            asset: history.map_or_else(unknown, |known| known.of_asset(own)),
            components: settings.components.keys().map(of_component).collect(),
        })
    }

    /// Whether a trend is of now: an asset that has long been silent may have been repaired, moved
    /// or switched off since.
    fn is_fresh(&self, asset: &str, trend: &Degradation, now: DateTime<Utc>) -> bool {
        let fresh = self.settings(asset).map(|settings| {
            let every = settings.degradation.every.delta();
            settings.stale_after.delta() + every
        });
        fresh.is_some_and(|fresh| now - trend.as_of <= fresh)
    }

    /// How likely an asset is to fail before a date: by the trend of its health index where that
    /// says anything, else by its age.
    ///
    /// **Errors** with the reasons why nobody can say.
    pub fn failure_probability(
        &self,
        asset: &str,
        now: DateTime<Utc>,
        before: DateTime<Utc>,
    ) -> Result<FailureForecast, NoForecast> {
        let mut reasons = Vec::new();
        match self.degradation(asset).map(|found| found.asset) {
            Some(Ok(trend)) if self.is_fresh(asset, &trend, now) => {
                return Ok(by_trend(&trend, before));
            }
            Some(Ok(trend)) => reasons.push(format!(
                "its health index is of {}, too long ago for a trend",
                trend.as_of.to_rfc3339_opts(SecondsFormat::Secs, true)
            )),
            Some(Err(reason)) => reasons.push(reason.to_string()),
            None => reasons.push("it has never sent anything".to_owned()),
        }
        match self.ages.of(asset, now, before) {
            Ok(found) => Ok(FailureForecast {
                probability: found.probability,
                basis: Basis::Age,
                as_of: now,
                before,
                text: format!("{}; {}", found.sentence(), reasons.join("; ")),
            }),
            Err(reason) => {
                reasons.push(reason.to_string());
                Err(NoForecast(reasons))
            }
        }
    }
}

fn by_trend(trend: &Degradation, before: DateTime<Utc>) -> FailureForecast {
    FailureForecast {
        probability: trend.outlook.probability_of_failure(before),
        basis: Basis::Trend,
        as_of: trend.as_of,
        before,
        text: trend.sentence(),
    }
}
