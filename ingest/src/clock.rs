//! The two clocks, and the only place in `ingest` and `analytics` where time is read.
//!
//! The *business clock* stamps readings, shifts, travel and terms; it may run faster than the wall.
//! The *process clock* rules sockets, batching and syncs; it is always the machine's own.
#![allow(
    clippy::disallowed_methods,
    reason = "this file is the one home of the raw clock calls"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// What time it is for readings, alarms, shifts and money.
pub trait BusinessClock: Send + Sync + std::fmt::Debug {
    /// The business instant now.
    fn now(&self) -> DateTime<Utc>;
    /// Business seconds that pass per second of the wall.
    fn rate(&self) -> f64;
}

/// A shared business clock.
pub type SharedClock = Arc<dyn BusinessClock>;

/// The wall clock as business clock.
#[derive(Debug, Clone, Copy)]
pub struct RealClock;

impl BusinessClock for RealClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
    fn rate(&self) -> f64 {
        1.0
    }
}

/// A business clock that runs `rate` times as fast as the wall from a fixed origin.
///
/// It is a pure function of the wall, so it goes on by itself while the process is down.
#[derive(Debug, Clone, Copy)]
pub struct ScaledClock {
    /// The wall instant at which the business clock read `business_origin`.
    pub wall_origin: DateTime<Utc>,
    /// The business instant at `wall_origin`.
    pub business_origin: DateTime<Utc>,
    /// Business seconds per wall second, more than zero.
    pub rate: f64,
}

impl BusinessClock for ScaledClock {
    fn now(&self) -> DateTime<Utc> {
        let wall_us = (Utc::now() - self.wall_origin)
            .num_microseconds()
            .unwrap_or(i64::MAX) as f64;
        self.business_origin + TimeDelta::microseconds((wall_us * self.rate) as i64)
    }
    fn rate(&self) -> f64 {
        self.rate
    }
}

/// A clock that a test sets by hand.
#[derive(Debug)]
pub struct ManualClock(std::sync::Mutex<DateTime<Utc>>);

impl ManualClock {
    /// A clock that stands at `at`.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self(std::sync::Mutex::new(at))
    }
    /// Moves the clock.
    pub fn set(&self, at: DateTime<Utc>) {
        *self.0.lock().expect("no holder panics") = at;
    }
}

impl BusinessClock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().expect("no holder panics")
    }
    fn rate(&self) -> f64 {
        1.0
    }
}

/// The machine's monotonic instant: for batching, syncs and rate limits only.
pub fn process_now() -> Instant {
    Instant::now()
}

/// The machine's wall clock: for file names and log lines only, never for business.
pub fn wall_now() -> DateTime<Utc> {
    Utc::now()
}

/// Sleeps on the process clock.
pub async fn process_sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}
