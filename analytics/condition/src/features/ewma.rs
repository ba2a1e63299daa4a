//! Exponentially weighted means over windows, by event time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::span::Span;

/// Where the exponentially weighted means of one asset stand, by their place among its features.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Averages(BTreeMap<usize, Average>);

/// Where one of them stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Average {
    /// End of the last window that it took. **Units**: microseconds of event time since 1970.
    at: i64,
    /// Its value by its bits: a restart goes on with the very same number.
    bits: u64,
}

impl Averages {
    /// Takes the value of a window and gives the mean with it; NaN when the window has none.
    ///
    /// The first window is the mean, and so is one from before those that were taken.
    pub fn follow(&mut self, place: usize, half_life: Span, at: i64, value: f64) -> f64 {
        if value.is_nan() {
            return f64::NAN;
        }
        let before = self.0.get(&place).filter(|before| before.at <= at);
        let mean = before.map_or(value, |before| {
            #[expect(
                clippy::cast_precision_loss,
                reason = "spans are far below 2^52 microseconds"
            )]
            let half_lives = (at - before.at) as f64 / half_life.micros().max(1) as f64;
            let mean = f64::from_bits(before.bits);
            mean + (1.0 - (-half_lives).exp2()) * (value - mean)
        });
        let bits = mean.to_bits();
        self.0.insert(place, Average { at, bits });
        mean
    }

    /// Where one stands.
    pub fn get(&self, place: usize) -> Option<Average> {
        self.0.get(&place).copied()
    }

    /// Lets one stand there.
    pub fn set(&mut self, place: usize, average: Average) {
        self.0.insert(place, average);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they take. **Units**: bytes.
    pub fn heap_bytes(&self) -> usize {
        self.0.len() * size_of::<(usize, Average)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_life_is_half_of_the_way_however_long_a_window_took() {
        let mut averages = Averages::default();
        let hour = Span::seconds(3_600);
        let mut follow = |at: i64, value| averages.follow(3, hour, at * 3_600_000_000, value);
        assert_eq!(follow(0, 8.0), 8.0);
        assert_eq!(follow(1, 0.0), 4.0);
        assert!(follow(2, f64::NAN).is_nan(), "a gap is not filled");
        assert_eq!(follow(3, 0.0), 1.0, "two hours since the last value");
        assert_eq!(follow(3, 0.0), 1.0);
        assert_eq!(follow(1, 5.0), 5.0, "the past begins anew");
    }

    #[test]
    fn a_restart_goes_on_with_the_same_bits() {
        let mut averages = Averages::default();
        let span = Span::seconds(77);
        for at in 0..50_i64 {
            averages.follow(0, span, at * 1_000_003, 0.1 * at as f64);
        }
        let text = serde_json::to_string(&averages).unwrap();
        let mut read: Averages = serde_json::from_str(&text).unwrap();
        assert_eq!(read, averages);
        let next = |averages: &mut Averages| averages.follow(0, span, 60_000_000, 0.3).to_bits();
        assert_eq!(next(&mut read), next(&mut averages));
    }
}
