//! One metric: what it was lately, and the largest distances that were seen.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::NeighborSettings;
use super::nearest::{Compare, Near, nearest};
use crate::bits;
use crate::numbers::count;

/// A ratio while the metric rests after an alarm: in band, just.
const AT_REST: f64 = 0.9;

/// A value that is so many ranges of the history away from it is absurd, such as the 65535 or the
/// −9999 of a sensor that has failed: it is news, but no part of what was there.
const ABSURD: f64 = 20.0;
/// Least deviations that a range has at least: what is called a fortieth of it.
const LEAST_DEVIATIONS_OF_RANGE: f64 = 40.0;
/// So many absurd values in a row are none: that is where the metric is now.
const ABSURD_READINGS: u32 = 10;

/// A metric of one asset. The memory that it takes is that of the history: 8 bytes a reading, and
/// up to a quarter of it more.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The last values, newest last; NaN is a break that no run goes across.
    #[serde(with = "bits")]
    history: Vec<f64>,
    /// Per member, see [`NeighborSettings::members`]: the largest distance so far, decayed.
    #[serde(with = "bits")]
    records: Vec<f64>,
    /// The distances so far, decayed and summed, and how many that is.
    #[serde(with = "bits")]
    sums: Vec<f64>,
    #[serde(with = "bits")]
    counts: Vec<f64>,
    /// Readings until the records begin.
    warming: usize,
    /// Readings until a ratio may reach the limit again.
    pub(super) rest: u32,
    /// Readings that are not judged, still.
    settling: u32,
    /// Absurd values in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    absurd: u32,
    /// What was found at the last reading.
    #[serde(skip)]
    pub(super) last: Found,
}

/// What was found at a reading.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Found {
    /// Largest ratio of a distance to its limit.
    pub(super) ratio: f64,
    member: usize,
    distance: f64,
    limit: f64,
    /// The value at the end of the nearest run.
    pub(super) neighbor: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Series {
    /// A metric of which nothing is known.
    pub(super) fn new(settings: &NeighborSettings) -> Self {
        let members = settings.members().count();
        Self {
            records: vec![0.0; members],
            sums: vec![0.0; members],
            counts: vec![0.0; members],
            warming: settings.warm_up,
            ..Self::default()
        }
    }

    /// What was seen before is from elsewhere: runs begin anew.
    pub(super) fn settle(&mut self, settings: &NeighborSettings) {
        self.push(f64::NAN, settings.history);
        self.settling = settings.settle;
        self.rest = 0;
    }

    /// Whether it was made with such settings.
    pub(super) fn has_shape_of(&self, settings: &NeighborSettings) -> bool {
        let members = settings.members().count();
        [&self.records, &self.sums, &self.counts]
            .iter()
            .all(|list| list.len() == members)
    }

    /// Takes a value; gives the largest distance in multiples of its limit, capped while the
    /// metric rests after an alarm. `None` while nothing can be said.
    pub(super) fn take(&mut self, value: f64, settings: &NeighborSettings) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        if self.warming == 0
            && self.settling == 0
            && let Some(apart) = self.absurdity(value, settings)
        {
            self.absurd += 1;
            if self.absurd <= ABSURD_READINGS {
                self.last = apart;
                return Some(self.after_rest(settings));
            }
        } else {
            self.absurd = 0;
        }
        self.push(value, settings.history);
        self.warming = self.warming.saturating_sub(1);
        if self.warming > 0 {
            return None;
        }
        let history = &self.history[self.history.len().saturating_sub(settings.history)..];
        let mut found = nearest(history, &settings.lengths, Compare::Values);
        let differences = &settings.difference_lengths;
        found.extend(nearest(history, differences, Compare::Differences));
        found.extend(nearest(history, &settings.level_lengths, Compare::Levels));
        self.last = Found::default();
        let mut judged = false;
        for (member, near) in found.into_iter().enumerate() {
            judged |= self.compare(member, near, settings);
        }
        if self.settling > 0 {
            self.settling -= 1;
            return None;
        }
        judged.then(|| self.after_rest(settings))
    }

    /// How absurd a value is, when it is; of a metric that never moved nothing is.
    fn absurdity(&self, value: f64, settings: &NeighborSettings) -> Option<Found> {
        // NaN, a break, is neither less nor more.
        let least = self.history.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self
            .history
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        let range = (most - least).max(LEAST_DEVIATIONS_OF_RANGE * settings.least_deviation);
        let distance = (least - value).max(value - most);
        (range > 0.0 && distance > ABSURD * range).then(|| Found {
            ratio: distance / range,
            member: 0,
            distance,
            limit: range,
            neighbor: if value > most { most } else { least },
        })
    }

    /// Compares what a member has found with its past, and makes it part of that.
    fn compare(&mut self, member: usize, near: Option<Near>, settings: &NeighborSettings) -> bool {
        let keep = match settings.half_life {
            0 => 1.0,
            readings => 0.5_f64.powf(1.0 / f64::from(readings)),
        };
        for list in [&mut self.records, &mut self.sums, &mut self.counts] {
            list[member] *= keep;
        }
        let Some(near) = near else {
            return false;
        };
        let least = match settings.members().nth(member) {
            Some((Compare::Levels, _)) | None => settings.least_deviation,
            Some((_, length)) => settings.least_deviation * count(length).sqrt(),
        };
        let usual = self.sums[member] / self.counts[member].max(1.0);
        let limit = self.records[member]
            .max(least)
            .max(settings.usual_factor * usual)
            * settings.limit_factor;
        // A metric that has never moved has nothing to compare a first move with.
        let ratio = if limit > 0.0 {
            near.distance / limit
        } else {
            0.0
        };
        if ratio > self.last.ratio {
            self.last = Found {
                ratio,
                member,
                distance: near.distance,
                limit,
                neighbor: near.value,
            };
        }
        self.records[member] = self.records[member].max(near.distance);
        self.sums[member] += near.distance;
        self.counts[member] += 1.0;
        true
    }

    /// The ratio, with one alarm per refractory time.
    fn after_rest(&mut self, settings: &NeighborSettings) -> f64 {
        if self.rest > 0 {
            self.rest -= 1;
            return self.last.ratio.min(AT_REST);
        }
        if self.last.ratio >= 1.0 {
            self.rest = settings.refractory.saturating_sub(1);
        }
        self.last.ratio
    }

    /// Why it was judged as it was.
    pub(super) fn facts(&self, settings: &NeighborSettings) -> Value {
        let member = settings.members().nth(self.last.member);
        json!({
            "compared": member.map(|(by, _)| match by {
                Compare::Values => "values",
                Compare::Differences => "differences",
                Compare::Levels => "levels",
            }),
            "readings": member.map(|(_, length)| length),
            "distance": self.last.distance,
            "limit": self.last.limit,
        })
    }

    fn push(&mut self, value: f64, length: usize) {
        let most = length + length / 4;
        if self.history.len() >= most {
            self.history.drain(..=most - length);
        }
        if self.history.capacity() < most {
            self.history.reserve_exact(most - self.history.len());
        }
        self.history.push(value);
    }
}
