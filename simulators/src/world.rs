//! The world as the service shows it: its business clock and its registry.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::records::{Asset, Clock, Resource, Site};
use crate::api::{Api, ApiError};
use crate::cancel::Cancel;
use crate::clock::process_now;

/// How often the business clock is asked again.
const RESYNC_EVERY: Duration = Duration::from_secs(10);
/// A reading of the clock this old is replaced even when it was the tighter one.
const STALE_AFTER: Duration = Duration::from_secs(120);
/// A jump of more than this much process time means another clock, not a slow answer.
const JUMP_SECONDS: f64 = 5.0;
/// Shortest pause of a wait for a business instant.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// Longest pause of a wait for a business instant, so that a new reading of the clock is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The service's business clock, kept locally.
///
/// It never runs ahead of the service: an answer is already old when it arrives, so every reading
/// is a lower bound, and of two readings the later bound is kept.
#[derive(Debug, Clone)]
pub struct WorldClock(Arc<RwLock<Reading>>);

#[derive(Debug, Clone, Copy)]
struct Reading {
    taken: Instant,
    business: DateTime<Utc>,
    rate: f64,
}

impl WorldClock {
    /// A clock that showed `business` at the process instant `taken` and runs at `rate`.
    pub fn new(business: DateTime<Utc>, rate: f64, taken: Instant) -> Self {
        Self(Arc::new(RwLock::new(Reading {
            taken,
            business,
            rate,
        })))
    }

    /// The business instant now.
    pub fn now(&self) -> DateTime<Utc> {
        self.read().at(process_now())
    }

    /// Business seconds per second of the wall.
    pub fn rate(&self) -> f64 {
        self.read().rate
    }

    /// How much process time `business` time takes.
    pub fn process_time(&self, business: TimeDelta) -> Duration {
        let seconds = seconds(business) / self.rate().max(f64::MIN_POSITIVE);
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
    }

    /// Waits for a business instant; false when it was cut short by a stop.
    pub async fn wait_until(&self, instant: DateTime<Utc>, cancel: &Cancel) -> bool {
        loop {
            let left = instant - self.now();
            if left <= TimeDelta::zero() {
                return !cancel.is_canceled();
            }
            let pause = self.process_time(left).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            if !cancel.sleep(pause).await {
                return false;
            }
        }
    }

    /// Takes in a new reading of the service's clock.
    pub fn learn(&self, business: DateTime<Utc>, rate: f64, taken: Instant) {
        let mut kept = self.0.write().expect("no holder panics");
        let gain = seconds(business - kept.at(taken));
        let other_clock = rate != kept.rate || gain.abs() > JUMP_SECONDS * rate;
        let stale = taken.saturating_duration_since(kept.taken) > STALE_AFTER;
        if gain > 0.0 || other_clock || stale {
            *kept = Reading {
                taken,
                business,
                rate,
            };
        }
    }

    fn read(&self) -> Reading {
        *self.0.read().expect("no holder panics")
    }
}

impl Reading {
    fn at(&self, instant: Instant) -> DateTime<Utc> {
        let passed = instant.saturating_duration_since(self.taken).as_secs_f64() * self.rate;
        self.business + TimeDelta::microseconds((passed * 1e6) as i64)
    }
}

/// The world around a simulator: the service and its clock.
#[derive(Debug, Clone)]
pub struct World {
    /// The service.
    pub api: Api,
    /// Its business clock.
    pub clock: WorldClock,
}

impl World {
    /// Asks the service for its clock, for as long as `api` has patience.
    ///
    /// **Errors**: the service is away or does not know its clock.
    pub async fn meet(api: Api) -> Result<Self, ApiError> {
        let answer: Clock = api.get("/clock", &[]).await?;
        let clock = WorldClock::new(answer.now, answer.rate, process_now());
        Ok(Self { api, clock })
    }

