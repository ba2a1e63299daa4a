//! Whether a client reads what it asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fieldwright_ingest::clock::process_sleep;

/// How far the answers to a client have come.
#[derive(Debug, Default)]
pub(in crate::doors::postgres) struct Progress {
    rows: AtomicU64,
    /// The engine is being waited for, not the client.
    asking: AtomicBool,
}

/// The engine is being waited for until this is dropped.
pub(super) struct Asking<'a>(&'a Progress);

impl Progress {
    pub(super) fn ask(&self) -> Asking<'_> {
        self.asking.store(true, Ordering::Relaxed);
        Asking(self)
    }

    pub(super) fn advance(&self) {
        self.rows.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns once the client has taken nothing for so long although there was something.
    pub(in crate::doors::postgres) async fn stalled(&self, patience: Duration) {
        loop {
            let before = self.rows.load(Ordering::Relaxed);
            process_sleep(patience).await;
            let still = self.rows.load(Ordering::Relaxed) == before;
            if still && !self.asking.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.rows.fetch_add(1, Ordering::Relaxed);
        self.0.asking.store(false, Ordering::Relaxed);
    }
}
