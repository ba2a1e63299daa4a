//! What happens to a machine from outside: the weather of the year and the load of the week.

use crate::seeded::{self, Stream, between, pick};

const DAY: f64 = 86_400.0;
const WEEK: f64 = 7.0 * DAY;

/// A sum of waves.
#[derive(Debug, Clone)]
pub struct Waves(Vec<Wave>);

#[derive(Debug, Clone, Copy)]
struct Wave {
    pace: f64,
    amplitude: f64,
    phase: f64,
}

impl Waves {
    /// `count` waves with periods drawn evenly in their logarithm and this deviation in all.
    /// **Units**: days.
    pub fn wander(stream: &mut Stream, count: usize, periods: [f64; 2], deviation: f64) -> Self {
        let amplitude = deviation * (2.0 / count as f64).sqrt();
        let [shortest, longest] = periods.map(f64::ln);
        let wave = |_| {
            let period = between(stream, shortest, longest).exp() * DAY;
            Wave {
                pace: std::f64::consts::TAU / period,
                amplitude,
                phase: between(stream, 0.0, std::f64::consts::TAU),
            }
        };
        Self((0..count).map(wave).collect())
    }

    /// One wave with its crest at `crest`. **Units**: seconds.
    pub fn crest(period: f64, amplitude: f64, crest: f64) -> Self {
        let pace = std::f64::consts::TAU / period;
        Self(vec![Wave {
            pace,
            amplitude,
            phase: std::f64::consts::FRAC_PI_2 - pace * crest,
        }])
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The value at an instant. **Units**: seconds.
    pub fn at(&self, seconds: f64) -> f64 {
        let value = |wave: &Wave| wave.amplitude * (wave.pace * seconds + wave.phase).sin();
        self.0.iter().map(value).sum()
    }
}

/// The weather over the whole plant. **Units**: °C.
///
/// The seed draws in which season the year begins, so that learning falls into any of them.
#[derive(Debug, Clone)]
pub struct Weather(Waves);

impl Weather {
    /// Mean of the year.
    const MEAN: f64 = 11.0;

    /// The weather in the world of `seed`.
    pub fn new(seed: u64) -> Self {
        let stream = &mut seeded::stream(seed, "year:weather");
        let year = 365.25 * DAY;
        let midsummer = between(stream, 0.0, year);
        let season = Waves::crest(year, between(stream, 9.0, 11.0), midsummer);
        let day = Waves::crest(DAY, between(stream, 3.0, 4.5), 15.0 * 3600.0);
        Self(
            season
                .and(day)
                .and(Waves::wander(stream, 5, [2.5, 14.0], 2.8)),
        )
    }

    /// The temperature at an instant. **Units**: seconds, °C.
    pub fn at(&self, seconds: f64) -> f64 {
        Self::MEAN + self.0.at(seconds)
    }
}

/// How hard a machine is used, about 0.2 to 1.05, and its set point.
#[derive(Debug, Clone)]
pub struct Duty {
    base: f64,
    weekend: f64,
    waves: Waves,
    /// From when on, how much more load, which set point: −1 to 1.
    levels: Vec<(f64, f64, f64)>,
}

impl Duty {
    /// The duty of one machine over `days`.
    pub fn new(seed: u64, tag: &str, days: f64) -> Self {
        let stream = &mut seeded::stream(seed, &format!("year:duty:{tag}"));
        let day = Waves::crest(
            DAY,
            between(stream, 0.06, 0.13),
            between(stream, 11.0, 14.0) * 3600.0,
        )
        .and(Waves::crest(DAY / 2.0, 0.03, 9.0 * 3600.0))
        .and(Waves::wander(stream, 3, [0.1, 0.4], 0.035))
        .and(Waves::wander(stream, 3, [2.0, 12.0], 0.03));
        let (base, weekend) = (between(stream, 0.66, 0.78), between(stream, 0.12, 0.3));
        // Production and operators change their mind two to five times a year.
        let changes = 2 + pick(stream, 4);
        let mut levels = vec![(0.0, 0.0, 0.0)];
        for _ in 0..changes {
            levels.push((
                between(stream, 0.0, days) * DAY,
                between(stream, -0.08, 0.08),
                between(stream, -1.0, 1.0),
            ));
        }
        levels.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self {
            base,
            weekend,
            waves: day,
            levels,
        }
    }

    /// The load at an instant. **Units**: seconds since a Monday 00:00.
    pub fn load(&self, seconds: f64) -> f64 {
        let of_week = seconds.rem_euclid(WEEK) / DAY;
        // Friday night runs down over four hours, Monday morning up.
        let ramp = |from: f64| ((of_week - from) / (4.0 / 24.0)).clamp(0.0, 1.0);
        let weekend = ramp(5.0) - ramp(6.8);
        let level = self.level(seconds).1;
        (self.base + level + self.waves.at(seconds) - self.weekend * weekend).clamp(0.15, 1.05)
    }

    /// The set point at an instant: −1 to 1 of its range.
    pub fn set_point(&self, seconds: f64) -> f64 {
        self.level(seconds).2
    }

    fn level(&self, seconds: f64) -> (f64, f64, f64) {
        let begun = self.levels.iter().rev().find(|level| level.0 <= seconds);
        begun.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_has_seasons_and_the_week_an_end() {
        for seed in 1..=5 {
            let weather = Weather::new(seed);
            let days: Vec<f64> = (0..365)
                .map(|day| {
                    (0..24)
                        .map(|h| weather.at(f64::from(day) * DAY + f64::from(h) * 3600.0))
                        .sum::<f64>()
                        / 24.0
                })
                .collect();
            let (low, high) = days
                .iter()
                .fold((f64::MAX, f64::MIN), |(a, b), d| (a.min(*d), b.max(*d)));
            assert!(
                high - low > 16.0 && low > -25.0 && high < 45.0,
                "{low} {high}"
            );
            let duty = Duty::new(seed, "P-1", 365.0);
            let mean = |day: f64| {
                (0..24)
                    .map(|h| duty.load(day * DAY + f64::from(h) * 3600.0))
                    .sum::<f64>()
                    / 24.0
            };
            let weeks = (0..52).map(f64::from);
            let (work, rest) = weeks.fold((0.0, 0.0), |(w, r), n| {
                (w + mean(7.0 * n + 2.0), r + mean(7.0 * n + 6.0))
            });
            assert!(work > rest * 1.1, "{work} {rest}");
        }
    }
}
