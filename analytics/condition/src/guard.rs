//! Thresholds: limits that somebody has declared, judged at every reading from the first one on.
//!
//! A threshold learns nothing and waits for no window, so its alarm is as quick as the wire.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::episode::{Delays, Episode, Turn};
use super::settings::Severity;
use super::span::Span;

/// A declared limit of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdSettings {
    /// The metric.
    pub metric: String,
    /// Too high is this or more. **Units**: those of the metric.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "finite"
    )]
    pub above: Option<f64>,
    /// Too low is this or less. **Units**: those of the metric.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "finite"
    )]
    pub below: Option<f64>,
    /// How far back inside the limit it has to be to count as returned: the dead band.
    /// **Units**: those of the metric.
    #[serde(default)]
    pub hysteresis: f64,
    /// How long it must be exceeded, and how long it must be back. **Units**: event time.
    pub min_duration: Span,
    /// How much its alarms matter.
    pub severity: Severity,
}

/// A limit that is written has to be one: what is not finite comes here as nothing at all, and a
/// limit that is silently none is worse than a mistake.
fn finite<'de, D: Deserializer<'de>>(written: D) -> Result<Option<f64>, D::Error> {
    let limit: Option<f64> = Option::deserialize(written)?;
    let limit = limit.filter(|limit| limit.is_finite());
    let mistake = "a limit (above, below) must be a finite number; leave it out to have none";
    limit.map(Some).ok_or_else(|| D::Error::custom(mistake))
}

impl ThresholdSettings {
    /// Everything that is wrong, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.metric.is_empty() {
            found.push("metric is empty, but must name one".to_owned());
        }
        match (self.below, self.above) {
            (None, None) => found.push("neither above nor below is said".to_owned()),
            (Some(below), Some(above)) if below >= above => {
                found.push(format!("below is {below}, but must be less than {above}"));
            }
            _ => {}
        }
        if let (Some(below), Some(above)) = (self.below, self.above)
            && below + self.hysteresis > above - self.hysteresis
        {
            let hysteresis = self.hysteresis;
            found.push(format!(
                "hysteresis is {hysteresis}, so that nothing between {below} and {above} is back in band"
            ));
        }
        if !(self.hysteresis >= 0.0 && self.hysteresis.is_finite()) {
            let hysteresis = self.hysteresis;
            found.push(format!("hysteresis is {hysteresis}, but must be 0 or more"));
        }
        found
    }

    /// 1 and more beyond a limit, 0 inside the dead band, one half between.
    fn ratio(&self, value: f64) -> f64 {
        let too_high = self.above.is_some_and(|limit| value >= limit);
        let too_low = self.below.is_some_and(|limit| value <= limit);
        let high = |limit| value > limit - self.hysteresis;
        let low = |limit| value < limit + self.hysteresis;
        if too_high || too_low {
            1.0
        } else if self.above.is_some_and(high) || self.below.is_some_and(low) {
            0.5
        } else {
            0.0
        }
    }

    fn delays(&self) -> Delays {
        Delays {
            min_duration: self.min_duration,
            off_delay: self.min_duration,
            release: RELEASE,
        }
    }
}

/// Between inside the dead band (0) and in it (one half).
const RELEASE: f64 = 0.25;

/// What a reading has changed about a threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Guarded {
    /// Number of the threshold, in the order of their names.
    pub threshold: usize,
    /// What has changed.
    pub turn: Turn,
    /// The reading. **Units**: those of the metric.
    pub value: f64,
}

/// The thresholds of one asset.
#[derive(Debug, Default)]
pub struct Guards {
    episodes: Vec<Episode>,
    /// By threshold, when its metric was last seen: a device may send each metric in a message of
    /// its own. **Units**: microseconds of event time since 1970.
    seen: Vec<Option<i64>>,
    /// By threshold, the first reading since which it is in band without a break.
    quiet_since: Vec<Option<i64>>,
    /// By threshold, the time between the last two readings of its metric: some devices report
    /// once in a quarter of an hour. **Units**: microseconds of event time.
    gaps: Vec<i64>,
}

