//! What bands of frequencies hold, of signals whose readings are evenly spaced.
//!
//! **Source**: the periodogram with a Hann window and the envelope by the analytic signal (zeroing
//! the negative frequencies), as in R. B. Randall and J. Antoni, *Rolling element bearing
//! diagnostics—A tutorial*, Mechanical Systems and Signal Processing 25 (2011).

use std::f64::consts::TAU;
use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use super::kinds::{Band, Envelope, FeatureKind};
use crate::numbers::count;

/// Fewest readings of a window with a spectrum.
pub const LEAST_READINGS: usize = 16;
/// How far a reading may be from its place on the even grid, in spacings.
pub const UNEVENNESS: f64 = 0.25;
/// How far a band may go over half of the sampling rate before there is none: instants are rounded.
const OVER_NYQUIST: f64 = 1.01;

/// Computes the bands of signals that were sampled at the same instants.
pub(crate) struct Spectra {
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
    hann: Vec<f64>,
    /// Sum of the squares of the window.
    energy: f64,
    rate_hz: f64,
}

impl Spectra {
    /// For readings at these instants, increasing, in microseconds. `None` when they are too few
    /// or not evenly spaced: a gap is not filled.
    pub(crate) fn new(times: &[i64]) -> Option<Self> {
        let length = times.len();
        let (first, last) = (*times.first()?, *times.last()?);
        if length < LEAST_READINGS {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "spans are far below 2^52 microseconds"
        )]
        let since = |time: i64| (time - first) as f64;
        // The even grid is the line of least squares: no single instant is more right than others.
        let (middle, number) = (count(length - 1) / 2.0, count(length));
        let mean = times.iter().map(|time| since(*time)).sum::<f64>() / number;
        let products = times.iter().enumerate();
        let products = products.map(|(place, time)| (count(place) - middle) * since(*time));
        let spacing = products.sum::<f64>() / (number * (number * number - 1.0) / 12.0);
        let off = |(place, time): (usize, &i64)| {
            (since(*time) - mean - (count(place) - middle) * spacing).abs()
        };
        let farthest = times.iter().enumerate().map(off).fold(0.0, f64::max);
        if last <= first || farthest > UNEVENNESS * spacing {
            return None;
        }
        let mut planner = FftPlanner::new();
        let hann = |place: usize| 0.5 - 0.5 * (TAU * count(place) / count(length)).cos();
        let hann: Vec<f64> = (0..length).map(hann).collect();
        Some(Self {
            forward: planner.plan_fft_forward(length),
            inverse: planner.plan_fft_inverse(length),
            energy: hann.iter().map(|weight| weight * weight).sum(),
            hann,
            rate_hz: 1e6 / spacing,
        })
    }

    /// A feature of a signal; NaN when a value is missing or the band is over half of the rate.
    pub(crate) fn value(&self, signal: &[f64], kind: FeatureKind) -> f64 {
        if signal.len() != self.hann.len() || !signal.iter().all(|value| value.is_finite()) {
            return f64::NAN;
        }
        match kind {
            FeatureKind::Band(band) => self.band(signal, &band),
            FeatureKind::Envelope(envelope) => self.envelope(signal, &envelope),
            _ => f64::NAN,
        }
    }

    /// The root mean square of what is in the band. **Units**: those of the signal.
    fn band(&self, signal: &[f64], band: &Band) -> f64 {
        let (from, to) = (band.from_hz.get(), band.to_hz.get());
        if to > OVER_NYQUIST * self.rate_hz / 2.0 {
            return f64::NAN;
        }
        let mean = mean(signal);
        let weighted = signal.iter().zip(&self.hann);
        let mut spectrum: Vec<Complex<f64>> = weighted
            .map(|(value, weight)| Complex::new((value - mean) * weight, 0.0))
            .collect();
        self.forward.process(&mut spectrum);
        let one_sided = |(place, value): (usize, &Complex<f64>)| {
            let both = if 2 * place == spectrum.len() {
                1.0
            } else {
                2.0
            };
            both * value.norm_sqr()
        };
        let places = spectrum.iter().enumerate().take(spectrum.len() / 2 + 1);
        let inside = places.skip(1).filter(|(place, _)| {
            let hertz = self.hertz(*place);
            from <= hertz && hertz < to
        });
        let power: f64 = inside.map(one_sided).sum();
        (power / (count(spectrum.len()) * self.energy)).sqrt()
    }

    /// The root mean square of what is in the band of the envelope of the carrier.
    fn envelope(&self, signal: &[f64], envelope: &Envelope) -> f64 {
        let (from, to) = (envelope.carrier_from_hz.get(), envelope.carrier_to_hz.get());
        if to > OVER_NYQUIST * self.rate_hz / 2.0 {
            return f64::NAN;
        }
        let mean = mean(signal);
        let mut analytic: Vec<Complex<f64>> = signal
            .iter()
            .map(|value| Complex::new(value - mean, 0.0))
            .collect();
        self.forward.process(&mut analytic);
        let length = analytic.len();
        for (place, value) in analytic.iter_mut().enumerate() {
            let hertz = self.hertz(place);
            let kept = place > 0 && 2 * place < length && from <= hertz && hertz < to;
            *value *= if kept { 2.0 / count(length) } else { 0.0 };
        }
        self.inverse.process(&mut analytic);
        let course: Vec<f64> = analytic.iter().map(|value| value.norm()).collect();
        let band = Band {
            from_hz: envelope.from_hz,
            to_hz: envelope.to_hz,
        };
        self.band(&course, &band)
    }

    fn hertz(&self, place: usize) -> f64 {
        count(place) * self.rate_hz / count(self.hann.len())
    }
}

