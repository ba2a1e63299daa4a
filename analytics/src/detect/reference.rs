//! The reference: what is normal now, which may follow slow change but not a fault.
//!
//! While an asset is in band, the reference moves toward its readings with a half-life.
//! It stands still while the asset is out of band, so a fault that has come is not learned.
//! A fault that comes slowly enough would be learned all the same; therefore the reference never
//! moves farther from what was learned than a bound: the original reference stays on as a second,
//! slower guard, and what goes beyond shows as deviation again.

use super::config::ClassSettings;
use super::pca::{Score, Scorer};

/// What is normal now, per feature. **Units**: deviations of the learning period.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    place: Vec<f64>,
    share: f64,
    bound: f64,
}

impl Reference {
    /// The reference of a fresh model: what was learned.
    pub fn learned(features: usize, settings: &ClassSettings) -> Self {
        Self::at(vec![0.0; features], settings)
    }

    /// A reference that had moved to `place`.
    pub fn at(place: Vec<f64>, settings: &ClassSettings) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "spans are far below 2^52 microseconds"
        )]
        let half_lives = |step: i64, half_life: i64| step as f64 / half_life as f64;
        let half_life = settings.adapt_half_life.micros();
        let share = match half_life {
            0 => 0.0,
            half_life => 1.0 - (-half_lives(settings.step.micros(), half_life)).exp2(),
        };
        Self {
            place,
            share,
            bound: settings.adapt_bound,
        }
    }

    /// Where it stands.
    pub fn place(&self) -> &[f64] {
        &self.place
    }

    /// Moves toward a window that is in band, unless that leads beyond the bound.
    ///
    /// Features that were missing do not move.
    pub fn follow(&mut self, scorer: &Scorer, score: &Score) {
        if self.share == 0.0 {
            return;
        }
        let mut moved = self.place.clone();
        for (at, place) in moved.iter_mut().enumerate() {
            if !score.missing.contains(&at) {
                *place += self.share * (score.standardized[at] - *place);
            }
        }
        let distance = scorer.displacement(&moved);
        if distance <= self.bound || distance < scorer.displacement(&self.place) {
            self.place = moved;
        }
    }
}
