//! One asset under watch here: its monitor, and what the service keeps beside it.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_condition::episode::{Episode, Turn};
use fieldwright_condition::guard::{Guards, SavedGuards};
use fieldwright_condition::monitor::Carried;
use fieldwright_condition::prognosis::class_life::LifeEstimate;
use fieldwright_condition::prognosis::degradation::HealthHistory;
use fieldwright_condition::watch::SavedWatch;
use fieldwright_condition::window::Window;
use fieldwright_condition::{ClassSettings, Judgement, Monitor, Verdict, Watch};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::engine::Found;
use super::evidence::{Finding, by_life, by_trend, instant, with_outlook};
use super::forecast::is_fresh_life;
use super::scores::Scores;
use super::shadow::Shadow;
use super::withheld::Withheld;
use crate::alarms::Occurrence;

/// A judged window, briefly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Judged {
    pub(super) start: i64,
    pub(super) end: i64,
    /// Of the detector that is farthest from normal.
    pub(super) ratio: f64,
}

/// What is persisted of an asset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedState {
    /// Version of the model; empty while learning.
    pub(super) model: String,
    /// First reading of the learning period.
    pub(super) learning_from: i64,
    /// The detectors at work.
    #[serde(default)]
    pub(super) watch: SavedWatch,
    /// Alarms that are up while it learns.
    #[serde(default)]
    pub(super) carried: Carried,
    #[serde(default)]
    pub(super) recent: Vec<Judged>,
    /// Its declared thresholds.
    #[serde(default, skip_serializing_if = "SavedGuards::is_empty")]
    pub(super) guards: SavedGuards,
    /// What began in the past, is still there and was not raised.
    #[serde(default, skip_serializing_if = "Withheld::is_empty")]
    pub(super) withheld: Withheld,
    /// The course of its health index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) history: Option<Box<HealthHistory>>,
    /// Where the one detector of a former release stood.
    #[serde(default, skip_serializing)]
    episode: Option<Episode>,
}

/// Name of the one detector of a former release.
const FORMER: &str = "pca";

/// One asset.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) monitor: Monitor,
    /// As many windows as a verification may ask for.
    pub(super) recent: VecDeque<Judged>,
    /// Its declared thresholds; nothing before one was judged.
    pub(super) guards: Option<Box<Guards>>,
    /// What was said lately; nothing yet.
    pub(super) scores: Option<Box<Scores>>,
    /// The course of its health index; nothing before a window was judged.
    pub(super) history: Option<Box<HealthHistory>>,
    /// How long it will last; nothing where no model of its class says so.
    pub(super) life: Option<Arc<LifeEstimate>>,
    /// A candidate that judges beside the model.
    pub(super) shadow: Option<Box<Shadow>>,
    /// What began in the past, is still there and is not raised.
    pub(super) withheld: Withheld,
    /// Event time of the newest row that was the past when it was received: windows that begin
    /// by then have something of the past in them. **Units**: microseconds since 1970.
    pub(super) past_through: i64,
    /// Whether anything has changed since progress was last saved.
    pub(super) dirty: bool,
    /// Findings that are not kept yet; until they are, progress must not be saved.
    pub(super) unkept: u32,
    /// Whether the asset is watched here, and not under another class.
    pub(super) owned: bool,
    /// Whether late rows came while it learns: its windows are to be cut again.
    pub(super) revised: bool,
}

impl SavedState {
    /// The alarms that were up.
    pub(super) fn alarms(&self) -> Carried {
        let mut alarms = self.carried.clone();
        let members = self.watch.members.iter();
        alarms.extend(members.map(|(name, (episode, _))| (name.clone(), *episode)));
        alarms.extend(self.episode.map(|episode| (FORMER.to_owned(), episode)));
        alarms.retain(|_, episode| episode.is_active());
        alarms
    }
}

impl Track {
    /// A track that knows nothing: its first reading begins the learning period.
    pub(super) fn new(settings: &Arc<ClassSettings>) -> Self {
        Self::with(Monitor::new(Arc::clone(settings)))
    }

    /// A track of a monitor.
    pub(super) fn with(monitor: Monitor) -> Self {
        Self {
            monitor,
            recent: VecDeque::new(),
            guards: None,
            scores: None,
            history: None,
            life: None,
            shadow: None,
            withheld: Withheld::default(),
            past_through: i64::MIN,
            dirty: false,
            unkept: 0,
            owned: true,
            revised: false,
        }
    }

