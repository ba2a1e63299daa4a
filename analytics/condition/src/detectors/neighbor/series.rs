//! One metric: what it was lately, and the largest distances that were seen.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::NeighborSettings;

/// A ratio while the metric rests after an alarm: in band, just.
const AT_REST: f64 = 0.9;

/// A metric of one asset. The memory that it takes is that of the history: 8 bytes a reading, and
/// up to a quarter of it more.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The last values, newest last; NaN is a break that no run goes across.
    #[serde(with = "bits")]
    history: Vec<f64>,
    /// Per length, those of the differences last: the largest distance so far, decayed.
    #[serde(with = "bits")]
    records: Vec<f64>,
    /// Readings until the records begin.
    warming: usize,
    /// Readings until a ratio may reach the limit again.
    pub(super) rest: u32,
    /// Readings that are not judged, still.
    settling: u32,
    /// What was found at the last reading.
    #[serde(skip)]
    pub(super) last: Found,
}

/// What was found at a reading.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Found {
    /// Largest ratio of a distance to its record.
    pub(super) ratio: f64,
    /// Which length it is of, counted as the records.
    member: usize,
    distance: f64,
    record: f64,
    /// The value at the end of the nearest run.
    pub(super) neighbor: f64,
}

impl Series {
    /// A metric of which nothing is known.
    pub(super) fn new(settings: &NeighborSettings) -> Self {
        let members = settings.lengths.len() + settings.difference_lengths.len();
        Self {
            records: vec![0.0; members],
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
        self.records.len() == settings.lengths.len() + settings.difference_lengths.len()
    }

    /// Takes a value; gives the largest distance in multiples of its record, capped while the
    /// metric rests after an alarm. `None` while nothing can be said.
    pub(super) fn take(&mut self, value: f64, settings: &NeighborSettings) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        self.push(value, settings.history);
        self.warming = self.warming.saturating_sub(1);
        if self.warming > 0 {
            return None;
        }
        self.last = Found::default();
        let keep = match settings.half_life {
            0 => 1.0,
            readings => 0.5_f64.powf(1.0 / f64::from(readings)),
        };
        let history = self.window(settings.history);
        let values = nearest(history, &settings.lengths, |value, _| value);
        let differences = nearest(history, &settings.difference_lengths, |value, before| {
            value - before
        });
        let lengths = settings.lengths.iter().chain(&settings.difference_lengths);
        let found: Vec<Option<Near>> = values.into_iter().chain(differences).collect();
        let mut judged = false;
        for (member, (near, length)) in found.into_iter().zip(lengths).enumerate() {
            let record = self.records[member] * keep;
            let Some(near) = near else {
                self.records[member] = record;
                continue;
            };
            let reach = record.max(settings.least_deviation * count(*length).sqrt());
            // A metric that has never moved has nothing to compare a first move with.
            let ratio = if reach > 0.0 {
                near.distance / reach
            } else {
                0.0
            };
            judged = true;
            if ratio > self.last.ratio {
                self.last = Found {
                    ratio,
                    member,
                    distance: near.distance,
                    record: reach,
                    neighbor: near.value,
                };
            }
            self.records[member] = record.max(near.distance);
        }
        if self.settling > 0 {
            self.settling -= 1;
            return None;
        }
        judged.then(|| self.after_rest(settings))
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
    pub(super) fn facts(&self) -> Value {
        json!({
            "member": self.last.member,
            "distance": self.last.distance,
            "record": self.last.record,
        })
    }

    /// The part of the history that counts: as long after a restart as without one.
    fn window(&self, length: usize) -> &[f64] {
        &self.history[self.history.len().saturating_sub(length)..]
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

/// The nearest neighbor of a run.
struct Near {
    distance: f64,
    /// The value at its end.
    value: f64,
}

/// For each length, rising: the nearest earlier run to the one that ends with the history.
///
/// `of` makes what is compared from a value and the one before it. A run with a break (NaN) in it
/// is no neighbor, and has none.
fn nearest(history: &[f64], lengths: &[usize], of: impl Fn(f64, f64) -> f64) -> Vec<Option<Near>> {
    let Some(longest) = lengths.iter().max().copied() else {
        return Vec::new();
    };
    let compared: Vec<f64> = history.windows(2).map(|two| of(two[1], two[0])).collect();
    let ends = compared.len();
    // Sum of squares of the run that ends at each place, as long as it is by now.
    let mut sums = vec![0.0; ends];
    let mut found: Vec<Option<Near>> = lengths.iter().map(|_| None).collect();
    for back in 0..longest.min(ends) {
        let newest = compared[ends - 1 - back];
        let earlier = &compared[..ends - back];
        for (sum, value) in sums[back..].iter_mut().zip(earlier) {
            let apart = newest - value;
            *sum += apart * apart;
        }
        let length = back + 1;
        for (slot, _) in lengths.iter().enumerate().filter(|(_, l)| **l == length) {
            // Runs that are whole and do not overlap the newest one.
            let last = ends.saturating_sub(length);
            found[slot] = smallest(sums.get(back..last).unwrap_or(&[])).map(|at| Near {
                distance: sums[back + at].sqrt(),
                value: history[back + at + 1],
            });
        }
    }
    found
}

/// Place of the smallest number that is one; the first of equals.
fn smallest(sums: &[f64]) -> Option<usize> {
    let least = sums.iter().copied().fold(f64::INFINITY, f64::min);
    if least.is_infinite() {
        return None;
    }
    sums.iter().position(|sum| *sum == least)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "lengths of runs are far below 2^52"
)]
fn count(number: usize) -> f64 {
    number as f64
}

/// Values by their bits, 16 hexadecimal digits each: a restart must go on with the very same
/// numbers, and JSON readers may miss the last bit and have no NaN.
mod bits {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    const DIGITS: usize = 16;

    pub(super) fn serialize<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
        let text: String = values
            .iter()
            .map(|value| format!("{:016x}", value.to_bits()))
            .collect();
        to.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        let text = String::deserialize(from)?;
        let one = |digits: &[u8]| {
            let digits = std::str::from_utf8(digits).map_err(D::Error::custom)?;
            let bits = u64::from_str_radix(digits, 16).map_err(D::Error::custom)?;
            Ok(f64::from_bits(bits))
        };
        text.as_bytes().chunks(DIGITS).map(one).collect()
    }
}
