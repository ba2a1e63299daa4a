//! Memory of one query that may take less than all of them together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// The share of one query in the memory of all: both limits hold.
#[derive(Debug)]
pub(super) struct Share {
    all: Arc<dyn MemoryPool>,
    limit: usize,
    taken: AtomicUsize,
}

impl Share {
    pub(super) fn new(all: Arc<dyn MemoryPool>, limit: usize) -> Self {
        Self {
            all,
            limit,
            taken: AtomicUsize::new(0),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} bytes of {}", self.limit, self.all)
    }
}

impl MemoryPool for Share {
    fn name(&self) -> &str {
        "share"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.all.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.all.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.taken.fetch_add(additional, Ordering::Relaxed);
        self.all.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.taken.fetch_sub(shrink, Ordering::Relaxed);
        self.all.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let fits = |taken: usize| {
            taken
                .checked_add(additional)
                .filter(|sum| *sum <= self.limit)
        };
        let grown = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        if grown.is_err() {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "the query may take {} bytes",
                self.limit
            )));
        }
        let shared = self.all.try_grow(reservation, additional);
        if shared.is_err() {
            self.taken.fetch_sub(additional, Ordering::Relaxed);
        }
        shared
    }

    fn reserved(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}
