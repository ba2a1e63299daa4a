//! The reference: what is normal now, which may follow slow change but not a fault.
//!
//! While an asset is in band, the reference moves toward its readings with a half-life.
//! It stands still while the asset is out of band, so a fault that has come is not learned.
//! A fault that comes slowly enough would be learned all the same; therefore the reference never
//! moves farther from what was learned than a bound: the original reference stays on as a second,
//! slower guard, and what goes beyond shows as deviation again.

use super::{Distance, PcaSettings, Scorer};

/// What is normal now, per feature. **Units**: deviations of the learning period.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    place: Vec<f64>,
    /// **Units**: microseconds; 0: it does not follow.
    half_life: i64,
    bound: f64,
}

impl Reference {
    /// The reference of a fresh model: what was learned.
    pub fn learned(features: usize, settings: &PcaSettings) -> Self {
        Self {
            place: vec![0.0; features],
            half_life: settings.adapt_half_life.micros(),
            bound: settings.adapt_bound,
        }
    }

    /// Puts it to where it had moved.
    pub fn go_to(&mut self, place: Vec<f64>) {
        self.place = place;
    }

    /// Where it stands.
    pub fn place(&self) -> &[f64] {
        &self.place
    }

    /// Moves toward a window that is in band, unless that leads beyond the bound.
    ///
    /// Features that were missing do not move. `elapsed` microseconds have passed.
    pub fn follow(&mut self, scorer: &Scorer, score: &Distance, elapsed: i64) {
        if self.half_life == 0 {
            return;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "spans are far below 2^52 microseconds"
        )]
        let half_lives = elapsed as f64 / self.half_life as f64;
        let share = 1.0 - (-half_lives).exp2();
        let mut moved = self.place.clone();
        for (at, place) in moved.iter_mut().enumerate() {
            if !score.missing.contains(&at) {
                *place += share * (score.standardized[at] - *place);
            }
        }
        let distance = scorer.displacement(&moved);
        if distance <= self.bound || distance < scorer.displacement(&self.place) {
            self.place = moved;
        }
    }
}
