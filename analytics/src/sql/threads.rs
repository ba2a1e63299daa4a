//! The threads that queries run on, and spare ones for when all of them are stuck.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;

/// Stack of each of the engine's threads: planning recurses once per operator of a query, and an
/// unoptimized build takes about 12 KiB for each of [`SqlLimits::operators`]. Only what is used
/// of it takes memory.
///
/// [`SqlLimits::operators`]: super::SqlLimits::operators
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// Threads that stay for others when one query keeps as many busy as it may.
const SPARE_WORKERS: usize = 2;
/// Sets of threads at most, stuck ones included.
const SETS: usize = 4;
/// A set that takes up nothing for so long is stuck.
pub(super) const TAKE_UP: Duration = Duration::from_millis(500);
/// How long a thread waits for a stuck set to end before it is given up and counts for ever.
const LAST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// A set of threads and its spares.
pub(super) struct Threads {
    workers: usize,
    current: Mutex<Arc<Set>>,
    sets: Arc<AtomicUsize>,
}

/// One set of threads. It ends once no query uses it.
#[derive(Debug)]
pub(super) struct Set {
    runtime: Option<Runtime>,
    sets: Arc<AtomicUsize>,
}

impl Threads {
    pub(super) fn new(busy: usize) -> Self {
        let sets = Arc::new(AtomicUsize::new(0));
        let workers = busy.max(1) + SPARE_WORKERS;
        let first = Set::start(workers, &sets);
        Self {
            workers,
            current: Mutex::new(Arc::new(first)),
            sets,
        }
    }

    /// Threads that take up work now: the usual ones, or new ones when those are stuck. When
    /// there may be no more, waits until some are free.
    pub(super) async fn ready(&self) -> Arc<Set> {
        loop {
            let set = Arc::clone(&self.locked());
            let taken_up = set.handle().spawn(async {});
            if timeout(TAKE_UP, taken_up).await.is_ok() {
                return set;
            }
            self.replace(&set);
        }
    }

    /// The threads in use, stuck or not.
    pub(super) fn current(&self) -> Arc<Set> {
        Arc::clone(&self.locked())
    }

    /// Starts another set in the place of a stuck one, when there may be one more.
    pub(super) fn replace(&self, stuck: &Arc<Set>) {
        let mut current = self.locked();
        let replaced = !Arc::ptr_eq(&current, stuck);
        if replaced || self.sets.load(Ordering::Acquire) >= SETS {
            return;
        }
        tracing::warn!("queries keep every thread busy without a pause: others get new threads");
        *current = Arc::new(Set::start(self.workers, &self.sets));
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Arc<Set>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    fn start(workers: usize, sets: &Arc<AtomicUsize>) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_stack_size(STACK_BYTES)
            .thread_name("sql")
            .enable_all()
            .build()
            .expect("the operating system gives the SQL engine its threads");
        sets.fetch_add(1, Ordering::AcqRel);
        Self {
            runtime: Some(runtime),
            sets: Arc::clone(sets),
        }
    }

    pub(super) fn handle(&self) -> &Handle {
        let runtime = self.runtime.as_ref().expect("taken only when dropped");
        runtime.handle()
    }
}

/// Threads end in the background, since an async caller must not wait, and count until then.
impl Drop for Set {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        let sets = Arc::clone(&self.sets);
        let end = move || {
            runtime.shutdown_timeout(LAST_WAIT);
            sets.fetch_sub(1, Ordering::AcqRel);
        };
        let ending = std::thread::Builder::new().name("sql-end".to_owned());
        // Without a thread to wait on, the closure and the runtime in it are dropped here, which
        // may wait: the system is out of threads then.
        if let Err(error) = ending.spawn(end) {
            tracing::error!(%error, "the threads of SQL cannot be ended");
        }
    }
}