/// What a restart needs of an asset's thresholds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SavedGuards {
    /// By the name of the threshold, where it stands; those that are quiet are left out.
    pub episodes: BTreeMap<String, Episode>,
    /// By the name of the threshold, the newest reading of its metric that was judged.
    /// **Units**: microseconds of event time since 1970.
    #[serde(default)]
    pub seen: BTreeMap<String, i64>,
    /// By the name of the threshold, the first reading since which it is in band without a break.
    /// **Units**: microseconds of event time since 1970.
    #[serde(default)]
    pub quiet_since: BTreeMap<String, i64>,
    /// By the name of the threshold, the time between the last two readings of its metric.
    /// **Units**: microseconds of event time.
    #[serde(default)]
    pub gaps: BTreeMap<String, i64>,
    /// The newest reading of all, as a former release kept it.
    #[serde(default, skip_serializing)]
    newest: Option<i64>,
}

impl SavedGuards {
    /// Whether there is nothing to be saved.
    pub fn is_empty(&self) -> bool {
        self.episodes.is_empty() && self.seen.is_empty() && self.newest.is_none()
    }
}

impl Guards {
    /// Judges a reading; `value` gives that of the metric of a threshold, by the threshold's number,
    /// NaN when there is none.
    ///
    /// A reading of a metric that is not newer than the newest one of that metric changes nothing.
    /// Silence of its metric for longer than `stale_after` and its delay forgets what was building
    /// up.
    pub fn take(
        &mut self,
        thresholds: &BTreeMap<String, ThresholdSettings>,
        (time, stale_after): (i64, Span),
        value: impl Fn(usize) -> f64,
        mut out: impl FnMut(Guarded),
    ) {
        self.episodes.resize(thresholds.len(), Episode::Quiet);
        self.seen.resize(thresholds.len(), None);
        self.quiet_since.resize(thresholds.len(), None);
        self.gaps.resize(thresholds.len(), 0);
        for (number, settings) in thresholds.values().enumerate() {
            let value = value(number);
            let known = self.seen[number].is_some_and(|newest| time <= newest);
            if known || !value.is_finite() {
                continue;
            }
            let episode = &mut self.episodes[number];
            let patience = stale_after.max(settings.min_duration).micros();
            let gap = &mut self.gaps[number];
            let patience = patience.max(gap.saturating_mul(2));
            if let Some(before) = self.seen[number].replace(time) {
                *gap = time.saturating_sub(before);
                if *gap > patience {
                    episode.interrupt();
                }
            }
            let turn = episode.step(time, settings.ratio(value), &settings.delays());
            let quiet_since = &mut self.quiet_since[number];
            *quiet_since = match episode {
                Episode::Quiet => quiet_since.or(Some(time)),
                Episode::Pending { .. } | Episode::Active { .. } => None,
            };
            // How far beyond it is says nothing: it does not get worse.
            if !matches!(turn, Turn::None | Turn::Worse) {
                out(Guarded {
                    threshold: number,
                    turn,
                    value,
                });
            }
        }
    }

    /// Whether any threshold's alarm is up.
    pub fn is_active(&self) -> bool {
        self.episodes.iter().any(Episode::is_active)
    }

    /// Where a threshold stands, and when its metric was last seen; by the threshold's number.
    /// **Units**: microseconds of event time since 1970.
    pub fn standing(&self, number: usize) -> Option<(Episode, i64)> {
        let seen = self.seen.get(number).copied().flatten()?;
        Some((*self.episodes.get(number)?, seen))
    }

    /// The first reading since which a threshold is in band without a break; by the threshold's
    /// number. **Units**: microseconds of event time since 1970.
    pub fn quiet_since(&self, number: usize) -> Option<i64> {
        self.quiet_since.get(number).copied().flatten()
    }