    /// Asks for the clock again now and then, until told to stop.
    pub async fn keep_time(&self, cancel: Cancel) {
        while cancel.sleep(RESYNC_EVERY).await {
            match self.api.get::<Clock>("/clock", &[]).await {
                Ok(answer) => self.clock.learn(answer.now, answer.rate, process_now()),
                Err(error) => tracing::debug!(%error, "the business clock could not be read"),
            }
        }
    }

    /// All registered assets.
    ///
    /// **Errors**: those of [`Api::list`].
    pub async fn assets(&self) -> Result<Vec<Asset>, ApiError> {
        self.api.list("/assets", &[]).await
    }

    /// The asset with this tag, if it is registered.
    ///
    /// **Errors**: those of [`Api::list`].
    pub async fn asset(&self, tag: &str) -> Result<Option<Asset>, ApiError> {
        let found: Vec<Asset> = self.api.list("/assets", &[("tag", tag)]).await?;
        Ok(found.into_iter().find(|asset| asset.tag == tag))
    }

    /// All sites.
    ///
    /// **Errors**: those of [`Api::list`].
    pub async fn sites(&self) -> Result<Vec<Site>, ApiError> {
        self.api.list("/sites", &[]).await
    }

    /// All resources.
    ///
    /// **Errors**: those of [`Api::list`].
    pub async fn resources(&self) -> Result<Vec<Resource>, ApiError> {
        self.api.list("/resources", &[]).await
    }
}

/// Seconds with their fraction.
pub(crate) fn seconds(delta: TimeDelta) -> f64 {
    delta
        .num_microseconds()
        .map_or_else(|| delta.num_seconds() as f64, |us| us as f64 / 1e6)
}

/// A span of `minutes`, fractions included.
pub(crate) fn minutes(minutes: f64) -> TimeDelta {
    TimeDelta::microseconds((minutes * 60e6) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monday() -> DateTime<Utc> {
        "2026-10-05T07:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_clock_runs_at_its_rate() {
        let taken = process_now();
        let reading = Reading {
            taken,
            business: monday(),
            rate: 600.0,
        };
        assert_eq!(
            reading.at(taken + Duration::from_secs(1)),
            monday() + minutes(10.0)
        );
        let clock = WorldClock::new(monday(), 600.0, taken);
        assert_eq!(clock.process_time(minutes(10.0)), Duration::from_secs(1));
        assert_eq!(clock.process_time(-minutes(10.0)), Duration::ZERO);
    }

    #[test]
    fn the_later_lower_bound_is_kept() {
        let taken = process_now();
        let at = |clock: &WorldClock| clock.read().at(taken);
        let clock = WorldClock::new(monday(), 60.0, taken);
        // A slow answer would set the clock back by half a business minute: not taken.
        clock.learn(monday() - TimeDelta::seconds(30), 60.0, taken);
        assert_eq!(at(&clock), monday());
        clock.learn(monday() + TimeDelta::seconds(30), 60.0, taken);
        assert_eq!(at(&clock), monday() + TimeDelta::seconds(30));
        // An hour back is another clock, and so is another rate.
        clock.learn(monday() - TimeDelta::hours(1), 60.0, taken);
        assert_eq!(at(&clock), monday() - TimeDelta::hours(1));
        clock.learn(monday() - TimeDelta::hours(2), 1.0, taken);
        assert_eq!(
            (at(&clock), clock.rate()),
            (monday() - TimeDelta::hours(2), 1.0)
        );
    }

    #[tokio::test]
    async fn waiting_ends_at_the_instant_or_at_a_stop() {
        let (source, cancel) = crate::cancel::CancelSource::new();
        let clock = WorldClock::new(monday(), 1e6, process_now());
        assert!(
            clock
                .wait_until(monday() + TimeDelta::hours(1), &cancel)
                .await
        );
        assert!(clock.now() >= monday() + TimeDelta::hours(1));
        source.cancel();
        let far = monday() + TimeDelta::days(365_000);
        assert!(!clock.wait_until(far, &cancel).await);
    }
}
