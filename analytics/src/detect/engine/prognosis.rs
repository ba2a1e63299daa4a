//! What is asked about the future of an asset.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use fieldwright_condition::prognosis::ages::Ages;
use fieldwright_condition::prognosis::class_life::LifeEstimate;
use fieldwright_condition::prognosis::degradation::{Degradation, NoDegradation};

use super::super::forecast::{
    AssetDegradation, Basis, FailureForecast, NoForecast, NoRemainingLife, is_fresh_life,
};
use super::Engine;

impl Engine {
    /// Takes over what the ages of all assets say. Where a failure was mended, the course of
    /// health before that says nothing any more.
    pub fn take_ages(&mut self, ages: Ages) {
        for (asset, began) in ages.renewed() {
            let Some(class) = self.owner(asset).map(Arc::clone) else {
                continue;
            };
            let Some(tracks) = self.classes.get_mut(&class) else {
                continue;
            };
            let settings = Arc::clone(&tracks.settings);
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

    /// Takes over what a model says of the remaining life of some assets of its class; nothing:
    /// it does not say. Assets that are watched elsewhere by now are left out.
    pub fn take_estimates(
        &mut self,
        class: &str,
        version: &str,
        estimates: Vec<(Arc<str>, Option<Arc<LifeEstimate>>)>,
    ) {
        let Some(tracks) = self.classes.get_mut(class) else {
            return;
        };
        tracks.life = Some(version.to_owned());
        for (asset, estimate) in estimates {
            if let Some(track) = tracks.track_mut(&asset) {
                track.life = estimate;
            }
        }
    }

    /// How long an asset will last by the model of its class, however old that estimate is.
    ///
    /// **Errors** with the reason why nobody can say.
    pub fn remaining_life(&self, asset: &str) -> Result<Arc<LifeEstimate>, NoRemainingLife> {
        let (class, settings, track) = self.track(asset).ok_or(NoRemainingLife::Unknown)?;
        if settings.life.is_none() {
            return Err(NoRemainingLife::NotDeclared);
        }
        let in_use = self.classes.get(&class).and_then(|own| own.life.as_ref());
        let version = in_use.ok_or(NoRemainingLife::NoModel)?;
        let estimate = track.life.as_ref().map(Arc::clone);
        estimate.ok_or_else(|| NoRemainingLife::NoReading(version.clone()))
    }

    /// How likely an asset is to fail before a date: by its remaining life where a model of its
    /// class says anything of that date, else by the trend of its health index, else by its age.
    ///
    /// **Errors** with the reasons why nobody can say.
    pub fn failure_probability(
        &self,
        asset: &str,
        now: DateTime<Utc>,
        before: DateTime<Utc>,
    ) -> Result<FailureForecast, NoForecast> {
        let mut reasons = Vec::new();
        match self.by_life(asset, now, before) {
            Ok(found) => return Ok(found),
            Err(reason) => reasons.extend(reason),
        }
        match self.degradation(asset).map(|found| found.asset) {
            Some(Ok(trend)) if self.is_fresh(asset, &trend, now) => {
                return Ok(by_trend(&trend, before));
            }
            Some(Ok(trend)) => reasons.push(format!(
                "its health index is of {}, too long ago for a trend",
                shown(trend.as_of)
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

    /// By the model of its class, or why not; no reason where its class declares none.
    fn by_life(
        &self,
        asset: &str,
        now: DateTime<Utc>,
        before: DateTime<Utc>,
    ) -> Result<FailureForecast, Option<String>> {
        let life = match self.remaining_life(asset) {
            Ok(life) => life,
            Err(NoRemainingLife::Unknown | NoRemainingLife::NotDeclared) => return Err(None),
            Err(reason) => return Err(Some(reason.to_string())),
        };
        let settings = self.settings(asset);
        if !settings.is_some_and(|settings| is_fresh_life(&life, &settings, now)) {
            let as_of = shown(life.as_of);
            return Err(Some(format!(
                "its remaining life is of {as_of}, too long ago to count"
            )));
        }
        if !life.tells_of(before) {
            return Err(Some(format!(
                "version {} tells remaining lives apart up to {:.0} h, and it is not known to end \
                 within them",
                life.version, life.cap
            )));
        }
        Ok(FailureForecast {
            probability: life.outlook.probability_of_failure(before),
            basis: Basis::Life,
            as_of: life.as_of,
            before,
            text: life.sentence(),
        })
    }
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
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