    /// What a restart needs.
    pub fn save(&self, thresholds: &BTreeMap<String, ThresholdSettings>) -> SavedGuards {
        let known = thresholds.keys().zip(&self.episodes);
        let loud = known.filter(|(_, episode)| **episode != Episode::Quiet);
        let named = |instants: &[Option<i64>]| -> BTreeMap<String, i64> {
            let known = thresholds.keys().zip(instants);
            known
                .filter_map(|(name, instant)| Some((name.clone(), (*instant)?)))
                .collect()
        };
        SavedGuards {
            episodes: loud
                .map(|(name, episode)| (name.clone(), *episode))
                .collect(),
            seen: named(&self.seen),
            quiet_since: named(&self.quiet_since),
            gaps: {
                let known = thresholds.keys().zip(&self.gaps);
                let known = known.filter(|(_, gap)| **gap > 0);
                known.map(|(name, gap)| (name.clone(), *gap)).collect()
            },
            newest: None,
        }
    }

    /// Goes on from what was saved; readings that were judged are not judged again.
    ///
    /// A threshold that is new judges nothing up to `through`, microseconds since 1970: what was
    /// over before anybody declared it raises nothing.
    pub fn restored(
        thresholds: &BTreeMap<String, ThresholdSettings>,
        saved: &SavedGuards,
        through: Option<i64>,
    ) -> Self {
        let of = |name: &String| saved.episodes.get(name).copied();
        let episodes = thresholds
            .keys()
            .map(|name| of(name).unwrap_or(Episode::Quiet));
        let seen = |name: &String| saved.seen.get(name).copied().or(saved.newest).or(through);
        Self {
            seen: thresholds.keys().map(seen).collect(),
            quiet_since: thresholds
                .keys()
                .map(|name| saved.quiet_since.get(name).copied())
                .collect(),
            gaps: thresholds
                .keys()
                .map(|name| saved.gaps.get(name).copied().unwrap_or(0))
                .collect(),
            episodes: episodes.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds(own: &str) -> BTreeMap<String, ThresholdSettings> {
        let rest = "metric = 't'\nseverity = 'high'\n";
        let at_once = if own.contains("min_duration") {
            ""
        } else {
            "min_duration = '0s'\n"
        };
        let settings: ThresholdSettings = toml::from_str(&format!("{rest}{at_once}{own}")).unwrap();
        assert_eq!(settings.mistakes(), Vec::<String>::new());
        BTreeMap::from([("hot".to_owned(), settings)])
    }

    /// Values a second apart; one letter each: R raise, B back, - nothing.
    #[track_caller]
    fn check(own: &str, values: &str, expected: &str) {
        let thresholds = thresholds(own);
        let mut guards = Guards::default();
        let mut turns = String::new();
        for (second, word) in (0_i64..).zip(values.split(' ')) {
            let mut turn = '-';
            let value: f64 = word.parse().unwrap();
            let told = |guarded: Guarded| match guarded.turn {
                Turn::Raise { .. } => turn = 'R',
                Turn::Return => turn = 'B',
                other => panic!("{other:?}"),
            };
            let at = (second * 1_000_000, Span::seconds(3600));
            guards.take(&thresholds, at, |_| value, told);
            turns.push(turn);
            // A restart in between changes nothing.
            let saved = guards.save(&thresholds);
            guards = Guards::restored(&thresholds, &saved, None);
        }
        assert_eq!(turns, expected, "{own}: {values}");
    }

    #[test]
    fn limits_dead_band_and_delays() {
        check("above = 95.0", "90 95 96 94 96", "-R-BR");
        check("above = 95.0\nhysteresis = 3.0", "95 94 93 92 95", "R--BR");
        check("below = 2.0", "3 2 1 NaN 3", "-R--B");
        check(
            "above = 9.0\nbelow = 1.0\nmin_duration = '2s'",
            "5 9 9 9 9 5 5 5 0 0 5 0",
            "---R---B----",
        );
    }

    #[test]
    fn a_long_silence_forgets_what_was_building_up() {
        let thresholds = thresholds("above = 95.0\nmin_duration = '10m'");
        let mut guards = Guards::default();
        let mut raised = Vec::new();
        for minute in [0_i64, 360, 365, 371] {
            let at = (minute * 60_000_000, Span::seconds(3600));
            guards.take(&thresholds, at, |_| 96.0, |_| raised.push(minute));
        }
        assert_eq!(
            raised,
            [371],
            "ten minutes from the reading after the silence"
        );
    }

    #[test]
    fn metrics_that_come_apart_with_one_time_are_all_judged() {
        let mut two = thresholds("above = 95.0");
        let mut other = two["hot"].clone();
        other.metric = "p".to_owned();
        two.insert("pressed".to_owned(), other);
        let mut guards = Guards::default();
        let mut raised = Vec::new();
        // t of second 1, p of second 1, and p of second 0 too late: it is older than p's newest.
        for (second, metric, value) in [(1_i64, 0, 96.0), (1, 1, 97.0), (0, 1, 20.0), (1, 0, 20.0)]
        {
            let of = |number: usize| if number == metric { value } else { f64::NAN };
            let at = (second * 1_000_000, Span::seconds(3600));
            guards.take(&two, at, of, |guarded| {
                raised.push((guarded.threshold, guarded.turn))
            });
            let saved = guards.save(&two);
            guards = Guards::restored(&two, &saved, None);
        }
        let began = Turn::Raise { began: 1_000_000 };
        assert_eq!(raised, [(0, began), (1, began)]);
    }

    #[test]
    fn the_state_of_a_former_release_is_read() {
        let two = thresholds("above = 95.0");
        let saved: SavedGuards =
            serde_json::from_str(r#"{"episodes":{},"newest":5000000}"#).unwrap();
        let mut guards = Guards::restored(&two, &saved, None);
        let told = |guarded: Guarded| panic!("{guarded:?}");
        guards.take(&two, (5_000_000, Span::seconds(60)), |_| 99.0, told);
        assert_eq!(guards.standing(0), Some((Episode::Quiet, 5_000_000)));
    }

    #[test]
    fn a_device_that_reports_seldom_raises_after_its_delay() {
        let thresholds = thresholds("above = 95.0\nmin_duration = '10m'");
        let mut guards = Guards::default();
        let mut raised = Vec::new();
        for quarter in 0_i64..5 {
            let at = (quarter * 900_000_000, Span::seconds(600));
            guards.take(&thresholds, at, |_| 96.0, |_| raised.push(quarter));
            let saved = guards.save(&thresholds);
            guards = Guards::restored(&thresholds, &saved, None);
        }
        // The first gap could be a silence; the second is the way of the device.
        assert_eq!(raised, [2]);
    }

    #[test]
    fn a_threshold_that_is_new_leaves_the_past_alone() {
        let two = thresholds("above = 95.0");
        let mut guards = Guards::restored(&two, &SavedGuards::default(), Some(5_000_000));
        let mut raised = Vec::new();
        for second in [4_i64, 5, 6] {
            let at = (second * 1_000_000, Span::seconds(60));
            guards.take(&two, at, |_| 99.0, |_| raised.push(second));
        }
        assert_eq!(raised, [6]);
    }

    #[test]
    fn a_limit_that_is_no_number_is_a_mistake() {
        for limit in ["nan", "inf"] {
            let text = format!(
                "metric = 't'\nseverity = 'high'\nmin_duration = '0s'\nbelow = {limit}\nabove = 9.0"
            );
            let written: serde_json::Value = toml::from_str(&text).unwrap();
            let read = serde_json::from_value::<ThresholdSettings>(written);
            assert!(read.unwrap_err().to_string().contains("finite"), "{limit}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let mut settings = thresholds("above = 1.0").remove("hot").unwrap();
        settings.below = Some(2.0);
        settings.hysteresis = -1.0;
        settings.metric.clear();
        assert_eq!(settings.mistakes().len(), 3, "{:?}", settings.mistakes());
        let mut wide = thresholds("above = 10.0\nbelow = 0.0")
            .remove("hot")
            .unwrap();
        wide.hysteresis = 6.0;
        assert!(wide.mistakes().concat().contains("back in band"));
        settings.below = None;
        settings.above = None;
        assert!(settings.mistakes().concat().contains("neither"));
    }
}