    /// Event time up to which windows are done.
    pub(super) fn scored_through(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.monitor.through())
    }

    /// What is persisted.
    pub(super) fn saved_state(&self, settings: &ClassSettings) -> SavedState {
        let watch = self.monitor.watch();
        SavedState {
            model: watch.map_or_else(String::new, |watch| watch.model().version.clone()),
            learning_from: self.monitor.learning_from(),
            watch: watch.map(Watch::save).unwrap_or_default(),
            carried: match watch {
                Some(_) => Carried::new(),
                None => self.monitor.alarms(),
            },
            recent: self.recent.iter().copied().collect(),
            guards: match &self.guards {
                Some(guards) => guards.save(&settings.thresholds),
                None => SavedGuards::default(),
            },
            withheld: self.withheld.clone(),
            history: self.history.clone(),
            episode: None,
        }
    }

    /// Forgets the course of health before an instant, in microseconds since 1970.
    pub(super) fn begin_history_at(&mut self, at: i64, settings: &ClassSettings) {
        let history = self.history.get_or_insert_default();
        history.begin_at(at, &settings.degradation);
        self.dirty = true;
    }

    /// Keeps how the asset is, where a value is due.
    fn keep_health(&mut self, settings: &ClassSettings, at: i64) {
        let own = &settings.degradation;
        if self
            .history
            .as_ref()
            .is_some_and(|known| !known.is_due(at, own))
        {
            return;
        }
        let watch = self.monitor.watch();
        let Some(condition) = watch.and_then(|watch| watch.condition(settings)) else {
            return;
        };
        let components = condition.components.iter();
        let components = components.map(|(name, index)| (name.as_str(), index));
        let history = self.history.get_or_insert_default();
        history.take(at, &condition.asset, components, own);
    }

    /// Whether an alarm is up: of a detector that raises any.
    pub(super) fn is_in_alarm(&self, settings: &ClassSettings) -> bool {
        if self
            .guards
            .as_ref()
            .is_some_and(|guards| guards.is_active())
        {
            return true;
        }
        let watch = self.monitor.watch();
        let mut episodes = watch.into_iter().flat_map(Watch::episodes);
        episodes.any(|(name, episode)| episode.is_active() && settings.raises(name))
    }

    /// Takes note of a judgement; gives what it means for the asset's alarms.
    pub(super) fn note(
        &mut self,
        tag: &str,
        settings: &ClassSettings,
        window: &Window,
        judgement: &Judgement,
    ) -> Vec<Found> {
        self.keep_health(settings, judgement.end);
        let Some(watch) = self.monitor.watch() else {
            return Vec::new();
        };
        let kept = settings
            .verify_in_band_windows
            .max(settings.verify_out_of_band_windows);
        while self.recent.len() >= kept.max(1) {
            self.recent.pop_front();
        }
        self.recent.push_back(Judged {
            start: judgement.start,
            end: judgement.end,
            ratio: farthest(watch, settings, judgement),
        });
        let scores = self.scores.get_or_insert_default();
        scores.note(judgement, watch.names(), watch.model(), settings);
        if let Some(shadow) = &mut self.shadow {
            shadow.note(window, (watch, judgement), settings);
        }
        let said = watch.names().zip(&judgement.verdicts).enumerate();
        let mut found = Vec::new();
        let is_past = window.start <= self.past_through;
        for (member, (detector, verdict)) in said {
            if let Some(mut verdict) = *verdict {
                let held = &mut self.withheld;
                if !settings.raises(detector) {
                    // Should it raise one day, what is there by then has not been raised.
                    held.hold(detector, verdict.alarm);
                    continue;
                }
                let began = watch.began(member).filter(|_| verdict.alarm);
                // What is below its limit by now may go on for a while, but is not still there.
                let is_ending = held.holds(detector) && verdict.ratio < 1.0;
                let says_nothing = is_past || is_ending;
                verdict.turn = held.admit(detector, verdict.turn, says_nothing, began);
                let about = About {
                    tag,
                    settings,
                    watch,
                    window,
                    history: self.history.as_deref(),
                    life: self.life.as_deref(),
                };
                found.extend(about.found((member, detector), verdict));
            }
        }
        found
    }
}

/// The ratio of the detector that is farthest from normal, of those that raise alarms if any does.
fn farthest(watch: &Watch, settings: &ClassSettings, judgement: &Judgement) -> f64 {
    let most = |raising: bool| {
        let said = watch.names().zip(&judgement.verdicts);
        let said = said.filter(|(name, _)| !raising || settings.raises(name));
        let ratios = said.filter_map(|(_, verdict)| Some(verdict.as_ref()?.ratio));
        ratios.max_by(f64::total_cmp)
    };
    most(true).or_else(|| most(false)).unwrap_or(0.0)
}

/// What a judgement is about.
struct About<'a> {
    tag: &'a str,
    settings: &'a ClassSettings,
    watch: &'a Watch,
    window: &'a Window,
    history: Option<&'a HealthHistory>,
    life: Option<&'a LifeEstimate>,
}

impl About<'_> {
    /// What the asset is heading for: by its remaining life where a model says so, else by the
    /// trend of its health index; nothing where there is neither.
    fn outlook(&self, at: DateTime<Utc>) -> Option<Value> {
        let own = &self.settings.degradation;
        let fresh = |life: &&LifeEstimate| {
            is_fresh_life(life, self.settings, at)
                && life.tells_of(life.as_of + own.horizon.delta())
        };
        match self.life.filter(fresh) {
            Some(life) => Some(by_life(life, own)),
            None => self.history.map(|history| by_trend(history, own)),
        }
    }

    fn found(&self, (member, detector): (usize, &str), verdict: Verdict) -> Option<Found> {
        let at = instant(self.window.end);
        let began_at = match verdict.turn {
            Turn::None => return None,
            Turn::Return => {
                return Some(Found::Return {
                    asset: self.tag.to_owned(),
                    cause: detector.to_owned(),
                    at,
                });
            }
            Turn::Raise { began } => instant(began),
            Turn::Worse => at,
        };
        let model = self.watch.model();
        let finding = Finding {
            asset: self.tag,
            model,
            detector,
            limit_factor: self.settings.limit_factor(detector),
            window: self.window,
            verdict,
            explanation: &self.watch.explain(self.window, member),
            began_at,
        };
        let occurrence = Occurrence {
            asset: self.tag.to_owned(),
            class: model.class.clone(),
            cause: detector.to_owned(),
            severity: self.settings.severity_of(detector),
            summary: finding.summary(),
            evidence: with_outlook(finding.evidence(), self.outlook(at)),
            began_at,
            raised_at: at,
        };
        Some(match verdict.turn {
            Turn::Worse => Found::Worse(occurrence),
            _ => Found::Raise(occurrence),
        })
    }
}