fn mean(signal: &[f64]) -> f64 {
    signal.iter().sum::<f64>() / count(signal.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 10_000.0;

    fn band(from: f64, to: f64) -> FeatureKind {
        FeatureKind::Band(Band {
            from_hz: from.try_into().unwrap(),
            to_hz: to.try_into().unwrap(),
        })
    }

    fn envelope(from: f64, to: f64) -> FeatureKind {
        FeatureKind::Envelope(Envelope {
            from_hz: from.try_into().unwrap(),
            to_hz: to.try_into().unwrap(),
            carrier_from_hz: 2_000.0.try_into().unwrap(),
            carrier_to_hz: 4_000.0.try_into().unwrap(),
        })
    }

    /// A value of a signal of half a second and an odd number of readings.
    fn value(signal: impl Fn(f64) -> f64, kind: FeatureKind) -> f64 {
        let seconds = |place: i64| place as f64 / RATE;
        let times: Vec<i64> = (0..5_001).map(|place| 100 * place + 7).collect();
        let signal: Vec<f64> = (0..5_001).map(|place| signal(seconds(place))).collect();
        Spectra::new(&times).unwrap().value(&signal, kind)
    }

    #[track_caller]
    fn check(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.01, "{found} for {expected}");
    }

    #[test]
    fn a_sine_is_in_its_band_with_its_root_mean_square() {
        let sine = |t: f64| 40.0 + 3.0 * (TAU * 123.4 * t).sin() + 0.5 * (TAU * 1_000.0 * t).cos();
        check(value(sine, band(100.0, 150.0)), 3.0 / 2.0_f64.sqrt());
        check(value(sine, band(900.0, 1_100.0)), 0.5 / 2.0_f64.sqrt());
        check(value(sine, band(200.0, 900.0)), 0.0);
        // The level is in no band, not even in the lowest.
        check(value(|_| 40.0, band(0.0, 5_000.0)), 0.0);
    }

    #[test]
    fn all_bands_together_are_the_deviation() {
        let mixed = |t: f64| (TAU * 5.0 * t).sin() + (TAU * 2_718.0 * t).sin();
        check(value(mixed, band(0.0, 5_001.0)), 1.0);
    }

    #[test]
    fn a_damaged_bearing_shows_in_the_envelope_and_not_in_the_plain_band() {
        // The housing rings at 3 kHz; every pass of a ball, 105 times a second, makes it louder.
        let damaged = |t: f64| (1.0 + 0.6 * (TAU * 105.0 * t).cos()) * (TAU * 3_000.0 * t).sin();
        check(value(damaged, envelope(95.0, 115.0)), 0.6 / 2.0_f64.sqrt());
        check(value(damaged, band(95.0, 115.0)), 0.0);
        let sound = |t: f64| (TAU * 3_000.0 * t).sin();
        check(value(sound, envelope(95.0, 115.0)), 0.0);
    }

    #[test]
    fn a_band_that_was_not_sampled_is_missing() {
        assert!(value(|t| t.sin(), band(4_000.0, 6_000.0)).is_nan());
        assert!(
            value(
                |t| if t > 0.1 { t.sin() } else { f64::NAN },
                band(10.0, 60.0)
            )
            .is_nan()
        );
    }

    #[test]
    fn uneven_and_gappy_readings_have_no_spectrum() {
        let even = |place: i64| 1_000 * place;
        let of = |times: Vec<i64>| Spectra::new(&times).is_some();
        assert!(of((0..100).map(even).collect()));
        assert!(!of((0..15).map(even).collect()), "too few");
        // A fifth of a spacing early or late is the jitter of a clock.
        let jitter = |place: i64| even(place) + 200 * (place % 3 - 1);
        assert!(of((0..100).map(jitter).collect()));
        let jitter = |place: i64| even(place) + 400 * (place % 3 - 1);
        assert!(!of((0..100).map(jitter).collect()));
        for gone in [1, 50, 98] {
            let gap = (0..100).filter(|place| *place != gone).map(even).collect();
            assert!(!of(gap), "without reading {gone}");
        }
        assert!(!of(vec![5; 20]), "all at once");
    }
}
