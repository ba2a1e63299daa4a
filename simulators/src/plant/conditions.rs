//! Load and weather: sums of waves, so that a first-order lag has a closed form.
//!
//! A machine warms up slowly: its temperature follows the load through a lag of minutes. Stepping
//! such a lag would make a value depend on where the stepping began; for waves the lagged signal
//! is known exactly at every instant.

use std::f64::consts::TAU;

use crate::seeded::{Stream, between, stream};

/// A constant with waves around it.
#[derive(Debug, Clone)]
pub struct Signal {
    base: f64,
    waves: Vec<Wave>,
}

#[derive(Debug, Clone, Copy)]
struct Wave {
    /// Radians per second.
    pace: f64,
    amplitude: f64,
    phase: f64,
}

impl Signal {
    /// The value at an instant. **Units**: seconds.
    pub fn at(&self, seconds: f64) -> f64 {
        let wave = |wave: &Wave| wave.amplitude * (wave.pace * seconds + wave.phase).sin();
        self.base + self.waves.iter().map(wave).sum::<f64>()
    }

    /// The value behind a first-order lag with this time constant. **Units**: seconds.
    pub fn lagged(&self, seconds: f64, lag: f64) -> f64 {
        let wave = |wave: &Wave| {
            let turn = wave.pace * lag;
            let damped = wave.amplitude / (1.0 + turn * turn).sqrt();
            damped * (wave.pace * seconds + wave.phase - turn.atan()).sin()
        };
        self.base + self.waves.iter().map(wave).sum::<f64>()
    }
}

/// The load of one machine, 0.5 to 1: three shifts, the same every day, and its own wandering.
///
/// Days are alike on purpose: a plant that runs every day is learned from a day and a half.
pub fn load(stream: &mut Stream) -> Signal {
    const DAY: f64 = 86_400.0;
    let mut waves = Vec::new();
    // The early shift runs hardest, the night shift least.
    for (period, amplitude, peak_hour) in [
        (DAY, 0.055, 12.0),
        (DAY / 2.0, 0.02, 9.0),
        (DAY / 3.0, 0.015, 7.0),
    ] {
        waves.push(wave(
            period,
            amplitude * between(stream, 0.85, 1.15),
            peak_hour * 3600.0,
        ));
    }
    for (shortest, longest) in [
        (2700.0, 3600.0),
        (3700.0, 5000.0),
        (5200.0, 7500.0),
        (7600.0, 11_000.0),
    ] {
        let period = between(stream, shortest, longest);
        let amplitude = between(stream, 0.02, 0.035);
        waves.push(wave(period, amplitude, between(stream, 0.0, period)));
    }
    Signal {
        base: between(stream, 0.72, 0.76),
        waves,
    }
}

/// The weather over the whole plant.
#[derive(Debug, Clone)]
pub struct Weather {
    ambient: Signal,
}

impl Weather {
    /// The weather in the world of `seed`: warm afternoons and a little wandering.
    pub fn new(seed: u64) -> Self {
        let stream = &mut stream(seed, "weather");
        let mut waves = vec![wave(86_400.0, between(stream, 3.5, 4.5), 15.0 * 3600.0)];
        for (shortest, longest) in [(9_000.0, 13_000.0), (14_000.0, 21_000.0)] {
            let period = between(stream, shortest, longest);
            waves.push(wave(
                period,
                between(stream, 0.2, 0.4),
                between(stream, 0.0, period),
            ));
        }
        Self {
            ambient: Signal {
                base: between(stream, 16.0, 20.0),
                waves,
            },
        }
    }
}

/// A wave with its crest at `peak` seconds after the anchor.
fn wave(period: f64, amplitude: f64, peak: f64) -> Wave {
    let pace = TAU / period;
    Wave {
        pace,
        amplitude,
        phase: TAU / 4.0 - pace * peak,
    }
}

/// What acts on one machine at one instant.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// The machine's load.
    pub load: &'a Signal,
    /// The plant's weather.
    pub weather: &'a Weather,
    /// Seconds since the plant's anchor.
    pub seconds: f64,
}

impl Conditions<'_> {
    /// The load now, 0 to 1.
    pub fn load(&self) -> f64 {
        self.load.at(self.seconds)
    }

    /// The load as heat sees it, behind a lag in minutes.
    pub fn load_behind(&self, minutes: f64) -> f64 {
        self.load.lagged(self.seconds, minutes * 60.0)
    }

    /// The air behind a lag in minutes. **Units**: degrees Celsius.
    pub fn ambient_behind(&self, minutes: f64) -> f64 {
        self.weather.ambient.lagged(self.seconds, minutes * 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_bounded_and_has_a_daily_cycle() {
        for seed in 0..20 {
            let load = load(&mut stream(seed, "load:x"));
            let hour = |h: f64| load.at(h * 3600.0);
            let values: Vec<f64> = (0..7 * 288)
                .map(|n| load.at(f64::from(n) * 300.0))
                .collect();
            assert!(values.iter().all(|l| (0.45..1.05).contains(l)));
            let mean = |from: usize, to: usize| -> f64 {
                let hours = (0..7).flat_map(|day| (from..to).map(move |h| (day * 24 + h) as f64));
                hours.clone().map(hour).sum::<f64>() / hours.count() as f64
            };
            assert!(mean(8, 14) > mean(22, 24) + 0.03, "days differ from nights");
        }
    }

    #[test]
    fn the_closed_form_of_the_lag_is_the_lag() {
        let load = load(&mut stream(5, "load:x"));
        let (step, lag) = (1.0, 900.0);
        // Stepped from far enough back, the start is forgotten.
        let mut stepped = load.at(-20_000.0);
        let mut t = -20_000.0;
        while t < 5_000.0 {
            stepped += (load.at(t) - stepped) * step / lag;
            t += step;
        }
        let exact = load.lagged(5_000.0, lag);
        assert!((stepped - exact).abs() < 2e-4, "{stepped} {exact}");
    }
}
