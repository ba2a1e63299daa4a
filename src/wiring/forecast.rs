//! What prognosis expects of an asset, as triage takes it: a whole number of millionths and its
//! basis. Here the floats end.

use fieldwright_analytics::detect::Basis;
use fieldwright_workorders::triage::{self, Forecast, ForecastBasis};

use super::Parts;

/// The horizon of triage does not depend on how critical an asset is.
const ANY_CRITICALITY: i64 = 3;

impl Parts {
    /// How likely an asset is to fail within the horizon of triage; none where nobody can say.
    pub(super) fn forecast(&self, class: &str, asset: &str) -> Option<Forecast> {
        let economics = triage::economics(class, ANY_CRITICALITY).ok()?;
        let before = self.clock.now() + economics.horizon;
        let found = self.detection.failure_probability(asset, before).ok()?;
        Some(Forecast {
            ppm: millionths(found.probability),
            basis: match found.basis {
                Basis::Life => ForecastBasis::Life,
                Basis::Trend => ForecastBasis::Trend,
                Basis::Age => ForecastBasis::Age,
            },
        })
    }
}

fn millionths(probability: f64) -> u32 {
    // Clamped to 0..=1,000,000, and what is no number becomes 0.
    (probability * 1e6).round().clamp(0.0, 1e6) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_end_here() {
        for (probability, expected) in [
            (0.0, 0),
            (0.123_456_7, 123_457),
            (1.0, 1_000_000),
            (7.0, 1_000_000),
            (-1.0, 0),
            (f64::NAN, 0),
        ] {
            assert_eq!(millionths(probability), expected);
        }
    }
}
