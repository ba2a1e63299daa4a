//! An asset under watch: its model's detectors, their alarms, and what they said of each window.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::detector::{Detector, Explanation, Sample};
use super::episode::{Delays, Episode, Turn};
use super::features::ewma::Averages;
use super::features::{self, FeatureKind};
use super::health::{self, Component, HealthIndex, Said};
use super::model::Model;
use super::settings::ClassSettings;
use super::window::Window;

/// Ratios end here; far beyond any real one.
const MAX_RATIO: f64 = 1e6;

/// What is said of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// First instant of the window. **Units**: microseconds of event time since 1970.
    pub start: i64,
    /// First instant after it.
    pub end: i64,
    /// What each detector says, in the order of [`Watch::names`]; `None`: it could not judge.
    pub verdicts: Vec<Option<Verdict>>,
}

/// What one detector says of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The statistic in multiples of the alarm limit.
    pub ratio: f64,
    /// Whether the asset is out of band: over the limit, or not yet below the release again.
    pub out_of_band: bool,
    /// Whether that has lasted long enough, so that its alarm is up.
    pub alarm: bool,
    /// What has changed with this window.
    pub turn: Turn,
}

impl Verdict {
    /// The score, 0 to 1: one half is the alarm limit.
    pub fn score(&self) -> f64 {
        self.ratio / (1.0 + self.ratio)
    }
}

/// What a restart needs of an asset under watch.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SavedWatch {
    /// By name of the detector: where its alarm stands, and what it remembers.
    pub members: BTreeMap<String, (Episode, Value)>,
    /// End of the last window that was judged. **Units**: microseconds of event time since 1970.
    pub last_end: Option<i64>,
    /// By feature: start of the first window in which its metric stood still, while it does.
    #[serde(default)]
    pub flat_since: Vec<Option<i64>>,
    /// Where features that are means over windows stand, by their place.
    #[serde(default, skip_serializing_if = "Averages::is_empty")]
    pub averages: Averages,
    /// Windows of unknown regimes, which were not judged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The detectors of one asset at work.
#[derive(Debug)]
pub struct Watch {
    model: Arc<Model>,
    members: Vec<Member>,
    /// The class's number of each feature's metric, as far as known.
    numbers: Vec<Option<usize>>,
    least_rows: f64,
    patience: i64,
    last_end: Option<i64>,
    flat_since: Vec<Option<i64>>,
    stuck_after: i64,
    averages: Averages,
    /// The class's number of each setting channel, as far as known.
    settings: Vec<Option<usize>>,
    /// The regime of the newest window, if it is known.
    regime: Option<usize>,
    /// That of the window that was judged last.
    judged_in: Option<usize>,
    unknown: u64,
    vector: Vec<f64>,
}

#[derive(Debug)]
struct Member {
    name: String,
    detector: Box<dyn Detector>,
    episode: Episode,
    delays: Delays,
    /// By what its limit is multiplied.
    limit_factor: f64,
    /// The ratio's smoothed course; none before the first judgement.
    smoothed: Option<f64>,
}

/// How an asset is, and each of its components.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Of the asset as a whole.
    pub asset: HealthIndex,
    /// Of its components, in the order of the settings; those that no detector looks at are left out.
    pub components: Vec<(String, HealthIndex)>,
    /// End of the window that it is of. **Units**: microseconds of event time since 1970.
    pub at: i64,
}

impl Watch {
    /// A fresh watch with a model. Detectors that the settings no longer name are left out.
    pub fn new(model: Arc<Model>, settings: &ClassSettings) -> Self {
        let members = settings.detectors.iter().filter_map(|(name, watching)| {
            let detector = model.detectors.get(name)?.begin(&watching.detector)?;
            let min_duration = watching.min_duration.unwrap_or(settings.min_duration);
            Some(Member {
                name: name.clone(),
                detector,
                episode: Episode::Quiet,
                delays: Delays {
                    min_duration,
                    off_delay: watching.off_delay.unwrap_or(min_duration),
                    release: watching.release.unwrap_or(settings.release),
                },
                limit_factor: watching.promoted,
                smoothed: None,
            })
        });
        let members: Vec<Member> = members.collect();
        let longest = members.iter().map(|m| m.delays.min_duration.micros());
        // Windows of single readings have no length: two usual gaps make a hole.
        let single = (settings.window.micros() == 0).then_some(2 * model.spacing);
        Self {
            least_rows: f64::from(settings.min_samples)
                .max(settings.min_coverage * model.usual_rows),
            patience: longest
                .chain([settings.window.micros(), single.unwrap_or(0)])
                .max()
                .unwrap_or(0),
            members,
            numbers: Vec::new(),
            last_end: None,
            flat_since: vec![None; model.features.len()],
            stuck_after: settings.stuck_after.micros(),
            averages: model.averages.clone(),
            settings: Vec::new(),
            regime: None,
            judged_in: None,
            unknown: 0,
            vector: Vec::new(),
            model,
        }
    }

