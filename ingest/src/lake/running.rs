//! The runtime on which the lake's asynchronous libraries run, for threads that wait.

use std::future::Future;
use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};

/// A small runtime of our own: the lake works in threads that may wait, never in the caller's.
#[derive(Debug)]
pub(crate) struct Running(Option<Runtime>);

impl Running {
    /// **Errors**: the system has no thread left.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ingest-lake")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Waits for the answer; works inside and outside of another runtime.
    pub(crate) fn wait<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        let runtime = self.0.as_ref().expect("taken in drop only");
        if Handle::try_current().is_err() {
            return runtime.block_on(work);
        }
        thread::scope(|scope| {
            let answer = scope.spawn(|| runtime.block_on(work)).join();
            answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Dropping a runtime waits, which another runtime would not allow.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
