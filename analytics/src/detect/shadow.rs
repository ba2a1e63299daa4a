//! A candidate at work beside an asset's model: it judges the same windows and raises nothing.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_condition::episode::Turn;
use fieldwright_condition::window::Window;
use fieldwright_condition::{ClassSettings, Judgement, Model, Watch};

use super::evidence::instant;

/// What a candidate would have done, beside what the model in use did.
#[derive(Debug, Clone, PartialEq)]
pub struct ShadowReport {
    /// The asset's tag.
    pub asset: String,
    /// The candidate.
    pub version: String,
    /// The model in use.
    pub live: String,
    /// Event time of the first window that both judged.
    pub since: Option<DateTime<Utc>>,
    /// Windows that both judged.
    pub windows: u64,
    /// Windows that were out of band for the candidate.
    pub out_of_band: u64,
    /// Windows that were out of band for the model in use.
    pub live_out_of_band: u64,
    /// Alarms that the candidate would have raised.
    pub alarms: u64,
    /// Alarms that the model in use raised.
    pub live_alarms: u64,
}

/// The candidate of one asset.
#[derive(Debug)]
pub(super) struct Shadow {
    watch: Watch,
    since: Option<i64>,
    windows: u64,
    candidate: Said,
    live: Said,
}

#[derive(Debug, Clone, Copy, Default)]
struct Said {
    out_of_band: u64,
    alarms: u64,
}

impl Shadow {
    pub(super) fn new(model: Arc<Model>, settings: &ClassSettings, metrics: &[String]) -> Self {
        let mut watch = Watch::new(model, settings);
        watch.know_metrics(metrics);
        Self {
            watch,
            since: None,
            windows: 0,
            candidate: Said::default(),
            live: Said::default(),
        }
    }

    pub(super) fn know_metrics(&mut self, metrics: &[String]) {
        self.watch.know_metrics(metrics);
    }

    pub(super) fn take_limits(&mut self, settings: &ClassSettings) {
        self.watch.take_limits(settings);
    }

    /// Judges a window that the model in use has judged.
    pub(super) fn note(
        &mut self,
        window: &Window,
        live: (&Watch, &Judgement),
        settings: &ClassSettings,
    ) {
        let Some(judgement) = self.watch.take(window) else {
            return;
        };
        self.since.get_or_insert(window.end);
        self.windows += 1;
        self.candidate.count(&self.watch, &judgement, settings);
        self.live.count(live.0, live.1, settings);
    }

    pub(super) fn report(&self, asset: &str, live: &Model) -> ShadowReport {
        ShadowReport {
            asset: asset.to_owned(),
            version: self.watch.model().version.clone(),
            live: live.version.clone(),
            since: self.since.map(instant),
            windows: self.windows,
            out_of_band: self.candidate.out_of_band,
            live_out_of_band: self.live.out_of_band,
            alarms: self.candidate.alarms,
            live_alarms: self.live.alarms,
        }
    }
}

impl Said {
    fn count(&mut self, watch: &Watch, judgement: &Judgement, settings: &ClassSettings) {
        let said = watch.names().zip(&judgement.verdicts);
        let said = said.filter(|(name, _)| settings.raises(name));
        let said: Vec<_> = said.filter_map(|(_, verdict)| *verdict).collect();
        self.out_of_band += u64::from(said.iter().any(|verdict| verdict.out_of_band));
        let raised = |turn: Turn| matches!(turn, Turn::Raise { .. });
        let raised = said.iter().filter(|verdict| raised(verdict.turn)).count();
        self.alarms += u64::try_from(raised).unwrap_or(u64::MAX);
    }
}