    /// Takes over the limits that people promoted, from the next window on.
    pub fn take_limits(&mut self, settings: &ClassSettings) {
        for member in &mut self.members {
            let factor = settings.limit_factor(&member.name);
            // Its smoothed course is in multiples of the limit, too.
            let changed = member.limit_factor / factor;
            member.smoothed = member.smoothed.map(|ratio| ratio * changed);
            member.limit_factor = factor;
        }
    }

    /// Goes on from what was saved.
    pub fn restore(&mut self, saved: &SavedWatch) {
        for member in &mut self.members {
            if let Some((episode, state)) = saved.members.get(&member.name) {
                member.episode = *episode;
                member.detector.restore(state);
            }
        }
        self.last_end = saved.last_end;
        if saved.flat_since.len() == self.flat_since.len() {
            self.flat_since.clone_from(&saved.flat_since);
        }
        if !saved.averages.is_empty() {
            self.averages.clone_from(&saved.averages);
        }
        self.unknown = saved.unknown;
    }

    /// What a restart needs.
    pub fn save(&self) -> SavedWatch {
        let members = self.members.iter();
        SavedWatch {
            members: members
                .map(|m| (m.name.clone(), (m.episode, m.detector.save())))
                .collect(),
            last_end: self.last_end,
            flat_since: self.flat_since.clone(),
            averages: self.averages.clone(),
            unknown: self.unknown,
        }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The detectors' names, in the order of all verdicts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// Where the alarm of each detector stands.
    pub fn episodes(&self) -> impl Iterator<Item = (&str, &Episode)> {
        self.members.iter().map(|m| (m.name.as_str(), &m.episode))
    }

    /// When the excursion of a detector, by its number, began: while it is out of band.
    /// **Units**: microseconds of event time since 1970.
    pub fn began(&self, member: usize) -> Option<i64> {
        match self.members.get(member)?.episode {
            Episode::Quiet => None,
            Episode::Pending { since } | Episode::Active { since, .. } => Some(since),
        }
    }

    /// The alarms that are up, by the detector's name.
    pub fn alarms(&self) -> BTreeMap<String, Episode> {
        let up = self.members.iter().filter(|m| m.episode.is_active());
        up.map(|m| (m.name.clone(), m.episode)).collect()
    }

    /// Goes on with alarms as they stand, until this watch says otherwise.
    pub fn take_over(&mut self, alarms: &BTreeMap<String, Episode>) {
        for member in &mut self.members {
            let before = alarms.get(&member.name);
            member.episode = before.copied().unwrap_or(Episode::Quiet);
        }
    }

    /// Goes on with the means over windows of another watch of the same asset, which has seen
    /// windows that the model has not.
    pub fn take_averages(&mut self, before: &Self) {
        for (place, feature) in self.model.features.iter().enumerate() {
            let features = &before.model.features;
            let known = features.iter().position(|known| known == feature);
            if let Some(average) = known.and_then(|known| before.averages.get(known)) {
                self.averages.set(place, average);
            }
        }
    }

    /// Learns the class's number of each metric; called again when the class gets new metrics.
    pub fn know_metrics(&mut self, metrics: &[String]) {
        let number = |metric: &String| metrics.iter().position(|known| known == metric);
        let features = self.model.features.iter();
        self.numbers = features.map(|feature| number(&feature.metric)).collect();
        let regimes = self.model.regimes.iter();
        let settings = regimes.flat_map(|regimes| &regimes.declared.settings);
        self.settings = settings.map(number).collect();
    }

    /// The regime of the newest window by its number; `None` when that is unknown, or no setting
    /// channels are declared.
    pub fn regime(&self) -> Option<usize> {
        self.regime
    }

    /// Windows of unknown regimes, which were not judged.
    pub fn unknown_windows(&self) -> u64 {
        self.unknown
    }

    /// Judges a window; `None` when it has too few readings, its regime is unknown, or no detector
    /// can judge it.
    pub fn take(&mut self, window: &Window) -> Option<Judgement> {
        if f64::from(window.rows) < self.least_rows {
            return None;
        }
        let model = &self.model;
        let mut doubtful = (*model.lively).clone();
        for (at, since) in self.flat_since.iter_mut().enumerate() {
            let number = self.numbers.get(at).copied().flatten();
            let seen = number.and_then(|number| window.metrics.get(number));
            let is_flat = seen.is_some_and(|seen| seen.flat);
            *since = is_flat.then(|| since.unwrap_or(window.start));
            doubtful[at] &= since.is_some_and(|since| window.end - since >= self.stuck_after);
        }
        let mut vector = features::vector(window, &model.features, &self.numbers, &doubtful);
        if let Some(regimes) = &model.regimes {
            self.regime = regimes.of(&self.states(window));
            let Some(regime) = self.regime else {
                self.unknown += 1;
                return None;
            };
            regimes.enter(regime, &mut vector);
            self.judged_in = self.regime;
        }
        for (place, feature) in model.features.iter().enumerate() {
            if let FeatureKind::Ewma(own) = feature.kind {
                let (value, averages) = (&mut vector[place], &mut self.averages);
                *value = averages.follow(place, own.half_life, window.end, *value);
            }
        }
        if let Some(reference) = &model.reference {
            reference.standardize(&mut vector);
        }
        self.vector = vector;
        let since_last = self.last_end.map(|last| window.end.saturating_sub(last));
        let sample = Sample {
            at: window.end,
            elapsed: since_last.unwrap_or(0).clamp(0, self.patience.max(1)),
            values: &self.vector,
        };
        let interrupted = since_last.is_some_and(|since| since > self.patience);
        let mut verdicts = Vec::with_capacity(self.members.len());
        for member in &mut self.members {
            if interrupted {
                member.episode.interrupt();
            }
            verdicts.push(member.judge(&sample));
            member.smooth(verdicts.last().copied().flatten(), &sample, self.patience);
        }
        if verdicts.iter().all(Option::is_none) {
            return None;
        }
        self.last_end = Some(window.end);
        Some(Judgement {
            start: window.start,
            end: window.end,
            verdicts,
        })
    }

    /// What the detectors remember at present, in the order of [`Watch::names`].
    pub fn detector_states(&self) -> Vec<Value> {
        let members = self.members.iter();
        members.map(|member| member.detector.save()).collect()
    }

    /// What the detectors would say of a window from before, by what is normal at present
    /// (`states`: [`Watch::detector_states`]), in the order of [`Watch::names`]; nothing follows it,
    /// no alarm turns. `None` when it cannot be judged. Means over windows count as missing in it.
    pub fn score_again(
        &self,
        window: &Window,
        states: &[Value],
        settings: &ClassSettings,
    ) -> Option<Vec<Option<f64>>> {
        if f64::from(window.rows) < self.least_rows {
            return None;
        }
        let model = &self.model;
        let stuck = window.end - window.start >= self.stuck_after;
        let doubtful: Vec<bool> = model.lively.iter().map(|lively| *lively && stuck).collect();
        let mut vector = features::vector(window, &model.features, &self.numbers, &doubtful);
        if let Some(regimes) = &model.regimes {
            regimes.enter(regimes.of(&self.states(window))?, &mut vector);
        }
        for (value, feature) in vector.iter_mut().zip(model.features.iter()) {
            if matches!(feature.kind, FeatureKind::Ewma(_)) {
                *value = f64::NAN;
            }
        }
        if let Some(reference) = &model.reference {
            reference.standardize(&mut vector);
        }
        let sample = Sample {
            at: window.end,
            elapsed: model.spacing,
            values: &vector,
        };
        let again = |(member, state): (&Member, &Value)| {
            let own = settings.detectors.get(&member.name)?;
            let mut detector = model.detectors.get(&member.name)?.begin(&own.detector)?;
            detector.restore(state);
            let ratio = detector.score(&sample)?.ratio / member.limit_factor;
            (!ratio.is_nan()).then(|| ratio.clamp(0.0, MAX_RATIO))
        };
        Some(self.members.iter().zip(states).map(again).collect())
    }

    /// What the setting channels were in a window.
    fn states(&self, window: &Window) -> Vec<f64> {
        let mean = |number: usize| features::value(window, number, FeatureKind::Mean);
        let settings = self.settings.iter();
        settings.map(|n| n.map_or(f64::NAN, mean)).collect()
    }

    /// How the asset is, by the window that was judged last; only detectors that raise alarms
    /// have a say. `None` before the first judgement.
    pub fn condition(&self, settings: &ClassSettings) -> Option<Condition> {
        let at = self.last_end?;
        let sample = Sample {
            at,
            elapsed: 0,
            values: &self.vector,
        };
        let raising = self.members.iter().filter(|m| settings.raises(&m.name));
        let explained: Vec<(&Member, f64, Explanation)> = raising
            .filter_map(|m| Some((m, m.smoothed?, self.explained(m, &sample))))
            .collect();
        let said: Vec<Said<'_>> = explained
            .iter()
            .map(|(member, ratio, explanation)| Said {
                detector: &member.name,
                ratio: *ratio,
                contributions: &explanation.contributions,
                features: &self.model.features,
            })
            .collect();
        let components = settings.components.iter().filter_map(|(name, metrics)| {
            let component = Component {
                name: name.clone(),
                metrics: metrics.clone(),
            };
            Some((name.clone(), health::of_component(&component, &said)?))
        });
        Some(Condition {
            asset: health::of_asset(&said)?,
            components: components.collect(),
            at,
        })
    }

    /// Why the window that was just judged is judged as it is, by one detector.
    pub fn explain(&self, window: &Window, member: usize) -> Explanation {
        let sample = Sample {
            at: window.end,
            elapsed: 0,
            values: &self.vector,
        };
        let member = self.members.get(member);
        member.map_or_else(Explanation::default, |m| self.explained(m, &sample))
    }

    /// What a detector says, in the units of the features and as they are in the regime of the
    /// window.
    fn explained(&self, member: &Member, sample: &Sample<'_>) -> Explanation {
        let mut explanation = member.detector.explain(sample);
        if let Some(reference) = &self.model.reference {
            explanation = reference.in_own_units(explanation);
        }
        if let (Some(regimes), Some(regime)) = (&self.model.regimes, self.judged_in) {
            for part in &mut explanation.contributions {
                part.observed = regimes.leave(regime, part.feature, part.observed);
                part.expected = regimes.leave(regime, part.feature, part.expected);
            }
            if let Value::Object(facts) = &mut explanation.facts {
                facts.insert("regime".to_owned(), regime.into());
            }
        }
        explanation
    }
}

impl Member {
    /// Half of the way to a new ratio takes one patience: the window, or the delay when that is
    /// longer.
    fn smooth(&mut self, verdict: Option<Verdict>, sample: &Sample<'_>, patience: i64) {
        let Some(verdict) = verdict else { return };
        #[expect(
            clippy::cast_precision_loss,
            reason = "spans are far below 2^52 microseconds"
        )]
        let half_lives = sample.elapsed as f64 / patience.max(1) as f64;
        let share = 1.0 - (-half_lives).exp2();
        let before = self.smoothed.unwrap_or(verdict.ratio);
        self.smoothed = Some(before + share * (verdict.ratio - before));
    }

    fn judge(&mut self, sample: &Sample<'_>) -> Option<Verdict> {
        let mut score = self.detector.score(sample)?;
        if score.ratio.is_nan() {
            return None;
        }
        // An absurd reading is an alarm like any: what is kept of it has to be a number.
        score.ratio = (score.ratio / self.limit_factor).clamp(0.0, MAX_RATIO);
        let turn = self.episode.step(sample.at, score.ratio, &self.delays);
        let calm = !self.episode.is_active() && score.ratio < self.delays.release;
        self.detector.follow(sample, &score, calm);
        Some(Verdict {
            ratio: score.ratio,
            out_of_band: self.episode.is_out_of_band(),
            alarm: self.episode.is_active(),
            turn,
        })
    }
}
