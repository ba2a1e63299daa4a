//! What the detectors have said of an asset lately: a bounded ring, in memory.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use fieldwright_condition::{ClassSettings, Judgement, Model};

use super::evidence::instant;

/// Scores that are kept of one asset. **Units**: scores of one detector, 16 bytes each.
pub const KEPT_SCORES: usize = 512;

/// What one detector said of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetScore {
    /// Event time of the window's end.
    pub time: DateTime<Utc>,
    /// The detector.
    pub detector: String,
    /// The statistic in multiples of its alarm limit.
    pub ratio: f64,
    /// The score, 0 to 1; one half is the alarm limit.
    pub score: f64,
    /// Whether the asset was out of its band.
    pub out_of_band: bool,
    /// Whether that had lasted for long enough, so that the detector's alarm was up.
    pub alarm: bool,
    /// The model behind it.
    pub model: String,
    /// How often late readings have revised it; 0: it is as it was first judged. Of a revised score
    /// `out_of_band` and `alarm` are what they were.
    pub revision: u8,
}

/// The ring of one asset.
#[derive(Debug, Default)]
pub(super) struct Scores {
    said: VecDeque<Said>,
    /// The models and the first instant that each has judged.
    models: Vec<(i64, Arc<Model>)>,
}

#[derive(Debug, Clone, Copy)]
struct Said {
    at: i64,
    ratio: f32,
    /// Place of the detector among those of the class.
    detector: u8,
    out_of_band: bool,
    alarm: bool,
    revision: u8,
}

impl Scores {
    /// Takes note of a judgement: `names` are the detectors in its order.
    pub(super) fn note<'a>(
        &mut self,
        judgement: &Judgement,
        names: impl Iterator<Item = &'a str>,
        model: &Arc<Model>,
        settings: &ClassSettings,
    ) {
        let known = self.models.last();
        if known.is_none_or(|(_, known)| known.version != model.version) {
            self.models.push((judgement.end, Arc::clone(model)));
        }
        for (name, verdict) in names.zip(&judgement.verdicts) {
            let place = settings.detectors.keys().position(|known| known == name);
            let (Some(verdict), Some(Ok(detector))) = (verdict, place.map(u8::try_from)) else {
                continue;
            };
            if self.said.len() >= KEPT_SCORES {
                self.said.pop_front();
            }
            #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough")]
            let ratio = verdict.ratio as f32;
            self.said.push_back(Said {
                at: judgement.end,
                ratio,
                detector,
                out_of_band: verdict.out_of_band,
                alarm: verdict.alarm,
                revision: 0,
            });
        }
        let oldest = self.said.front().map_or(i64::MAX, |said| said.at);
        let gone = self
            .models
            .iter()
            .skip(1)
            .take_while(|(from, _)| *from <= oldest);
        self.models.drain(..gone.count());
    }

    /// Share of the kept scores of alarming detectors that are at or over a ratio, and how many
    /// there are.
    pub(super) fn share_over(
        &self,
        settings: &ClassSettings,
        ratio: impl Fn(&str) -> f64,
    ) -> (f64, u32) {
        let limits: Vec<Option<f64>> = settings
            .detectors
            .iter()
            .map(|(name, own)| own.alarms.then(|| ratio(name)))
            .collect();
        let (mut over, mut all) = (0_u32, 0_u32);
        for said in &self.said {
            if let Some(limit) = limits.get(usize::from(said.detector)).copied().flatten() {
                all += 1;
                over += u32::from(f64::from(said.ratio) >= limit);
            }
        }
        (f64::from(over) / f64::from(all.max(1)), all)
    }

    /// Ends of the kept windows that hold an instant, in order.
    pub(super) fn ends_with(&self, instant: i64, settings: &ClassSettings) -> BTreeSet<i64> {
        let first = self.said.partition_point(|said| said.at <= instant);
        let later = self.said.iter().skip(first).map(|said| said.at);
        later
            .take_while(|end| settings.start_of(*end) <= instant)
            .collect()
    }

    /// Whether an instant is before all windows that are kept.
    pub(super) fn is_gone(&self, instant: i64, settings: &ClassSettings) -> bool {
        let oldest = self.said.front();
        oldest.is_some_and(|said| settings.start_of(said.at) > instant)
    }

    /// Whether a window was judged by a model.
    pub(super) fn is_by(&self, end: i64, version: &str) -> bool {
        let known = self.models.iter().rev().find(|(from, _)| *from <= end);
        known.is_some_and(|(_, model)| model.version == version)
    }

    /// Takes note of what the detectors say of a window again; whether anything is new.
    pub(super) fn revise<'a>(
        &mut self,
        end: i64,
        ratios: impl Iterator<Item = (&'a str, Option<f64>)>,
        settings: &ClassSettings,
    ) -> bool {
        let mut revised = false;
        for (name, ratio) in ratios {
            let place = settings.detectors.keys().position(|known| known == name);
            let (Some(ratio), Some(Ok(detector))) = (ratio, place.map(u8::try_from)) else {
                continue;
            };
            let mut said = self.said.iter_mut();
            let Some(said) = said.find(|said| said.at == end && said.detector == detector) else {
                continue;
            };
            #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough")]
            let ratio = ratio as f32;
            said.ratio = ratio;
            said.revision = said.revision.saturating_add(1);
            revised = true;
        }
        revised
    }

    /// All that are kept, oldest first.
    pub(super) fn all(&self, settings: &ClassSettings) -> Vec<AssetScore> {
        let names: Vec<&String> = settings.detectors.keys().collect();
        let model = |at: i64| {
            let known = self.models.iter().rev().find(|(from, _)| *from <= at);
            known.map_or_else(String::new, |(_, model)| model.version.clone())
        };
        let shown = |said: &Said| {
            let ratio = f64::from(said.ratio);
            AssetScore {
                time: instant(said.at),
                detector: names
                    .get(usize::from(said.detector))
                    .map_or_else(String::new, |name| (*name).clone()),
                ratio,
                score: if ratio.is_finite() {
                    ratio / (1.0 + ratio)
                } else {
                    1.0
                },
                out_of_band: said.out_of_band,
                alarm: said.alarm,
                revision: said.revision,
                model: model(said.at),
            }
        };
        self.said.iter().map(shown).collect()
    }
}
