//! The process clock of the simulators, and the only place here where time is read.
//!
//! Business time is never read from the machine: it is learned from the service
//! (see [`crate::world`]), because a stranger has no other way to know it.
#![allow(
    clippy::disallowed_methods,
    reason = "this file is the one home of the raw clock calls"
)]

use std::time::{Duration, Instant};

/// The machine's monotonic instant.
pub fn process_now() -> Instant {
    Instant::now()
}

/// Sleeps on the process clock.
pub async fn process_sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Runs `work` for at most `limit` of process time; `None` when it took longer.
pub async fn within<F: Future>(limit: Duration, work: F) -> Option<F::Output> {
    tokio::time::timeout(limit, work).await.ok()
}
